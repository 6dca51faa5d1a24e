//! Voice regions: where there are nodes, and where to measure the distance to them. And the sounds of calls.

use super::body::{Caller, Ids};
use super::error::Result;
use super::routes::{Routes, get};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::GuildId;
use guildhall_protocol::model::VoiceRegion;

/// What a server that runs alone calls its region, and how people read it.
const ALONE: (&str, &str) = ("local", "This server");

pub fn routes() -> Routes {
    Routes::new()
        .route("/voice/regions", get(regions, "Lists the voice regions."))
        .route("/guilds/{guild_id}/regions", get(guild_regions, "Lists the voice regions for a guild."))
        .route("/soundboard-default-sounds", get(sounds, "Lists the sounds that every guild has: none."))
}

/// This server comes without sounds. py-cord asks for them before it is ready, and never is when there is no answer.
async fn sounds(_: Caller) -> Json<[(); 0]> {
    Json([])
}

async fn regions(State(app): State<App>, _: Caller) -> Json<Vec<VoiceRegion>> {
    let regions = app.hub().regions();
    let default = app.hub().default_region();
    let is_only = regions.len() == 1;
    let shown = regions.into_iter().map(|(region, endpoints)| {
        let id = region.as_str().to_owned();
        let probe =
            |endpoint: String| if endpoint.is_empty() { "/probe".to_owned() } else { format!("https://{endpoint}/probe") };
        VoiceRegion {
            name: if id == ALONE.0 { ALONE.1.to_owned() } else { id.clone() },
            optimal: is_only || default.as_ref() == Some(&region),
            deprecated: false,
            custom: false,
            probes: endpoints.into_iter().map(probe).collect(),
            id,
        }
    });
    Json(shown.collect())
}

async fn guild_regions(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>) -> Result<Json<Vec<VoiceRegion>>> {
    app.in_guild(&caller, id, |_| Ok(())).await?;
    Ok(regions(State(app), caller).await)
}
