//! Bodies, queries and paths, for [`crate::fuzzing`].

use super::body::{parse, query_fields};
use super::commands::definition::Definition;
use super::commands::new_command;
use super::components;
use super::emoji::is_unicode;
use super::form::{Errors, Form, read, read_with};
use super::mentions;
use super::messages::draft::Draft;
use super::messages::embeds;
use super::routes::{Facts, Reader};
use crate::files::links::{clean_name, place_in_embeds};
use crate::files::multipart::percent_decoded;
use crate::store::{Scope, bare, link_hosts};
use guildhall_protocol::model::{Command, parse_timestamp, timestamp};
use guildhall_protocol::{Permissions, Snowflake};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What is said of a body is at most so much larger than it, and a page: a missing field costs its sender two brackets.
const ERROR_FACTOR: usize = 512;
const PAGE: usize = 64 * 1024;

/// Every reader of the API's bodies, and every one of its queries, each once.
fn readers(of: fn(&Facts) -> Option<Reader>) -> Vec<Reader> {
    let (_, operations) = super::routes().into_parts();
    let mut readers: Vec<Reader> = operations.iter().filter_map(|operation| of(&operation.facts())).collect();
    readers.sort_by_key(|reader| *reader as usize);
    readers.dedup_by_key(|reader| *reader as usize);
    readers
}

/// A JSON body, read by every handler that takes one.
pub fn json_bodies(data: &[u8]) {
    static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| readers(|facts| facts.body_reader));
    let Ok(body) = parse(data) else { return };
    for reader in READERS.iter() {
        check(reader(&body), data.len());
    }
    let again = parse(body.to_string().as_bytes()).expect("what is written can be read");
    assert!(is_same(&body, &again), "{body} is read as {again}");
}

/// Whether they are the same but for the last bit of fractions: serde_json reads those quickly, not exactly.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(0.0));
            (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON
        }
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b)),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|((a, one), (b, other))| a == b && is_same(one, other))
        }
        _ => one == other,
    }
}

/// A query string, read by every handler that takes one; what a search asks for stays within its quotes.
pub fn queries(data: &[u8]) {
    static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| readers(|facts| facts.query_reader));
    let Ok(query) = std::str::from_utf8(data) else { return };
    let Ok(uri) = format!("/?{query}").parse() else { return };
    let Ok(axum::extract::Query(pairs)) = axum::extract::Query::try_from_uri(&uri) else { return };
    let fields = query_fields(pairs);
    for reader in READERS.iter() {
        check(reader(&fields), data.len());
    }
    if let Some(expression) = super::search::expression(&fields) {
        let quotes = expression.matches('"').count();
        assert_eq!(quotes % 2, 0, "{expression}");
        let outside = expression.split('"').step_by(2);
        for word in outside.flat_map(|part| part.split(|letter: char| " ():,".contains(letter))) {
            let is_ours = word.is_empty() || ["words", "facets", "NEAR", "AND", "OR", "NOT"].contains(&word);
            assert!(is_ours || word.bytes().all(|byte| byte.is_ascii_digit()), "{word:?} in {expression}");
        }
        assert!(!expression.contains('\0'));
    }
}

/// A message's embeds and components: what was taken can be sent again, and means the same.
pub fn messages(data: &[u8]) {
    let Ok(body) = parse(data) else { return };
    let outcome = read::<Draft>(&body);
    let Ok(draft) = outcome else { return check(outcome.map(drop), data.len()) };
    let again = json!({ "content": draft.content, "embeds": draft.embeds, "components": draft.components });
    let second = read::<Draft>(&again).unwrap_or_else(|errors| panic!("{again}: {:?}", errors.into_value()));
    assert_eq!((&second.content, &second.embeds, &second.components), (&draft.content, &draft.embeds, &draft.components));
    assert!(draft.content.chars().count() <= 2000);

    // Addresses in embeds are rewritten by name; nothing else of them changes.
    let mut embeds = draft.embeds.clone();
    place_in_embeds(&mut embeds, &mut Vec::new());
    let read_embeds = |embeds: &Value| read_with(&json!({ "embeds": embeds }), embeds::read);
    assert!(read_embeds(&json!(embeds)).is_ok());

    let mut components = draft.components.clone();
    let mut next = 0;
    let make_id = || {
        next += 1;
        Snowflake(next)
    };
    check(components::resolve_media(&mut components, &[], make_id), data.len());
    let modal = read_with(&body, components::read_modal);
    if let Ok(components) = &modal {
        let again = json!({ "components": components });
        let second = read_with(&again, components::read_modal);
        assert_eq!(second.unwrap_or_else(|errors| panic!("{again}: {:?}", errors.into_value())), *components);
    }
    check(modal.map(drop), data.len());
}

/// A command: what is stored of it can be changed later, which reads it again.
pub fn commands(data: &[u8]) {
    let Ok(body) = parse(data) else { return };
    let read_one = |form: &Form| Definition::read(form, None);
    let outcome = read_with(&body, read_one);
    let Ok(definition) = outcome else { return check(outcome.map(drop), data.len()) };
    let command = new_command(Scope { application_id: Snowflake(1).into(), guild_id: None }, definition);
    let written = serde_json::to_string(&command).expect("a command is plain data");
    let stored: Command = serde_json::from_str(&written).expect("what is stored is read");
    assert_eq!(stored, command);
    let whole = json!(command);
    let again = read_with(&whole, |form| Definition::read(form, Some(command.kind)));
    let again = again.unwrap_or_else(|errors| panic!("{whole}: {:?}", errors.into_value()));
    let mut changed = command.clone();
    again.apply(&mut changed);
    assert_eq!(changed, command, "a change of nothing changes nothing");
}

/// The parts of a path and of a text that mean something: emojis, ids, bits, times, names, mentions, links.
pub fn paths(data: &[u8]) {
    let decoded = percent_decoded(data);
    assert!(decoded.len() <= data.len());
    let Ok(text) = std::str::from_utf8(&decoded) else { return };
    assert!(!is_unicode(text) || text.chars().count() <= 16);
    if let Ok(id) = text.parse::<Snowflake>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    if let Ok(id) = serde_json::from_str::<Snowflake>(text) {
        assert_eq!(serde_json::from_str::<Snowflake>(&json!(id).to_string()).ok(), Some(id));
    }
    if let Ok(permissions) = serde_json::from_str::<Permissions>(text) {
        let known = permissions.known();
        assert!(Permissions::ALL.contains(known) && permissions.contains(known));
        assert_eq!(serde_json::from_str::<Permissions>(&json!(permissions).to_string()).ok(), Some(permissions));
    }
    if let Some(time) = parse_timestamp(text) {
        assert_eq!(parse_timestamp(&timestamp(time)), Some(time), "{text}");
    }
    let name = clean_name(text);
    assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']) && !name.starts_with('.'), "{name:?}");
    assert_eq!(clean_name(&name), name, "a clean name stays");
    let found = mentions::find(text);
    assert!(found.users.len() + found.roles.len() <= text.len() / 4);
    assert!(!bare(text).contains(['"', '\0']));
    assert!(link_hosts(text).iter().all(|host| !host.is_empty() && !host.contains(char::is_whitespace)));
}

/// A refusal is a tree as documented: objects by the names of fields, and at each leaf a list of codes and sentences.
fn check(outcome: Result<(), Errors>, length: usize) {
    let Err(errors) = outcome else { return };
    assert!(!errors.is_empty());
    let tree = errors.into_value();
    check_tree(&tree);
    let text = tree.to_string();
    assert!(text.len() <= PAGE + ERROR_FACTOR * length, "{} bytes of errors for {length}", text.len());
    assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(tree), "an error is JSON");
}

fn check_tree(node: &Value) {
    let fields = node.as_object().expect("a node is an object");
    assert!(!fields.is_empty());
    for (name, child) in fields {
        if name != "_errors" {
            check_tree(child);
            continue;
        }
        let leaves = child.as_array().expect("`_errors` is a list");
        assert!(!leaves.is_empty());
        for leaf in leaves {
            assert!(leaf["code"].is_string() && leaf["message"].is_string(), "{leaf}");
        }
    }
}
