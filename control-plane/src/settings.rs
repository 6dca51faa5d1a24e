//! What people set for themselves: the known settings, their limits and their defaults.
//!
//! Most of it is kept for people's clients, so that they look the same everywhere. The server itself goes by two: members of
//! restricted guilds may not begin a conversation, and `default_guilds_restricted` makes a restricted guild of every new one.

use guildhall_protocol::GuildId;
use serde_json::{Map, Value, json};

/// What one setting may be, and is while nobody sets it.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Flag(bool),
    /// One of these; the first is the default.
    Word(&'static [&'static str]),
    /// The least, the most and the default.
    Number(i64, i64, i64),
    /// A language's tag.
    Locale,
}

/// The plain settings of an account.
pub const ACCOUNT: &[(&str, Kind)] = &[
    ("locale", Kind::Locale),
    ("theme", Kind::Word(&["dark", "light"])),
    ("status", Kind::Word(&["online", "idle", "dnd", "invisible"])),
    ("developer_mode", Kind::Flag(false)),
    ("message_display_compact", Kind::Flag(false)),
    ("default_guilds_restricted", Kind::Flag(false)),
    ("inline_attachment_media", Kind::Flag(true)),
    ("inline_embed_media", Kind::Flag(true)),
    ("gif_auto_play", Kind::Flag(true)),
    ("render_embeds", Kind::Flag(true)),
    ("render_reactions", Kind::Flag(true)),
    ("animate_emoji", Kind::Flag(true)),
    ("animate_stickers", Kind::Number(0, 2, 0)),
    ("convert_emoticons", Kind::Flag(true)),
    ("enable_tts_command", Kind::Flag(true)),
    ("show_current_game", Kind::Flag(true)),
    ("view_nsfw_guilds", Kind::Flag(true)),
    ("afk_timeout", Kind::Number(60, 3600, 600)),
    ("timezone_offset", Kind::Number(-840, 840, 0)),
];

/// What someone sets about a guild. 3: what the guild says.
pub const GUILD: &[(&str, Kind)] = &[
    ("muted", Kind::Flag(false)),
    ("message_notifications", Kind::Number(0, 3, 3)),
    ("suppress_everyone", Kind::Flag(false)),
    ("suppress_roles", Kind::Flag(false)),
    ("hide_muted_channels", Kind::Flag(false)),
    ("mute_scheduled_events", Kind::Flag(false)),
    ("mobile_push", Kind::Flag(true)),
];

/// And about one of its channels.
pub const CHANNEL: &[(&str, Kind)] =
    &[("muted", Kind::Flag(false)), ("message_notifications", Kind::Number(0, 3, 3)), ("collapsed", Kind::Flag(false))];

impl Kind {
    fn default(self) -> Value {
        match self {
            Self::Flag(flag) => flag.into(),
            Self::Word(words) => words[0].into(),
            Self::Number(.., number) => number.into(),
            Self::Locale => "en-US".into(),
        }
    }
}

/// The defaults, and over them what was set.
fn over_defaults(known: &[(&str, Kind)], more: &[(&str, Value)], set: Map<String, Value>) -> Map<String, Value> {
    let defaults = known.iter().map(|(key, kind)| ((*key).to_owned(), kind.default()));
    let more = more.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    defaults.chain(more).chain(set).collect()
}

/// The settings of an account as clients see them.
pub fn account(set: Map<String, Value>, restricted: &[GuildId]) -> Value {
    let more = [
        ("custom_status", Value::Null),
        ("guild_positions", json!([])),
        ("guild_folders", json!([])),
        ("restricted_guilds", json!(restricted)),
    ];
    over_defaults(ACCOUNT, &more, set).into()
}

/// What is set about a guild, or (`None`) about private channels, as clients see it. Stored are the overrides by channel.
pub fn guild(id: Option<GuildId>, mut set: Map<String, Value>) -> Value {
    let overrides = match set.remove("channel_overrides") {
        Some(Value::Object(overrides)) => overrides,
        _ => Map::new(),
    };
    let overrides = overrides.into_iter().map(|(channel, set)| {
        let more = [("channel_id", Value::String(channel)), ("mute_config", Value::Null)];
        let Value::Object(set) = set else { return Value::Null };
        over_defaults(CHANNEL, &more, set).into()
    });
    let more = [
        ("guild_id", json!(id)),
        ("mute_config", Value::Null),
        ("channel_overrides", overrides.collect::<Vec<Value>>().into()),
        ("flags", 0.into()),
        ("version", 0.into()),
    ];
    over_defaults(GUILD, &more, set).into()
}
