//! Reactions to messages.

use super::Empty;
use crate::Snowflake;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What someone reacted with. A Unicode emoji is its own name and has no id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReactionEmoji {
    pub id: Option<Snowflake>,
    pub name: String,
    /// Of an emoji of a guild: whether it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
}

impl ReactionEmoji {
    pub fn unicode(name: String) -> Self {
        Self { id: None, name, animated: None }
    }

    /// An emoji of a guild.
    pub fn own(id: Snowflake, name: String, animated: bool) -> Self {
        Self { id: Some(id), name, animated: Some(animated) }
    }
}

/// One emoji below a message, as one reader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reaction {
    pub emoji: ReactionEmoji,
    pub count: u32,
    pub count_details: ReactionCounts,
    /// Whether the reader is among those who reacted.
    pub me: bool,
    /// Always `false`: there are no super reactions here.
    pub me_burst: bool,
    pub burst_count: u32,
    pub burst_colors: Empty,
}

impl Reaction {
    pub fn new(emoji: ReactionEmoji, count: u32, me: bool) -> Self {
        let count_details = ReactionCounts { burst: 0, normal: count };
        Self { emoji, count, count_details, me, me_burst: false, burst_count: 0, burst_colors: [] }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReactionCounts {
    pub burst: u32,
    pub normal: u32,
}
