//! What crosses a wire: ids, the permission algebra, REST, gateway and voice payloads, limits.
//!
//! Everything here is pure: no I/O, no clock, no task. Shapes follow the documented Discord v10 objects: ids are decimal
//! strings, permissions are decimal strings, nullable keys are present as `null`. Reading is lenient (unknown fields are
//! ignored, ids may be numbers), writing is strict.

pub mod connection;
pub mod discovery;
pub mod error;
pub mod fleet;
pub mod gateway;
pub mod id;
pub mod model;
pub mod permissions;
pub mod voice_gateway;
pub mod voice_token;

pub use error::ErrorCode;
pub use id::{
    ApplicationId, AttachmentId, ChannelId, CommandId, EmojiId, GuildId, InteractionId, MessageId, RecordingId, RoleId,
    Snowflake, StreamKeyId, TagId, UserId, WebhookId,
};
pub use permissions::Permissions;
