//! The objects behind the ids that a user picked, as the bot is sent them.

use crate::api::access::Access;
use crate::api::error::Result;
use crate::app::App;
use crate::guild::Active;
use guildhall_protocol::model::partial_member;
use guildhall_protocol::{ChannelId, Permissions, RoleId, Snowflake, UserId};
use serde_json::{Map, Value, json};

/// What an id must be the id of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    User,
    Role,
    Channel,
    /// A user or a role.
    Mentionable,
    /// A file that came along; whoever received it puts it here.
    File,
}

/// `resolved`, kind by kind and id by id.
#[derive(Default)]
pub struct Resolved {
    kinds: Map<String, Value>,
    /// Who is no member, and has to be looked up elsewhere.
    strangers: Vec<UserId>,
    /// An id that nothing has.
    pub unknown: Option<Snowflake>,
}

impl Resolved {
    pub fn put(&mut self, kind: &str, id: impl std::fmt::Display, object: Value) {
        let kind = self.kinds.entry(kind).or_insert_with(|| json!({}));
        kind[id.to_string()] = object;
    }

    /// Finds what the user may see of a guild. Channels are those that they see themselves.
    pub fn find(wanted: &[(Wanted, Snowflake)], guild: &Access, channel: ChannelId) -> Self {
        let mut resolved = Self::default();
        for (kind, id) in wanted {
            let is_found = match kind {
                Wanted::User => resolved.find_user(UserId(*id), guild, channel),
                Wanted::Role => resolved.find_role(RoleId(*id), guild),
                Wanted::Channel => resolved.find_channel(ChannelId(*id), guild),
                Wanted::Mentionable => resolved.find_role(RoleId(*id), guild) || resolved.find_user(UserId(*id), guild, channel),
                Wanted::File => true,
            };
            if !is_found {
                resolved.unknown = Some(*id);
            }
        }
        resolved
    }

    /// The same where there is no guild: people and nothing else.
    pub fn find_people(wanted: &[(Wanted, Snowflake)]) -> Self {
        let mut resolved = Self::default();
        for (kind, id) in wanted {
            match kind {
                Wanted::User | Wanted::Mentionable => resolved.strangers.push(UserId(*id)),
                Wanted::Role | Wanted::Channel => resolved.unknown = Some(*id),
                Wanted::File => {}
            }
        }
        resolved
    }

    fn find_user(&mut self, id: UserId, guild: &Access, channel: ChannelId) -> bool {
        let Some(member) = guild.state.member(id) else {
            self.strangers.push(id);
            return true;
        };
        self.put("users", id, json!(member.user));
        let mut partial = partial_member(member);
        if let Some(member) = partial.as_object_mut() {
            member.remove("deaf");
            member.remove("mute");
        }
        partial["permissions"] = json!(guild.state.channel_permissions(id, channel, guild.now_ms));
        self.put("members", id, partial);
        true
    }

    fn find_role(&mut self, id: RoleId, guild: &Access) -> bool {
        let Some(role) = guild.state.role(id) else { return false };
        self.put("roles", id, json!(role));
        true
    }

    fn find_channel(&mut self, id: ChannelId, guild: &Access) -> bool {
        let (held, mut object) = match (guild.state.channel(id), guild.state.thread(id)) {
            (Some(channel), _) => (guild.state.channel_permissions(guild.user, id, guild.now_ms), json!(channel)),
            (None, Some(Active { thread, members })) => {
                let is_in_it = members.contains_key(&guild.user);
                (guild.state.thread_permissions(guild.user, thread, is_in_it, guild.now_ms), json!(thread))
            }
            (None, None) => return false,
        };
        if !held.contains(Permissions::VIEW_CHANNEL) {
            return false;
        }
        object["permissions"] = json!(held);
        if let Some(object) = object.as_object_mut() {
            object.remove("permission_overwrites");
        }
        self.put("channels", id, object);
        true
    }

    /// Looks up who is no member.
    pub async fn complete(&mut self, app: &App) -> Result<()> {
        for id in std::mem::take(&mut self.strangers) {
            match app.store().find_user(id).await? {
                Some(user) => self.put("users", id, json!(user)),
                None => self.unknown = Some(id.0),
            }
        }
        Ok(())
    }

    /// `None`: there is nothing to resolve.
    pub fn into_value(self) -> Option<Value> {
        (!self.kinds.is_empty()).then_some(Value::Object(self.kinds))
    }
}
