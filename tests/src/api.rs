//! REST as the tests say it: a call that must succeed, and a call that must be refused in the documented form.

use guildhall_loadtest::{Rest, rest::Reply};
use reqwest::Method;
use serde_json::Value;

pub async fn get(rest: &Rest, path: &str) -> Value {
    must(rest, Method::GET, path, None).await
}

pub async fn post(rest: &Rest, path: &str, body: Value) -> Value {
    must(rest, Method::POST, path, Some(body)).await
}

pub async fn put(rest: &Rest, path: &str, body: Value) -> Value {
    must(rest, Method::PUT, path, Some(body)).await
}

pub async fn patch(rest: &Rest, path: &str, body: Value) -> Value {
    must(rest, Method::PATCH, path, Some(body)).await
}

pub async fn delete(rest: &Rest, path: &str) -> Value {
    must(rest, Method::DELETE, path, None).await
}

async fn must(rest: &Rest, method: Method, path: &str, body: Option<Value>) -> Value {
    rest.expect(method, path, body).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Makes a call that must be refused with this status and error number; answers with the error's body.
pub async fn refused(rest: &Rest, method: Method, path: &str, body: Option<Value>, status: u16, code: i64) -> Value {
    let reply = rest.call(method.clone(), path, body.as_ref()).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
    assert_refused(&format!("{method} {path}"), reply, status, code)
}

/// Asserts a refusal in Discord's form: `{code, message, errors?}` as exactly `application/json`.
pub fn assert_refused(what: &str, reply: Reply, status: u16, code: i64) -> Value {
    assert_eq!((reply.status, reply.body["code"].as_i64()), (status, Some(code)), "{what}: {}", reply.body);
    assert!(reply.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what} says why: {}", reply.body);
    let content_type = reply.headers.get("content-type").and_then(|value| value.to_str().ok());
    assert_eq!(content_type, Some("application/json"), "{what}: libraries parse a body of exactly this type");
    reply.body
}
