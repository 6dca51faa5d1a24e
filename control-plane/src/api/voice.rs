//! Voice regions. There is one until nodes run elsewhere.

use super::body::{Caller, Ids};
use super::error::Result;
use super::routes::{Routes, get};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::GuildId;
use guildhall_protocol::model::VoiceRegion;

pub fn routes() -> Routes {
    Routes::new()
        .route("/voice/regions", get(regions, "Lists the voice regions."))
        .route("/guilds/{guild_id}/regions", get(guild_regions, "Lists the voice regions for a guild."))
}

async fn regions(_: Caller) -> Json<Vec<VoiceRegion>> {
    let (id, name) = ("local".to_owned(), "This server".to_owned());
    Json(vec![VoiceRegion { id, name, optimal: true, deprecated: false, custom: false }])
}

async fn guild_regions(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>) -> Result<Json<Vec<VoiceRegion>>> {
    app.in_guild(&caller, id, |_| Ok(())).await?;
    Ok(regions(caller).await)
}
