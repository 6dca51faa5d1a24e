//! What people do in a random sequence, and how each deed becomes a request.
//!
//! A deed holds small numbers, not ids: they pick among what there is when its turn comes. So a sequence stays meaningful when
//! deeds before it are left out, which is how a failing one is made short.

use super::seed::Random;
use crate::api::tests::conformance::PICTURE;
use serde_json::{Value, json};

/// Who: an index into the cast. What: the kind. Of what: three numbers, taken modulo what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub actor: usize,
    pub deed: Deed,
    pub a: usize,
    pub b: usize,
    pub c: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Say,
    Reply,
    EditMessage,
    DeleteMessage,
    DeleteMany,
    React,
    Unreact,
    ClearReactions,
    Type,
    CreateChannel,
    EditChannel,
    MoveChannel,
    DeleteChannel,
    Overwrite,
    RemoveOverwrite,
    CreateRole,
    EditRole,
    MoveRole,
    DeleteRole,
    GiveRole,
    TakeRole,
    Rename,
    TimeOut,
    Kick,
    Ban,
    Unban,
    Join,
    Leave,
    EditGuild,
    HandOver,
    EditSelf,
    Pin,
    Unpin,
    StartThread,
    EditThread,
    DeleteThread,
    JoinThread,
    LeaveThread,
    AddToThread,
    RemoveFromThread,
    SayInThread,
    CreateEmoji,
    EditEmoji,
    DeleteEmoji,
    MakeWebhook,
    Execute,
    OpenDm,
    OpenGroup,
    EditGroup,
    LeavePrivate,
    AddRecipient,
    RemoveRecipient,
    SayPrivately,
    Acknowledge,
    Presence,
    /// The socket breaks and the session is resumed.
    Resume,
    /// The client starts anew.
    Reconnect,
}

/// How often each is drawn. Rights and memberships change more than in life: they are where caches go wrong.
const WEIGHTS: [(Deed, usize); 57] = [
    (Deed::Say, 12),
    (Deed::Reply, 2),
    (Deed::EditMessage, 4),
    (Deed::DeleteMessage, 3),
    (Deed::DeleteMany, 3),
    (Deed::React, 5),
    (Deed::Unreact, 3),
    (Deed::ClearReactions, 2),
    (Deed::Type, 1),
    (Deed::CreateChannel, 4),
    (Deed::EditChannel, 4),
    (Deed::MoveChannel, 2),
    (Deed::DeleteChannel, 2),
    (Deed::Overwrite, 10),
    (Deed::RemoveOverwrite, 4),
    (Deed::CreateRole, 4),
    (Deed::EditRole, 8),
    (Deed::MoveRole, 2),
    (Deed::DeleteRole, 3),
    (Deed::GiveRole, 7),
    (Deed::TakeRole, 4),
    (Deed::Rename, 3),
    (Deed::TimeOut, 2),
    (Deed::Kick, 2),
    (Deed::Ban, 2),
    (Deed::Unban, 5),
    (Deed::Join, 6),
    (Deed::Leave, 2),
    (Deed::EditGuild, 2),
    (Deed::HandOver, 1),
    (Deed::EditSelf, 1),
    (Deed::Pin, 3),
    (Deed::Unpin, 2),
    (Deed::StartThread, 6),
    (Deed::EditThread, 6),
    (Deed::DeleteThread, 2),
    (Deed::JoinThread, 3),
    (Deed::LeaveThread, 2),
    (Deed::AddToThread, 3),
    (Deed::RemoveFromThread, 2),
    (Deed::SayInThread, 5),
    (Deed::CreateEmoji, 2),
    (Deed::EditEmoji, 1),
    (Deed::DeleteEmoji, 1),
    (Deed::MakeWebhook, 2),
    (Deed::Execute, 2),
    (Deed::OpenDm, 2),
    (Deed::OpenGroup, 2),
    (Deed::EditGroup, 1),
    (Deed::LeavePrivate, 2),
    (Deed::AddRecipient, 2),
    (Deed::RemoveRecipient, 1),
    (Deed::SayPrivately, 4),
    (Deed::Acknowledge, 4),
    (Deed::Presence, 3),
    (Deed::Resume, 3),
    (Deed::Reconnect, 2),
];

/// What a deed can be about at its turn.
pub struct Stage<'a> {
    pub guild: &'a str,
    /// Id and type.
    pub channels: &'a [(String, u8)],
    /// `@everyone` is the first.
    pub roles: &'a [String],
    /// Channel and whom it is for.
    pub overwrites: &'a [(String, String)],
    /// Channel and id, the deleted ones among them.
    pub messages: &'a [(String, String)],
    /// The cast's user ids.
    pub people: &'a [String],
    pub invite: &'a str,
    /// The archived and the deleted ones among them.
    pub threads: &'a [String],
    pub emojis: &'a [String],
    /// Id and token.
    pub webhooks: &'a [(String, String)],
    /// DMs and groups that the cast has opened, left ones among them.
    pub privates: &'a [String],
}

/// A request of the actor.
pub struct Asked {
    pub method: &'static str,
    pub path: String,
    pub body: Option<Value>,
}

const EMOJIS: [&str; 3] = ["%F0%9F%91%8D", "%F0%9F%8E%89", "%E2%9D%A4%EF%B8%8F"];
/// VIEW_CHANNEL, SEND_MESSAGES, READ_MESSAGE_HISTORY, MANAGE_MESSAGES, CONNECT, ADD_REACTIONS, MANAGE_THREADS.
const CHANNEL_BITS: [u64; 7] = [1 << 10, 1 << 11, 1 << 16, 1 << 13, 1 << 20, 1 << 6, 1 << 34];
/// The same, and ADMINISTRATOR, MANAGE_CHANNELS, MANAGE_ROLES, KICK_MEMBERS, BAN_MEMBERS, MANAGE_GUILD, MODERATE_MEMBERS,
/// MANAGE_NICKNAMES, MANAGE_THREADS.
const GUILD_BITS: [u64; 15] = [
    1 << 10,
    1 << 11,
    1 << 16,
    1 << 13,
    1 << 20,
    1 << 6,
    1 << 3,
    1 << 4,
    1 << 28,
    1 << 1,
    1 << 2,
    1 << 5,
    1 << 40,
    1 << 27,
    1 << 34,
];

fn pick<T>(list: &[T], number: usize) -> Option<&T> {
    if list.is_empty() { None } else { list.get(number % list.len()) }
}

/// Some of the bits, VIEW_CHANNEL more often than not.
fn some(bits: &[u64], number: usize) -> String {
    let chosen = bits.iter().enumerate().filter(|(index, _)| number >> index & 1 == 1).map(|(_, bit)| bit);
    chosen.fold(0, |all, bit| all | bit).to_string()
}

impl Action {
    pub fn draw(random: &mut Random, cast: usize) -> Self {
        let total: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = random.below(total);
        let chosen = WEIGHTS.iter().find(|(_, weight)| {
            let is_here = at < *weight;
            at = at.saturating_sub(*weight);
            is_here
        });
        let deed = chosen.expect("below their sum").0;
        // The first of the cast owns the guild: half of what needs rights is done by who has them.
        let actor = if random.below(2) == 0 { 0 } else { random.below(cast) };
        Self { actor, deed, a: random.below(1 << 16), b: random.below(1 << 16), c: random.below(1 << 16) }
    }

    /// `None`: there is nothing to do it to, or it is no request.
    pub fn request(&self, stage: &Stage) -> Option<Asked> {
        let Self { a, b, c, .. } = *self;
        let guild = stage.guild;
        let texts: Vec<&String> = stage.channels.iter().filter(|(_, kind)| *kind != 4).map(|(id, _)| id).collect();
        let text_channel = || pick(&texts, a);
        let channel = || pick(stage.channels, a).map(|(id, _)| id);
        let role = || pick(stage.roles, b);
        let own_role = || pick(&stage.roles[1..], b);
        let person = || pick(stage.people, a);
        let message = || pick(stage.messages, a).map(|(channel, id)| format!("/channels/{channel}/messages/{id}"));
        let emoji = EMOJIS[b % EMOJIS.len()];
        let asked = |method, path: String, body| Some(Asked { method, path, body });
        match self.deed {
            Deed::Say => {
                let mention = pick(stage.people, b).filter(|_| b % 5 == 0).map(|id| format!(" <@{id}>")).unwrap_or_default();
                asked(
                    "POST",
                    format!("/channels/{}/messages", text_channel()?),
                    Some(json!({ "content": format!("words {c}{mention}") })),
                )
            }
            Deed::Reply => {
                let (channel, id) = pick(stage.messages, a)?;
                let body =
                    json!({ "content": "a reply", "message_reference": { "message_id": id, "fail_if_not_exists": false } });
                asked("POST", format!("/channels/{channel}/messages"), Some(body))
            }
            Deed::EditMessage => asked("PATCH", message()?, Some(json!({ "content": format!("edited {c}") }))),
            Deed::DeleteMessage => asked("DELETE", message()?, None),
            Deed::DeleteMany => {
                let (channel, _) = pick(stage.messages, a)?;
                let here = stage.messages.iter().filter(|(of, _)| of == channel).map(|(_, id)| id);
                let ids: Vec<&String> = here.rev().take(2 + b % 4).collect();
                asked("POST", format!("/channels/{channel}/messages/bulk-delete"), Some(json!({ "messages": ids })))
            }
            Deed::React => asked("PUT", format!("{}/reactions/{emoji}/@me", message()?), None),
            Deed::Unreact => asked("DELETE", format!("{}/reactions/{emoji}/@me", message()?), None),
            Deed::ClearReactions => {
                let path = format!("{}/reactions", message()?);
                match c % 3 {
                    0 => asked("DELETE", path, None),
                    1 => asked("DELETE", format!("{path}/{emoji}"), None),
                    _ => asked("DELETE", format!("{path}/{emoji}/{}", pick(stage.people, c)?), None),
                }
            }
            Deed::Type => asked("POST", format!("/channels/{}/typing", text_channel()?), None),
            Deed::CreateChannel => {
                let parent = stage.channels.iter().find(|(_, kind)| *kind == 4).filter(|_| b % 2 == 0).map(|(id, _)| id);
                let mut body = json!({ "name": format!("channel-{c}"), "type": ([0, 0, 0, 2, 4][b % 5]) });
                if b % 5 != 4 {
                    body["parent_id"] = json!(parent);
                }
                if c % 3 == 0 {
                    body["permission_overwrites"] = json!([{ "id": guild, "type": 0, "allow": "0", "deny": "1024" }]);
                }
                asked("POST", format!("/guilds/{guild}/channels"), Some(body))
            }
            Deed::EditChannel => {
                let body = match b % 4 {
                    0 => json!({ "name": format!("renamed-{c}") }),
                    1 => json!({ "topic": format!("topic {c}"), "nsfw": c % 2 == 0 }),
                    2 => {
                        let category = stage.channels.iter().find(|(_, kind)| *kind == 4).map(|(id, _)| id);
                        json!({ "parent_id": category.filter(|_| c % 2 == 0) })
                    }
                    _ => {
                        let id = role().map_or(guild, String::as_str);
                        let overwrite = json!({ "id": id, "type": 0, "allow": "0", "deny": some(&CHANNEL_BITS, c) });
                        json!({ "permission_overwrites": [overwrite] })
                    }
                };
                asked("PATCH", format!("/channels/{}", channel()?), Some(body))
            }
            Deed::MoveChannel => {
                asked("PATCH", format!("/guilds/{guild}/channels"), Some(json!([{ "id": channel()?, "position": b % 6 }])))
            }
            Deed::DeleteChannel => asked("DELETE", format!("/channels/{}", channel()?), None),
            Deed::Overwrite => {
                let is_member = b % 3 == 0;
                let id = if is_member { pick(stage.people, b)? } else { role()? };
                let (allow, deny) = if c % 2 == 0 { (c >> 1, 0) } else { (0, c >> 1) };
                let body = json!({
                    "type": usize::from(is_member),
                    "allow": some(&CHANNEL_BITS, allow),
                    "deny": some(&CHANNEL_BITS, deny),
                });
                asked("PUT", format!("/channels/{}/permissions/{id}", channel()?), Some(body))
            }
            Deed::RemoveOverwrite => {
                let (channel, id) = pick(stage.overwrites, a)?;
                asked("DELETE", format!("/channels/{channel}/permissions/{id}"), None)
            }
            Deed::CreateRole => {
                let body = json!({ "name": format!("role {c}"), "permissions": some(&GUILD_BITS, c), "hoist": b % 2 == 0 });
                asked("POST", format!("/guilds/{guild}/roles"), Some(body))
            }
            Deed::EditRole => {
                let body = match c % 3 {
                    0 => json!({ "name": format!("renamed {c}"), "color": c, "mentionable": c % 2 == 0 }),
                    _ => json!({ "permissions": some(&GUILD_BITS, c >> 2) }),
                };
                asked("PATCH", format!("/guilds/{guild}/roles/{}", role()?), Some(body))
            }
            Deed::MoveRole => {
                asked("PATCH", format!("/guilds/{guild}/roles"), Some(json!([{ "id": own_role()?, "position": 1 + c % 4 }])))
            }
            Deed::DeleteRole => asked("DELETE", format!("/guilds/{guild}/roles/{}", own_role()?), None),
            Deed::GiveRole => {
                asked("PUT", format!("/guilds/{guild}/members/{}/roles/{}", person()?, own_role()?), Some(json!({})))
            }
            Deed::TakeRole => asked("DELETE", format!("/guilds/{guild}/members/{}/roles/{}", person()?, own_role()?), None),
            Deed::Rename => {
                let nick = (c % 3 != 0).then(|| format!("nick {c}"));
                asked("PATCH", format!("/guilds/{guild}/members/{}", person()?), Some(json!({ "nick": nick })))
            }
            Deed::TimeOut => {
                let until = (c % 3 != 0).then(|| guildhall_protocol::model::timestamp(crate::ids::unix_ms() + 600_000));
                let body = json!({ "communication_disabled_until": until });
                asked("PATCH", format!("/guilds/{guild}/members/{}", person()?), Some(body))
            }
            Deed::Kick => asked("DELETE", format!("/guilds/{guild}/members/{}", person()?), None),
            Deed::Ban => {
                let body = json!({ "delete_message_seconds": if c % 2 == 0 { 3600 } else { 0 } });
                asked("PUT", format!("/guilds/{guild}/bans/{}", person()?), Some(body))
            }
            Deed::Unban => asked("DELETE", format!("/guilds/{guild}/bans/{}", person()?), None),
            Deed::Join => asked("POST", format!("/invites/{}", stage.invite), Some(json!({}))),
            Deed::Leave => asked("DELETE", format!("/users/@me/guilds/{guild}"), None),
            Deed::EditGuild => {
                let system = pick(&texts, b).filter(|_| c % 2 == 0);
                let body = json!({ "name": format!("hall {c}"), "system_channel_id": system, "verification_level": c % 3 });
                asked("PATCH", format!("/guilds/{guild}"), Some(body))
            }
            Deed::HandOver => asked("PATCH", format!("/guilds/{guild}"), Some(json!({ "owner_id": person()? }))),
            Deed::EditSelf => asked("PATCH", "/users/@me".to_owned(), Some(json!({ "global_name": format!("name {c}") }))),
            Deed::Pin | Deed::Unpin => {
                let (channel, id) = pick(stage.messages, a)?;
                let method = if self.deed == Deed::Pin { "PUT" } else { "DELETE" };
                asked(method, format!("/channels/{channel}/messages/pins/{id}"), None)
            }
            Deed::StartThread if b % 3 == 0 => {
                asked("POST", format!("{}/threads", message()?), Some(json!({ "name": format!("thread {c}") })))
            }
            Deed::StartThread => {
                let body = json!({ "name": format!("thread {c}"), "type": 10 + b % 3, "invitable": c % 2 == 0 });
                asked("POST", format!("/channels/{}/threads", text_channel()?), Some(body))
            }
            Deed::EditThread => {
                let body = match b % 4 {
                    0 => json!({ "name": format!("renamed {c}") }),
                    1 => json!({ "locked": c % 2 == 0 }),
                    _ => json!({ "archived": c % 2 == 0 }),
                };
                asked("PATCH", format!("/channels/{}", pick(stage.threads, a)?), Some(body))
            }
            Deed::DeleteThread => asked("DELETE", format!("/channels/{}", pick(stage.threads, a)?), None),
            Deed::JoinThread => asked("PUT", format!("/channels/{}/thread-members/@me", pick(stage.threads, a)?), None),
            Deed::LeaveThread => asked("DELETE", format!("/channels/{}/thread-members/@me", pick(stage.threads, a)?), None),
            Deed::AddToThread | Deed::RemoveFromThread => {
                let method = if self.deed == Deed::AddToThread { "PUT" } else { "DELETE" };
                let path = format!("/channels/{}/thread-members/{}", pick(stage.threads, a)?, pick(stage.people, b)?);
                asked(method, path, None)
            }
            Deed::SayInThread | Deed::SayPrivately => {
                let place = if self.deed == Deed::SayInThread { stage.threads } else { stage.privates };
                let body = json!({ "content": format!("words {c}") });
                asked("POST", format!("/channels/{}/messages", pick(place, a)?), Some(body))
            }
            Deed::CreateEmoji => {
                let body = json!({ "name": format!("emoji_{c}"), "image": PICTURE });
                asked("POST", format!("/guilds/{guild}/emojis"), Some(body))
            }
            Deed::EditEmoji => {
                let path = format!("/guilds/{guild}/emojis/{}", pick(stage.emojis, a)?);
                asked("PATCH", path, Some(json!({ "name": format!("renamed_{c}"), "roles": [role()?] })))
            }
            Deed::DeleteEmoji => asked("DELETE", format!("/guilds/{guild}/emojis/{}", pick(stage.emojis, a)?), None),
            Deed::MakeWebhook => {
                asked("POST", format!("/channels/{}/webhooks", text_channel()?), Some(json!({ "name": "a hook" })))
            }
            Deed::Execute => {
                let (id, token) = pick(stage.webhooks, a)?;
                asked("POST", format!("/webhooks/{id}/{token}?wait=true"), Some(json!({ "content": format!("hooked {c}") })))
            }
            Deed::OpenDm => asked("POST", "/users/@me/channels".to_owned(), Some(json!({ "recipient_id": person()? }))),
            Deed::OpenGroup => {
                let body = json!({ "recipients": [person()?, pick(stage.people, b)?] });
                asked("POST", "/users/@me/channels".to_owned(), Some(body))
            }
            Deed::EditGroup => {
                let body =
                    if b % 3 == 0 { json!({ "owner": pick(stage.people, c)? }) } else { json!({ "name": format!("group {c}") }) };
                asked("PATCH", format!("/channels/{}", pick(stage.privates, a)?), Some(body))
            }
            Deed::LeavePrivate => asked("DELETE", format!("/channels/{}", pick(stage.privates, a)?), None),
            Deed::AddRecipient | Deed::RemoveRecipient => {
                let method = if self.deed == Deed::AddRecipient { "PUT" } else { "DELETE" };
                let path = format!("/channels/{}/recipients/{}", pick(stage.privates, a)?, pick(stage.people, b)?);
                asked(method, path, None)
            }
            Deed::Acknowledge => asked("POST", format!("{}/ack", message()?), Some(json!({ "manual": b % 3 == 0 }))),
            Deed::Presence | Deed::Resume | Deed::Reconnect => None,
        }
    }
}
