//! Channels of a guild. Threads are reached by the same paths, and leave for [`threads`].

use super::access::Access;
use super::body::{Body, Caller, Ids, Json as AnyJson, Query};
use super::error::{Refine, Result};
use super::form::{Errors, Form, Patch, Shape, read_with};
use super::forums;
use super::overwrites::{check_changes, read_overwrites};
use super::private_channels;
use super::routes::{Routes, get};
use super::threads;
use crate::app::App;
use crate::audit::By;
use crate::store::Conflict;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Channel, ChannelType, Overwrite, PrivateChannel, Thread};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// The bitrate of a new voice channel, bits per second.
pub const BITRATE: u32 = 64_000;
/// The highest bitrate that a channel may ask its clients for; Opus gains nothing above.
const MOST_BITRATE: i64 = 384_000;
pub const NAME: std::ops::RangeInclusive<usize> = 1..=100;
const TOPIC: std::ops::RangeInclusive<usize> = 0..=1024;
/// Slowmode, seconds: up to six hours.
pub const SLOWMODE: std::ops::RangeInclusive<i64> = 0..=21_600;
/// Positions are small numbers; one as large as this is a mistake.
const POSITION: std::ops::RangeInclusive<i64> = 0..=10_000;

pub fn routes() -> Routes {
    Routes::new()
        .route("/guilds/{guild_id}/channels", get(list, "Lists the channels that you may see.").post(create, "Makes a channel: MANAGE_CHANNELS.").patch(reorder, "Moves channels, and syncs them with their category: MANAGE_CHANNELS. The body is a list of `{id, position, parent_id, lock_permissions}`."))
        .route("/channels/{channel_id}", get(read, "One channel.").patch(edit, "Changes a channel: MANAGE_CHANNELS.").delete(delete, "Deletes a channel and all that was said in it: MANAGE_CHANNELS."))
}

/// What creating and editing have in common; creating takes absent and `null` alike as the default.
struct Settings {
    name: Patch<String>,
    kind: Option<ChannelType>,
    topic: Patch<String>,
    position: Option<i32>,
    parent_id: Patch<ChannelId>,
    nsfw: Option<bool>,
    rate_limit_per_user: Option<u32>,
    bitrate: Option<u32>,
    user_limit: Option<u32>,
    rtc_region: Patch<String>,
    overwrites: Option<Vec<Overwrite>>,
    forum: forums::Settings,
}

impl Shape for Settings {
    fn read(form: &Form) -> Self {
        let number = |key, range| form.integer(key, range).value().map(|number| number as u32);
        Self {
            name: form.text("name", NAME),
            kind: form.choice("type", &[0, 2, 4, 5, 13, 15]).value().and_then(|number| ChannelType::from_number(number as u8)),
            topic: form.text("topic", TOPIC),
            position: form.integer("position", POSITION).value().map(|position| position as i32),
            parent_id: form.id("parent_id"),
            nsfw: form.flag("nsfw").value(),
            rate_limit_per_user: number("rate_limit_per_user", SLOWMODE),
            bitrate: number("bitrate", 8_000..=MOST_BITRATE),
            user_limit: number("user_limit", 0..=99),
            rtc_region: form.text("rtc_region", 0..=64),
            overwrites: read_overwrites(form, "permission_overwrites"),
            forum: forums::Settings::read(form),
        }
    }
}

/// The body that edits a channel of any kind.
struct Edit {
    settings: Settings,
    group: private_channels::Edit,
    thread: threads::Edit,
}

impl Shape for Edit {
    const BODY_BYTES: usize = super::pictures::PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        Self { settings: Settings::read(form), group: private_channels::Edit::read(form), thread: threads::Edit::read(form) }
    }
}

struct Create(Settings);

impl Shape for Create {
    fn read(form: &Form) -> Self {
        let settings = Settings::read(form);
        let name = form.required("name", settings.name);
        Self(Settings { name: Patch::Set(name), ..settings })
    }
}

/// Text channels are named as people know them: lower case, hyphens for spaces.
fn name_for(kind: ChannelType, name: &str) -> String {
    match kind {
        ChannelType::Text | ChannelType::Announcement => name.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-"),
        _ => name.to_owned(),
    }
}

/// A parent must be a category of the same guild, and a category has none.
fn check_parent(access: &Access, kind: ChannelType, parent: Option<ChannelId>) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    let refuse = |message| Err(Errors::of("parent_id", "CHANNEL_PARENT_INVALID", message).into());
    match access.state.channel(parent) {
        None => refuse("Category does not exist"),
        Some(channel) if channel.kind != ChannelType::Category => refuse("Not a category"),
        Some(_) if kind == ChannelType::Category => refuse("Categories cannot have subcategories"),
        Some(_) => Ok(()),
    }
}

async fn list(State(app): State<App>, caller: Caller, Ids(guild): Ids<GuildId>) -> Result<Json<Vec<Channel>>> {
    let visible = |access: Access| {
        let may_see = |channel: &&Channel| {
            access.state.channel_permissions(access.user, channel.id, access.now_ms).contains(Permissions::VIEW_CHANNEL)
        };
        Ok(access.state.channels().filter(may_see).cloned().collect())
    };
    Ok(Json(app.in_guild(&caller, guild, visible).await?))
}

async fn create(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild_id): Ids<GuildId>,
    Body(Create(new)): Body<Create>,
) -> Result<(StatusCode, Json<Channel>)> {
    let kind = new.kind.unwrap_or(ChannelType::Text);
    let parent_id = new.parent_id.value();
    let overwrites = new.overwrites;
    let (last, permission_overwrites, forum) = app
        .in_guild(&caller, guild_id, |access| {
            access.require(Permissions::MANAGE_CHANNELS)?;
            check_parent(&access, kind, parent_id)?;
            let forum = if kind == ChannelType::Forum { Some(new.forum.check(app.store(), &access, None)?) } else { None };
            // A new channel is synced with its category unless it says otherwise.
            let inherited = parent_id.and_then(|parent| access.state.channel(parent)).map(|parent| &parent.permission_overwrites);
            let overwrites = match overwrites {
                Some(overwrites) => {
                    check_changes(&access, access.permissions(), &[], &overwrites)?;
                    overwrites
                }
                None => inherited.cloned().unwrap_or_default(),
            };
            let siblings =
                access.state.channels().filter(|other| other.parent_id == parent_id && other.kind.is_voice() == kind.is_voice());
            let last = siblings.map(|other| other.position + 1).max().unwrap_or(0);
            Ok((last, overwrites, forum))
        })
        .await?;
    let mut channel = Channel {
        id: app.store().make_id(),
        kind,
        guild_id,
        name: name_for(kind, &new.name.value().unwrap_or_default()),
        position: new.position.unwrap_or(last),
        parent_id,
        topic: new.topic.value().filter(|topic| !topic.is_empty()),
        nsfw: new.nsfw.unwrap_or(false),
        last_message_id: None,
        last_pin_timestamp: None,
        rate_limit_per_user: new.rate_limit_per_user.unwrap_or(0),
        permission_overwrites,
        flags: 0,
        bitrate: kind.is_voice().then(|| new.bitrate.unwrap_or(BITRATE)),
        user_limit: kind.is_voice().then(|| new.user_limit.unwrap_or(0)),
        rtc_region: new.rtc_region.value().filter(|region| !region.is_empty()),
        recording: None,
        forum: None,
    };
    if let Some(forum) = forum {
        forum.apply(&mut channel);
    }
    let channel = app.store().create_channel(by, channel).await.refine(&[(Conflict::Full, ErrorCode::TooManyChannels)])?;
    Ok((StatusCode::CREATED, Json(channel)))
}

struct Move {
    id: ChannelId,
    position: Option<i32>,
    parent_id: Patch<ChannelId>,
    lock_permissions: bool,
}

async fn reorder(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(guild): Ids<GuildId>,
    AnyJson(body): AnyJson,
) -> Result<StatusCode> {
    let moves = read_with(&json!({ "channels": body }), |form| {
        form.list("channels", 500, |form| Move {
            id: form.required("id", form.id("id")),
            position: form.integer("position", POSITION).value().map(|position| position as i32),
            parent_id: form.id("parent_id"),
            lock_permissions: form.flag("lock_permissions").value().unwrap_or(false),
        })
    })?;
    let moves = moves.value().unwrap_or_default();
    let synced: Vec<(ChannelId, Vec<Overwrite>)> = app
        .in_guild(&caller, guild, |access| {
            access.require(Permissions::MANAGE_CHANNELS)?;
            let mut synced = Vec::new();
            for wanted in &moves {
                let channel = access.state.channel(wanted.id).ok_or(ErrorCode::UnknownChannel)?;
                let parent = wanted.parent_id.clone().change().unwrap_or(channel.parent_id);
                check_parent(&access, channel.kind, parent)?;
                if wanted.lock_permissions
                    && let Some(parent) = parent.and_then(|parent| access.state.channel(parent))
                {
                    let overwrites = &parent.permission_overwrites;
                    check_changes(&access, access.permissions(), &channel.permission_overwrites, overwrites)?;
                    synced.push((channel.id, overwrites.clone()));
                }
            }
            Ok(synced)
        })
        .await?;
    let change = move |channel: &mut Channel| {
        for wanted in moves.iter().filter(|wanted| wanted.id == channel.id) {
            channel.position = wanted.position.unwrap_or(channel.position);
            channel.parent_id = wanted.parent_id.clone().change().unwrap_or(channel.parent_id);
        }
        if let Some((_, overwrites)) = synced.iter().find(|(id, _)| *id == channel.id) {
            channel.permission_overwrites.clone_from(overwrites);
        }
    };
    app.store().change_channels(by, guild, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A channel of any kind.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Shown {
    Guild(Box<Channel>),
    Private(PrivateChannel),
    Thread(Box<Thread>),
}

async fn read(State(app): State<App>, caller: Caller, Ids(id): Ids<ChannelId>) -> Result<Json<Shown>> {
    if app.hub().is_private(id).await {
        return Ok(Json(Shown::Private(private_channels::show(&app, &caller, id).await?)));
    }
    if app.is_thread(id).await {
        return Ok(Json(Shown::Thread(threads::show(&app, &caller, id).await?)));
    }
    Ok(Json(Shown::Guild(app.in_channel(&caller, id, |access| Ok(Box::new(access.channel.clone()))).await?)))
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(id): Ids<ChannelId>,
    Body(Edit { settings: edit, group, thread }): Body<Edit>,
) -> Result<Json<Shown>> {
    if app.hub().is_private(id).await {
        return Ok(Json(Shown::Private(private_channels::edit(&app, &caller, id, group).await?)));
    }
    if app.is_thread(id).await {
        return Ok(Json(Shown::Thread(threads::edit(&app, &caller, by, id, thread).await?)));
    }
    let edited_forum = app
        .in_channel(&caller, id, |access| {
            access.require(Permissions::MANAGE_CHANNELS)?;
            if let Patch::Set(parent) = &edit.parent_id {
                check_parent(&access.guild, access.channel.kind, Some(*parent))?;
            }
            if let Some(overwrites) = &edit.overwrites {
                check_changes(&access.guild, access.permissions, &access.channel.permission_overwrites, overwrites)?;
            }
            // Text and announcement channels turn into each other; everything else stays what it is.
            let is_text = |kind| matches!(kind, ChannelType::Text | ChannelType::Announcement);
            let own = access.channel.kind;
            match edit.kind {
                Some(kind) if kind != own && !(is_text(kind) && is_text(own)) => return Err(ErrorCode::WrongChannelType.into()),
                _ => {}
            }
            if own != ChannelType::Forum {
                return Ok(None);
            }
            edit.forum.check(app.store(), &access.guild, Some(access.channel)).map(Some)
        })
        .await?;
    let change = move |channel: &mut Channel| {
        channel.kind = edit.kind.unwrap_or(channel.kind);
        if let Some(name) = edit.name.value() {
            channel.name = name_for(channel.kind, &name);
        }
        if let Some(topic) = edit.topic.change() {
            channel.topic = topic.filter(|topic| !topic.is_empty());
        }
        channel.position = edit.position.unwrap_or(channel.position);
        channel.parent_id = edit.parent_id.change().unwrap_or(channel.parent_id);
        channel.nsfw = edit.nsfw.unwrap_or(channel.nsfw);
        channel.rate_limit_per_user = edit.rate_limit_per_user.unwrap_or(channel.rate_limit_per_user);
        if channel.kind.is_voice() {
            channel.bitrate = edit.bitrate.or(channel.bitrate);
            channel.user_limit = edit.user_limit.or(channel.user_limit);
        }
        if let Some(region) = edit.rtc_region.change() {
            channel.rtc_region = region.filter(|region| !region.is_empty());
        }
        if let Some(overwrites) = edit.overwrites {
            channel.permission_overwrites = overwrites;
        }
        if let Some(forum) = edited_forum {
            forum.apply(channel);
        }
    };
    let meanings = [(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyOverwrites)];
    Ok(Json(Shown::Guild(Box::new(app.store().change_channel(by, id, change).await.refine(&meanings)?))))
}

async fn delete(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(id): Ids<ChannelId>,
    Query(leave): Query<private_channels::Leave>,
) -> Result<Json<Shown>> {
    if app.hub().is_private(id).await {
        return Ok(Json(Shown::Private(private_channels::leave(&app, &caller, id, leave).await?)));
    }
    if app.is_thread(id).await {
        return Ok(Json(Shown::Thread(threads::delete(&app, &caller, by, id).await?)));
    }
    app.in_channel(&caller, id, |access| access.require(Permissions::MANAGE_CHANNELS)).await?;
    let deleted = app.store().delete_channel(by, id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownChannel)])?;
    Ok(Json(Shown::Guild(Box::new(deleted))))
}
