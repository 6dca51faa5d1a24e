//! Threads: starting, changing and deleting them. Who is in one is in [`members`], which there are in [`lists`]; what is
//! particular to forums is in [`posts`].

mod lists;
mod members;
pub mod posts;

use super::access::Venue;
use super::body::{Body, Caller, Ids};
use super::channels::{NAME, SLOWMODE};
use super::error::{ApiError, Refine, Result};
use super::form::{self, Form, Patch, Shape};
use super::forums;
use super::messages::create::check_slowmode;
use super::messages::draft::Draft;
use super::parcel::Parcel;
use super::routes::{Routes, get, post, put};
use crate::app::App;
use crate::audit::By;
use crate::ids::unix_ms;
use crate::store::{Author, Conflict, NewThread, Start};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use guildhall_protocol::model::{ChannelType, Message, PINNED_POST, Thread, ThreadMetadata, partial_member, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, MessageId, Permissions, TagId, UserId};
use schemars::JsonSchema;
use serde::Serialize;

/// Minutes without a message after which a thread may be archived.
const AUTO_ARCHIVE: [i64; 4] = [60, 1440, 4320, 10_080];
/// What holds if nobody says otherwise: three days, as in Discord's clients.
const AUTO_ARCHIVE_DEFAULT: u32 = 4320;
const MEANINGS: &[(Conflict, ErrorCode)] =
    &[(Conflict::Missing, ErrorCode::UnknownMessage), (Conflict::AlreadyThere, ErrorCode::ThreadExists)];
const GONE: &[(Conflict, ErrorCode)] = &[(Conflict::Missing, ErrorCode::UnknownChannel)];
const CHANGING: &[(Conflict, ErrorCode)] =
    &[(Conflict::Missing, ErrorCode::UnknownChannel), (Conflict::Full, ErrorCode::TooManyPinnedPosts)];

pub fn routes() -> Routes {
    Routes::new()
        .route(
            "/channels/{channel_id}/messages/{message_id}/threads",
            post(start_from_message, "Starts a thread from a message: CREATE_PUBLIC_THREADS."),
        )
        .route(
            "/channels/{channel_id}/threads",
            post(start, "Starts a thread, or posts in a forum: CREATE_PUBLIC_THREADS, CREATE_PRIVATE_THREADS or SEND_MESSAGES."),
        )
        .route("/channels/{channel_id}/thread-members", get(members::list, "Who is in a thread, by user."))
        .route(
            "/channels/{channel_id}/thread-members/@me",
            put(members::join, "Joins a thread.").delete(members::leave, "Leaves a thread."),
        )
        .route(
            "/channels/{channel_id}/thread-members/{user_id}",
            get(members::read, "Someone's membership of a thread.")
                .put(members::add, "Adds someone to a thread: SEND_MESSAGES_IN_THREADS.")
                .delete(members::remove, "Removes someone from a thread: MANAGE_THREADS, or a private thread's owner."),
        )
        .route(
            "/channels/{channel_id}/threads/archived/public",
            get(lists::public, "A page of archived public threads, last archived first: READ_MESSAGE_HISTORY."),
        )
        .route(
            "/channels/{channel_id}/threads/archived/private",
            get(lists::private, "A page of archived private threads: READ_MESSAGE_HISTORY and MANAGE_THREADS."),
        )
        .route(
            "/channels/{channel_id}/users/@me/threads/archived/private",
            get(lists::joined, "A page of the archived private threads that you are in: READ_MESSAGE_HISTORY."),
        )
        .route("/guilds/{guild_id}/threads/active", get(lists::active, "The threads that are not archived, newest first."))
}

/// What every thread starts with.
struct Settings {
    name: String,
    auto_archive_duration: Option<u32>,
    rate_limit_per_user: Option<u32>,
}

fn auto_archive_duration(form: &Form) -> Option<u32> {
    form.choice("auto_archive_duration", &AUTO_ARCHIVE).value().map(|minutes| minutes as u32)
}

fn rate_limit_per_user(form: &Form) -> Option<u32> {
    form.integer("rate_limit_per_user", SLOWMODE).value().map(|seconds| seconds as u32)
}

impl Shape for Settings {
    fn read(form: &Form) -> Self {
        Self {
            name: form.required("name", form.text("name", NAME)),
            auto_archive_duration: auto_archive_duration(form),
            rate_limit_per_user: rate_limit_per_user(form),
        }
    }
}

impl Settings {
    /// The thread as far as it is known before it is stored.
    fn into_thread(self, guild_id: GuildId, parent_id: ChannelId, kind: ChannelType, owner_id: UserId) -> Thread {
        let now = timestamp(unix_ms());
        Thread {
            id: ChannelId::default(),
            kind,
            guild_id,
            parent_id,
            owner_id,
            name: self.name,
            last_message_id: None,
            last_pin_timestamp: None,
            rate_limit_per_user: self.rate_limit_per_user.unwrap_or(0),
            flags: 0,
            thread_metadata: ThreadMetadata {
                archived: false,
                archive_timestamp: now.clone(),
                auto_archive_duration: self.auto_archive_duration.unwrap_or(AUTO_ARCHIVE_DEFAULT),
                locked: false,
                create_timestamp: now,
                invitable: None,
            },
            message_count: 0,
            member_count: 0,
            total_message_sent: 0,
            applied_tags: Vec::new(),
            member: None,
        }
    }
}

async fn start_from_message(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids((channel, message)): Ids<(ChannelId, MessageId)>,
    Body(settings): Body<Settings>,
) -> Result<(StatusCode, Json<Thread>)> {
    let (guild, kind, member) = app
        .in_text_channel(&caller, channel, |access| {
            let Venue::Guild { guild, channel } = &access.venue else { return Err(ErrorCode::WrongChannelType.into()) };
            let kind = match channel.kind {
                ChannelType::Text => ChannelType::PublicThread,
                ChannelType::Announcement => ChannelType::AnnouncementThread,
                _ => return Err(ErrorCode::WrongChannelType.into()),
            };
            access.require(Permissions::CREATE_PUBLIC_THREADS | Permissions::READ_MESSAGE_HISTORY)?;
            Ok((guild.state.id(), kind, partial_member(guild.member)))
        })
        .await?;
    let thread = settings.into_thread(guild, channel, kind, caller.id());
    let author = Author { user: caller.user.clone(), member: Some(member) };
    let new = NewThread { thread, start: Start::Message(message, author) };
    let thread = app.store().create_thread(by, new).await.refine(MEANINGS)?;
    Ok((StatusCode::CREATED, Json(as_owner(&app, thread).await?)))
}

/// A new thread with the membership of whoever started it.
async fn as_owner(app: &App, mut thread: Thread) -> Result<Thread> {
    thread.member = app.store().thread_member(thread.id, thread.owner_id).await?;
    Ok(thread)
}

struct New {
    settings: Settings,
    kind: Option<ChannelType>,
    invitable: bool,
    applied_tags: Vec<TagId>,
    /// The first message, in a forum.
    post: Option<Draft>,
}

impl Shape for New {
    fn read(form: &Form) -> Self {
        Self {
            settings: Settings::read(form),
            kind: form.choice("type", &[10, 11, 12]).value().and_then(|number| ChannelType::from_number(number as u8)),
            invitable: form.flag("invitable").value().unwrap_or(true),
            applied_tags: form.ids("applied_tags", forums::APPLIED).value().unwrap_or_default(),
            post: form.object("message", Draft::read).value(),
        }
    }
}

/// A post carries its first message.
#[derive(Serialize, JsonSchema)]
struct Started {
    #[serde(flatten)]
    thread: Thread,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
}

async fn start(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(channel): Ids<ChannelId>,
    parcel: Parcel<New>,
) -> Result<(StatusCode, Json<Started>)> {
    // A post's files are stored before it, and under its id.
    let id = app.store().make_id();
    let to = app.in_channel(&caller, channel, |access| Ok(posts::destination(id, &access))).await?;
    let (New { settings, kind, invitable, applied_tags, mut post }, uploads) = parcel.open(&app, to).await?;
    if let Some(draft) = &mut post {
        draft.uploads = Some(uploads);
    }
    if post.as_ref().is_some_and(|draft| !draft.components.is_empty()) && !caller.is_bot() {
        return Err(form::Errors::of("message", "COMPONENTS_BOTS_ONLY", "Only bots and webhooks may send components").into());
    }
    // Documented so: what does not say its type is private.
    let kind = kind.unwrap_or(ChannelType::PrivateThread);
    let (guild, parent_kind, member, applied_tags, posting) = app
        .in_channel(&caller, channel, |access| {
            let needed = match (access.channel.kind, kind) {
                (ChannelType::Forum, _) => Permissions::SEND_MESSAGES,
                (ChannelType::Text, ChannelType::PublicThread) | (ChannelType::Announcement, ChannelType::AnnouncementThread) => {
                    Permissions::CREATE_PUBLIC_THREADS
                }
                (ChannelType::Text, ChannelType::PrivateThread) => Permissions::CREATE_PRIVATE_THREADS,
                _ => return Err(ErrorCode::WrongChannelType.into()),
            };
            access.require(needed)?;
            let member = partial_member(access.guild.member);
            let (guild, kind) = (access.guild_id(), access.channel.kind);
            let applied_tags = forums::check_applied(access.channel, access.permissions, &[], applied_tags)?;
            let posting = match (&post, kind) {
                (Some(draft), ChannelType::Forum) => Some(posts::authorize_post(draft, access)?),
                (None, ChannelType::Forum) => {
                    return Err(form::Errors::of("message", "BASE_TYPE_REQUIRED", "This field is required").into());
                }
                _ => None,
            };
            Ok((guild, kind, member, applied_tags, posting))
        })
        .await?;
    let kind = if parent_kind == ChannelType::Forum { ChannelType::PublicThread } else { kind };
    let mut thread = settings.into_thread(guild, channel, kind, caller.id());
    thread.applied_tags = applied_tags;
    thread.thread_metadata.invitable = thread.is_private().then_some(invitable);
    let Some((draft, mut posting)) = post.zip(posting) else {
        let author = Author { user: caller.user.clone(), member: Some(member) };
        let new = NewThread { thread, start: Start::Empty(author) };
        let thread = app.store().create_thread(by, new).await.refine(GONE)?;
        return Ok((StatusCode::CREATED, Json(Started { thread: as_owner(&app, thread).await?, message: None })));
    };
    // A forum's slowmode is about posts, not about what is written below them.
    if let Some(per) = posting.slowmode.take() {
        check_slowmode(&app, caller.id(), channel, per).await?;
    }
    thread.id = id;
    let first = Message::new(id, caller.user.clone(), String::new());
    let (thread, message) = posts::publish(&app, by, thread, draft, first, posting).await?;
    Ok((StatusCode::CREATED, Json(Started { thread: as_owner(&app, thread).await?, message: Some(message) })))
}

/// `GET /channels/{id}` of a thread.
pub async fn show(app: &App, caller: &Caller, id: ChannelId) -> Result<Box<Thread>> {
    let shown = app.in_thread(caller, id, |access| Ok(Box::new(Thread { member: access.own.cloned(), ..access.thread.clone() })));
    shown.await
}

/// What `PATCH /channels/{id}` may change of a thread.
pub struct Edit {
    name: Option<String>,
    archived: Option<bool>,
    locked: Option<bool>,
    invitable: Option<bool>,
    auto_archive_duration: Option<u32>,
    rate_limit_per_user: Option<u32>,
    applied_tags: Option<Vec<TagId>>,
    is_pinned: Option<bool>,
}

impl Shape for Edit {
    fn read(form: &Form) -> Self {
        Self {
            name: match form.text("name", NAME) {
                Patch::Set(name) => Some(name),
                Patch::Absent | Patch::Null => None,
            },
            archived: form.flag("archived").value(),
            locked: form.flag("locked").value(),
            invitable: form.flag("invitable").value(),
            auto_archive_duration: auto_archive_duration(form),
            rate_limit_per_user: rate_limit_per_user(form),
            applied_tags: form.ids("applied_tags", forums::APPLIED).value(),
            is_pinned: form.integer("flags", 0..=i64::MAX).value().map(|flags| flags & i64::from(PINNED_POST) != 0),
        }
    }
}

/// `PATCH /channels/{id}` of a thread. Its owner may change it, whoever manages threads may also lock it and slow it down, and
/// whoever may write in it may wake it, unless it is locked.
pub async fn edit(app: &App, caller: &Caller, by: By, id: ChannelId, edit: Edit) -> Result<Box<Thread>> {
    let (own, applied_tags) = app
        .in_thread(caller, id, |access| {
            let metadata = &access.thread.thread_metadata;
            let changes_it = edit.name.is_some()
                || edit.invitable.is_some()
                || edit.auto_archive_duration.is_some()
                || edit.applied_tags.is_some();
            let pins = edit.is_pinned.is_some_and(|is_pinned| is_pinned != (access.thread.flags & PINNED_POST != 0));
            if edit.locked.is_some() || edit.rate_limit_per_user.is_some() || pins {
                access.require(Permissions::MANAGE_THREADS)?;
            }
            if edit.is_pinned == Some(true) && access.parent.kind != ChannelType::Forum {
                return Err(ErrorCode::WrongChannelType.into());
            }
            if changes_it || edit.archived == Some(true) {
                access.require_owner()?;
            }
            if edit.archived == Some(false) && metadata.archived {
                if metadata.locked {
                    access.require(Permissions::MANAGE_THREADS)?;
                }
                access.require(Permissions::SEND_MESSAGES_IN_THREADS)?;
            }
            if edit.archived.is_none() {
                access.require_awake()?;
            }
            if edit.invitable.is_some() && !access.thread.is_private() {
                return Err(ApiError::from(ErrorCode::WrongChannelType));
            }
            let check = |tags| forums::check_applied(access.parent, access.permissions, &access.thread.applied_tags, tags);
            Ok((access.own.cloned(), edit.applied_tags.map(check).transpose()?))
        })
        .await?;
    let change = move |thread: &mut Thread| {
        thread.name = edit.name.unwrap_or(std::mem::take(&mut thread.name));
        thread.rate_limit_per_user = edit.rate_limit_per_user.unwrap_or(thread.rate_limit_per_user);
        thread.applied_tags = applied_tags.unwrap_or(std::mem::take(&mut thread.applied_tags));
        let metadata = &mut thread.thread_metadata;
        metadata.archived = edit.archived.unwrap_or(metadata.archived);
        // A post that is put away is not above the others any more.
        let is_pinned = edit.is_pinned.unwrap_or(thread.flags & PINNED_POST != 0) && !metadata.archived;
        thread.flags = thread.flags & !PINNED_POST | if is_pinned { PINNED_POST } else { 0 };
        metadata.locked = edit.locked.unwrap_or(metadata.locked);
        metadata.invitable = edit.invitable.or(metadata.invitable);
        metadata.auto_archive_duration = edit.auto_archive_duration.unwrap_or(metadata.auto_archive_duration);
    };
    let thread = app.store().change_thread(by, id, change).await.refine(CHANGING)?;
    Ok(Box::new(Thread { member: own, ..thread }))
}

/// `DELETE /channels/{id}` of a thread.
pub async fn delete(app: &App, caller: &Caller, by: By, id: ChannelId) -> Result<Box<Thread>> {
    app.in_thread(caller, id, |access| access.require(Permissions::MANAGE_THREADS)).await?;
    Ok(Box::new(app.store().delete_thread(by, id).await.refine(GONE)?))
}
