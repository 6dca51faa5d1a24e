//! The API reference: complete by construction, so what is checked is that it is right, whole and served.

use super::World;
use crate::api::reference::{DOCUMENT, PAGE, document};
use crate::api::routes;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn operation(method: &str, path: &str) -> &'static Value {
    DOCUMENT["paths"].get(path).and_then(|methods| methods.get(method)).unwrap_or_else(|| panic!("{method} {path}"))
}

#[test]
fn every_operation_is_described_by_a_sentence_and_an_id_of_its_own() {
    let (_, operations) = routes().into_parts();
    assert!(operations.len() > 50);
    let mut keys = BTreeSet::new();
    for operation in &operations {
        let (method, path) = (&operation.method, operation.path);
        assert!(keys.insert((method.as_str(), path)), "{method} {path} is there twice");
        let is_sentence = operation.summary.starts_with(char::is_uppercase) && operation.summary.ends_with(['.', '?']);
        assert!(is_sentence, "{method} {path}: {:?} is no sentence", operation.summary);
        assert!(!operation.tag().contains(['<', ':', ' ']), "{method} {path}: {:?} is no resource", operation.tag());
    }
    let mut ids = BTreeSet::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            assert!(ids.insert(about["operationId"].as_str().unwrap()), "{method} {path} shares its id");
        }
    }
    assert_eq!(ids.len(), operations.len());
    assert_eq!(document(&operations), *DOCUMENT, "it comes out the same each time");
}

#[test]
fn what_an_operation_takes_and_gives_is_read_from_its_handler() {
    let list = operation("get", "/guilds/{guild_id}/members");
    let limit = list["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "limit").unwrap();
    assert_eq!((&limit["in"], &limit["schema"]["maximum"]), (&json!("query"), &json!(1000)));
    let given = &list["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(*given, json!({ "type": "array", "items": { "$ref": "#/components/schemas/Member" } }));
    assert_eq!(list["security"], json!([{ "person": [] }, { "bot": [] }]));

    let create = operation("post", "/guilds/{guild_id}/channels");
    let body = &create["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["required"], json!(["name"]));
    assert_eq!(body["properties"]["name"]["maxLength"], 100);
    assert_eq!(body["properties"]["permission_overwrites"]["items"]["properties"]["allow"]["format"], "permissions");
    assert!(create["responses"]["201"].is_object());

    let log_in = operation("post", "/auth/login");
    assert_eq!(log_in["security"], json!([]));
    let leave = operation("delete", "/users/@me/guilds/{guild_id}");
    assert_eq!(leave["responses"]["204"].get("content"), None);
}

#[test]
fn every_reference_leads_somewhere() {
    let text = DOCUMENT.to_string();
    let mut count = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(DOCUMENT.pointer(pointer).is_some(), "{pointer} is nowhere");
        count += 1;
    }
    assert!(count > 50);
    let page = std::str::from_utf8(&PAGE).unwrap();
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).filter(|link| !link.is_empty()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "#{link} is nowhere");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "the page needs nobody else");
}

#[tokio::test]
async fn the_reference_is_served_to_anyone() {
    let world = World::new().await;
    let nobody = world.nobody();
    for path in ["/api/openapi.json", "/api/v10/openapi.json"] {
        assert_eq!(world.get(&nobody, path).await.ok(), *DOCUMENT);
    }
    for (path, kind) in [("/docs", "text/html; charset=utf-8"), ("/docs/style.css", "text/css; charset=utf-8")] {
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        let reply = world.send(request).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, kind));
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(reply.text.len() > 1_000);
    }
}
