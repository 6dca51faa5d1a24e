//! What people set for themselves: for their account, for a guild, for their private channels.

use super::body::{Body, Ids, Person};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::routes::{Routes, get, patch};
use crate::app::App;
use crate::settings::{ACCOUNT, CHANNEL, GUILD, Kind};
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use guildhall_protocol::model::parse_timestamp;
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Snowflake};
use serde_json::{Map, Value, json};

/// Guilds in a list of them: twice what one may be in.
const GUILDS: usize = 200;
const FOLDERS: usize = 100;
/// Channels that one request sets something about: all of a guild.
const CHANNELS: usize = 500;
const TOO_LARGE: &[(Conflict, ErrorCode)] = &[(Conflict::Full, ErrorCode::RequestTooLarge)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/users/@me/settings",
            get(read, "Your settings.").patch(edit, "Changes your settings; what is not known is ignored."),
        )
        .route("/users/@me/guilds/@me/settings", patch(edit_private, "Changes what you are told about private channels."))
        .route("/users/@me/guilds/{guild_id}/settings", patch(edit_guild, "Changes what you are told about a guild."))
}

/// Those of the known settings that the form has.
fn plain(form: &Form, known: &[(&str, Kind)]) -> Map<String, Value> {
    let read = |(key, kind): &(&str, Kind)| {
        let value: Option<Value> = match kind {
            Kind::Flag(_) => form.flag(key).value().map(Value::from),
            Kind::Number(least, most, _) => form.integer(key, *least..=*most).value().map(Value::from),
            Kind::Locale => form.text(key, 2..=10).value().map(Value::from),
            Kind::Word(words) => word(form, key, words).map(Value::from),
        };
        value.map(|value| ((*key).to_owned(), value))
    };
    known.iter().filter_map(read).collect()
}

fn word(form: &Form, key: &str, words: &[&str]) -> Option<String> {
    form.note(key, || json!({ "type": "string", "enum": words }));
    let word = form.text(key, 1..=32).value()?;
    if !words.contains(&word.as_str()) {
        form.refuse(key, "BASE_TYPE_CHOICES", &format!("Value must be one of {{{}}}.", words.join(", ")));
    }
    Some(word)
}

/// A moment in the form's own words, if it is one.
fn moment(form: &Form, key: &str) -> Option<String> {
    let moment = form.text(key, 1..=40).value()?;
    if parse_timestamp(&moment).is_none() {
        form.refuse(key, "DATE_TIME_TYPE_PARSE", "Could not parse the value. Should be ISO8601.");
    }
    Some(moment)
}

/// Puts a nullable object into what is set.
fn put(set: &mut Map<String, Value>, key: &str, value: Patch<Value>) {
    if let Some(value) = value.change() {
        set.insert(key.to_owned(), value.unwrap_or_default());
    }
}

struct Edit {
    set: Map<String, Value>,
    restricted: Option<Vec<GuildId>>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        let mut set = plain(form, ACCOUNT);
        let custom_status = form.object("custom_status", |form| {
            json!({
                "text": form.text("text", 0..=128).value(),
                "emoji_id": form.id::<Snowflake>("emoji_id").value(),
                "emoji_name": form.text("emoji_name", 1..=64).value(),
                "expires_at": moment(form, "expires_at"),
            })
        });
        put(&mut set, "custom_status", custom_status);
        let positions = form.ids::<GuildId>("guild_positions", GUILDS).value();
        set.extend(positions.map(|ids| ("guild_positions".to_owned(), json!(ids))));
        let folder = |form: &Form| {
            json!({
                "id": form.integer("id", i64::MIN..=i64::MAX).value(),
                "name": form.text("name", 0..=32).value(),
                "color": form.integer("color", 0..=0xff_ffff).value(),
                "guild_ids": form.ids::<GuildId>("guild_ids", GUILDS).value().unwrap_or_default(),
            })
        };
        let folders = form.list("guild_folders", FOLDERS, folder).value();
        set.extend(folders.map(|folders| ("guild_folders".to_owned(), folders.into())));
        Self { set, restricted: form.ids("restricted_guilds", GUILDS).value() }
    }
}

async fn read(State(app): State<App>, Person(caller): Person) -> Result<Json<Value>> {
    Ok(Json(app.store().settings_of(caller.id()).await?))
}

async fn edit(State(app): State<App>, Person(caller): Person, Body(Edit { set, restricted }): Body<Edit>) -> Result<Json<Value>> {
    Ok(Json(app.store().change_settings(caller.id(), set, restricted).await.refine(TOO_LARGE)?))
}

struct EditGuild {
    set: Map<String, Value>,
    overrides: Vec<(ChannelId, Map<String, Value>)>,
}

/// The known settings, and until when a mute lasts.
fn notifications(form: &Form, known: &[(&str, Kind)]) -> Map<String, Value> {
    let mut set = plain(form, known);
    let mute = form.object("mute_config", |form| {
        json!({
            "end_time": moment(form, "end_time"),
            "selected_time_window": form.integer("selected_time_window", -1..=i64::from(i32::MAX)).value(),
        })
    });
    put(&mut set, "mute_config", mute);
    set
}

impl Shape for EditGuild {
    fn read(form: &Form) -> Self {
        let set = notifications(form, GUILD);
        let overrides = form.by_id("channel_overrides", CHANNELS, "channel_id", |form| notifications(form, CHANNEL));
        Self { set, overrides: overrides.value().unwrap_or_default() }
    }
}

async fn edit_private(State(app): State<App>, Person(caller): Person, Body(edit): Body<EditGuild>) -> Result<Json<Value>> {
    let changed = app.store().change_guild_settings(caller.id(), None, edit.set, edit.overrides).await;
    Ok(Json(changed.refine(TOO_LARGE)?))
}

async fn edit_guild(
    State(app): State<App>,
    Person(caller): Person,
    Ids(id): Ids<GuildId>,
    Body(edit): Body<EditGuild>,
) -> Result<Json<Value>> {
    app.in_guild(&caller, id, |_| Ok(())).await?;
    let changed = app.store().change_guild_settings(caller.id(), Some(id), edit.set, edit.overrides).await;
    Ok(Json(changed.refine(TOO_LARGE)?))
}
