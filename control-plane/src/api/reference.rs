//! The API reference: an OpenAPI 3.1 document at `/api/openapi.json`, and the same as a page at `/docs`.
//!
//! Both are made from the one list of routes ([`super::routes`]) when somebody first asks for them: nothing in them is
//! written twice. The prose about what all routes have in common is [`page`]'s.

mod page;

use super::routes::{Facts, Given, Operation, Routes, Who, get};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use guildhall_protocol::ErrorCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::LazyLock;

/// An hour: it changes with the binary only.
const AGE: &str = "public, max-age=3600";
/// The page has no script, and its one style sheet comes from here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&super::routes().into_parts().1));
static JSON: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());
pub(super) static PAGE: LazyLock<Bytes> = LazyLock::new(|| page::render(&DOCUMENT).into());

pub fn routes() -> Routes {
    Routes::new().route("/openapi.json", get(openapi, "This description, as OpenAPI 3.1."))
}

/// `/docs`, which stands beside `/api`.
pub fn pages() -> Router {
    let style = || answer("text/css; charset=utf-8", Bytes::from_static(page::STYLE.as_bytes()));
    Router::new()
        .route("/docs", axum::routing::get(async || answer("text/html; charset=utf-8", PAGE.clone())))
        .route("/docs/style.css", axum::routing::get(async move || style()))
}

async fn openapi() -> Response {
    answer("application/json", JSON.clone())
}

fn answer(kind: &'static str, bytes: Bytes) -> Response {
    let nosniff = (HeaderName::from_static("x-content-type-options"), "nosniff");
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, AGE), (CONTENT_SECURITY_POLICY, POLICY), nosniff];
    (headers, Body::from(bytes)).into_response()
}

/// The whole description.
pub(super) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator();
    let mut paths = Map::new();
    let mut seen = HashMap::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described(operation, &mut generator, &mut seen);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Guildhall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": page::INTRODUCTION,
        },
        "servers": [{ "url": "/api/v10" }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "person": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "The token that a log-in gives." },
                "bot": { "type": "apiKey", "in": "header", "name": "Authorization", "description": "`Bot ` and the bot's token." },
            },
            "responses": { "Error": {
                "description": "A refusal.",
                "content": { "application/json": { "schema": error_schema() } },
            } },
        },
        // Not of OpenAPI: what numbers refusals have.
        "x-errors": ErrorCode::ALL.iter().map(|code| {
            json!({ "code": code.number(), "status": code.status(), "message": code.message() })
        }).collect::<Value>(),
    })
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "integer" },
            "message": { "type": "string" },
            "errors": { "type": "object", "description": "For code 50035: what is wrong, under the names of the fields." },
            "retry_after": { "type": "number", "description": "For status 429: seconds." },
            "global": { "type": "boolean", "description": "For status 429." },
        },
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator, seen: &mut HashMap<String, u32>) -> Value {
    let facts = operation.facts();
    let mut described = json!({
        "operationId": unique(operation.id(), seen),
        "tags": [operation.tag()],
        "summary": operation.summary,
        "security": match facts.who {
            Who::Anyone => json!([]),
            Who::Caller => json!([{ "person": [] }, { "bot": [] }]),
            Who::Person => json!([{ "person": [] }]),
        },
        "parameters": parameters(operation.path, &facts),
        "responses": { "default": { "$ref": "#/components/responses/Error" } },
    });
    let mut done = json!({ "description": "Done." });
    if let Some(Given::Json(schema)) = facts.given {
        done["content"] = json!({ "application/json": { "schema": schema(generator) } });
    }
    described["responses"][facts.status.to_string()] = done;
    if let Some(content) = facts.body {
        let mut kinds = json!({ "application/json": { "schema": &content.schema } });
        if content.is_multipart {
            let form = json!({ "type": "object", "properties": { "payload_json": &content.schema } });
            kinds["multipart/form-data"] = json!({ "schema": form });
        }
        let is_required = content.schema.get("required").is_some();
        described["requestBody"] = json!({ "required": is_required, "content": kinds });
    }
    described
}

/// A handler that serves two paths has two ids.
fn unique(id: String, seen: &mut HashMap<String, u32>) -> String {
    let count = seen.entry(id.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { id } else { format!("{id}_{count}") }
}

fn parameters(path: &str, facts: &Facts) -> Value {
    let mut parameters = Vec::new();
    for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let is_id = name.ends_with("_id");
        let schema = if is_id { json!({ "type": "string", "format": "snowflake" }) } else { json!({ "type": "string" }) };
        parameters.push(json!({ "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": schema }));
    }
    if let Some(query) = &facts.query {
        let required = query["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in query["properties"].as_object().into_iter().flatten() {
            let is_required = required.iter().any(|known| known == name);
            parameters.push(json!({ "name": name, "in": "query", "required": is_required, "schema": schema }));
        }
    }
    if facts.has_reason {
        let about = "Why, for the audit log: percent-encoded, at most 512 characters.";
        let schema = json!({ "type": "string" });
        parameters.push(
            json!({ "name": "X-Audit-Log-Reason", "in": "header", "required": false, "schema": schema, "description": about }),
        );
    }
    parameters.into()
}
