//! Intents: which events a session asks for.

use std::ops::BitOr;

/// A set of intent bits, as Identify carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Intents(pub u64);

impl Intents {
    /// For events that no intent guards (READY, USER_UPDATE, VOICE_SERVER_UPDATE …).
    pub const NONE: Self = Self(0);
    pub const GUILDS: Self = Self(1 << 0);
    pub const GUILD_MEMBERS: Self = Self(1 << 1);
    pub const GUILD_MODERATION: Self = Self(1 << 2);
    pub const GUILD_EXPRESSIONS: Self = Self(1 << 3);
    pub const GUILD_INTEGRATIONS: Self = Self(1 << 4);
    pub const GUILD_WEBHOOKS: Self = Self(1 << 5);
    pub const GUILD_INVITES: Self = Self(1 << 6);
    pub const GUILD_VOICE_STATES: Self = Self(1 << 7);
    pub const GUILD_PRESENCES: Self = Self(1 << 8);
    pub const GUILD_MESSAGES: Self = Self(1 << 9);
    pub const GUILD_MESSAGE_REACTIONS: Self = Self(1 << 10);
    pub const GUILD_TYPING: Self = Self(1 << 11);
    pub const DIRECT_MESSAGES: Self = Self(1 << 12);
    pub const DIRECT_MESSAGE_REACTIONS: Self = Self(1 << 13);
    pub const DIRECT_MESSAGE_TYPING: Self = Self(1 << 14);
    pub const MESSAGE_CONTENT: Self = Self(1 << 15);
    pub const GUILD_SCHEDULED_EVENTS: Self = Self(1 << 16);
    pub const AUTO_MODERATION_CONFIGURATION: Self = Self(1 << 20);
    pub const AUTO_MODERATION_EXECUTION: Self = Self(1 << 21);
    pub const GUILD_MESSAGE_POLLS: Self = Self(1 << 24);
    pub const DIRECT_MESSAGE_POLLS: Self = Self(1 << 25);

    /// Every documented bit: bits 0-16, 20, 21, 24 and 25. What a person's client gets without asking.
    pub const ALL: Self = Self(0x1_FFFF | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25);
    /// A bot needs its application's switch for each of these.
    pub const PRIVILEGED: Self = Self(Self::GUILD_MEMBERS.0 | Self::GUILD_PRESENCES.0 | Self::MESSAGE_CONTENT.0);

    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every bit is documented: others close with 4013.
    pub const fn is_valid(self) -> bool {
        self.0 & !Self::ALL.0 == 0
    }
}

impl BitOr for Intents {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
