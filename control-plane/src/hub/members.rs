//! Op 8: who is in a guild, in chunks.
//!
//! A large guild's list is made and sent piece by piece, each when the socket has taken the one before, so it never fills a
//! mailbox.

use super::core::{Core, Moment, SessionKey};
use crate::gateway::mailbox::Dispatch;
use guildhall_protocol::gateway::{Intents, RequestMembers, WantedMembers, op};
use guildhall_protocol::model::Member;
use guildhall_protocol::{GuildId, UserId};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Documented: members per GUILD_MEMBERS_CHUNK.
const CHUNK: usize = 1_000;
/// Documented: a session may ask for everyone in a guild once in this time.
pub const LISTING_INTERVAL: Duration = Duration::from_secs(30);

/// An answer under way.
#[derive(Debug, PartialEq, Eq)]
pub struct MemberList {
    guild: GuildId,
    ids: Vec<UserId>,
    not_found: Vec<UserId>,
    presences: bool,
    nonce: Option<String>,
    next: usize,
}

impl MemberList {
    fn chunks(&self) -> usize {
        // A list of nobody is one empty chunk: the client waits for an answer.
        self.ids.len().div_ceil(CHUNK).max(1)
    }

    pub fn is_done(&self) -> bool {
        self.next >= self.chunks()
    }
}

/// Asked for everyone again too soon; RATE_LIMITED is in the session's mailbox.
#[derive(Debug, PartialEq, Eq)]
pub struct TooSoon;

impl Core {
    /// Counts a request for everyone in a guild.
    pub fn count_listing(&mut self, key: SessionKey, request: &RequestMembers, at: Moment) -> Result<(), TooSoon> {
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        // A list of guilds that the session is not in would be a list that it can make as long as it likes.
        if !self.rooms.get(&request.guild_id).is_some_and(|room| room.state.is_member(session.user_id)) {
            return Ok(());
        }
        session.listed.retain(|_, asked| at.now.duration_since(*asked) < LISTING_INTERVAL);
        let Some(asked) = session.listed.get(&request.guild_id) else {
            session.listed.insert(request.guild_id, at.now);
            return Ok(());
        };
        let retry_after = LISTING_INTERVAL.saturating_sub(at.now.duration_since(*asked));
        let mut meta = json!({ "guild_id": request.guild_id });
        if let Some(nonce) = &request.nonce {
            meta["nonce"] = json!(nonce);
        }
        let d = json!({ "opcode": op::REQUEST_GUILD_MEMBERS, "retry_after": retry_after.as_secs_f64(), "meta": meta });
        if !session.link.push(Dispatch::new("RATE_LIMITED", &d)) {
            self.lost.push(key);
            self.sweep(at);
        }
        Err(TooSoon)
    }

    /// Whom the request is for. `None`: the session is not in that guild, which is answered with silence.
    pub fn member_list(&self, key: SessionKey, request: RequestMembers) -> Option<MemberList> {
        let session = self.sessions.get(&key)?;
        let room = self.rooms.get(&request.guild_id)?;
        let state = &room.state;
        if !state.is_member(session.user_id) {
            return None;
        }
        let may_list = session.intents.contains(Intents::GUILD_MEMBERS);
        let (mut ids, mut not_found) = (Vec::new(), Vec::new());
        match request.wanted {
            WantedMembers::Ids(wanted) => {
                for id in wanted {
                    if state.is_member(id) { ids.push(id) } else { not_found.push(id) }
                }
                ids.sort_unstable();
                ids.dedup();
            }
            // Without the intent one may look people up, but not list everyone.
            WantedMembers::Query { query, .. } if query.is_empty() && !may_list => ids.push(session.user_id),
            WantedMembers::Query { query, limit } => {
                let query = query.to_lowercase();
                ids.extend(state.members().filter(|member| matches(member, &query)).map(|member| member.user.id));
                ids.sort_unstable();
                let limit = match limit {
                    0 if query.is_empty() => usize::MAX,
                    0 => RequestMembers::MAX_IDS,
                    limit if query.is_empty() => limit,
                    limit => limit.min(RequestMembers::MAX_IDS),
                };
                ids.truncate(limit);
            }
        }
        let presences = request.presences && session.intents.contains(Intents::GUILD_PRESENCES);
        Some(MemberList { guild: request.guild_id, ids, not_found, presences, nonce: request.nonce, next: 0 })
    }

    /// The next chunk; `None` after the last, or if the guild is gone.
    pub fn next_chunk(&self, list: &mut MemberList) -> Option<Arc<Dispatch>> {
        let state = self.guild(list.guild)?;
        if list.is_done() {
            return None;
        }
        let ids = list.ids.chunks(CHUNK).nth(list.next).unwrap_or_default();
        let members: Vec<&Member> = ids.iter().filter_map(|id| state.member(*id)).collect();
        let mut chunk = json!({
            "guild_id": list.guild,
            "members": members,
            "chunk_index": list.next,
            "chunk_count": list.chunks(),
            "not_found": if list.next == 0 { &list.not_found[..] } else { &[] },
        });
        if list.presences {
            let presences = members.iter().filter_map(|member| self.presence_in(list.guild, member.user.id));
            chunk["presences"] = presences.collect();
        }
        if let Some(nonce) = &list.nonce {
            chunk["nonce"] = json!(nonce);
        }
        list.next += 1;
        Some(Dispatch::new("GUILD_MEMBERS_CHUNK", &chunk))
    }
}

/// Whether any of the member's names starts so; `query` is in lower case.
fn matches(member: &Member, query: &str) -> bool {
    let names = [Some(&member.user.username), member.user.global_name.as_ref(), member.nick.as_ref()];
    query.is_empty() || names.into_iter().flatten().any(|name| name.to_lowercase().starts_with(query))
}
