//! What a user filled into a modal, held against the modal.

use super::choices;
use super::values::{NO_SUCH_FILE, Picked};
use crate::api::components::{self, CHECKBOX, CHECKBOX_GROUP, FILE_UPLOAD, RADIO_GROUP, ROW, TEXT_INPUT};
use crate::api::form::Form;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;

/// A modal has as many.
const COMPONENTS: usize = 40;

/// Reads `components` of a submission, and answers with them in the form that the bot is sent: in the modal's order.
pub fn read(form: &Form, modal: &Value, ids: &Picked) -> Vec<Value> {
    let shown = modal["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let filled = RefCell::new(HashMap::new());
    let read_one = |field: &Form| read_field(field, shown, ids, &filled);
    form.list("components", COMPONENTS, |row| {
        row.list("components", 1, read_one);
        row.object("component", read_one);
    });
    let filled = filled.into_inner();
    let mut fill = |component: &Value| {
        let custom_id = component["custom_id"].as_str().unwrap_or_default();
        let answer = filled.get(custom_id).cloned().unwrap_or_else(|| empty(component));
        if is_required(component) && is_empty(&answer) {
            form.refuse(custom_id, "BASE_TYPE_REQUIRED", "This field is required");
        }
        answer
    };
    let fill_top = |component: &Value| match (component["type"].as_i64(), component.get("component")) {
        (Some(ROW), _) => {
            let fields = component["components"].as_array().into_iter().flatten().map(&mut fill).collect::<Vec<_>>();
            json!({ "type": ROW, "id": component["id"], "components": fields })
        }
        (kind, Some(field)) => json!({ "type": kind, "id": component["id"], "component": fill(field) }),
        (kind, None) => json!({ "type": kind, "id": component["id"] }),
    };
    shown.iter().map(fill_top).collect()
}

fn is_required(component: &Value) -> bool {
    // A box is ticked or not: both are answers.
    component["required"] != false && component["type"] != CHECKBOX
}

fn is_empty(answer: &Value) -> bool {
    let is_nothing = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    is_nothing(answer.get("value").or(answer.get("values")).unwrap_or(&Value::Null))
}

fn answer(component: &Value, key: &str, value: Value) -> Value {
    let mut answer = json!({ "type": component["type"], "id": component["id"], "custom_id": component["custom_id"] });
    answer[key] = value;
    answer
}

/// What a field that was not sent counts as.
fn empty(component: &Value) -> Value {
    match component["type"].as_i64() {
        Some(TEXT_INPUT) => answer(component, "value", "".into()),
        Some(RADIO_GROUP) => answer(component, "value", Value::Null),
        Some(CHECKBOX) => answer(component, "value", false.into()),
        _ => answer(component, "values", json!([])),
    }
}

fn read_field(form: &Form, shown: &[Value], ids: &Picked, filled: &RefCell<HashMap<String, Value>>) {
    let custom_id = form.required("custom_id", form.secret("custom_id", 1..=100));
    let Some(component) = components::find(shown, &custom_id) else {
        form.refuse("custom_id", "MODAL_COMPONENT_UNKNOWN", "The modal has no such component");
        return;
    };
    let read = match component["type"].as_i64() {
        Some(TEXT_INPUT) => answer(component, "value", read_text(form, component).into()),
        Some(RADIO_GROUP) => {
            let value = form.secret("value", 0..=100).value();
            if value.as_ref().is_some_and(|value| !choices::has_option(component, value)) {
                form.refuse("value", "COMPONENT_VALUES_INVALID", "Value is not one of the options");
            }
            answer(component, "value", json!(value))
        }
        Some(CHECKBOX) => answer(component, "value", form.flag("value").value().unwrap_or(false).into()),
        Some(FILE_UPLOAD) => {
            let numbers = choices::read(form, component, ids);
            let files: Vec<_> = numbers.iter().filter_map(|number| ids.file(number.parse().ok()?)).collect();
            if files.len() < numbers.len() {
                form.refuse("values", "COMPONENT_VALUES_INVALID", NO_SUCH_FILE);
            }
            answer(component, "values", json!(files))
        }
        Some(kind) if choices::is_menu(kind) || kind == CHECKBOX_GROUP => {
            answer(component, "values", json!(choices::read(form, component, ids)))
        }
        _ => return,
    };
    filled.borrow_mut().insert(custom_id, read);
}

fn read_text(form: &Form, component: &Value) -> String {
    let least = component["min_length"].as_u64().unwrap_or(0) as usize;
    let most = component["max_length"].as_u64().unwrap_or(components::INPUT as u64) as usize;
    let is_left_empty = !form.has_content("value") || form.raw("value") == Some(&Value::from(""));
    // Nothing at all is what `required` is about.
    if is_left_empty { String::new() } else { form.secret("value", least..=most).value().unwrap_or_default() }
}
