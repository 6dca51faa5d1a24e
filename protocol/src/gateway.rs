//! The main gateway's wire (version 10; 9 is the same here): opcodes, close codes, intents and client frames.
//!
//! A frame is `{"op", "d", "s", "t"}`; `s` and `t` only mean something with op 0. Reading is lenient in everything that a
//! client library was seen to send oddly (COMPAT §2.5): ids as integers, `null` or a wrong type in an optional field.

mod close;
mod frames;
mod intents;
#[cfg(test)]
mod tests;

pub use close::CloseCode;
pub use frames::{
    ClientFrame, FrameError, GuildSubscription, Identify, PresenceUpdate, RequestMembers, Resume, Shard, Status,
    VoiceStateUpdate, WantedMembers, heartbeat_ack, heartbeat_request, hello, invalid_session, reconnect,
};
pub use intents::Intents;

/// Gateway versions that are spoken. They differ in REST, not in any frame that exists here.
pub const VERSIONS: [u8; 2] = [9, 10];

/// The largest frame that a client may send (Discord's documented limit); more closes with [`CloseCode::DecodeError`].
pub const MAX_CLIENT_FRAME: usize = 4096;

/// What the opcode numbers mean.
pub mod op {
    pub const DISPATCH: u8 = 0;
    pub const HEARTBEAT: u8 = 1;
    pub const IDENTIFY: u8 = 2;
    pub const PRESENCE_UPDATE: u8 = 3;
    pub const VOICE_STATE_UPDATE: u8 = 4;
    pub const RESUME: u8 = 6;
    pub const RECONNECT: u8 = 7;
    pub const REQUEST_GUILD_MEMBERS: u8 = 8;
    pub const INVALID_SESSION: u8 = 9;
    pub const HELLO: u8 = 10;
    pub const HEARTBEAT_ACK: u8 = 11;
    /// People's clients only, as is the next: what they look at in a guild, and in several.
    pub const GUILD_SUBSCRIPTIONS: u8 = 14;
    pub const GUILD_SUBSCRIPTIONS_BULK: u8 = 37;
}
