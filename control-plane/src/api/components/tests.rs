use super::{check_kind, find, read, read_modal, resolve_media};
use crate::api::form::{Patch, read_with};
use guildhall_protocol::Snowflake;
use serde_json::{Value, json};

fn message(components: Value) -> Result<Vec<Value>, Value> {
    let input = json!({ "components": components });
    read_with(&input, |form| read(form).value().unwrap_or_default()).map_err(super::super::form::Errors::into_value)
}

fn button(custom_id: &str) -> Value {
    json!({ "type": 2, "style": 1, "label": "Press", "custom_id": custom_id })
}

fn row(components: &[Value]) -> Value {
    json!({ "type": 1, "components": components })
}

#[track_caller]
fn refused(components: Value, place: &str, code: &str) {
    let errors = message(components.clone()).expect_err("is wrong");
    let found = errors.pointer(&format!("/components{place}/_errors/0/code")).and_then(Value::as_str);
    assert_eq!(found, Some(code), "{components}: {errors}");
}

#[test]
fn components_are_completed_and_numbered() {
    let select = json!({ "type": 3, "custom_id": "s", "options": [{ "label": "A", "value": "a", "emoji": { "name": "🏰" } }] });
    let read = message(json!([row(&[button("a"), button("b")]), { "type": 1, "id": 2, "components": [select] }])).unwrap();
    let places = ["/0/id", "/0/components/0/id", "/0/components/1/id", "/1/id", "/1/components/0/id"];
    let ids = places.map(|place| json!(read).pointer(place).and_then(Value::as_u64));
    assert_eq!(ids, [1, 3, 4, 2, 5].map(Some), "what has an id keeps it");
    let select = &read[1]["components"][0];
    assert_eq!((&select["min_values"], &select["max_values"], &select["disabled"]), (&json!(1), &json!(1), &json!(false)));
    assert_eq!(select["options"][0]["emoji"], json!({ "name": "🏰" }));
    assert!(check_kind(&read, false).is_ok());
    assert_eq!(find(&read, "b").unwrap()["id"], 4);
    assert_eq!(find(&read, "c"), None);
}

#[test]
fn what_is_wrong_with_components_is_named() {
    let link = |url: &str| row(&[json!({ "type": 2, "style": 5, "label": "x", "url": url })]);
    let select = |options: Value| row(&[json!({ "type": 3, "custom_id": "s", "options": options })]);
    let option = json!({ "label": "a", "value": "a" });
    for (components, place, code) in [
        (json!(5), "", "LIST_TYPE_CONVERT"),
        (json!([5]), "/0", "DICT_TYPE_CONVERT"),
        (json!([{}]), "/0/type", "BASE_TYPE_REQUIRED"),
        (json!([button("a")]), "/0/type", "BASE_TYPE_CHOICES"),
        (json!([row(&[])]), "/0/components", "BASE_TYPE_BAD_LENGTH"),
        (json!([row(&(0..6).map(|n| button(&n.to_string())).collect::<Vec<_>>())]), "/0/components", "BASE_TYPE_MAX_LENGTH"),
        (json!([row(&[button("a"), button("a")])]), "", "COMPONENT_CUSTOM_ID_DUPLICATED"),
        (json!([row(&[button(&"x".repeat(101))])]), "/0/components/0/custom_id", "BASE_TYPE_BAD_LENGTH"),
        (json!([row(&[json!({ "type": 2, "style": 1, "label": "x" })])]), "/0/components/0/custom_id", "BASE_TYPE_REQUIRED"),
        (json!([row(&[json!({ "type": 2, "style": 9, "custom_id": "x" })])]), "/0/components/0/style", "BASE_TYPE_CHOICES"),
        (json!([row(&[json!({ "type": 2, "style": 1, "custom_id": "x" })])]), "/0/components/0/label", "BASE_TYPE_REQUIRED"),
        (json!([row(&[json!({ "type": 2, "style": 5, "label": "x" })])]), "/0/components/0/url", "BASE_TYPE_REQUIRED"),
        (json!([link("javascript://x")]), "/0/components/0/url", "URL_TYPE_INVALID_SCHEME"),
        (json!([link("nonsense")]), "/0/components/0/url", "URL_TYPE_INVALID_URL"),
        (
            json!([row(&[json!({ "type": 2, "style": 5, "label": "x", "url": "https://x.example", "custom_id": "x" })])]),
            "/0/components/0/custom_id",
            "BUTTON_COMPONENT_FIELD_INVALID",
        ),
        (json!([select(json!([]))]), "/0/components/0/options", "BASE_TYPE_BAD_LENGTH"),
        (json!([select(json!([option, option]))]), "/0/components/0/options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED"),
        (
            json!([row(&[json!({ "type": 3, "custom_id": "s", "options": [option], "max_values": 2 })])]),
            "/0/components/0/max_values",
            "COMPONENT_RANGE_INVALID",
        ),
        (
            json!([row(&[button("a"), json!({ "type": 5, "custom_id": "u" })])]),
            "/0/components",
            "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
        ),
        (
            json!([row(&[json!({ "type": 5, "custom_id": "u", "default_values": [{ "type": "role", "id": "1" }] })])]),
            "/0/components/0/default_values/0/type",
            "BASE_TYPE_CHOICES",
        ),
        (json!([row(&[json!({ "type": 4, "custom_id": "t", "style": 1 })])]), "/0/components/0/type", "BASE_TYPE_CHOICES"),
        (json!([{ "type": 10, "content": "" }]), "/0/content", "BASE_TYPE_BAD_LENGTH"),
        (json!([{ "type": 9, "components": [{ "type": 10, "content": "x" }] }]), "/0/accessory", "BASE_TYPE_REQUIRED"),
        (json!([{ "type": 13, "file": { "url": "https://x.example/f" } }]), "/0/file/url", "URL_TYPE_INVALID_SCHEME"),
        (json!([{ "type": 17, "components": [{ "type": 17, "components": [] }] }]), "/0/components/0/type", "BASE_TYPE_CHOICES"),
        (
            json!([{ "type": 10, "id": 5, "content": "x" }, { "type": 10, "id": 5, "content": "x" }]),
            "",
            "COMPONENT_ID_DUPLICATED",
        ),
        (
            json!([{ "type": 10, "content": "x".repeat(2001) }, { "type": 10, "content": "x".repeat(2000) }]),
            "",
            "COMPONENT_MAX_TOTAL_TEXT_SIZE",
        ),
        (
            json!((0..14).map(|_| json!({ "type": 17, "components": [{ "type": 14 }, { "type": 14 }] })).collect::<Vec<_>>()),
            "",
            "COMPONENT_MAX_TOTAL_COUNT",
        ),
    ] {
        refused(components, place, code);
    }
}

#[test]
fn a_message_without_the_flag_holds_five_rows_and_nothing_else() {
    let text = message(json!([{ "type": 10, "content": "# Hello" }])).unwrap();
    assert!(check_kind(&text, true).is_ok());
    let errors = check_kind(&text, false).unwrap_err().into_value();
    assert_eq!(errors["components"]["0"]["type"]["_errors"][0]["code"], "UNION_TYPE_CHOICES");
    let rows = |count: usize| message((0..count).map(|n| row(&[button(&n.to_string())])).collect()).unwrap();
    assert!(check_kind(&rows(5), false).is_ok());
    assert!(check_kind(&rows(6), false).is_err());
}

#[test]
fn pictures_and_files_are_resolved() {
    let components = json!([{ "type": 17, "components": [
        { "type": 9, "components": [{ "type": 10, "content": "x" }], "accessory": { "type": 11, "media": { "url": "https://x.example/a.png" } } },
        { "type": 12, "items": [{ "media": { "url": "attachment://b.png" }, "spoiler": true }] },
        { "type": 13, "file": { "url": "attachment://c.txt" } },
        { "type": 14 },
    ]}]);
    let mut read = message(components).unwrap();
    let attachments = [
        json!({ "id": "7", "filename": "b.png", "url": "u", "proxy_url": "p", "width": 3, "height": 4, "content_type": "image/png" }),
        json!({ "id": "8", "filename": "c.txt", "url": "v", "proxy_url": "q", "size": 9 }),
    ]
    .map(|attachment| serde_json::from_value(attachment).unwrap());
    resolve_media(&mut read, &attachments, || Snowflake(5)).unwrap();
    let inside = &read[0]["components"];
    assert_eq!((&read[0]["accent_color"], &read[0]["spoiler"]), (&Value::Null, &json!(false)));
    assert_eq!(inside[0]["accessory"]["media"]["proxy_url"], "https://x.example/a.png");
    let picture = &inside[1]["items"][0]["media"];
    assert_eq!(
        (&picture["id"], &picture["url"], &picture["attachment_id"], &picture["width"]),
        (&json!("5"), &json!("u"), &json!("7"), &json!(3))
    );
    assert_eq!((&inside[2]["name"], &inside[2]["size"]), (&json!("c.txt"), &json!(9)));
    assert_eq!((&inside[3]["divider"], &inside[3]["spacing"]), (&json!(true), &json!(1)));
    let mut lost = message(json!([{ "type": 13, "file": { "url": "attachment://d" } }])).unwrap();
    assert!(resolve_media(&mut lost, &attachments, || Snowflake(5)).is_err());
}

#[test]
fn modals_have_inputs_in_rows_or_labels() {
    let modal = |components: Value| {
        read_with(&json!({ "components": components }), read_modal).map_err(super::super::form::Errors::into_value)
    };
    let input = json!({ "type": 4, "custom_id": "t", "style": 2, "label": "Why?", "min_length": 5 });
    let read = modal(json!([{ "type": 1, "components": [input] }])).unwrap();
    assert_eq!(read[0]["components"][0]["required"], true);
    assert_eq!(read[0]["components"][0]["max_length"], Value::Null);
    let labelled = json!([
        { "type": 10, "content": "Please" },
        { "type": 18, "label": "Why?", "component": { "type": 4, "custom_id": "t", "style": 1 } },
        { "type": 18, "label": "Who?", "description": "d", "component": { "type": 5, "custom_id": "u", "required": false } },
        { "type": 18, "label": "Which?", "component": { "type": 21, "custom_id": "r", "options": [
            { "label": "a", "value": "a" }, { "label": "b", "value": "b" },
        ]}},
        { "type": 18, "label": "Sure?", "component": { "type": 23, "custom_id": "c" } },
    ]);
    let read = modal(labelled).unwrap();
    assert_eq!((&read[2]["component"]["required"], &read[4]["component"]["id"]), (&json!(false), &json!(9)));
    assert_eq!(find(&read, "u").unwrap()["type"], 5);
    for (components, place) in [
        (json!([]), "/components"),
        (json!([{ "type": 1, "components": [button("a")] }]), "/components/0/components/0/type"),
        (json!([{ "type": 1, "components": [{ "type": 4, "custom_id": "t", "style": 1 }] }]), "/components/0/components/0/label"),
        (json!([{ "type": 18, "label": "x", "component": button("a") }]), "/components/0/component/type"),
        (json!([{ "type": 18, "component": { "type": 23, "custom_id": "c" } }]), "/components/0/label"),
    ] {
        let errors = modal(components).unwrap_err();
        assert!(errors.pointer(&format!("{place}/_errors")).is_some(), "{place}: {errors}");
    }
    assert!(matches!(read_with(&json!({}), super::read), Ok(Patch::Absent)));
}
