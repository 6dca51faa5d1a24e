//! What the audit log says about a deed: made by whoever stores it, in the transaction that does it.
//!
//! To log a new kind of mutation:
//!
//! 1. Its handler takes `by: By` as an argument (an extractor: who calls, and `X-Audit-Log-Reason`) and hands it to the store.
//! 2. The store's job says, after its own events and in the same job, one of
//!    ```text
//!    tx.audit(guild_id, &by, Entry::created(AuditAction::EMOJI_CREATE, emoji.id, facts(&emoji))).await?;
//!    tx.audit(guild_id, &by, Entry::changed(AuditAction::EMOJI_UPDATE, emoji.id, facts(&before), facts(&after))).await?;
//!    tx.audit(guild_id, &by, Entry::deleted(AuditAction::EMOJI_DELETE, emoji.id, facts(&emoji))).await?;
//!    tx.audit(guild_id, &by, Entry::new(AuditAction::MESSAGE_PIN, author).option("channel_id", channel)).await?;
//!    ```
//!    where `facts` is a JSON object of what the log may show, under the documented keys: `json!({ "name": emoji.name })`.
//!
//! Only what differs becomes a change, `null` counts as absent, and an update that changed nothing is not logged. The row, and
//! GUILD_AUDIT_LOG_ENTRY_CREATE for those who may read the log, come with the commit. A deed outside the store (a voice move)
//! is logged by `store.audit`.

use guildhall_protocol::model::{AuditAction, AuditChange};
use guildhall_protocol::{Snowflake, UserId};
use serde_json::{Map, Value};
use std::fmt::Display;

/// Who does something, and why they say they do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// `None`: no account, as when a webhook's own token is used.
    pub user: Option<UserId>,
    pub reason: Option<String>,
}

impl By {
    pub fn user(user: UserId) -> Self {
        Self { user: Some(user), reason: None }
    }

    pub fn nobody() -> Self {
        Self { user: None, reason: None }
    }
}

/// One line of the log but for its id and its [`By`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub action: AuditAction,
    pub target: Option<Snowflake>,
    pub changes: Vec<AuditChange>,
    pub options: Map<String, Value>,
    /// How many things it was done to. Deeds of the same kind, by the same user to the same target, within minutes are one
    /// line whose count grows.
    pub count: Option<u32>,
}

impl Entry {
    /// A deed that has no before and after.
    pub fn new(action: AuditAction, target: impl Into<Snowflake>) -> Self {
        Self { target: Some(target.into()), ..Self::untargeted(action) }
    }

    /// A deed whose object has no id of its own, or that was done to several.
    pub fn untargeted(action: AuditAction) -> Self {
        Self { action, target: None, changes: Vec::new(), options: Map::new(), count: None }
    }

    pub fn created(action: AuditAction, target: impl Into<Snowflake>, facts: Value) -> Self {
        Self::new(action, target).between(Value::Null, facts)
    }

    pub fn deleted(action: AuditAction, target: impl Into<Snowflake>, facts: Value) -> Self {
        Self::new(action, target).between(facts, Value::Null)
    }

    /// `None`: nothing changed.
    pub fn changed(action: AuditAction, target: impl Into<Snowflake>, before: Value, after: Value) -> Option<Self> {
        let entry = Self::new(action, target).between(before, after);
        (!entry.changes.is_empty()).then_some(entry)
    }

    /// Sets the changes: every key whose value differs between two JSON objects.
    pub fn between(mut self, before: Value, after: Value) -> Self {
        self.changes = differences(before, after);
        self
    }

    pub fn option(mut self, key: &str, value: impl Display) -> Self {
        self.options.insert(key.to_owned(), Value::String(value.to_string()));
        self
    }

    pub fn counted(mut self, count: usize) -> Self {
        self.count = Some(count as u32);
        self
    }
}

fn differences(before: Value, after: Value) -> Vec<AuditChange> {
    let object = |value| if let Value::Object(fields) = value { fields } else { Map::new() };
    let (mut before, mut after) = (object(before), object(after));
    let mut keys: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    let mut take = |key: &String| {
        let present = |fields: &mut Map<String, Value>| fields.remove(key).filter(|value| !value.is_null());
        (present(&mut before), present(&mut after))
    };
    let pairs = keys.into_iter().map(|key| (take(&key), key)).filter(|((old, new), _)| old != new);
    pairs.map(|((old_value, new_value), key)| AuditChange { key, new_value, old_value }).collect()
}

#[cfg(test)]
mod tests {
    use super::Entry;
    use guildhall_protocol::model::AuditAction;
    use guildhall_protocol::{RoleId, Snowflake};
    use serde_json::json;

    #[test]
    fn only_what_differs_is_a_change_and_null_counts_as_absent() {
        let before = json!({ "name": "a", "topic": null, "nsfw": false, "color": 3 });
        let after = json!({ "name": "b", "topic": "t", "nsfw": false, "color": null });
        let entry = Entry::changed(AuditAction::ROLE_UPDATE, RoleId::new(7), before.clone(), after).expect("something changed");
        assert_eq!(entry.target, Some(Snowflake(7)));
        assert_eq!(
            json!(entry.changes),
            json!([
                { "key": "color", "old_value": 3 },
                { "key": "name", "new_value": "b", "old_value": "a" },
                { "key": "topic", "new_value": "t" },
            ])
        );
        assert_eq!(Entry::changed(AuditAction::ROLE_UPDATE, RoleId::new(7), before.clone(), before.clone()), None);
        let keys = |entry: Entry| entry.changes.into_iter().map(|change| change.key).collect::<Vec<_>>();
        assert_eq!(keys(Entry::created(AuditAction::ROLE_CREATE, RoleId::new(7), before.clone())), ["color", "name", "nsfw"]);
        assert_eq!(keys(Entry::deleted(AuditAction::ROLE_DELETE, RoleId::new(7), before)), ["color", "name", "nsfw"]);
    }

    #[test]
    fn options_are_strings() {
        let entry = Entry::untargeted(AuditAction::MEMBER_PRUNE).option("delete_member_days", 7).counted(2);
        assert_eq!((json!(entry.options), entry.count), (json!({ "delete_member_days": "7" }), Some(2)));
    }
}
