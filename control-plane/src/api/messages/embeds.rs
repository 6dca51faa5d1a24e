//! Embeds, as bots and webhooks send them.

use crate::api::form::{Form, Patch};
use serde_json::Value;

const EMBEDS: usize = 10;
/// Characters in all of a message's embeds together.
const EMBED_CHARACTERS: usize = 6000;

/// Checks the documented lengths and keeps the embeds as they are: clients read more fields than a server needs to know.
pub fn read(form: &Form) -> Patch<Vec<Value>> {
    let characters = std::cell::Cell::new(0);
    let count = |text: Patch<String>| characters.set(characters.get() + text.value().map_or(0, |text| text.chars().count()));
    let checked = form.list("embeds", EMBEDS, |embed| {
        count(embed.text("title", 0..=256));
        count(embed.text("description", 0..=4096));
        embed.object("author", |author| count(author.text("name", 0..=256)));
        embed.object("footer", |footer| count(footer.text("text", 0..=2048)));
        embed.list("fields", 25, |field| {
            for (key, length) in [("name", 1..=256), ("value", 1..=1024)] {
                let text = field.text(key, length);
                count(text.clone());
                field.required(key, text);
            }
        });
        embed.integer("color", 0..=0xFF_FFFF);
    });
    if characters.get() > EMBED_CHARACTERS {
        let message = format!("Embed size exceeds maximum size of {EMBED_CHARACTERS}");
        form.refuse("embeds", "MAX_EMBED_SIZE_EXCEEDED", &message);
    }
    checked.map(|_| {
        let mut embeds = form.raw("embeds").and_then(Value::as_array).cloned().unwrap_or_default();
        for embed in embeds.iter_mut().filter_map(Value::as_object_mut) {
            embed.insert("type".to_owned(), "rich".into());
        }
        embeds
    })
}
