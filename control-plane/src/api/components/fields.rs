//! What single components consist of.

use super::{CHANNEL_SELECT, MENTIONABLE_SELECT, ROLE_SELECT, STRING_SELECT, USER_SELECT};
use crate::api::form::{Form, Patch};
use guildhall_protocol::Snowflake;
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

const CUSTOM_ID: RangeInclusive<usize> = 1..=100;
const OPTIONS: usize = 25;
/// Characters of a modal's text input.
pub const INPUT: i64 = 4000;
const CHANNEL_TYPES: &[u64] = &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16];

pub fn put(out: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    out.insert(key.to_owned(), value.into());
}

pub fn put_text(form: &Form, key: &str, length: RangeInclusive<usize>, out: &mut Map<String, Value>) {
    if let Some(text) = form.text(key, length).value() {
        put(out, key, text);
    }
}

pub fn put_flag(form: &Form, key: &str, out: &mut Map<String, Value>) {
    if let Some(flag) = form.flag(key).value() {
        put(out, key, flag);
    }
}

pub fn put_custom_id(form: &Form, out: &mut Map<String, Value>) {
    // Every character of it is the bot's, spaces too.
    put(out, "custom_id", form.required("custom_id", form.secret("custom_id", CUSTOM_ID)));
}

/// `min_…` and `max_…`, whose limits and defaults are given in this order.
pub fn put_range(
    form: &Form,
    what: &str,
    [least, most]: [RangeInclusive<i64>; 2],
    defaults: [i64; 2],
    out: &mut Map<String, Value>,
) {
    let (min, max) = (format!("min_{what}"), format!("max_{what}"));
    let least = form.integer(&min, least).value().unwrap_or(defaults[0]);
    let most = form.integer(&max, most).value().unwrap_or(defaults[1].max(least));
    if least > most {
        form.refuse(&max, "COMPONENT_RANGE_INVALID", "The maximum is smaller than the minimum");
    }
    put(out, &min, least);
    put(out, &max, most);
}

pub fn put_emoji(form: &Form, out: &mut Map<String, Value>) {
    let emoji = form.object("emoji", |emoji| {
        let id: Option<Snowflake> = emoji.id("id").value();
        let name = emoji.text("name", 0..=32).value();
        if id.is_none() && name.as_ref().is_none_or(String::is_empty) {
            emoji.refuse("name", "BASE_TYPE_REQUIRED", "This field is required");
        }
        let mut read = json!({ "name": name.unwrap_or_default() });
        if let Some(id) = id {
            read["id"] = json!(id);
            read["animated"] = emoji.flag("animated").value().unwrap_or(false).into();
        }
        read
    });
    if let Some(emoji) = emoji.value() {
        put(out, "emoji", emoji);
    }
}

pub fn read_select(form: &Form, kind: i64, is_in_modal: bool, out: &mut Map<String, Value>) {
    put_custom_id(form, out);
    put_text(form, "placeholder", 0..=150, out);
    put_range(form, "values", [0..=25, 1..=25], [1, 1], out);
    if is_in_modal {
        // In a modal an empty menu is what `required` is about, and it is never disabled.
        put(out, "required", form.flag("required").value().unwrap_or(true));
    } else {
        put(out, "disabled", form.flag("disabled").value().unwrap_or(false));
    }
    if kind == STRING_SELECT {
        put(out, "options", read_options(form, 1, OPTIONS));
        let count = out["options"].as_array().map_or(0, Vec::len) as i64;
        if out["max_values"].as_i64() > Some(count) && count > 0 {
            form.refuse("max_values", "COMPONENT_RANGE_INVALID", "There are fewer options than that");
        }
        return;
    }
    let targets: &[&str] = match kind {
        USER_SELECT => &["user"],
        ROLE_SELECT => &["role"],
        MENTIONABLE_SELECT => &["user", "role"],
        _ => &["channel"],
    };
    let defaults = form.list("default_values", OPTIONS, |form| {
        let target = form.required("type", form.text("type", 1..=20));
        if !target.is_empty() && !targets.contains(&target.as_str()) {
            form.refuse("type", "BASE_TYPE_CHOICES", &format!("Value must be one of {{{}}}.", targets.join(", ")));
        }
        let id: Snowflake = form.required("id", form.id("id"));
        json!({ "type": target, "id": id })
    });
    if let Some(defaults) = defaults.value().filter(|defaults| !defaults.is_empty()) {
        put(out, "default_values", defaults);
    }
    if kind == CHANNEL_SELECT
        && let Some(types) = form.raw("channel_types").filter(|types| !types.is_null())
    {
        let is_known = |kind: &Value| kind.as_u64().is_some_and(|kind| CHANNEL_TYPES.contains(&kind));
        if types.as_array().is_some_and(|types| types.len() <= CHANNEL_TYPES.len() && types.iter().all(is_known)) {
            put(out, "channel_types", types.clone());
        } else {
            form.refuse("channel_types", "BASE_TYPE_CHOICES", "Must be a list of channel types.");
        }
    }
}

/// The choices of a menu or a group, each value once.
pub fn read_options(form: &Form, least: usize, most: usize) -> Vec<Value> {
    let options = form.list("options", most, |form| {
        let mut option = Map::new();
        put(&mut option, "label", form.required("label", form.text("label", 1..=100)));
        put(&mut option, "value", form.required("value", form.secret("value", 1..=100)));
        put_text(form, "description", 0..=100, &mut option);
        put_flag(form, "default", &mut option);
        put_emoji(form, &mut option);
        Value::from(option)
    });
    if matches!(&options, Patch::Set(options) if options.len() < least) {
        form.refuse("options", "BASE_TYPE_BAD_LENGTH", &format!("Must be between {least} and {most} in length."));
    }
    let options = form.required("options", options);
    let mut values = std::collections::HashSet::new();
    if !options.iter().all(|option| values.insert(option["value"].as_str().unwrap_or_default())) {
        form.refuse("options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is already used");
    }
    options
}

/// `has_label`: it stands in an action row, with the label that a label component would have around it.
pub fn read_text_input(form: &Form, has_label: bool, out: &mut Map<String, Value>) {
    put_custom_id(form, out);
    put(out, "style", form.required("style", form.choice("style", &[1, 2])));
    let label = form.text("label", 1..=45);
    let label = if has_label { Some(form.required("label", label)) } else { label.value() };
    put(out, "label", json!(label));
    for (key, most) in [("placeholder", 100), ("value", INPUT as usize)] {
        put_text(form, key, 0..=most, out);
    }
    put(out, "required", form.flag("required").value().unwrap_or(true));
    let (least, most) = (form.integer("min_length", 0..=INPUT).value(), form.integer("max_length", 1..=INPUT).value());
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        form.refuse("max_length", "COMPONENT_RANGE_INVALID", "The maximum is smaller than the minimum");
    }
    put(out, "min_length", json!(least));
    put(out, "max_length", json!(most));
}

pub fn check_url(form: &Form, key: &str, url: &str, schemes: &[&str]) {
    let Some((scheme, rest)) = url.split_once("://") else {
        if !url.is_empty() {
            form.refuse(key, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
        }
        return;
    };
    if !schemes.contains(&scheme) {
        let list = schemes.iter().map(|scheme| format!("'{scheme}'")).collect::<Vec<_>>().join(", ");
        form.refuse(key, "URL_TYPE_INVALID_SCHEME", &format!("Scheme \"{scheme}\" must be one of ({list})."));
    } else if rest.is_empty() || url.chars().any(char::is_whitespace) {
        form.refuse(key, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
    }
}
