//! Small guild objects for the tests of this crate.

use guildhall_protocol::model::{Channel, ChannelType, Member, Overwrite, OverwriteKind, Role, User, timestamp};
use guildhall_protocol::{ChannelId, GuildId, Permissions, RoleId, Snowflake, UserId};

pub const GUILD: GuildId = GuildId::new(100 << 22);
pub const OWNER: UserId = UserId::new(1);
pub const ANN: UserId = UserId::new(2);
pub const BOB: UserId = UserId::new(3);
pub const NOW: u64 = 1_800_000_000_000;

pub fn role(id: RoleId, permissions: Permissions) -> Role {
    Role::new(id, id.to_string(), permissions, i32::from(id != GUILD.everyone()))
}

pub fn channel(id: ChannelId, permission_overwrites: Vec<Overwrite>) -> Channel {
    Channel {
        id,
        kind: ChannelType::Text,
        guild_id: GUILD,
        name: id.to_string(),
        position: 0,
        parent_id: None,
        topic: None,
        nsfw: false,
        last_message_id: None,
        last_pin_timestamp: None,
        rate_limit_per_user: 0,
        permission_overwrites,
        flags: 0,
        bitrate: None,
        user_limit: None,
        rtc_region: None,
        recording: None,
        forum: None,
    }
}

pub fn voice_channel(id: ChannelId, user_limit: u32) -> Channel {
    Channel { kind: ChannelType::Voice, bitrate: Some(64_000), user_limit: Some(user_limit), ..channel(id, Vec::new()) }
}

pub fn user(id: UserId) -> User {
    User::new(id, format!("user{id}"), None, false)
}

pub fn member(id: UserId, roles: &[RoleId]) -> Member {
    Member { roles: roles.to_vec(), ..Member::new(user(id), timestamp(NOW)) }
}

pub fn overwrite(id: impl Into<Snowflake>, kind: OverwriteKind, allow: Permissions, deny: Permissions) -> Overwrite {
    Overwrite { id: id.into(), kind, allow, deny }
}
