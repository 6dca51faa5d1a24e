//! Invites: making them, looking at them, joining by them.

use super::access::ChannelAccess;
use super::body::{Body, Caller, Ids, Person, Query};
use super::codes;
use super::error::{Refine, Result};
use super::form::{Form, Shape};
use super::routes::{Routes, get};
use crate::app::App;
use crate::audit::By;
use crate::guild;
use crate::ids::unix_ms;
use crate::store::{Conflict, StoredInvite};
use axum::Json;
use axum::extract::{Path, State};
use guildhall_protocol::model::{Invite, InviteChannel, InviteGuild, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions};
use serde_json::{Value, json};

/// A day, as documented.
const DEFAULT_AGE: u32 = 86_400;
/// A week, as documented.
const LONGEST_AGE: i64 = 604_800;
const MOST_USES: i64 = 100;

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/invites",
            get(of_channel, "Lists the channel's invites: MANAGE_CHANNELS.")
                .post(create, "Makes an invite: CREATE_INSTANT_INVITE."),
        )
        .route("/guilds/{guild_id}/invites", get(of_guild, "Lists the guild's invites: MANAGE_GUILD."))
        .route(
            "/invites/{code}",
            get(read, "What an invite leads to.")
                .post(join, "Joins the guild of an invite.")
                .delete(delete, "Revokes an invite: MANAGE_CHANNELS in its channel, or MANAGE_GUILD."),
        )
}

struct Create {
    max_age: u32,
    max_uses: u32,
    temporary: bool,
    unique: bool,
}

impl Shape for Create {
    fn read(form: &Form) -> Self {
        Self {
            max_age: form.integer("max_age", 0..=LONGEST_AGE).value().map_or(DEFAULT_AGE, |seconds| seconds as u32),
            max_uses: form.integer("max_uses", 0..=MOST_USES).value().unwrap_or(0) as u32,
            temporary: form.flag("temporary").value().unwrap_or(false),
            unique: form.flag("unique").value().unwrap_or(false),
        }
    }
}

/// The invite as clients see it; `None` if its guild or channel is gone.
async fn shown(app: &App, invite: StoredInvite) -> Option<Invite> {
    app.hub().with_guild(invite.guild_id, |state| describe(state, invite)).await.flatten()
}

fn describe(state: &guild::State, invite: StoredInvite) -> Option<Invite> {
    let (guild, channel) = (state.guild(), state.channel(invite.channel_id)?);
    let expires_at = invite.expires_at_ms().map(timestamp);
    Some(Invite {
        kind: 0,
        code: invite.code,
        guild_id: guild.id,
        guild: InviteGuild {
            id: guild.id,
            name: guild.name.clone(),
            icon: guild.icon.clone(),
            description: guild.description.clone(),
            splash: guild.splash.clone(),
            banner: guild.banner.clone(),
            features: guild.features.clone(),
            verification_level: guild.verification_level,
            vanity_url_code: guild.vanity_url_code.clone(),
            nsfw: guild.nsfw,
            nsfw_level: guild.nsfw_level,
            premium_subscription_count: guild.premium_subscription_count,
            premium_tier: guild.premium_tier,
        },
        channel: InviteChannel { id: channel.id, name: channel.name.clone(), kind: channel.kind },
        inviter: invite.inviter,
        expires_at,
        created_at: timestamp(invite.created_at_ms),
        uses: invite.uses,
        max_uses: invite.max_uses,
        max_age: invite.max_age,
        temporary: invite.temporary,
        flags: 0,
        approximate_member_count: None,
        approximate_presence_count: None,
    })
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(channel): Ids<ChannelId>,
    Body(new): Body<Create>,
) -> Result<Json<Invite>> {
    let guild_id = app
        .in_channel(&caller, channel, |access: ChannelAccess| {
            access.require(Permissions::CREATE_INSTANT_INVITE)?;
            Ok(access.guild_id())
        })
        .await?;
    let now_ms = unix_ms();
    // Asking again for the same kind of invite gives the one that exists, unless a new one is demanded.
    if !new.unique {
        let is_same = |invite: &StoredInvite| {
            invite.inviter.as_ref().is_some_and(|inviter| inviter.id == caller.id())
                && (invite.max_age, invite.max_uses, invite.temporary) == (new.max_age, new.max_uses, new.temporary)
                && invite.is_usable(now_ms)
        };
        if let Some(known) = app.store().invites(guild_id, Some(channel)).await?.into_iter().find(is_same)
            && let Some(invite) = shown(&app, known).await
        {
            return Ok(Json(invite));
        }
    }
    let invite = StoredInvite {
        code: codes::invite_code(),
        guild_id,
        channel_id: channel,
        inviter: Some(caller.user.clone()),
        created_at_ms: now_ms,
        max_age: new.max_age,
        max_uses: new.max_uses,
        uses: 0,
        temporary: new.temporary,
    };
    let invite = shown(&app, invite).await.ok_or(ErrorCode::UnknownChannel)?;
    Ok(Json(app.store().create_invite(by, invite).await.refine(&[(Conflict::Full, ErrorCode::TooManyInvites)])?))
}

async fn of_channel(State(app): State<App>, caller: Caller, Ids(channel): Ids<ChannelId>) -> Result<Json<Vec<Invite>>> {
    let guild = app
        .in_channel(&caller, channel, |access| {
            access.require(Permissions::MANAGE_CHANNELS)?;
            Ok(access.guild_id())
        })
        .await?;
    list(&app, guild, Some(channel)).await
}

async fn of_guild(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Vec<Invite>>> {
    app.in_guild(&caller, guild, |access| access.require(Permissions::MANAGE_GUILD)).await?;
    list(&app, guild, None).await
}

async fn list(app: &App, guild: GuildId, channel: Option<ChannelId>) -> Result<Json<Vec<Invite>>> {
    let now_ms = unix_ms();
    let usable: Vec<StoredInvite> =
        app.store().invites(guild, channel).await?.into_iter().filter(|invite| invite.is_usable(now_ms)).collect();
    let describe_all = |state: &guild::State| usable.into_iter().filter_map(|invite| describe(state, invite)).collect();
    Ok(Json(app.hub().with_guild(guild, describe_all).await.ok_or(ErrorCode::UnknownGuild)?))
}

async fn find(app: &App, code: &str) -> Result<StoredInvite> {
    let invite = app.store().find_invite(code).await?.filter(|invite| invite.is_usable(unix_ms()));
    Ok(invite.ok_or(ErrorCode::UnknownInvite)?)
}

struct Show {
    with_counts: bool,
}

impl Shape for Show {
    fn read(form: &Form) -> Self {
        Self { with_counts: form.flag("with_counts").value().unwrap_or(false) }
    }
}

/// Whoever has the code may look; no account is needed.
async fn read(State(app): State<App>, Path(code): Path<String>, Query(show): Query<Show>) -> Result<Json<Invite>> {
    let mut invite = shown(&app, find(&app, &code).await?).await.ok_or(ErrorCode::UnknownInvite)?;
    if show.with_counts {
        let members = app.hub().with_guild(invite.guild_id, guild::State::member_count).await.unwrap_or(0);
        invite.approximate_member_count = Some(members as u32);
        invite.approximate_presence_count = Some(app.hub().online_count(invite.guild_id).await as u32);
    }
    Ok(Json(invite))
}

async fn join(State(app): State<App>, Person(caller): Person, Path(code): Path<String>) -> Result<Json<Value>> {
    let known = find(&app, &code).await?;
    let invite = shown(&app, known).await.ok_or(ErrorCode::UnknownInvite)?;
    let is_new = app.store().use_invite(code, caller.user.clone()).await.refine(&[(Conflict::Full, ErrorCode::TooManyGuilds)])?;
    let mut answer = json!(invite);
    answer["new_member"] = is_new.into();
    Ok(Json(answer))
}

async fn delete(State(app): State<App>, caller: Caller, by: By, Path(code): Path<String>) -> Result<Json<Invite>> {
    let stored = app.store().find_invite(&code).await?.ok_or(ErrorCode::UnknownInvite)?;
    app.in_guild(&caller, stored.guild_id, |access| {
        let in_channel = access.state.channel_permissions(access.user, stored.channel_id, access.now_ms);
        if in_channel.contains(Permissions::MANAGE_CHANNELS) { Ok(()) } else { access.require(Permissions::MANAGE_GUILD) }
    })
    .await?;
    let invite = shown(&app, stored.clone()).await.ok_or(ErrorCode::UnknownInvite)?;
    app.store().delete_invite(by, stored).await?;
    Ok(Json(invite))
}
