//! The options of a typed command: a tree of at most three levels (groups, subcommands, values).

use super::definition::{is_typed_name, longest, read_localizations, read_name};
use crate::api::form::Form;
use serde_json::{Map, Value, json};

pub const NAME: usize = 32;
const OPTIONS: usize = 25;
const CHOICES: usize = 25;
const TEXT: usize = 100;
const CHOICE_VALUE: usize = 6000;
/// What a JavaScript number holds exactly.
const INTEGERS: std::ops::RangeInclusive<i64> = -9_007_199_254_740_991..=9_007_199_254_740_991;

pub const SUBCOMMAND: i64 = 1;
pub const GROUP: i64 = 2;
pub const STRING: i64 = 3;
pub const INTEGER: i64 = 4;
pub const BOOLEAN: i64 = 5;
pub const USER: i64 = 6;
pub const CHANNEL: i64 = 7;
pub const ROLE: i64 = 8;
pub const MENTIONABLE: i64 = 9;
pub const NUMBER: i64 = 10;
pub const ATTACHMENT: i64 = 11;
const KINDS: &[i64] = &[SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT];
/// The channel types that an option may be restricted to.
const CHANNEL_TYPES: &[u64] = &[0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 16];

/// Where in the tree a list of options stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Command,
    Group,
    Subcommand,
}

/// The checked options of a command, without what nobody documents.
pub fn read(form: &Form) -> Vec<Value> {
    read_list(form, Level::Command)
}

fn read_list(form: &Form, level: Level) -> Vec<Value> {
    let options = form.list("options", OPTIONS, |option| read_option(option, level)).value().unwrap_or_default();
    let kind = |option: &Value| option["type"].as_i64().unwrap_or(STRING);
    let mut names = std::collections::HashSet::new();
    for option in &options {
        if !names.insert(option["name"].as_str().unwrap_or_default()) {
            form.refuse("options", "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option names must be unique");
        }
    }
    let nested = options.iter().filter(|option| matches!(kind(option), SUBCOMMAND | GROUP)).count();
    if nested != 0 && nested != options.len() {
        let message = "Sub-command and sub-command group option types are mutually exclusive to all other types";
        form.refuse("options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
    let is_required = |option: &Value| option["required"] == true;
    if options.windows(2).any(|pair| !is_required(&pair[0]) && is_required(&pair[1])) {
        let message = "Required options must be placed before non-required options";
        form.refuse("options", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message);
    }
    options
}

fn read_option(form: &Form, level: Level) -> Value {
    let kind = form.required("type", form.choice("type", KINDS));
    let may_be_here = match kind {
        GROUP => level == Level::Command,
        SUBCOMMAND => level != Level::Subcommand,
        _ => level != Level::Group,
    };
    if !may_be_here {
        form.refuse("type", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "An option of this type cannot be nested here");
    }
    let mut option = Map::new();
    option.insert("type".to_owned(), kind.into());
    option.insert("name".to_owned(), read_name(form, is_typed_name).into());
    let names = read_localizations(form, "name_localizations", NAME, is_typed_name);
    option.insert("name_localizations".to_owned(), json!(names));
    option.insert("description".to_owned(), form.required("description", form.text("description", 1..=TEXT)).into());
    let descriptions = read_localizations(form, "description_localizations", TEXT, |_| true);
    option.insert("description_localizations".to_owned(), json!(descriptions));
    match kind {
        GROUP if level == Level::Command => {
            option.insert("options".to_owned(), read_list(form, Level::Group).into());
        }
        SUBCOMMAND if level != Level::Subcommand => {
            option.insert("options".to_owned(), read_list(form, Level::Subcommand).into());
        }
        _ => read_value_rules(form, kind, &mut option),
    }
    option.into()
}

/// What an option says about its value.
fn read_value_rules(form: &Form, kind: i64, option: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| option.insert(key.to_owned(), value);
    if let Some(required) = form.flag("required").value() {
        put("required", required.into());
    }
    match kind {
        STRING => {
            let (least, most) = (form.integer("min_length", 0..=6000).value(), form.integer("max_length", 1..=6000).value());
            least.map(|least| put("min_length", least.into()));
            most.map(|most| put("max_length", most.into()));
            refuse_reversed(form, "max_length", least.map(|n| n as f64), most.map(|n| n as f64));
        }
        INTEGER | NUMBER => {
            let bound = |key: &str| {
                if kind == INTEGER { form.integer(key, INTEGERS).value().map(Value::from) } else { read_number(form, key) }
            };
            let (least, most) = (bound("min_value"), bound("max_value"));
            refuse_reversed(form, "max_value", least.as_ref().and_then(Value::as_f64), most.as_ref().and_then(Value::as_f64));
            least.map(|least| put("min_value", least));
            most.map(|most| put("max_value", most));
        }
        CHANNEL => {
            if let Some(types) = read_channel_types(form) {
                put("channel_types", types);
            }
            return;
        }
        _ => return,
    }
    let choices = form.list("choices", CHOICES, |choice| read_choice(choice, kind)).value().unwrap_or_default();
    let mut names = std::collections::HashSet::new();
    if !choices.iter().all(|choice| names.insert(choice["name"].as_str().unwrap_or_default())) {
        form.refuse(
            "choices",
            "APPLICATION_COMMAND_OPTIONS_CHOICES_NAME_ALREADY_EXISTS",
            "Option choices must have unique names",
        );
    }
    let autocompletes = form.flag("autocomplete").value();
    if autocompletes == Some(true) && !choices.is_empty() {
        let message = "Option cannot have both choices and autocomplete";
        form.refuse("autocomplete", "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES", message);
    }
    if let Some(autocompletes) = autocompletes {
        put("autocomplete", autocompletes.into());
    }
    if !choices.is_empty() {
        put("choices", choices.into());
    }
}

fn refuse_reversed(form: &Form, key: &str, least: Option<f64>, most: Option<f64>) {
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        form.refuse(key, "APPLICATION_COMMAND_OPTIONS_RANGE_INVALID", "The maximum is smaller than the minimum");
    }
}

fn read_number(form: &Form, key: &str) -> Option<Value> {
    let value = form.raw(key).filter(|value| !value.is_null())?;
    let is_fine = value.as_f64().is_some_and(|number| number.abs() <= *INTEGERS.end() as f64);
    if !is_fine {
        form.refuse(key, "NUMBER_TYPE_COERCE", "Value is not float.");
    }
    is_fine.then(|| value.clone())
}

fn read_choice(form: &Form, kind: i64) -> Value {
    let value = match kind {
        STRING => form.text("value", 0..=CHOICE_VALUE).value().map(Value::from),
        INTEGER => form.integer("value", INTEGERS).value().map(Value::from),
        _ => read_number(form, "value"),
    };
    if value.is_none() && !form.has_content("value") {
        form.refuse("value", "BASE_TYPE_REQUIRED", "This field is required");
    }
    json!({
        "name": form.required("name", form.text("name", 1..=TEXT)),
        "name_localizations": read_localizations(form, "name_localizations", TEXT, |_| true),
        "value": value,
    })
}

fn read_channel_types(form: &Form) -> Option<Value> {
    let types = form.raw("channel_types").filter(|value| !value.is_null())?;
    let is_known = |kind: &Value| kind.as_u64().is_some_and(|kind| CHANNEL_TYPES.contains(&kind));
    if types.as_array().is_some_and(|types| types.len() <= CHANNEL_TYPES.len() && types.iter().all(is_known)) {
        return Some(types.clone());
    }
    form.refuse("channel_types", "BASE_TYPE_CHOICES", "Must be a list of channel types.");
    None
}

/// What counts towards a command's size.
pub fn characters(options: &[Value]) -> usize {
    let own = |object: &Value, key: &str| {
        let translations = object[format!("{key}_localizations")].as_object();
        longest(object[key].as_str().unwrap_or_default(), translations)
    };
    let list = |object: &Value, key: &str| object[key].as_array().cloned().unwrap_or_default();
    let choice = |choice: &Value| own(choice, "name") + choice["value"].as_str().map_or(0, |value| value.chars().count());
    let option = |option: &Value| {
        let choices: usize = list(option, "choices").iter().map(choice).sum();
        own(option, "name") + own(option, "description") + choices + characters(&list(option, "options"))
    };
    options.iter().map(option).sum()
}
