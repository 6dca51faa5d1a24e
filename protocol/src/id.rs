//! Snowflakes and the id types of every object.
//!
//! A snowflake is 63..22 milliseconds since 2015-01-01 (the epoch that client libraries hard-code), 21..12 the process that
//! made it, 11..0 a counter. Ids are written as decimal strings, because JavaScript numbers lose bits above 2^53, and read
//! from strings or numbers, because libraries send both.

#[cfg(test)]
mod tests;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// Milliseconds between the Unix epoch and the snowflake epoch (2015-01-01T00:00:00Z).
pub const EPOCH_MS: u64 = 1_420_070_400_000;

/// An untyped id: what a path, an overwrite or a mention may hold before its kind is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Snowflake(pub u64);

impl Snowflake {
    /// The smallest snowflake of a moment: `before`/`after` bounds for a time.
    pub const fn at(unix_ms: u64) -> Self {
        Self(unix_ms.saturating_sub(EPOCH_MS) << 22)
    }

    /// When it was made, in Unix milliseconds.
    pub const fn unix_ms(self) -> u64 {
        (self.0 >> 22) + EPOCH_MS
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Snowflake;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a snowflake: a decimal string or an integer")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Snowflake, E> {
                Ok(Snowflake(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Snowflake, E> {
                u64::try_from(value).map(Snowflake).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Snowflake, E> {
                value.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Snowflake {
    fn schema_name() -> Cow<'static, str> {
        "Snowflake".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "snowflake" })
    }

    fn inline_schema() -> bool {
        true
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(pub Snowflake);

        impl $name {
            pub const fn new(raw: u64) -> Self { Self(Snowflake(raw)) }
            pub const fn get(self) -> u64 { self.0.0 }
            /// The same bits in SQLite's signed 64-bit integers. Snowflakes stay below 2^63 until the year 2084.
            pub const fn to_sql(self) -> i64 { self.0.0 as i64 }
            pub const fn from_sql(raw: i64) -> Self { Self(Snowflake(raw as u64)) }
        }
        impl fmt::Display for $name { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) } }
        impl fmt::Debug for $name { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) } }
        impl FromStr for $name { type Err = std::num::ParseIntError; fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) } }
        impl From<Snowflake> for $name { fn from(id: Snowflake) -> Self { Self(id) } }
        impl From<$name> for Snowflake { fn from(id: $name) -> Self { id.0 } }
    )*};
}

ids! {
    UserId
    GuildId
    ChannelId
    MessageId
    RoleId
    ApplicationId
    CommandId
    InteractionId
    WebhookId
    AttachmentId
    EmojiId
    StreamKeyId
    RecordingId
    /// A tag of a forum.
    TagId
}

impl GuildId {
    /// The `@everyone` role has its guild's id.
    pub const fn everyone(self) -> RoleId {
        RoleId(self.0)
    }
}
