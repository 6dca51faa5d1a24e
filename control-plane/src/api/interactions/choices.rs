//! What a user picked from a menu, held against the menu.

use super::resolved::Wanted;
use super::values::Picked;
use crate::api::components::{CHANNEL_SELECT, CHECKBOX_GROUP, MENTIONABLE_SELECT, ROLE_SELECT, STRING_SELECT, USER_SELECT};
use crate::api::form::Form;
use guildhall_protocol::Snowflake;
use serde_json::Value;

const INVALID: &str = "COMPONENT_VALUES_INVALID";

/// Whether components of this type have `values`.
pub const fn is_menu(kind: i64) -> bool {
    matches!(kind, STRING_SELECT | USER_SELECT | ROLE_SELECT | MENTIONABLE_SELECT | CHANNEL_SELECT)
}

/// Reads `values` for a menu or a group of boxes; the ids among them are kept.
pub fn read(form: &Form, component: &Value, ids: &Picked) -> Vec<String> {
    let values = form.words("values", 25).value().unwrap_or_default();
    let bound = |key: &str, default: u64| component[key].as_u64().unwrap_or(default) as usize;
    let is_left_empty = values.is_empty() && component["required"] == false;
    if !is_left_empty && !(bound("min_values", 1)..=bound("max_values", 1)).contains(&values.len()) {
        form.refuse("values", INVALID, "Too few or too many values");
    }
    let mut seen = std::collections::HashSet::new();
    if !values.iter().all(|value| seen.insert(value)) {
        form.refuse("values", INVALID, "A value can be chosen once");
    }
    let wanted = match component["type"].as_i64() {
        Some(USER_SELECT) => Wanted::User,
        Some(ROLE_SELECT) => Wanted::Role,
        Some(MENTIONABLE_SELECT) => Wanted::Mentionable,
        Some(CHANNEL_SELECT) => Wanted::Channel,
        Some(STRING_SELECT | CHECKBOX_GROUP) => {
            if !values.iter().all(|value| has_option(component, value)) {
                form.refuse("values", INVALID, "Value is not one of the options");
            }
            return values;
        }
        _ => return values,
    };
    for value in &values {
        match value.parse::<u64>().ok().filter(|id| i64::try_from(*id).is_ok()) {
            Some(id) => ids.push(wanted, Snowflake(id)),
            None => form.refuse("values", "NUMBER_TYPE_COERCE", "Value is not snowflake."),
        }
    }
    values
}

pub fn has_option(component: &Value, value: &str) -> bool {
    component["options"].as_array().is_some_and(|options| options.iter().any(|option| option["value"] == value))
}
