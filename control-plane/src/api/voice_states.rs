//! Who is connected where, and on a stage: who speaks and who would like to.

use super::access::Access;
use super::body::{Body, Caller, Ids};
use super::error::Result;
use super::form::{Form, Patch, Shape};
use super::routes::{Routes, get};
use crate::app::App;
use crate::ids::unix_ms;
use crate::siblings::words::StageChange;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{ChannelType, VoiceState, parse_timestamp, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, UserId};

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/guilds/{guild_id}/voice-states/@me",
            get(read_me, "Where you are connected.")
                .patch(edit_me, "On a stage: asks to speak, or goes back to the audience; to speak unasked: MUTE_MEMBERS."),
        )
        .route(
            "/guilds/{guild_id}/voice-states/{user_id}",
            get(read, "Where somebody is connected, if you may see the channel.")
                .patch(edit, "On a stage: lets somebody speak, or sends them back to the audience: MUTE_MEMBERS."),
        )
}

/// Where someone is connected, if the caller may see that place, and what the caller may do there.
fn find<'a>(access: &Access<'a>, user: UserId) -> Result<(&'a VoiceState, Permissions)> {
    let state = access.state.voice_state(user).ok_or(ErrorCode::UnknownVoiceState)?;
    let held = access.state.channel_permissions(access.user, state.channel_id.unwrap_or_default(), access.now_ms);
    if user == access.user || held.contains(Permissions::VIEW_CHANNEL) {
        Ok((state, held))
    } else {
        Err(ErrorCode::UnknownVoiceState.into())
    }
}

async fn read_me(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<VoiceState>> {
    let me = caller.id();
    show(&app, &caller, guild, me).await
}

async fn read(State(app): State<App>, caller: Caller, Ids((guild, user)): Ids<(GuildId, UserId)>) -> Result<Json<VoiceState>> {
    show(&app, &caller, guild, user).await
}

async fn show(app: &App, caller: &Caller, guild: GuildId, user: UserId) -> Result<Json<VoiceState>> {
    let state = app
        .in_guild(caller, guild, |access| {
            let (state, _) = find(&access, user)?;
            Ok(VoiceState { member: access.state.member(user).cloned(), ..state.clone() })
        })
        .await?;
    Ok(Json(state))
}

struct Edit {
    /// Where the user is expected to be; naming it protects from a change that they made meanwhile.
    channel_id: Option<ChannelId>,
    suppress: Option<bool>,
    /// Unix milliseconds.
    request_at: Patch<u64>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        let key = "request_to_speak_timestamp";
        let request_at = match form.text(key, 0..=64) {
            Patch::Set(text) => match parse_timestamp(&text) {
                Some(ms) => Patch::Set(ms),
                None => {
                    form.refuse(key, "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.");
                    Patch::Absent
                }
            },
            other => other.map(|_| 0),
        };
        Self { channel_id: form.id("channel_id").value(), suppress: form.flag("suppress").value(), request_at }
    }
}

impl Edit {
    /// What the caller may do on the stage where the user is.
    fn stage(&self, access: &Access, user: UserId) -> Result<Permissions> {
        let (state, held) = find(access, user)?;
        if self.channel_id.is_some() && self.channel_id != state.channel_id {
            return Err(ErrorCode::UnknownVoiceState.into());
        }
        let channel = state.channel_id.and_then(|id| access.state.channel(id)).ok_or(ErrorCode::UnknownVoiceState)?;
        if channel.kind == ChannelType::Stage { Ok(held) } else { Err(ErrorCode::WrongChannelType.into()) }
    }
}

fn require(held: Permissions, bits: Permissions) -> Result<()> {
    if held.contains(bits) { Ok(()) } else { Err(ErrorCode::MissingPermissions.into()) }
}

fn answer(is_connected: bool) -> Result<StatusCode> {
    if is_connected { Ok(StatusCode::NO_CONTENT) } else { Err(ErrorCode::UnknownVoiceState.into()) }
}

/// Anyone goes back to the audience or takes a request back; speaking needs the right to let speak.
async fn edit_me(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>, Body(edit): Body<Edit>) -> Result<StatusCode> {
    app.in_guild(&caller, guild, |access| {
        let held = edit.stage(&access, access.user)?;
        if edit.suppress == Some(false) {
            require(held, Permissions::MUTE_MEMBERS)?;
        }
        if matches!(edit.request_at, Patch::Set(_)) { require(held, Permissions::REQUEST_TO_SPEAK) } else { Ok(()) }
    })
    .await?;
    let request_to_speak = edit.request_at.change().map(|at| at.map(timestamp));
    let change = StageChange { suppress: edit.suppress, request_to_speak };
    answer(app.hub().change_voice_state(guild, caller.id(), change).await)
}

/// Invites someone of the audience to speak, or sends a speaker back.
async fn edit(
    State(app): State<App>,
    caller: Caller,
    Ids((guild, user)): Ids<(GuildId, UserId)>,
    Body(edit): Body<Edit>,
) -> Result<StatusCode> {
    let is_bot = app
        .in_guild(&caller, guild, |access| {
            require(edit.stage(&access, user)?, Permissions::MUTE_MEMBERS)?;
            Ok(access.member(user)?.user.bot)
        })
        .await?;
    let Some(suppress) = edit.suppress else { return Ok(StatusCode::NO_CONTENT) };
    // As documented: a person who is let speak is shown as having been asked, a bot speaks.
    let request_to_speak = Some((!suppress && !is_bot).then(|| timestamp(unix_ms())));
    let change = StageChange { suppress: Some(suppress), request_to_speak };
    answer(app.hub().change_voice_state(guild, user, change).await)
}
