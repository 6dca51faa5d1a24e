//! Components: buttons, menus and layout below or instead of a message's text, and the fields of a modal.
//!
//! [`read`] checks the tree as documented and writes every component in the form that is answered: defaults filled in, ids
//! given. Who may send components at all is their sender's matter.

mod fields;
#[cfg(test)]
mod tests;

use super::form::{Errors, Form, Patch};
pub use fields::INPUT;
use fields::{put, put_flag, put_text};
use guildhall_protocol::Snowflake;
use guildhall_protocol::model::Attachment;
use serde_json::{Map, Value, json};
use std::cell::Cell;

/// Components in all of a message, nested ones included.
const COMPONENTS: usize = 40;
/// Action rows of a message that is not all components.
const ROWS: usize = 5;
/// Characters in all the text displays of a message.
const TEXT: usize = 4000;
const BUTTONS: usize = 5;
const GALLERY: usize = 10;
/// The message flag that makes a message all components.
pub const IS_COMPONENTS_V2: u32 = 1 << 15;

pub const ROW: i64 = 1;
pub const BUTTON: i64 = 2;
pub const STRING_SELECT: i64 = 3;
pub const TEXT_INPUT: i64 = 4;
pub const USER_SELECT: i64 = 5;
pub const ROLE_SELECT: i64 = 6;
pub const MENTIONABLE_SELECT: i64 = 7;
pub const CHANNEL_SELECT: i64 = 8;
const SECTION: i64 = 9;
const TEXT_DISPLAY: i64 = 10;
const THUMBNAIL: i64 = 11;
const GALLERY_KIND: i64 = 12;
const FILE: i64 = 13;
const SEPARATOR: i64 = 14;
const CONTAINER: i64 = 17;
const LABEL: i64 = 18;
pub const FILE_UPLOAD: i64 = 19;
pub const RADIO_GROUP: i64 = 21;
pub const CHECKBOX_GROUP: i64 = 22;
pub const CHECKBOX: i64 = 23;

/// What holds a component, and so which may be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    MessageRow,
    Section,
    Accessory,
    Container,
    Modal,
    ModalRow,
    Label,
}

impl Place {
    const fn kinds(self) -> &'static [i64] {
        match self {
            Self::Message => &[ROW, SECTION, TEXT_DISPLAY, GALLERY_KIND, FILE, SEPARATOR, CONTAINER],
            Self::MessageRow => &[BUTTON, STRING_SELECT, USER_SELECT, ROLE_SELECT, MENTIONABLE_SELECT, CHANNEL_SELECT],
            Self::Section => &[TEXT_DISPLAY],
            Self::Accessory => &[BUTTON, THUMBNAIL],
            Self::Container => &[ROW, SECTION, TEXT_DISPLAY, GALLERY_KIND, FILE, SEPARATOR],
            Self::Modal => &[ROW, TEXT_DISPLAY, LABEL],
            Self::ModalRow => &[TEXT_INPUT],
            Self::Label => &[
                STRING_SELECT,
                TEXT_INPUT,
                USER_SELECT,
                ROLE_SELECT,
                MENTIONABLE_SELECT,
                CHANNEL_SELECT,
                FILE_UPLOAD,
                RADIO_GROUP,
                CHECKBOX_GROUP,
                CHECKBOX,
            ],
        }
    }

    const fn is_in_modal(self) -> bool {
        matches!(self, Self::Modal | Self::ModalRow | Self::Label)
    }
}

/// What is counted over a whole tree.
#[derive(Default)]
struct Tally {
    components: Cell<usize>,
    characters: Cell<usize>,
}

/// The components of a message. Whether they need [`IS_COMPONENTS_V2`] is asked by [`check_kind`], once that is known.
pub fn read(form: &Form) -> Patch<Vec<Value>> {
    read_tree(form, Place::Message)
}

/// The components of a modal.
pub fn read_modal(form: &Form) -> Vec<Value> {
    let components = read_tree(form, Place::Modal);
    if matches!(&components, Patch::Set(list) if list.is_empty()) {
        form.refuse("components", "BASE_TYPE_BAD_LENGTH", &format!("Must be between 1 and {COMPONENTS} in length."));
    }
    form.required("components", components)
}

fn read_tree(form: &Form, place: Place) -> Patch<Vec<Value>> {
    let tally = Tally::default();
    let components = read_list(form, "components", COMPONENTS, place, &tally);
    if tally.components.get() > COMPONENTS {
        let message = format!("The total number of components must be {COMPONENTS} or fewer.");
        form.refuse("components", "COMPONENT_MAX_TOTAL_COUNT", &message);
    }
    if tally.characters.get() > TEXT {
        let message = format!("The total text of components must be {TEXT} or fewer in length.");
        form.refuse("components", "COMPONENT_MAX_TOTAL_TEXT_SIZE", &message);
    }
    components.map(|mut components| {
        let mut ids = Vec::new();
        let mut custom_ids = Vec::new();
        visit(&mut components, &mut |component| {
            ids.extend(component["id"].as_i64());
            custom_ids.extend(component["custom_id"].as_str().map(str::to_owned));
        });
        if has_duplicates(&mut custom_ids) {
            form.refuse("components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated");
        }
        if has_duplicates(&mut ids) {
            form.refuse("components", "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated");
        }
        let mut free = (1..).filter(|id| !ids.contains(id));
        visit(&mut components, &mut |component| {
            if component["id"].is_null() {
                component["id"] = json!(free.next());
            }
        });
        components
    })
}

fn has_duplicates<T: Ord>(list: &mut [T]) -> bool {
    list.sort_unstable();
    list.windows(2).any(|pair| pair[0] == pair[1])
}

/// Every component of a tree, a parent before its children.
fn visit(components: &mut [Value], each: &mut impl FnMut(&mut Value)) {
    for component in components.iter_mut().filter(|component| component.is_object()) {
        each(component);
        for key in ["components", "component", "accessory"] {
            match component.get_mut(key) {
                Some(Value::Array(children)) => visit(children, each),
                Some(child) if child.is_object() => visit(std::slice::from_mut(child), each),
                _ => {}
            }
        }
    }
}

fn read_list(form: &Form, key: &str, most: usize, place: Place, tally: &Tally) -> Patch<Vec<Value>> {
    form.list(key, most, |form| read_component(form, place, tally))
}

fn read_component(form: &Form, place: Place, tally: &Tally) -> Value {
    tally.components.set(tally.components.get() + 1);
    let kind = form.required("type", form.choice("type", place.kinds()));
    let mut out = Map::new();
    out.insert("type".to_owned(), kind.into());
    // 0 asks for one, as null does.
    let id = form.integer("id", 0..=i64::from(i32::MAX)).value().filter(|id| *id != 0);
    out.insert("id".to_owned(), json!(id));
    match kind {
        ROW => read_row(form, place, tally, &mut out),
        BUTTON => read_button(form, &mut out),
        STRING_SELECT | USER_SELECT | ROLE_SELECT | MENTIONABLE_SELECT | CHANNEL_SELECT => {
            fields::read_select(form, kind, place.is_in_modal(), &mut out);
        }
        TEXT_INPUT => fields::read_text_input(form, place == Place::ModalRow, &mut out),
        SECTION => {
            out.insert("components".to_owned(), read_some(form, 3, Place::Section, tally));
            let accessory = form.object("accessory", |form| read_component(form, Place::Accessory, tally));
            out.insert("accessory".to_owned(), form.required("accessory", accessory));
        }
        TEXT_DISPLAY => {
            let content = form.required("content", form.text("content", 1..=TEXT));
            tally.characters.set(tally.characters.get() + content.chars().count());
            out.insert("content".to_owned(), content.into());
        }
        THUMBNAIL => read_media(form, "media", &mut out),
        GALLERY_KIND => {
            let items = form.list("items", GALLERY, |form| {
                let mut item = Map::new();
                read_media(form, "media", &mut item);
                Value::from(item)
            });
            if matches!(&items, Patch::Set(items) if items.is_empty()) {
                form.refuse("items", "BASE_TYPE_BAD_LENGTH", &format!("Must be between 1 and {GALLERY} in length."));
            }
            out.insert("items".to_owned(), form.required("items", items).into());
        }
        FILE => {
            read_media(form, "file", &mut out);
            out.remove("description");
            out.insert("name".to_owned(), Value::Null);
            out.insert("size".to_owned(), Value::Null);
        }
        SEPARATOR => {
            out.insert("spacing".to_owned(), form.choice("spacing", &[1, 2]).value().unwrap_or(1).into());
            out.insert("divider".to_owned(), form.flag("divider").value().unwrap_or(true).into());
        }
        CONTAINER => {
            out.insert("accent_color".to_owned(), json!(form.integer("accent_color", 0..=0xFF_FFFF).value()));
            out.insert("spoiler".to_owned(), form.flag("spoiler").value().unwrap_or(false).into());
            out.insert("components".to_owned(), read_some(form, COMPONENTS, Place::Container, tally));
        }
        LABEL => {
            out.insert("label".to_owned(), form.required("label", form.text("label", 1..=45)).into());
            put_text(form, "description", 1..=100, &mut out);
            let component = form.object("component", |form| read_component(form, Place::Label, tally));
            out.insert("component".to_owned(), form.required("component", component));
        }
        FILE_UPLOAD => {
            fields::put_custom_id(form, &mut out);
            fields::put_range(form, "values", [0..=10, 1..=10], [1, 1], &mut out);
            put_flag(form, "required", &mut out);
        }
        RADIO_GROUP | CHECKBOX_GROUP => {
            fields::put_custom_id(form, &mut out);
            if kind == CHECKBOX_GROUP {
                fields::put_range(form, "values", [0..=10, 1..=10], [1, 10], &mut out);
            }
            put_flag(form, "required", &mut out);
            let least = if kind == RADIO_GROUP { 2 } else { 1 };
            put(&mut out, "options", fields::read_options(form, least, 10));
        }
        CHECKBOX => {
            fields::put_custom_id(form, &mut out);
            put_flag(form, "default", &mut out);
        }
        // Refused already.
        _ => {}
    }
    out.into()
}

/// A list that may not be empty.
fn read_some(form: &Form, most: usize, place: Place, tally: &Tally) -> Value {
    let components = read_list(form, "components", most, place, tally);
    if matches!(&components, Patch::Set(list) if list.is_empty()) {
        form.refuse("components", "BASE_TYPE_BAD_LENGTH", &format!("Must be between 1 and {most} in length."));
    }
    form.required("components", components).into()
}

/// Up to five buttons, or one menu; in a modal one text input.
fn read_row(form: &Form, place: Place, tally: &Tally, out: &mut Map<String, Value>) {
    let inside = if place == Place::Modal { Place::ModalRow } else { Place::MessageRow };
    let children = read_some(form, BUTTONS, inside, tally);
    let list = children.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.len() > 1 && list.iter().any(|child| child["type"] != BUTTON) {
        let message = "A row holds up to five buttons, or one component of another type.";
        form.refuse("components", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", message);
    }
    out.insert("components".to_owned(), children);
}

fn read_button(form: &Form, out: &mut Map<String, Value>) {
    const LINK: i64 = 5;
    const PREMIUM: i64 = 6;
    let style = form.required("style", form.choice("style", &[1, 2, 3, 4, LINK, PREMIUM]));
    out.insert("style".to_owned(), style.into());
    put_flag(form, "disabled", out);
    let (wanted, refused): (&str, &[&str]) = match style {
        LINK => ("url", &["custom_id", "sku_id"]),
        PREMIUM => ("sku_id", &["custom_id", "url", "label", "emoji"]),
        _ => ("custom_id", &["url", "sku_id"]),
    };
    for key in refused.iter().filter(|key| form.has_content(key)) {
        form.refuse(key, "BUTTON_COMPONENT_FIELD_INVALID", &format!("A button of this style cannot have {key}"));
    }
    match wanted {
        "url" => {
            let url = form.required("url", form.text("url", 1..=512));
            fields::check_url(form, "url", &url, &["http", "https", "discord"]);
            out.insert("url".to_owned(), url.into());
        }
        "sku_id" => {
            let sku: Snowflake = form.required("sku_id", form.id("sku_id"));
            out.insert("sku_id".to_owned(), json!(sku));
        }
        _ => fields::put_custom_id(form, out),
    }
    if style != PREMIUM {
        put_text(form, "label", 0..=80, out);
        fields::put_emoji(form, out);
        let has_label = out.get("label").is_some_and(|label| label != "");
        if !has_label && !out.contains_key("emoji") {
            form.refuse("label", "BASE_TYPE_REQUIRED", "A button needs a label or an emoji");
        }
    }
}

fn read_media(form: &Form, key: &str, out: &mut Map<String, Value>) {
    let schemes: &[&str] = if key == "file" { &["attachment"] } else { &["http", "https", "attachment"] };
    let media = form.object(key, |media| {
        let url = media.required("url", media.text("url", 1..=2048));
        fields::check_url(media, "url", &url, schemes);
        json!({ "url": url })
    });
    out.insert(key.to_owned(), form.required(key, media));
    out.insert("description".to_owned(), json!(form.text("description", 1..=1024).value()));
    out.insert("spoiler".to_owned(), form.flag("spoiler").value().unwrap_or(false).into());
}

/// Refuses what a message of this kind cannot hold: without the flag only a few action rows.
pub fn check_kind(components: &[Value], is_v2: bool) -> Result<(), Errors> {
    if is_v2 {
        return Ok(());
    }
    if let Some(place) = components.iter().position(|component| component["type"] != ROW) {
        let message = format!("Value of field \"type\" must be one of ({ROW},).");
        return Err(Errors::at(&["components", &place.to_string(), "type"], "UNION_TYPE_CHOICES", &message));
    }
    if components.len() > ROWS {
        return Err(Errors::of("components", "BASE_TYPE_BAD_LENGTH", &format!("Must be between 1 and {ROWS} in length.")));
    }
    Ok(())
}

/// Refuses texts beside a message that is all components.
pub fn check_alone(has_content: bool, has_embeds: bool) -> Result<(), Errors> {
    for (field, is_there) in [("content", has_content), ("embeds", has_embeds)] {
        if is_there {
            let message = format!("The '{field}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2");
            return Err(Errors::of(field, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", &message));
        }
    }
    Ok(())
}

/// Gives every picture and file of the tree its id, and those that name one of the message's attachments its address.
/// Refuses a name that no attachment has.
pub fn resolve_media(
    components: &mut [Value],
    attachments: &[Attachment],
    mut make_id: impl FnMut() -> Snowflake,
) -> Result<(), Errors> {
    let attachments: Vec<Value> = attachments.iter().map(|attachment| json!(attachment)).collect();
    let mut is_missing = false;
    let mut resolve = |media: &mut Value| -> Option<Value> {
        let url = media["url"].as_str().unwrap_or_default().to_owned();
        let found = match url.strip_prefix("attachment://") {
            Some(name) => {
                let found = attachments.iter().find(|attachment| attachment["filename"] == name);
                is_missing |= found.is_none();
                found
            }
            None => None,
        };
        let from = |key: &str| found.map_or(Value::Null, |attachment| attachment[key].clone());
        *media = json!({
            "id": make_id(),
            "url": found.map_or(json!(url), |_| from("url")),
            "proxy_url": found.map_or(json!(url), |_| from("proxy_url")),
            "width": from("width"),
            "height": from("height"),
            "content_type": from("content_type"),
        });
        if let Some(attachment) = found {
            media["attachment_id"] = attachment["id"].clone();
        }
        found.cloned()
    };
    visit(components, &mut |component| {
        if let Some(media) = component.get_mut("media") {
            resolve(media);
        }
        for item in component.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            resolve(&mut item["media"]);
        }
        if component["type"] == FILE
            && let Some(attachment) = component.get_mut("file").and_then(&mut resolve)
        {
            component["name"] = attachment["filename"].clone();
            component["size"] = attachment["size"].clone();
        }
    });
    if is_missing {
        let code = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND";
        return Err(Errors::of("components", code, "The referenced attachment is not part of the message"));
    }
    Ok(())
}

/// The component of this custom id that someone can use, if the tree has it.
pub fn find<'a>(components: &'a [Value], custom_id: &str) -> Option<&'a Value> {
    components.iter().find_map(|component| {
        if component["custom_id"] == custom_id {
            return Some(component);
        }
        let children = component["components"].as_array().map(Vec::as_slice).unwrap_or_default();
        let single = ["component", "accessory"].into_iter().filter_map(|key| component.get(key));
        find(children, custom_id).or_else(|| single.into_iter().find_map(|child| find(std::slice::from_ref(child), custom_id)))
    })
}
