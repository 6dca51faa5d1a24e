//! The options that a user gave a command, held against what the command asks for.

use super::resolved::Wanted;
use crate::api::commands::options::{
    ATTACHMENT, BOOLEAN, CHANNEL, GROUP, INTEGER, MENTIONABLE, NUMBER, ROLE, STRING, SUBCOMMAND, USER,
};
use crate::api::form::Form;
use guildhall_protocol::Snowflake;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::HashMap;

/// A command has as many.
const OPTIONS: usize = 25;
const INVALID: &str = "INTERACTION_APPLICATION_COMMAND_OPTION_INVALID";

/// The ids among the values, in the order in which they came.
#[derive(Default)]
pub struct Picked {
    ids: RefCell<Vec<(Wanted, Snowflake)>>,
    /// The files that came along, by their numbers in the form.
    files: HashMap<u64, Snowflake>,
}

impl Picked {
    pub fn among(files: impl Iterator<Item = (u64, Snowflake)>) -> Self {
        Self { ids: RefCell::default(), files: files.collect() }
    }

    pub fn push(&self, wanted: Wanted, id: Snowflake) {
        self.ids.borrow_mut().push((wanted, id));
    }

    /// Picks a file by its number; its id, if it came along.
    pub fn file(&self, number: u64) -> Option<Snowflake> {
        let id = self.files.get(&number).copied()?;
        self.push(Wanted::File, id);
        Some(id)
    }

    pub fn into_ids(self) -> Vec<(Wanted, Snowflake)> {
        self.ids.into_inner()
    }
}

/// What is said of a number that no file has.
pub const NO_SUCH_FILE: &str = "No file came with this number.";

/// Reads `options`. While the user is still typing (`is_complete` is false) one option has the `focused` mark, and values are
/// passed on as far as they have been typed.
pub fn read(form: &Form, defined: &[Value], is_complete: bool, ids: &Picked) -> Vec<Value> {
    let options =
        form.list("options", OPTIONS, |option| read_option(option, defined, is_complete, ids)).value().unwrap_or_default();
    let mut names = std::collections::HashSet::new();
    if !options.iter().all(|option| names.insert(option["name"].as_str().unwrap_or_default())) {
        form.refuse("options", INVALID, "An option can be given once");
    }
    let is_nested = |option: &Value| option["type"] == SUBCOMMAND || option["type"] == GROUP;
    if defined.iter().any(is_nested) && options.len() != 1 {
        form.refuse("options", INVALID, "One subcommand must be chosen");
    }
    let missing = defined.iter().filter(|defined| is_complete && defined["required"] == true);
    for name in missing.filter_map(|defined| defined["name"].as_str()).filter(|name| !names.contains(name)) {
        form.refuse("options", "INTERACTION_APPLICATION_COMMAND_OPTION_MISSING", &format!("The option {name} is required"));
    }
    options
}

fn read_option(form: &Form, defined: &[Value], is_complete: bool, ids: &Picked) -> Value {
    let name = form.required("name", form.text("name", 1..=32));
    let kind = form.required("type", form.integer("type", 1..=ATTACHMENT));
    let Some(defined) = defined.iter().find(|defined| defined["name"] == name && defined["type"] == kind) else {
        form.refuse("name", INVALID, "The command has no such option");
        return Value::Null;
    };
    if kind == SUBCOMMAND || kind == GROUP {
        let inside = defined["options"].as_array().map(Vec::as_slice).unwrap_or_default();
        let options = read(form, inside, is_complete, ids);
        return json!({ "name": name, "type": kind, "options": options });
    }
    let mut option = Map::from_iter([("name".to_owned(), name.into()), ("type".to_owned(), kind.into())]);
    let value = if is_complete { read_value(form, kind, defined, ids) } else { read_draft(form) };
    option.insert("value".to_owned(), value);
    if !is_complete && form.flag("focused").value() == Some(true) {
        option.insert("focused".to_owned(), true.into());
    }
    option.into()
}

/// What has been typed so far, whatever it will become.
fn read_draft(form: &Form) -> Value {
    match form.raw("value") {
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.clone(),
        _ => form.secret("value", 0..=6000).value().unwrap_or_default().into(),
    }
}

fn read_value(form: &Form, kind: i64, defined: &Value, ids: &Picked) -> Value {
    let id = |wanted: Wanted| {
        let id: Snowflake = form.required("value", form.id("value"));
        ids.push(wanted, id);
        json!(id)
    };
    let value = match kind {
        STRING => {
            let least = defined["min_length"].as_u64().unwrap_or(0) as usize;
            let most = defined["max_length"].as_u64().unwrap_or(6000) as usize;
            form.required("value", form.secret("value", least..=most)).into()
        }
        INTEGER => {
            let bound = |key: &str| defined[key].as_i64();
            let (least, most) = (bound("min_value").unwrap_or(-MOST), bound("max_value").unwrap_or(MOST));
            form.required("value", form.integer("value", least..=most)).into()
        }
        NUMBER => read_number(form, defined),
        BOOLEAN => form.required("value", form.flag("value")).into(),
        USER => return id(Wanted::User),
        ROLE => return id(Wanted::Role),
        MENTIONABLE => return id(Wanted::Mentionable),
        CHANNEL => return id(Wanted::Channel),
        _ => {
            let number: Snowflake = form.required("value", form.id("value"));
            let id = ids.file(number.0);
            if id.is_none() {
                form.refuse("value", INVALID, NO_SUCH_FILE);
            }
            return json!(id);
        }
    };
    let choices = defined["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_choice = |choice: &Value| choice["value"] == value || (kind == NUMBER && choice["value"].as_f64() == value.as_f64());
    if !choices.is_empty() && !choices.iter().any(is_choice) {
        form.refuse("value", INVALID, "Value is not one of the choices");
    }
    value
}

/// What a JavaScript number holds exactly.
const MOST: i64 = 9_007_199_254_740_991;

fn read_number(form: &Form, defined: &Value) -> Value {
    let value = form.raw("value").filter(|value| value.is_number()).cloned();
    let Some(number) = value.as_ref().and_then(Value::as_f64) else {
        form.refuse("value", "NUMBER_TYPE_COERCE", "Value is not float.");
        return Value::Null;
    };
    let bound = |key: &str| defined[key].as_f64();
    if bound("min_value").is_some_and(|least| number < least) {
        form.refuse("value", "NUMBER_TYPE_MIN", "Value is smaller than the option allows.");
    }
    if bound("max_value").is_some_and(|most| number > most) {
        form.refuse("value", "NUMBER_TYPE_MAX", "Value is larger than the option allows.");
    }
    value.unwrap_or_default()
}
