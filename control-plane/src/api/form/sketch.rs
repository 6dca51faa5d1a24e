//! Draws what a shape reads instead of reading it: the same calls that read a body tell the reference its fields and limits.
//!
//! A drawing is a JSON Schema. The shape sees an empty input, so what it reads only when something else was sent stays out.

use super::{Errors, Form, Shape};
use serde_json::{Map, Value, json};
use std::cell::RefCell;

/// Components hold components, options hold options: below this the reference says only that there is more.
const DEPTH: usize = 4;

/// One object, as far as it is drawn.
#[derive(Default)]
pub struct Sketch {
    properties: RefCell<Map<String, Value>>,
    required: RefCell<Vec<String>>,
    depth: usize,
}

impl Sketch {
    pub fn note(&self, key: &str, schema: Value) {
        let mut properties = self.properties.borrow_mut();
        let known = properties.entry(key).or_insert_with(|| json!({}));
        if known.as_object().is_some_and(Map::is_empty) {
            *known = schema;
        }
    }

    pub fn require(&self, key: &str) {
        let mut required = self.required.borrow_mut();
        if !required.iter().any(|known| known == key) {
            required.push(key.to_owned());
        }
    }

    fn into_schema(self) -> Value {
        let mut schema = json!({ "type": "object", "properties": self.properties.into_inner() });
        let required = self.required.into_inner();
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema
    }
}

/// The JSON Schema of what the type is read from.
pub fn schema<T: Shape>() -> Value {
    draw(0, |form| drop(T::read(form)))
}

pub fn snowflake() -> Value {
    json!({ "type": "string", "format": "snowflake" })
}

fn draw(depth: usize, read: impl FnOnce(&Form)) -> Value {
    if depth > DEPTH {
        return json!({ "type": "object" });
    }
    let sketch = Sketch { depth, ..Sketch::default() };
    // What is refused for want of an input is of no interest.
    let (errors, nothing) = (RefCell::new(Errors::default()), Map::new());
    read(&Form { fields: Some(&nothing), path: Vec::new(), errors: &errors, sketch: Some(&sketch) });
    sketch.into_schema()
}

impl Form<'_> {
    /// A nested object.
    pub(super) fn draw(&self, read: impl FnOnce(&Form)) -> Value {
        draw(self.sketch.map_or(0, |sketch| sketch.depth + 1), read)
    }

    pub(super) fn note_list(&self, key: &str, most: usize, items: impl FnOnce() -> Value) {
        self.note(key, || json!({ "type": "array", "maxItems": most, "items": items() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node;

    impl Shape for Node {
        fn read(form: &Form) -> Self {
            form.required("name", form.text("name", 1..=9));
            form.choice("kind", &[1, 2]);
            form.raw("free");
            form.list("children", 5, Node::read);
            Self
        }
    }

    #[test]
    fn a_drawing_names_fields_limits_and_what_is_required_and_ends() {
        let schema = schema::<Node>();
        assert_eq!(schema["required"], json!(["name"]));
        assert_eq!(schema["properties"]["name"], json!({ "type": "string", "minLength": 1, "maxLength": 9 }));
        assert_eq!(schema["properties"]["kind"], json!({ "type": "integer", "enum": [1, 2] }));
        assert_eq!(schema["properties"]["free"], json!({}));
        assert_eq!(schema["properties"]["children"]["maxItems"], 5);
        let deepest = schema.pointer(&"/properties/children/items".repeat(DEPTH + 1));
        assert_eq!(deepest, Some(&json!({ "type": "object" })), "a shape that holds itself is drawn to a depth");
    }
}
