//! Permissions: 53 bits, written as a decimal string. The rules over them are in [`algebra`] and [`hierarchy`].

mod algebra;
mod hierarchy;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

pub use algebra::{DURING_TIMEOUT, GUILD_WIDE, Standing, channel_permissions, guild_permissions};
pub use hierarchy::{Rank, may_change_overwrite, may_change_role};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt};

/// A set of permission bits. Unknown bits are kept when read from the wire and dropped by [`Permissions::known`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Permissions(pub u64);

macro_rules! bits {
    ($($name:ident = $bit:literal)*) => {
        impl Permissions {
            $(pub const $name: Self = Self(1 << $bit);)*
            /// Every documented bit.
            pub const ALL: Self = Self($((1 << $bit))|*);
            /// Every bit with its documented name, lowest first.
            pub const NAMES: &'static [(&'static str, Self)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

bits! {
    CREATE_INSTANT_INVITE = 0
    KICK_MEMBERS = 1
    BAN_MEMBERS = 2
    ADMINISTRATOR = 3
    MANAGE_CHANNELS = 4
    MANAGE_GUILD = 5
    ADD_REACTIONS = 6
    VIEW_AUDIT_LOG = 7
    PRIORITY_SPEAKER = 8
    STREAM = 9
    VIEW_CHANNEL = 10
    SEND_MESSAGES = 11
    SEND_TTS_MESSAGES = 12
    MANAGE_MESSAGES = 13
    EMBED_LINKS = 14
    ATTACH_FILES = 15
    READ_MESSAGE_HISTORY = 16
    MENTION_EVERYONE = 17
    USE_EXTERNAL_EMOJIS = 18
    VIEW_GUILD_INSIGHTS = 19
    CONNECT = 20
    SPEAK = 21
    MUTE_MEMBERS = 22
    DEAFEN_MEMBERS = 23
    MOVE_MEMBERS = 24
    USE_VAD = 25
    CHANGE_NICKNAME = 26
    MANAGE_NICKNAMES = 27
    MANAGE_ROLES = 28
    MANAGE_WEBHOOKS = 29
    MANAGE_GUILD_EXPRESSIONS = 30
    USE_APPLICATION_COMMANDS = 31
    REQUEST_TO_SPEAK = 32
    MANAGE_EVENTS = 33
    MANAGE_THREADS = 34
    CREATE_PUBLIC_THREADS = 35
    CREATE_PRIVATE_THREADS = 36
    USE_EXTERNAL_STICKERS = 37
    SEND_MESSAGES_IN_THREADS = 38
    USE_EMBEDDED_ACTIVITIES = 39
    MODERATE_MEMBERS = 40
    VIEW_CREATOR_MONETIZATION_ANALYTICS = 41
    USE_SOUNDBOARD = 42
    CREATE_GUILD_EXPRESSIONS = 43
    CREATE_EVENTS = 44
    USE_EXTERNAL_SOUNDS = 45
    SEND_VOICE_MESSAGES = 46
    SET_VOICE_CHANNEL_STATUS = 48
    SEND_POLLS = 49
    USE_EXTERNAL_APPS = 50
    PIN_MESSAGES = 51
    BYPASS_SLOWMODE = 52
}

impl Permissions {
    pub const NONE: Self = Self(0);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Only documented bits: what may be stored.
    pub const fn known(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Permissions {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl std::ops::BitAnd for Permissions {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The bits in which two sets differ: what a change switches.
impl std::ops::BitXor for Permissions {
    type Output = Self;
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for (name, bit) in Self::NAMES {
            if self.contains(*bit) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

impl JsonSchema for Permissions {
    fn schema_name() -> Cow<'static, str> {
        "Permissions".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "permissions" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Permissions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("permissions: a decimal string or an integer")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Permissions, E> {
                Ok(Permissions(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Permissions, E> {
                u64::try_from(value).map(Permissions).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Permissions, E> {
                value.parse().map(Permissions).map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
