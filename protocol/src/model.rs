//! The objects of the API as they are written on the wire, shared by REST, gateway and clients.
//!
//! Every documented key is present (nullable ones as `null`), because strict libraries drop an object that lacks one
//! (hikari, serenity, twilight). Timestamps are ISO 8601 strings made by [`timestamp`].

mod application;
mod attachment;
mod audit;
mod channel;
mod command;
mod emoji;
mod forum;
mod guild;
mod invite;
mod message;
mod private_channel;
mod reaction;
mod recording;
mod relationship;
mod stream_key;
mod thread;
mod timestamp;
mod user;
mod voice;
mod webhook;

pub use application::Application;
pub use attachment::Attachment;
pub use audit::{AuditAction, AuditChange, AuditEntry};
pub use channel::{Channel, ChannelType, Overwrite, OverwriteKind};
pub use command::{Command, CommandKind};
pub use emoji::Emoji;
pub use forum::{Forum, ForumEmoji, ForumTag, PINNED_POST, REQUIRE_TAG};
pub use guild::{Guild, GuildCreate, Member, Role, RoleColors, RoleTags, UnavailableGuild};
pub use invite::{Invite, InviteChannel, InviteGuild};
pub use message::{
    HAS_SNAPSHOT, HAS_THREAD, Message, MessageReference, MessageSnapshot, Nonce, Pin, SnapshotMessage, partial_member,
};
pub use private_channel::{Group, PrivateChannel};
pub use reaction::{Reaction, ReactionCounts, ReactionEmoji};
pub use recording::{ChannelRecording, Recording, RecordingState, RecordingTrack, TrackKind};
pub use relationship::{Relationship, RelationshipKind};
pub use stream_key::StreamKey;
pub use thread::{COUNTED_MEMBERS, Thread, ThreadMember, ThreadMetadata};
pub use timestamp::{parse_timestamp, timestamp};
pub use user::{CurrentUser, User};
pub use voice::{VoiceRegion, VoiceState};
pub use webhook::Webhook;

/// Arrays that this version never fills but libraries require: serialized as `[]`.
pub type Empty = [(); 0];
