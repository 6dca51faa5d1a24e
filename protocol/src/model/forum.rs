//! What a forum channel has beside other channels: tags for its posts, and how clients show them.

use crate::{EmojiId, TagId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The channel flag of the post that a forum shows above the others.
pub const PINNED_POST: u32 = 1 << 1;
/// A forum's flag: every post bears a tag.
pub const REQUIRE_TAG: u32 = 1 << 4;

/// Keys of [`Channel`](super::Channel) that only forums have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Forum {
    /// At most 20.
    pub available_tags: Vec<ForumTag>,
    /// What a client offers to react with.
    pub default_reaction_emoji: Option<ForumEmoji>,
    /// 0: by latest activity, 1: by creation; `None`: as the client likes.
    pub default_sort_order: Option<u8>,
    /// 0: as the client likes, 1: a list, 2: a gallery.
    pub default_forum_layout: u8,
}

/// An emoji by its id (a guild's own) or by its characters, or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForumEmoji {
    pub emoji_id: Option<EmojiId>,
    pub emoji_name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForumTag {
    pub id: TagId,
    pub name: String,
    /// Only who manages threads puts it on a post or takes it off.
    pub moderated: bool,
    #[serde(flatten)]
    pub emoji: ForumEmoji,
}
