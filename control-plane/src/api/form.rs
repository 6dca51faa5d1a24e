//! Reads JSON bodies and query strings field by field and collects everything that is wrong with them.
//!
//! A pure reader: lenient about what does not matter (unknown fields, numbers as strings, `null` for absent), exact about
//! the rest. What is wrong ends up in the tree of error 50035, where a leaf is `{"_errors": [{code, message}]}` and an array
//! element goes by its index.

mod sketch;

use guildhall_protocol::{Permissions, Snowflake};
use serde_json::{Map, Value, json};
use sketch::Sketch;
pub use sketch::schema;
use std::cell::RefCell;
use std::ops::RangeInclusive;

/// One object of the input, and where it lies in it.
pub struct Form<'a> {
    fields: Option<&'a Map<String, Value>>,
    path: Vec<String>,
    errors: &'a RefCell<Errors>,
    /// Set while a shape is drawn instead of read.
    sketch: Option<&'a Sketch>,
}

/// A type that can be read from a body or a query.
pub trait Shape: Sized {
    /// The largest body: ten embeds of the largest size are a tenth of it.
    const BODY_BYTES: usize = super::body::BODY_BYTES;

    /// Records what is wrong in the form and fills in anything; the result is dropped then.
    fn read(form: &Form) -> Self;
}

/// The three states of a field in a PATCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch<T> {
    Absent,
    Null,
    Set(T),
}

impl<T> Patch<T> {
    /// `null` and absent mean the same.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// `Some` if the field was sent: with a value, or with `null`.
    pub fn change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Set(value) => Patch::Set(to(value)),
        }
    }
}

/// The name of the lists in it.
const LEAF: &str = "_errors";

/// The `errors` tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors(Map<String, Value>);

impl Errors {
    /// A tree with one leaf.
    pub fn of(field: &str, code: &str, message: &str) -> Self {
        Self::at(&[field], code, message)
    }

    /// The same further down.
    pub fn at(path: &[&str], code: &str, message: &str) -> Self {
        let mut errors = Self::default();
        errors.add(&path.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>(), code, message);
        errors
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    fn add(&mut self, path: &[String], code: &str, message: &str) {
        let mut node = &mut self.0;
        // A name that a client chose may be the leaves' own: what is wrong there is said of what it stands in.
        for step in path.iter().take_while(|step| *step != LEAF) {
            let child = node.entry(step.clone()).or_insert_with(|| json!({}));
            node = child.as_object_mut().expect("the tree holds objects only, but for the leaves' arrays");
        }
        let leaf = node.entry(LEAF).or_insert_with(|| json!([]));
        leaf.as_array_mut().expect("no step has its name").push(json!({ "code": code, "message": message }));
    }
}

/// Reads a whole input.
pub fn read<T: Shape>(input: &Value) -> Result<T, Errors> {
    read_with(input, T::read)
}

/// The same with a function.
pub fn read_with<T>(input: &Value, shape: impl FnOnce(&Form) -> T) -> Result<T, Errors> {
    let errors = RefCell::new(Errors::default());
    let form = Form::new(input, Vec::new(), &errors);
    let value = shape(&form);
    let errors = errors.into_inner();
    if errors.is_empty() { Ok(value) } else { Err(errors) }
}

impl<'a> Form<'a> {
    fn new(value: &'a Value, path: Vec<String>, errors: &'a RefCell<Errors>) -> Self {
        let form = Self { fields: value.as_object(), path, errors, sketch: None };
        if form.fields.is_none() {
            errors.borrow_mut().add(&form.path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType.");
        }
        form
    }

    /// What a reader would accept, for the reference. The first note about a field that says anything holds.
    pub fn note(&self, key: &str, schema: impl FnOnce() -> Value) {
        if let Some(sketch) = self.sketch {
            sketch.note(key, schema());
        }
    }

    /// Refuses a field for a reason that the reader does not know.
    pub fn refuse(&self, key: &str, code: &str, message: &str) {
        let path: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        self.errors.borrow_mut().add(&path, code, message);
    }

    /// Refuses the object itself.
    pub fn refuse_whole(&self, code: &str, message: &str) {
        self.errors.borrow_mut().add(&self.path, code, message);
    }

    fn field<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Patch<T> {
        self.note(key, || json!({}));
        match self.fields.and_then(|fields| fields.get(key)) {
            None => Patch::Absent,
            Some(Value::Null) => Patch::Null,
            Some(value) => read(value).map_or(Patch::Absent, Patch::Set),
        }
    }

    /// Whether the field was sent at all, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.fields.is_some_and(|fields| fields.contains_key(key))
    }

    /// Whether the field holds something: neither absent nor null nor an empty list.
    pub fn has_content(&self, key: &str) -> bool {
        let value = self.fields.and_then(|fields| fields.get(key));
        !matches!(value, None | Some(Value::Null)) && value.and_then(Value::as_array).is_none_or(|list| !list.is_empty())
    }

    /// The value of a field that must be there; the type's default if it is not, which is recorded.
    pub fn required<T: Default>(&self, key: &str, field: Patch<T>) -> T {
        if let Some(sketch) = self.sketch {
            sketch.require(key);
        }
        match field {
            Patch::Set(value) => value,
            Patch::Absent if self.has(key) => T::default(), // present but wrong: recorded already
            Patch::Absent | Patch::Null => {
                self.refuse(key, "BASE_TYPE_REQUIRED", "This field is required");
                T::default()
            }
        }
    }

    /// A text whose length in characters lies within the limits, after white space around it is cut off.
    pub fn text(&self, key: &str, length: RangeInclusive<usize>) -> Patch<String> {
        self.raw_text(key, length, str::trim)
    }

    /// A text in which every character counts: a password.
    pub fn secret(&self, key: &str, length: RangeInclusive<usize>) -> Patch<String> {
        self.raw_text(key, length, |text| text)
    }

    fn raw_text(&self, key: &str, length: RangeInclusive<usize>, cut: fn(&str) -> &str) -> Patch<String> {
        self.note(key, || json!({ "type": "string", "minLength": length.start(), "maxLength": length.end() }));
        self.field(key, |value| {
            let Some(text) = value.as_str() else {
                self.refuse(key, "STRING_TYPE_CONVERT", "Could not interpret value as string.");
                return None;
            };
            let text = cut(text);
            let (least, most) = (*length.start(), *length.end());
            // More bytes than characters can have: do not count a megabyte.
            let count = if text.len() > most.saturating_mul(4) { usize::MAX } else { text.chars().count() };
            if length.contains(&count) {
                return Some(text.to_owned());
            }
            if least > 0 {
                self.refuse(key, "BASE_TYPE_BAD_LENGTH", &format!("Must be between {least} and {most} in length."));
            } else {
                self.refuse(key, "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."));
            }
            None
        })
    }

    /// An integer within the limits, as a number or as digits.
    pub fn integer(&self, key: &str, range: RangeInclusive<i64>) -> Patch<i64> {
        self.note(key, || json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }));
        self.field(key, |value| {
            let number = match value {
                Value::String(text) => text.trim().parse().ok(),
                Value::Number(number) => {
                    number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
                }
                _ => None,
            };
            let Some(number) = number else {
                self.refuse(key, "NUMBER_TYPE_COERCE", &format!("Value \"{}\" is not int.", short(value)));
                return None;
            };
            if number < *range.start() {
                let message = format!("int value should be greater than or equal to {}.", range.start());
                self.refuse(key, "NUMBER_TYPE_MIN", &message);
                return None;
            }
            if number > *range.end() {
                self.refuse(key, "NUMBER_TYPE_MAX", &format!("int value should be less than or equal to {}.", range.end()));
                return None;
            }
            Some(number)
        })
    }

    /// An integer that must be one of these.
    pub fn choice(&self, key: &str, choices: &[i64]) -> Patch<i64> {
        self.note(key, || json!({ "type": "integer", "enum": choices }));
        match self.integer(key, i64::MIN..=i64::MAX) {
            Patch::Set(number) if !choices.contains(&number) => {
                let list = choices.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                self.refuse(key, "BASE_TYPE_CHOICES", &format!("Value must be one of {{{list}}}."));
                Patch::Absent
            }
            other => other,
        }
    }

    /// A boolean, also in the spellings that query strings use.
    pub fn flag(&self, key: &str) -> Patch<bool> {
        self.note(key, || json!({ "type": "boolean" }));
        self.field(key, |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if ["true", "True", "1"].contains(&text.as_str()) => Some(true),
            Value::String(text) if ["false", "False", "0"].contains(&text.as_str()) => Some(false),
            _ => {
                self.refuse(key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
                None
            }
        })
    }

    /// An id, as a string or a number.
    pub fn id<T: From<Snowflake>>(&self, key: &str) -> Patch<T> {
        self.note(key, sketch::snowflake);
        self.field(key, |value| self.id_of(value, || self.refuse(key, "NUMBER_TYPE_COERCE", &not_a_snowflake(value))))
    }

    fn id_of<T: From<Snowflake>>(&self, value: &Value, refuse: impl FnOnce()) -> Option<T> {
        let id = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        // Ids are stored in 63 bits; none larger has ever been made.
        let id = id.filter(|id| i64::try_from(*id).is_ok());
        if id.is_none() {
            refuse();
        }
        id.map(|id| T::from(Snowflake(id)))
    }

    /// Permission bits, as a decimal string or a number. Undocumented bits are dropped.
    pub fn permissions(&self, key: &str) -> Patch<Permissions> {
        self.note(key, || json!({ "type": "string", "format": "permissions" }));
        self.field(key, |value| {
            let bits = match value {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_u64(),
            };
            if bits.is_none() {
                self.refuse(key, "NUMBER_TYPE_COERCE", &format!("Value \"{}\" is not int.", short(value)));
            }
            bits.map(|bits| Permissions(bits).known())
        })
    }

    /// A list of at most `most` elements, each read from its own object.
    pub fn list<T>(&self, key: &str, most: usize, read: impl Fn(&Form) -> T) -> Patch<Vec<T>> {
        self.note_list(key, most, || self.draw(|form| drop(read(form))));
        self.field(key, |value| {
            let list = self.array(key, value, most)?;
            Some(list.iter().enumerate().map(|(index, value)| read(&self.child(key, Some(index.to_string()), value))).collect())
        })
    }

    /// Objects by id: an object whose keys are ids, or a list in which each names its own in the field `name`.
    pub fn by_id<T, I: From<Snowflake>>(
        &self,
        key: &str,
        most: usize,
        name: &str,
        read: impl Fn(&Form) -> T,
    ) -> Patch<Vec<(I, T)>> {
        self.note(key, || json!({ "type": "object", "additionalProperties": self.draw(|form| drop(read(form))) }));
        self.field(key, |value| {
            let Some(objects) = value.as_object() else {
                let list = self.array(key, value, most)?.iter().enumerate();
                let object = |(index, value): (usize, &'a Value)| {
                    let form = self.child(key, Some(index.to_string()), value);
                    let id = form.id::<I>(name);
                    if let Patch::Absent | Patch::Null = id {
                        form.refuse(name, "BASE_TYPE_REQUIRED", "This field is required");
                    }
                    let object = read(&form);
                    id.value().map(|id| (id, object))
                };
                return Some(list.filter_map(object).collect());
            };
            if objects.len() > most {
                self.refuse(key, "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."));
                return None;
            }
            let object = |(id, value): (&String, &'a Value)| {
                let form = self.child(key, Some(id.clone()), value);
                let id = Value::String(id.clone());
                let id = self.id_of(&id, || form.refuse_whole("NUMBER_TYPE_COERCE", &not_a_snowflake(&id)))?;
                Some((id, read(&form)))
            };
            Some(objects.iter().filter_map(object).collect())
        })
    }

    /// A list of ids.
    pub fn ids<T: From<Snowflake>>(&self, key: &str, most: usize) -> Patch<Vec<T>> {
        self.note_list(key, most, sketch::snowflake);
        self.field(key, |value| {
            let refuse = |index: usize, value: &Value| {
                let path: Vec<String> = self.path.iter().cloned().chain([key.to_owned(), index.to_string()]).collect();
                self.errors.borrow_mut().add(&path, "NUMBER_TYPE_COERCE", &not_a_snowflake(value));
            };
            let list = self.array(key, value, most)?.iter().enumerate();
            list.map(|(index, value)| self.id_of(value, || refuse(index, value))).collect()
        })
    }

    /// The field's values in a query string, where a list of one looks like a plain value.
    pub fn each(&self, key: &str, most: usize) -> &'a [Value] {
        match self.raw(key) {
            None | Some(Value::Null) => &[],
            Some(value @ Value::Array(_)) => self.array(key, value, most).map_or(&[], Vec::as_slice),
            Some(value) => std::slice::from_ref(value),
        }
    }

    /// The ids in a query string.
    pub fn each_id<T: From<Snowflake>>(&self, key: &str, most: usize) -> Vec<T> {
        let refuse = |value: &Value| self.refuse(key, "NUMBER_TYPE_COERCE", &not_a_snowflake(value));
        self.each(key, most).iter().filter_map(|value| self.id_of(value, || refuse(value))).collect()
    }

    /// The words in a query string that `known` knows.
    pub fn each_word<T>(&self, key: &str, most: usize, known: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let read = |value: &Value| {
            let word = value.as_str().and_then(&known);
            if word.is_none() {
                self.refuse(key, "BASE_TYPE_CHOICES", &format!("Value \"{}\" is not one of the documented ones.", short(value)));
            }
            word
        };
        self.each(key, most).iter().filter_map(read).collect()
    }

    /// A list of short texts.
    pub fn words(&self, key: &str, most: usize) -> Patch<Vec<String>> {
        self.note_list(key, most, || json!({ "type": "string" }));
        self.field(key, |value| {
            let words: Option<Vec<String>> =
                self.array(key, value, most)?.iter().map(|word| word.as_str().map(str::to_owned)).collect();
            if words.is_none() {
                self.refuse(key, "STRING_TYPE_CONVERT", "Could not interpret value as string.");
            }
            words
        })
    }

    fn array(&self, key: &str, value: &'a Value, most: usize) -> Option<&'a Vec<Value>> {
        let Some(list) = value.as_array() else {
            self.refuse(key, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType.");
            return None;
        };
        if list.len() > most {
            self.refuse(key, "BASE_TYPE_MAX_LENGTH", &format!("Must be {most} or fewer in length."));
            return None;
        }
        Some(list)
    }

    /// A nested object.
    pub fn object<T>(&self, key: &str, read: impl FnOnce(&Form) -> T) -> Patch<T> {
        if self.sketch.is_some() {
            let drawn = self.draw(|form| drop(read(form)));
            self.note(key, || drawn);
            return Patch::Absent;
        }
        self.field(key, |value| Some(read(&self.child(key, None, value))))
    }

    fn child(&self, key: &str, index: Option<String>, value: &'a Value) -> Form<'a> {
        let steps = [Some(key.to_owned()), index];
        Form::new(value, self.path.iter().cloned().chain(steps.into_iter().flatten()).collect(), self.errors)
    }

    /// The field as it came, unread.
    pub fn raw(&self, key: &str) -> Option<&'a Value> {
        self.note(key, || json!({}));
        self.fields.and_then(|fields| fields.get(key))
    }
}

fn not_a_snowflake(value: &Value) -> String {
    format!("Value \"{}\" is not snowflake.", short(value))
}

/// A value as an error message quotes it: its beginning.
fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::{Form, Patch, read_with};
    use guildhall_protocol::{ChannelId, Permissions};
    use serde_json::{Value, json};

    fn refused<T: std::fmt::Debug>(input: Value, read: impl FnOnce(&Form) -> T) -> Value {
        read_with(&input, read).expect_err("the input is wrong").into_value()
    }

    fn code(errors: &Value, pointer: &str) -> String {
        errors.pointer(&format!("{pointer}/_errors/0/code")).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_missing_field_is_required_and_a_wrong_one_is_named_once() {
        let read = |form: &Form| form.required("name", form.text("name", 2..=5));
        for (input, expected) in [
            (json!({}), "BASE_TYPE_REQUIRED"),
            (json!({ "name": null }), "BASE_TYPE_REQUIRED"),
            (json!({ "name": 7 }), "STRING_TYPE_CONVERT"),
            (json!({ "name": "x" }), "BASE_TYPE_BAD_LENGTH"),
            (json!({ "name": " x     " }), "BASE_TYPE_BAD_LENGTH"),
            (json!({ "name": "sixsix" }), "BASE_TYPE_BAD_LENGTH"),
        ] {
            let errors = refused(input.clone(), read);
            assert_eq!(code(&errors, "/name"), expected, "{input}");
            assert_eq!(errors["name"]["_errors"].as_array().map(Vec::len), Some(1), "{input}");
        }
        assert_eq!(read_with(&json!({ "name": " füß ", "other": [] }), read).unwrap(), "füß");
    }

    #[test]
    fn an_input_that_is_no_object_is_refused_at_the_root() {
        for input in [json!([]), json!("x"), json!(1), json!(null)] {
            assert_eq!(code(&refused(input, |form| form.has("x")), ""), "DICT_TYPE_CONVERT");
        }
    }

    #[test]
    fn numbers_and_ids_may_be_strings() {
        let input = json!({ "limit": "25", "id": 7, "other": "8", "bits": "1024", "float": 3.0 });
        let read = |form: &Form| {
            (
                form.integer("limit", 1..=100),
                form.id::<ChannelId>("id"),
                form.id::<ChannelId>("other"),
                form.permissions("bits"),
                form.integer("float", 0..=9),
            )
        };
        let expected = (
            Patch::Set(25),
            Patch::Set(ChannelId::new(7)),
            Patch::Set(ChannelId::new(8)),
            Patch::Set(Permissions::VIEW_CHANNEL),
            Patch::Set(3),
        );
        assert_eq!(read_with(&input, read).unwrap(), expected);
        let input = json!({ "limit": "101", "id": "x", "other": -1, "bits": {}, "float": 0.5 });
        let errors = refused(input, read);
        assert_eq!(code(&errors, "/limit"), "NUMBER_TYPE_MAX");
        for field in ["/id", "/other", "/bits", "/float"] {
            assert_eq!(code(&errors, field), "NUMBER_TYPE_COERCE", "{field}");
        }
        let too_large = json!({ "id": u64::MAX });
        assert_eq!(code(&refused(too_large, |form| form.id::<ChannelId>("id")), "/id"), "NUMBER_TYPE_COERCE");
    }

    #[test]
    fn lists_name_the_index_of_what_is_wrong() {
        let input = json!({ "embeds": [{ "title": "fine" }, { "title": [] }, 5], "ids": ["1", "x"] });
        let errors = refused(input, |form| {
            (form.list("embeds", 10, |embed| embed.text("title", 0..=256)), form.ids::<ChannelId>("ids", 10))
        });
        assert_eq!(code(&errors, "/embeds/1/title"), "STRING_TYPE_CONVERT");
        assert_eq!(code(&errors, "/embeds/2"), "DICT_TYPE_CONVERT");
        assert_eq!(code(&errors, "/ids/1"), "NUMBER_TYPE_COERCE");
        assert_eq!(errors["embeds"].get("0"), None);
    }

    #[test]
    fn a_field_that_is_called_like_the_leaves_does_not_spoil_the_tree() {
        let errors = refused(json!({ "list": {} }), |form| {
            form.object("list", |list| {
                list.refuse("_errors", "A", "a");
                list.refuse_whole("B", "b");
            });
            form.refuse("_errors", "C", "c");
        });
        assert_eq!(errors["list"]["_errors"].as_array().map(Vec::len), Some(2), "{errors}");
        assert_eq!(code(&errors, ""), "C");
    }

    #[test]
    fn absent_null_and_set_are_three_things() {
        let read = |form: &Form| (form.text("a", 0..=9), form.text("b", 0..=9), form.text("c", 0..=9));
        let input = json!({ "b": null, "c": "x" });
        assert_eq!(read_with(&input, read).unwrap(), (Patch::Absent, Patch::Null, Patch::Set("x".to_owned())));
    }
}
