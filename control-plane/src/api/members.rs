//! Members of a guild: reading them, changing them, kicking them.

use super::access::Access;
use super::body::{Body, Caller, Ids, Query};
use super::error::{ApiError, Refine, Result};
use super::form::{Errors, Form, Patch, Shape};
use super::routes::{Routes, get, patch, put};
use crate::app::App;
use crate::audit::{By, Entry};
use crate::store::{Conflict, Left};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{AuditAction, Member, parse_timestamp, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, RoleId, UserId};
use serde_json::{Value, json};

/// How long a timeout may last: 28 days.
const LONGEST_TIMEOUT_MS: u64 = 28 * 86_400_000;
const ROLES_PER_MEMBER: usize = 250;

pub fn routes() -> Routes {
    Routes::new()
        .route("/guilds/{guild_id}/members", get(list, "Lists members, by id."))
        .route("/guilds/{guild_id}/members/@me", patch(edit_me, "Changes your own membership: CHANGE_NICKNAME for the nickname."))
        .route("/guilds/{guild_id}/members/@me/nick", patch(edit_my_nick, "Changes your nickname, as older libraries ask: CHANGE_NICKNAME."))
        .route("/guilds/{guild_id}/members/{user_id}", get(read, "One member.").put(add, "Adds somebody by their OAuth2 token; this server grants none, so only for who is a member already does it succeed: bots with CREATE_INSTANT_INVITE.").patch(edit, "Changes a member: MANAGE_NICKNAMES, MANAGE_ROLES, MUTE_MEMBERS, DEAFEN_MEMBERS, MOVE_MEMBERS or MODERATE_MEMBERS, by what changes.").delete(kick, "Removes a member: KICK_MEMBERS."))
        .route("/guilds/{guild_id}/members/{user_id}/roles/{role_id}", put(give_role, "Gives a member a role: MANAGE_ROLES.").delete(take_role, "Takes a role from a member: MANAGE_ROLES."))
        .route("/guilds/{guild_id}/members/search", get(search, "Finds members by the beginning of their name."))
}

const UNKNOWN_MEMBER: [(Conflict, ErrorCode); 1] = [(Conflict::Missing, ErrorCode::UnknownMember)];

struct Page {
    after: UserId,
    limit: usize,
}

impl Shape for Page {
    fn read(form: &Form) -> Self {
        Self {
            after: form.id("after").value().unwrap_or_default(),
            limit: form.integer("limit", 1..=1000).value().unwrap_or(1) as usize,
        }
    }
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Member>>> {
    let members = app
        .in_guild(&caller, guild, |access| {
            let mut members: Vec<&Member> = access.state.members().filter(|member| member.user.id > page.after).collect();
            members.sort_unstable_by_key(|member| member.user.id);
            Ok(members.into_iter().take(page.limit).cloned().collect())
        })
        .await?;
    Ok(Json(members))
}

struct Search {
    query: String,
    limit: usize,
}

impl Shape for Search {
    fn read(form: &Form) -> Self {
        Self {
            query: form.required("query", form.text("query", 1..=100)),
            limit: form.integer("limit", 1..=1000).value().unwrap_or(1) as usize,
        }
    }
}

/// Members whose username or nickname begins with the query.
async fn search(
    State(app): State<App>,
    caller: Caller,
    Ids(guild): Ids<GuildId>,
    Query(search): Query<Search>,
) -> Result<Json<Vec<Member>>> {
    let query = search.query.to_lowercase();
    let members = app
        .in_guild(&caller, guild, |access| {
            let begins = |name: &str| name.to_lowercase().starts_with(&query);
            let fits = |member: &&Member| begins(&member.user.username) || member.nick.as_deref().is_some_and(begins);
            let mut members: Vec<&Member> = access.state.members().filter(fits).collect();
            members.sort_unstable_by_key(|member| member.user.id);
            Ok(members.into_iter().take(search.limit).cloned().collect())
        })
        .await?;
    Ok(Json(members))
}

async fn read(State(app): State<App>, caller: Caller, Ids((guild, user)): Ids<(GuildId, UserId)>) -> Result<Json<Member>> {
    Ok(Json(app.in_guild(&caller, guild, |access| access.member(user).cloned()).await?))
}

struct Add;

impl Shape for Add {
    fn read(form: &Form) -> Self {
        form.required("access_token", form.text("access_token", 1..=10_240));
        Self
    }
}

/// Adds someone who consented to it with an OAuth2 token of the scope `guilds.join`. This server grants no such tokens to
/// anyone, so none is valid; who is a member already stays one.
async fn add(
    State(app): State<App>,
    caller: Caller,
    Ids((guild, user)): Ids<(GuildId, UserId)>,
    Body(Add): Body<Add>,
) -> Result<StatusCode> {
    if !caller.is_bot() {
        return Err(ErrorCode::BotsOnly.into());
    }
    let is_member = app
        .in_guild(&caller, guild, |access| {
            access.require(Permissions::CREATE_INSTANT_INVITE)?;
            Ok(access.state.is_member(user))
        })
        .await?;
    if is_member { Ok(StatusCode::NO_CONTENT) } else { Err(ErrorCode::InvalidOauthToken.into()) }
}

struct Edit {
    nick: Patch<String>,
    roles: Patch<Vec<RoleId>>,
    mute: Option<bool>,
    deaf: Option<bool>,
    channel_id: Patch<ChannelId>,
    /// Unix milliseconds.
    timed_out_until: Patch<u64>,
}

fn nick(form: &Form) -> Patch<String> {
    match form.text("nick", 0..=32) {
        Patch::Set(nick) if nick.is_empty() => Patch::Null,
        other => other,
    }
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        let until = form.text("communication_disabled_until", 0..=64);
        let timed_out_until = match until {
            Patch::Set(text) => match parse_timestamp(&text) {
                Some(ms) => Patch::Set(ms),
                None => {
                    form.refuse("communication_disabled_until", "DATE_TIME_TYPE_PARSE", "Could not parse. Should be ISO8601.");
                    Patch::Absent
                }
            },
            other => other.map(|_| 0),
        };
        Self {
            nick: nick(form),
            roles: form.ids("roles", ROLES_PER_MEMBER),
            mute: form.flag("mute").value(),
            deaf: form.flag("deaf").value(),
            channel_id: form.id("channel_id"),
            timed_out_until,
        }
    }
}

impl Edit {
    /// Every change needs its own permission; all are checked before any is made.
    fn authorize(&self, access: &Access, target: &Member) -> Result<()> {
        let user = target.user.id;
        if !self.nick.is_absent() {
            if user == access.user {
                access.require(Permissions::CHANGE_NICKNAME)?;
            } else {
                access.require(Permissions::MANAGE_NICKNAMES)?;
                access.require_above(user)?;
            }
        }
        if let Some(roles) = self.roles.clone().change() {
            access.require(Permissions::MANAGE_ROLES)?;
            let roles = roles.unwrap_or_default();
            let is_switched = |role: &&RoleId| roles.contains(role) != target.roles.contains(role);
            for role in roles.iter().chain(&target.roles).filter(is_switched) {
                check_assignable(access, *role)?;
            }
        }
        if !self.timed_out_until.is_absent() {
            self.authorize_timeout(access, user)?;
        }
        let voice = access.state.voice_state(user);
        if self.mute.is_some() {
            access.require(Permissions::MUTE_MEMBERS)?;
        }
        if self.deaf.is_some() {
            access.require(Permissions::DEAFEN_MEMBERS)?;
        }
        if !self.channel_id.is_absent() {
            access.require(Permissions::MOVE_MEMBERS)?;
        }
        let concerns_voice = self.mute.is_some() || self.deaf.is_some() || !self.channel_id.is_absent();
        if concerns_voice && voice.is_none() {
            return Err(ErrorCode::NotConnectedToVoice.into());
        }
        if let Patch::Set(channel) = &self.channel_id {
            self.authorize_move(access, *channel)?;
        }
        Ok(())
    }

    fn authorize_timeout(&self, access: &Access, user: UserId) -> Result<()> {
        access.require(Permissions::MODERATE_MEMBERS)?;
        access.require_above(user)?;
        if let Patch::Set(until) = self.timed_out_until {
            // Someone who may do anything cannot be silenced, so pretending would mislead.
            if access.state.permissions(user, access.now_ms).contains(Permissions::ADMINISTRATOR) {
                return Err(ErrorCode::MissingPermissions.into());
            }
            if until > access.now_ms + LONGEST_TIMEOUT_MS {
                let message = "Timeouts cannot be longer than 28 days.";
                return Err(Errors::of("communication_disabled_until", "BASE_TYPE_MAX_VALUE", message).into());
            }
        }
        Ok(())
    }

    fn authorize_move(&self, access: &Access, to: ChannelId) -> Result<()> {
        let channel = access.state.channel(to).ok_or(ErrorCode::UnknownChannel)?;
        if !channel.kind.is_voice() {
            return Err(ErrorCode::WrongChannelType.into());
        }
        // Nobody moves others where they may not go themselves.
        let held = access.state.channel_permissions(access.user, to, access.now_ms);
        if held.contains(Permissions::VIEW_CHANNEL | Permissions::CONNECT) {
            Ok(())
        } else {
            Err(ErrorCode::MissingPermissions.into())
        }
    }
}

/// A role that the caller may give and take: it exists, is below theirs, and belongs to no bot.
fn check_assignable(access: &Access, id: RoleId) -> Result<()> {
    let role = access.role(id)?;
    if role.managed || id == access.state.id().everyone() {
        return Err(ErrorCode::InvalidRole.into());
    }
    access.require_above_role(role)
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((guild, user)): Ids<(GuildId, UserId)>,
    Body(edit): Body<Edit>,
) -> Result<Json<Member>> {
    app.in_guild(&caller, guild, |access| edit.authorize(&access, access.member(user)?)).await?;
    let channel = edit.channel_id.clone().change();
    let change = move |member: &mut Member| {
        if let Some(nick) = edit.nick.change() {
            member.nick = nick;
        }
        if let Some(roles) = edit.roles.change() {
            member.roles = roles.unwrap_or_default();
        }
        member.mute = edit.mute.unwrap_or(member.mute);
        member.deaf = edit.deaf.unwrap_or(member.deaf);
        if let Some(until) = edit.timed_out_until.change() {
            member.communication_disabled_until = until.map(timestamp);
        }
    };
    let member = app.store().change_member(by.clone(), guild, user, change).await.refine(&UNKNOWN_MEMBER)?;
    if let Some(channel) = channel
        && !app.hub().move_member(guild, user, channel).await
    {
        return Err(ErrorCode::NotConnectedToVoice.into());
    }
    if let Some(channel) = channel {
        let entry = match channel {
            Some(channel) => Entry::untargeted(AuditAction::MEMBER_MOVE).option("channel_id", channel),
            None => Entry::untargeted(AuditAction::MEMBER_DISCONNECT),
        };
        app.store().audit(guild, by, entry.counted(1)).await?;
    }
    Ok(Json(member))
}

struct EditMe {
    nick: Patch<String>,
}

impl Shape for EditMe {
    fn read(form: &Form) -> Self {
        Self { nick: nick(form) }
    }
}

async fn edit_me(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    Body(edit): Body<EditMe>,
) -> Result<Json<Member>> {
    app.in_guild(
        &caller,
        guild,
        |access| {
            if edit.nick.is_absent() { Ok(()) } else { access.require(Permissions::CHANGE_NICKNAME) }
        },
    )
    .await?;
    let change = move |member: &mut Member| {
        if let Some(nick) = edit.nick.change() {
            member.nick = nick;
        }
    };
    Ok(Json(app.store().change_member(by, guild, caller.id(), change).await.refine(&UNKNOWN_MEMBER)?))
}

async fn edit_my_nick(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    edit: Body<EditMe>,
) -> Result<Json<Value>> {
    let Json(member) = edit_me(State(app), caller, by, Ids(guild), edit).await?;
    Ok(Json(json!({ "nick": member.nick })))
}

async fn kick(State(app): State<App>, caller: Caller, by: By, Ids((guild, user)): Ids<(GuildId, UserId)>) -> Result<StatusCode> {
    app.in_guild(&caller, guild, |access| {
        access.require(Permissions::KICK_MEMBERS)?;
        access.member(user)?;
        access.require_above(user)
    })
    .await?;
    app.store().remove_member(guild, user, Left::Kicked(by)).await.refine(&UNKNOWN_MEMBER)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn give_role(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(ids): Ids<(GuildId, UserId, RoleId)>,
) -> Result<StatusCode> {
    switch_role(&app, &caller, by, ids, true).await
}

async fn take_role(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(ids): Ids<(GuildId, UserId, RoleId)>,
) -> Result<StatusCode> {
    switch_role(&app, &caller, by, ids, false).await
}

async fn switch_role(
    app: &App,
    caller: &Caller,
    by: By,
    (guild, user, role): (GuildId, UserId, RoleId),
    is_given: bool,
) -> Result<StatusCode> {
    app.in_guild(caller, guild, |access| {
        access.require(Permissions::MANAGE_ROLES)?;
        access.member(user)?;
        check_assignable(&access, role).map_err(|error| match error {
            ApiError::Code(ErrorCode::InvalidRole) => ErrorCode::MissingPermissions.into(),
            error => error,
        })
    })
    .await?;
    let change = move |member: &mut Member| {
        member.roles.retain(|held| *held != role);
        if is_given {
            member.roles.push(role);
        }
    };
    app.store().change_member(by, guild, user, change).await.refine(&UNKNOWN_MEMBER)?;
    Ok(StatusCode::NO_CONTENT)
}
