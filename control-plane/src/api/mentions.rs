//! Whom a message mentions: what its text says, cut down to what its sender allows and may do.

use super::form::{Form, Patch};
use crate::guild::State;
use guildhall_protocol::model::{Role, User};
use guildhall_protocol::{ChannelId, Permissions, RoleId, UserId};

/// Ids in each list of `allowed_mentions` (COMPAT §10.6). A text of 2000 characters holds no more mentions than that.
const MOST: usize = 100;

/// The mentions in a text, in order of appearance, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub users: Vec<UserId>,
    pub roles: Vec<RoleId>,
    /// `@everyone` or `@here`.
    pub everyone: bool,
}

/// Reads `<@id>`, `<@!id>`, `<@&id>`, `@everyone` and `@here`, outside of code.
pub fn find(text: &str) -> Found {
    let mut found = Found::default();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '<', '@']) {
        rest = &rest[at..];
        if let Some(after) = skip_code(rest) {
            rest = after;
        } else if let Some((mention, after)) = read_mention(rest) {
            match mention {
                Mention::User(id) if !found.users.contains(&id) => found.users.push(id),
                Mention::Role(id) if !found.roles.contains(&id) => found.roles.push(id),
                Mention::User(_) | Mention::Role(_) => {}
                Mention::Everyone => found.everyone = true,
            }
            rest = after;
        } else {
            rest = &rest[1..]; // one of the three ASCII characters
        }
    }
    found
}

/// What comes after the code span that the text begins with: as many backticks as opened it close it.
fn skip_code(text: &str) -> Option<&str> {
    let fence = text.bytes().take_while(|byte| *byte == b'`').count();
    if fence == 0 {
        return None;
    }
    let (ticks, inside) = text.split_at(fence);
    // Without a closing fence these are just backticks.
    Some(inside.find(ticks).map_or(inside, |end| &inside[end + fence..]))
}

enum Mention {
    User(UserId),
    Role(RoleId),
    Everyone,
}

fn read_mention(text: &str) -> Option<(Mention, &str)> {
    for word in ["@everyone", "@here"] {
        if let Some(after) = text.strip_prefix(word) {
            return Some((Mention::Everyone, after));
        }
    }
    let inside = text.strip_prefix("<@")?;
    let (id, after) = inside.split_once('>')?;
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(role) = id.strip_prefix('&') {
        return Some((Mention::Role(RoleId::new(number(role)?)), after));
    }
    Some((Mention::User(UserId::new(number(id.strip_prefix('!').unwrap_or(id))?)), after))
}

/// What `allowed_mentions` lets through. Absent: everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    users: Rule<UserId>,
    roles: Rule<RoleId>,
    everyone: bool,
    pub replied_user: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule<T> {
    All,
    Only(Vec<T>),
}

impl<T: PartialEq> Rule<T> {
    fn allows(&self, id: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(id),
        }
    }
}

impl Allowed {
    /// What webhooks and applications mention without saying so: nobody but users.
    pub const USERS: Self = Self { users: Rule::All, roles: Rule::Only(Vec::new()), everyone: false, replied_user: true };
    pub const EVERYTHING: Self = Self { users: Rule::All, roles: Rule::All, everyone: true, replied_user: true };

    pub fn read(form: &Form) -> Self {
        let parse = form.words("parse", 3);
        let (users, roles) = (form.ids::<UserId>("users", MOST), form.ids::<RoleId>("roles", MOST));
        let is_parsed = |kind: &str| matches!(&parse, Patch::Set(kinds) if kinds.iter().any(|known| known == kind));
        for (kind, is_listed) in [("users", form.has_content("users")), ("roles", form.has_content("roles"))] {
            if is_listed && is_parsed(kind) {
                form.refuse("parse", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", "parse and a list of ids exclude each other.");
            }
        }
        Self {
            users: if is_parsed("users") { Rule::All } else { Rule::Only(users.value().unwrap_or_default()) },
            roles: if is_parsed("roles") { Rule::All } else { Rule::Only(roles.value().unwrap_or_default()) },
            everyone: is_parsed("everyone"),
            replied_user: form.flag("replied_user").value().unwrap_or(false),
        }
    }
}

/// The mentions that take effect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mentions {
    pub users: Vec<User>,
    pub roles: Vec<RoleId>,
    pub everyone: bool,
}

/// Who can be mentioned in a place.
pub enum Mentionable<'a> {
    Guild(&'a State),
    /// The recipients of a private channel.
    Private(&'a [User]),
    /// Those who may see the channel that a thread is in: a mention makes them members of it.
    Thread(&'a State, ChannelId),
}

impl Mentionable<'_> {
    fn user(&self, id: UserId) -> Option<&User> {
        match self {
            Self::Guild(guild) => Some(&guild.member(id)?.user),
            Self::Private(recipients) => recipients.iter().find(|user| user.id == id),
            Self::Thread(guild, parent) => {
                // A timeout takes no right to see, so the time does not matter.
                let may_see = guild.channel_permissions(id, *parent, 0).contains(Permissions::VIEW_CHANNEL);
                may_see.then_some(&guild.member(id)?.user)
            }
        }
    }

    fn role(&self, id: RoleId) -> Option<&Role> {
        match self {
            Self::Guild(guild) | Self::Thread(guild, _) => guild.role(id),
            Self::Private(_) => None,
        }
    }
}

/// `held` is what the author may do in the channel: MENTION_EVERYONE covers everyone and roles that are not mentionable.
pub fn resolve(found: Found, allowed: &Allowed, held: Permissions, place: &Mentionable) -> Mentions {
    let may_mention_all = held.contains(Permissions::MENTION_EVERYONE);
    let users = found.users.iter().filter(|id| allowed.users.allows(id));
    let may_ping = |id: &RoleId| place.role(*id).is_some_and(|role| role.mentionable || may_mention_all);
    Mentions {
        users: users.filter_map(|id| place.user(*id)).take(MOST).cloned().collect(),
        roles: found.roles.into_iter().filter(|id| allowed.roles.allows(id) && may_ping(id)).collect(),
        everyone: found.everyone && allowed.everyone && may_mention_all,
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowed, Found, Rule, find};
    use crate::api::form::read_with;
    use guildhall_protocol::{RoleId, UserId};
    use serde_json::{Value, json};

    fn check(text: &str, users: &[u64], roles: &[u64], everyone: bool) {
        let expected = Found {
            users: users.iter().copied().map(UserId::new).collect(),
            roles: roles.iter().copied().map(RoleId::new).collect(),
            everyone,
        };
        assert_eq!(find(text), expected, "{text:?}");
    }

    #[test]
    fn mentions_are_found_outside_of_code() {
        check("", &[], &[], false);
        check("hi <@1>, <@!2> and <@&3>; <@1> again", &[1, 2], &[3], false);
        check("@everyone", &[], &[], true);
        check("psst @here", &[], &[], true);
        check("`<@1>` <@2> ```@everyone <@3>``` `` `<@4> ``", &[2], &[], false);
        check("an open ` tick <@1>", &[1], &[], false);
        check("<@> <@x> <@1 <@-1> <@+1> <@&> < @1 @ every", &[], &[], false);
        check("<@99999999999999999999999>", &[], &[], false);
        check("ü<@1>ü", &[1], &[], false);
    }

    fn allowed(input: Value) -> Result<Allowed, Value> {
        read_with(&input, Allowed::read).map_err(super::super::form::Errors::into_value)
    }

    #[test]
    fn allowed_mentions_open_only_what_they_name() {
        let nothing = Allowed { users: Rule::Only(vec![]), roles: Rule::Only(vec![]), everyone: false, replied_user: false };
        assert_eq!(allowed(json!({})).unwrap(), nothing);
        assert_eq!(allowed(json!({ "parse": [] })).unwrap(), nothing);
        let some = allowed(json!({ "parse": ["users", "everyone"], "roles": ["5"], "replied_user": true })).unwrap();
        assert_eq!(
            some,
            Allowed { users: Rule::All, roles: Rule::Only(vec![RoleId::new(5)]), everyone: true, replied_user: true }
        );
        let both = allowed(json!({ "parse": ["users"], "users": ["5"] })).unwrap_err();
        assert_eq!(both["parse"]["_errors"][0]["code"], "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE");
        assert!(allowed(json!({ "users": (0..101).collect::<Vec<u64>>() })).is_err());
    }
}
