//! Tags of forums: what a forum offers, and what a post may bear. Pure; channels and threads ask here.

use super::access::Access;
use super::emoji;
use super::error::Result;
use super::form::{Form, Patch};
use crate::store::Store;
use guildhall_protocol::model::{Channel, ChannelType, ForumEmoji, ForumTag, REQUIRE_TAG};
use guildhall_protocol::{EmojiId, ErrorCode, Permissions, TagId};

/// Tags that a forum may have.
const AVAILABLE: usize = 20;
/// Tags that a post may bear.
pub const APPLIED: usize = 5;
const NAME: std::ops::RangeInclusive<usize> = 1..=20;

/// What creating and editing a channel say of a forum. Channels of other kinds have none of it.
pub struct Settings {
    tags: Option<Vec<Tag>>,
    reaction: Patch<ForumEmoji>,
    sort_order: Patch<i64>,
    layout: Option<i64>,
    flags: Option<i64>,
}

/// A tag as it comes, with an id if it is one that the forum has.
struct Tag {
    id: Option<TagId>,
    name: String,
    moderated: bool,
    emoji: ForumEmoji,
}

/// What the settings come to in a certain forum.
pub struct Checked {
    tags: Option<Vec<ForumTag>>,
    settings: Settings,
}

/// An emoji as clients tell it: an id and a name, of which the id counts.
fn read_emoji(form: &Form) -> ForumEmoji {
    let emoji_id: Option<EmojiId> = form.id("emoji_id").value();
    let emoji_name = form.text("emoji_name", 0..=100).value().filter(|name| !name.is_empty() && emoji_id.is_none());
    if emoji_name.as_deref().is_some_and(|name| !emoji::is_unicode(name)) {
        form.refuse("emoji_name", "INVALID_EMOJI", "That is not an emoji.");
    }
    ForumEmoji { emoji_id, emoji_name }
}

fn read_tag(form: &Form) -> Tag {
    Tag {
        // hikari says 0 where there is none.
        id: form.id("id").value().filter(|id: &TagId| id.get() != 0),
        name: form.required("name", form.text("name", NAME)),
        moderated: form.flag("moderated").value().unwrap_or(false),
        emoji: read_emoji(form),
    }
}

impl Settings {
    pub fn read(form: &Form) -> Self {
        Self {
            tags: form.list("available_tags", AVAILABLE, read_tag).value(),
            reaction: form.object("default_reaction_emoji", read_emoji),
            sort_order: form.choice("default_sort_order", &[0, 1]),
            layout: form.choice("default_forum_layout", &[0, 1, 2]).value(),
            flags: form.integer("flags", 0..=i64::from(u32::MAX)).value(),
        }
    }

    /// `known`: the forum, unless it is yet to be made.
    pub fn check(mut self, store: &Store, access: &Access, known: Option<&Channel>) -> Result<Checked> {
        let known_tags = known.and_then(|channel| channel.forum.as_ref()).map_or(&[][..], |forum| &forum.available_tags);
        let mut tags = Vec::new();
        let is_given = self.tags.is_some();
        for mut tag in self.tags.take().unwrap_or_default() {
            if known.is_none() {
                // The tags of a forum that is yet to be made have no ids; libraries whose model wants one make it up.
                tag.id = None;
            }
            let is_known = |id: &TagId| known_tags.iter().any(|tag| tag.id == *id);
            if tag.id.as_ref().is_some_and(|id| !is_known(id)) {
                return Err(ErrorCode::UnknownTag.into());
            }
            let name = tag.name.to_lowercase();
            if tags.iter().any(|other: &ForumTag| other.name.to_lowercase() == name || Some(other.id) == tag.id) {
                return Err(ErrorCode::TagNamesNotUnique.into());
            }
            require_emoji(access, &tag.emoji)?;
            let id = tag.id.unwrap_or_else(|| store.make_id());
            tags.push(ForumTag { id, name: tag.name, moderated: tag.moderated, emoji: tag.emoji });
        }
        if let Patch::Set(emoji) = &self.reaction {
            require_emoji(access, emoji)?;
        }
        let flags = self.flags.map_or(known.map_or(0, |channel| channel.flags), |flags| flags as u32);
        let offered = if is_given { &tags[..] } else { known_tags };
        let is_changed = is_given || self.flags.is_some();
        if is_changed && flags & REQUIRE_TAG != 0 && offered.iter().all(|tag| tag.moderated) {
            return Err(ErrorCode::NoTagForEveryone.into());
        }
        Ok(Checked { tags: is_given.then_some(tags), settings: self })
    }
}

/// A forum's emojis are Unicode's or its guild's.
fn require_emoji(access: &Access, emoji: &ForumEmoji) -> Result<()> {
    let is_known = |id: EmojiId| access.state.guild().emojis.iter().any(|emoji| emoji.id == id);
    if emoji.emoji_id.is_none_or(is_known) { Ok(()) } else { Err(ErrorCode::UnknownEmoji.into()) }
}

impl Checked {
    pub fn apply(self, channel: &mut Channel) {
        let Settings { reaction, sort_order, layout, flags, .. } = self.settings;
        let forum = channel.forum.get_or_insert_default();
        if let Some(tags) = self.tags {
            forum.available_tags = tags;
        }
        if let Some(emoji) = reaction.change() {
            // An object without anything in it takes the emoji away, too.
            forum.default_reaction_emoji = emoji.filter(|emoji| *emoji != ForumEmoji::default());
        }
        if let Some(order) = sort_order.change() {
            forum.default_sort_order = order.map(|order| order as u8);
        }
        forum.default_forum_layout = layout.map_or(forum.default_forum_layout, |layout| layout as u8);
        if let Some(flags) = flags {
            channel.flags = channel.flags & !REQUIRE_TAG | flags as u32 & REQUIRE_TAG;
        }
    }
}

/// The tags of a post of whoever holds `held` in the forum, in place of those that it has. Who does not manage threads neither
/// puts moderated tags on nor takes them off; tags that the forum had once are dropped.
pub fn check_applied(parent: &Channel, held: Permissions, before: &[TagId], wanted: Vec<TagId>) -> Result<Vec<TagId>> {
    let offered = parent.forum.as_ref().map_or(&[][..], |forum| &forum.available_tags);
    let find = |id: TagId| offered.iter().find(|tag| tag.id == id);
    let mut after = Vec::new();
    for id in wanted {
        match find(id) {
            Some(_) if !after.contains(&id) => after.push(id),
            Some(_) => {}
            None if before.contains(&id) => {}
            None => return Err(ErrorCode::UnknownTag.into()),
        }
    }
    let changed = before.iter().filter(|id| !after.contains(id)).chain(after.iter().filter(|id| !before.contains(id)));
    let is_moderated = changed.copied().filter_map(find).any(|tag| tag.moderated);
    if is_moderated && !held.contains(Permissions::MANAGE_THREADS) {
        return Err(ErrorCode::MissingPermissions.into());
    }
    if parent.kind == ChannelType::Forum && parent.flags & REQUIRE_TAG != 0 && after.is_empty() {
        return Err(ErrorCode::TagRequired.into());
    }
    Ok(after)
}
