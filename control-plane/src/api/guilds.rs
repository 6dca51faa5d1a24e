//! Guilds.

use super::body::{Body, Caller, Ids, Person, Query};
use super::error::{Refine, Result};
use super::form::{Form, Patch, Shape};
use super::pictures::{self, PICTURE_BODY_BYTES, PICTURE_BYTES, Picture};
use super::routes::{Routes, get, post};
use crate::app::App;
use crate::audit::By;
use crate::ids::unix_ms;
use crate::store::{Conflict, NewGuild};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use guildhall_protocol::model::{Channel, ChannelType, Guild, Member, Role, User, timestamp};
use guildhall_protocol::{ChannelId, ErrorCode, GuildId, Permissions, UserId};
use serde_json::{Value, json};

/// What everyone may do in a new guild: Discord's defaults.
const EVERYONE: Permissions = Permissions(
    Permissions::CREATE_INSTANT_INVITE.0
        | Permissions::ADD_REACTIONS.0
        | Permissions::STREAM.0
        | Permissions::VIEW_CHANNEL.0
        | Permissions::SEND_MESSAGES.0
        | Permissions::EMBED_LINKS.0
        | Permissions::ATTACH_FILES.0
        | Permissions::READ_MESSAGE_HISTORY.0
        | Permissions::MENTION_EVERYONE.0
        | Permissions::USE_EXTERNAL_EMOJIS.0
        | Permissions::CONNECT.0
        | Permissions::SPEAK.0
        | Permissions::USE_VAD.0
        | Permissions::CHANGE_NICKNAME.0
        | Permissions::USE_APPLICATION_COMMANDS.0
        | Permissions::REQUEST_TO_SPEAK.0
        | Permissions::CREATE_PUBLIC_THREADS.0
        | Permissions::CREATE_PRIVATE_THREADS.0
        | Permissions::USE_EXTERNAL_STICKERS.0
        | Permissions::SEND_MESSAGES_IN_THREADS.0
        | Permissions::USE_EMBEDDED_ACTIVITIES.0
        | Permissions::USE_SOUNDBOARD.0
        | Permissions::USE_EXTERNAL_SOUNDS.0
        | Permissions::SEND_VOICE_MESSAGES.0
        | Permissions::SEND_POLLS.0
        | Permissions::USE_EXTERNAL_APPS.0,
);

/// Where the server may write to.
const TEXT: [ChannelType; 2] = [ChannelType::Text, ChannelType::Announcement];
const NAME: std::ops::RangeInclusive<usize> = 2..=100;
/// The bits that are documented. Libraries that know of more send them, too; they are dropped.
const SYSTEM_CHANNEL_FLAGS: u32 = (1 << 6) - 1;

pub fn routes() -> Routes {
    Routes::new().route("/guilds", post(create, "Makes a guild that you own.")).route(
        "/guilds/{guild_id}",
        get(read, "One guild that you are a member of.")
            .patch(edit, "Changes a guild: MANAGE_GUILD; giving it away takes its owner.")
            .delete(delete, "Deletes a guild that you own."),
    )
}

struct Create {
    name: String,
    icon: Patch<Picture>,
    verification_level: u8,
    default_message_notifications: u8,
    explicit_content_filter: u8,
}

impl Shape for Create {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        let level = |key, most| form.integer(key, 0..=most).value().unwrap_or(0) as u8;
        Self {
            name: form.required("name", form.text("name", NAME)),
            icon: pictures::read(form, "icon", PICTURE_BYTES),
            verification_level: level("verification_level", 4),
            default_message_notifications: level("default_message_notifications", 1),
            explicit_content_filter: level("explicit_content_filter", 2),
        }
    }
}

async fn create(State(app): State<App>, Person(caller): Person, Body(body): Body<Create>) -> Result<(StatusCode, Json<Guild>)> {
    let mut new = new_guild(&app, body.name, caller.user.clone());
    new.guild.verification_level = body.verification_level;
    new.guild.default_message_notifications = body.default_message_notifications;
    new.guild.explicit_content_filter = body.explicit_content_filter;
    if let Patch::Set(picture) = body.icon {
        new.guild.icon = Some(app.keep_picture("icons", new.guild.id, picture).await?);
    }
    let guild = new.guild.clone();
    app.store().create_guild(new).await.refine(&[(Conflict::Full, ErrorCode::TooManyGuilds)])?;
    Ok((StatusCode::CREATED, Json(guild)))
}

/// A guild with one text and one voice channel, each in a category, as people know it.
pub fn new_guild(app: &App, name: String, owner: User) -> NewGuild {
    let id: GuildId = app.store().make_id();
    let channel = |kind, name: &str, position, parent_id| Channel {
        id: app.store().make_id(),
        kind,
        guild_id: id,
        name: name.to_owned(),
        position,
        parent_id,
        topic: None,
        nsfw: false,
        last_message_id: None,
        last_pin_timestamp: None,
        rate_limit_per_user: 0,
        permission_overwrites: Vec::new(),
        flags: 0,
        bitrate: (kind == ChannelType::Voice).then_some(super::channels::BITRATE),
        user_limit: (kind == ChannelType::Voice).then_some(0),
        rtc_region: None,
        recording: None,
        forum: None,
    };
    let text = channel(ChannelType::Category, "Text Channels", 0, None);
    let voice = channel(ChannelType::Category, "Voice Channels", 1, None);
    let general = channel(ChannelType::Text, "general", 0, Some(text.id));
    let lounge = channel(ChannelType::Voice, "General", 0, Some(voice.id));
    let mut guild = Guild::new(id, name, owner.id);
    guild.roles.push(Role::new(id.everyone(), "@everyone".to_owned(), EVERYONE, 0));
    guild.system_channel_id = Some(general.id);
    NewGuild { guild, channels: vec![text, voice, general, lounge], owner: Member::new(owner, timestamp(unix_ms())) }
}

struct Counts {
    with_counts: bool,
}

impl Shape for Counts {
    fn read(form: &Form) -> Self {
        Self { with_counts: form.flag("with_counts").value().unwrap_or(false) }
    }
}

async fn read(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>, Query(query): Query<Counts>) -> Result<Json<Value>> {
    let (guild, members) =
        app.in_guild(&caller, id, |access| Ok((access.state.guild().clone(), access.state.member_count()))).await?;
    let mut answer = json!(guild);
    if query.with_counts {
        answer["approximate_member_count"] = members.into();
        answer["approximate_presence_count"] = app.hub().online_count(id).await.into();
    }
    Ok(Json(answer))
}

struct Edit {
    name: Option<String>,
    description: Patch<String>,
    owner_id: Option<UserId>,
    icon: Patch<Picture>,
    banner: Patch<Picture>,
    splash: Patch<Picture>,
    afk_channel_id: Patch<ChannelId>,
    afk_timeout: Option<u32>,
    system_channel_id: Patch<ChannelId>,
    system_channel_flags: Option<u32>,
    rules_channel_id: Patch<ChannelId>,
    public_updates_channel_id: Patch<ChannelId>,
    verification_level: Option<u8>,
    default_message_notifications: Option<u8>,
    explicit_content_filter: Option<u8>,
    preferred_locale: Option<String>,
    premium_progress_bar_enabled: Option<bool>,
}

impl Shape for Edit {
    const BODY_BYTES: usize = PICTURE_BODY_BYTES;

    fn read(form: &Form) -> Self {
        let level = |key, most| form.integer(key, 0..=most).value().map(|level| level as u8);
        Self {
            name: form.text("name", NAME).value(),
            description: form.text("description", 0..=300),
            icon: pictures::read(form, "icon", PICTURE_BYTES),
            banner: pictures::read(form, "banner", PICTURE_BYTES),
            splash: pictures::read(form, "splash", PICTURE_BYTES),
            owner_id: form.id("owner_id").value(),
            afk_channel_id: form.id("afk_channel_id"),
            afk_timeout: form.choice("afk_timeout", &[60, 300, 900, 1800, 3600]).value().map(|seconds| seconds as u32),
            system_channel_id: form.id("system_channel_id"),
            system_channel_flags: form
                .integer("system_channel_flags", 0..=i64::from(u32::MAX))
                .value()
                .map(|flags| flags as u32 & SYSTEM_CHANNEL_FLAGS),
            rules_channel_id: form.id("rules_channel_id"),
            public_updates_channel_id: form.id("public_updates_channel_id"),
            verification_level: level("verification_level", 4),
            default_message_notifications: level("default_message_notifications", 1),
            explicit_content_filter: level("explicit_content_filter", 2),
            preferred_locale: form.text("preferred_locale", 2..=10).value(),
            premium_progress_bar_enabled: form.flag("premium_progress_bar_enabled").value(),
        }
    }
}

async fn edit(
    State(app): State<App>,
    caller: Caller,
    by: By,
    Ids(id): Ids<GuildId>,
    Body(edit): Body<Edit>,
) -> Result<Json<Guild>> {
    app.in_guild(&caller, id, |access| {
        access.require(Permissions::MANAGE_GUILD)?;
        if let Some(heir) = edit.owner_id.filter(|heir| *heir != access.state.guild().owner_id) {
            access.require_owner()?;
            if access.member(heir)?.user.bot {
                return Err(ErrorCode::MissingPermissions.into());
            }
        }
        let named = [
            (&edit.afk_channel_id, [ChannelType::Voice, ChannelType::Voice]),
            (&edit.system_channel_id, TEXT),
            (&edit.rules_channel_id, TEXT),
            (&edit.public_updates_channel_id, TEXT),
        ];
        for (patch, kinds) in named {
            if let Patch::Set(channel) = patch {
                let channel = access.state.channel(*channel).ok_or(ErrorCode::UnknownChannel)?;
                if !kinds.contains(&channel.kind) {
                    return Err(ErrorCode::WrongChannelType.into());
                }
            }
        }
        Ok(())
    })
    .await?;
    let mut hashes = [None, None, None];
    let pictures = [("icons", edit.icon), ("banners", edit.banner), ("splashes", edit.splash)];
    for ((folder, picture), hash) in pictures.into_iter().zip(&mut hashes) {
        *hash = match picture {
            Patch::Set(picture) => Some(Some(app.keep_picture(folder, id, picture).await?)),
            Patch::Null => Some(None),
            Patch::Absent => None,
        };
    }
    let change = move |guild: &mut Guild| {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        let [icon, banner, splash] = hashes;
        set(&mut guild.icon, icon);
        set(&mut guild.banner, banner);
        set(&mut guild.splash, splash);
        set(&mut guild.name, edit.name);
        set(&mut guild.description, edit.description.change());
        set(&mut guild.owner_id, edit.owner_id);
        set(&mut guild.afk_channel_id, edit.afk_channel_id.change());
        set(&mut guild.afk_timeout, edit.afk_timeout);
        set(&mut guild.system_channel_id, edit.system_channel_id.change());
        set(&mut guild.system_channel_flags, edit.system_channel_flags);
        set(&mut guild.rules_channel_id, edit.rules_channel_id.change());
        set(&mut guild.public_updates_channel_id, edit.public_updates_channel_id.change());
        set(&mut guild.verification_level, edit.verification_level);
        set(&mut guild.default_message_notifications, edit.default_message_notifications);
        set(&mut guild.explicit_content_filter, edit.explicit_content_filter);
        set(&mut guild.preferred_locale, edit.preferred_locale);
        set(&mut guild.premium_progress_bar_enabled, edit.premium_progress_bar_enabled);
    };
    Ok(Json(app.store().change_guild(by, id, change).await.refine(&[(Conflict::Missing, ErrorCode::UnknownGuild)])?))
}

async fn delete(State(app): State<App>, caller: Caller, Ids(id): Ids<GuildId>) -> Result<StatusCode> {
    app.in_guild(&caller, id, |access| access.require_owner()).await?;
    app.store().delete_guild(id).await.refine(&[(Conflict::Missing, ErrorCode::UnknownGuild)])?;
    Ok(StatusCode::NO_CONTENT)
}
