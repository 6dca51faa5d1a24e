//! The reference as one page of HTML, without a script: the operations by resource, then the objects, then the errors.

use serde_json::{Map, Value};
use std::fmt::{Display, Write};

pub const STYLE: &str = include_str!("style.css");

/// What all routes have in common.
pub const INTRODUCTION: &str = "\
The API speaks Discord's wire format, version 10: libraries and bots that were written for Discord work when they are \
pointed here. Everything lies below /api/v10; /api, /api/v8 and /api/v9 answer the same.\n\n\
Who calls says so in the header Authorization: a person with the token of a log-in, a bot with `Bot` and its token. Ids are \
strings of digits (snowflakes), times are ISO 8601, sets of permissions are numbers in a string. Unknown fields of a request are \
ignored; every documented field of an answer is there.\n\n\
A refusal is {code, message}. Code 50035 comes with the tree `errors`, which names each field that is wrong. Every answer \
says in its X-RateLimit headers how often the route may be called; who calls too often gets status 429 and `retry_after` in \
seconds.";

/// The resources in the order that people look for them; others follow by name.
const ORDER: [&str; 12] = [
    "accounts",
    "users",
    "guilds",
    "channels",
    "messages",
    "reactions",
    "threads",
    "members",
    "roles",
    "bans",
    "invites",
    "webhooks",
];

pub fn render(document: &Value) -> String {
    let operations = by_tag(document);
    let mut page = String::with_capacity(256 * 1024);
    let out = &mut page;
    put(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Guildhall API</title>");
    put(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    put(out, "<link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><nav><h1><a href=\"#\">Guildhall API</a></h1>");
    for (tag, list) in &operations {
        put(out, format_args!("<details><summary>{}</summary><ul>", escaped(tag)));
        for operation in list {
            let (id, method) = (text(operation.about, "operationId"), operation.method);
            put(out, format_args!("<li><a href=\"#{id}\"><b class=\"{method}\">{method}</b> {}</a></li>", path(operation.path)));
        }
        put(out, "</ul></details>");
    }
    put(out, "<p><a href=\"#objects\">Objects</a></p><p><a href=\"#errors\">Errors</a></p>");
    put(out, "<p><a href=\"/api/openapi.json\">openapi.json</a></p></nav><main>");
    for paragraph in INTRODUCTION.split("\n\n") {
        put(out, format_args!("<p>{}</p>", marked(paragraph)));
    }
    for (tag, list) in &operations {
        put(out, format_args!("<h2 id=\"tag-{0}\">{0}</h2>", escaped(tag)));
        for operation in list {
            self::operation(out, operation);
        }
    }
    put(out, "<h2 id=\"objects\">objects</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        put(out, format_args!("<details class=\"object\" id=\"object-{0}\"><summary><code>{0}</code>", escaped(name)));
        put(out, format_args!(" {}</summary>", marked(&text(schema, "description"))));
        fields(out, schema);
        put(out, "</details>");
    }
    put(out, "<h2 id=\"errors\">errors</h2><table><tr><th>code<th>status<th>message</tr>");
    for error in document["x-errors"].as_array().into_iter().flatten() {
        let message = escaped(&text(error, "message"));
        put(out, format_args!("<tr><td>{}<td>{}<td>{message}</tr>", error["code"], error["status"]));
    }
    put(out, "</table></main></body></html>");
    page
}

struct Entry<'a> {
    method: &'a str,
    path: &'a str,
    about: &'a Value,
}

fn by_tag(document: &Value) -> Vec<(String, Vec<Entry<'_>>)> {
    let mut tags: Vec<(String, Vec<Entry>)> = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, about) in methods.as_object().into_iter().flatten() {
            let (tag, entry) = (about["tags"][0].as_str().unwrap_or_default(), Entry { method, path, about });
            match tags.iter_mut().find(|(known, _)| known == tag) {
                Some((_, list)) => list.push(entry),
                None => tags.push((tag.to_owned(), vec![entry])),
            }
        }
    }
    tags.sort_by_key(|(tag, _)| (ORDER.iter().position(|known| known == tag).unwrap_or(ORDER.len()), tag.clone()));
    tags
}

fn operation(out: &mut String, operation: &Entry) {
    let (method, about) = (operation.method, operation.about);
    put(out, format_args!("<details class=\"operation\" id=\"{}\"><summary>", text(about, "operationId")));
    put(out, format_args!("<b class=\"{method}\">{method}</b> <code>{}</code>", path(operation.path)));
    put(out, format_args!("<span>{}</span></summary>", marked(&text(about, "summary"))));
    let who = match about["security"].as_array().map_or(0, Vec::len) {
        0 => "Needs no token.",
        1 => "For people, not for bots.",
        _ => "For people and bots.",
    };
    put(out, format_args!("<p class=\"who\">{who}</p>"));
    for (place, title) in [("query", "Query"), ("header", "Headers")] {
        let parameters: Vec<_> = about["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == place).collect();
        if !parameters.is_empty() {
            put(out, format_args!("<h4>{title}</h4><table>"));
            for one in parameters {
                row(out, &text(one, "name"), one["required"] == true, &one["schema"], &text(one, "description"));
            }
            put(out, "</table>");
        }
    }
    if let Some(kinds) = about["requestBody"]["content"].as_object() {
        let is_form = if kinds.contains_key("multipart/form-data") { " or a form with it as payload_json" } else { "" };
        put(out, format_args!("<h4>Body: JSON{is_form}</h4>"));
        fields(out, &kinds["application/json"]["schema"]);
    }
    for (status, answer) in about["responses"].as_object().into_iter().flatten().filter(|(status, _)| *status != "default") {
        let schema = &answer["content"]["application/json"]["schema"];
        let given = if schema.is_null() { String::new() } else { format!(": {}", kind(schema)) };
        put(out, format_args!("<h4>Answer {status}{given}</h4>"));
        if schema["properties"].is_object() {
            fields(out, schema);
        }
    }
    put(out, "</details>");
}

/// The fields of an object, those of nested ones inside.
fn fields(out: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty()) else {
        put(out, format_args!("<p>{}</p>", kind(schema)));
        return;
    };
    let required = schema["required"].as_array();
    put(out, "<table>");
    for (name, field) in properties {
        let is_required = required.is_some_and(|required| required.iter().any(|known| known == name));
        row(out, name, is_required, field, &text(field, "description"));
    }
    put(out, "</table>");
}

fn row(out: &mut String, name: &str, is_required: bool, schema: &Value, about: &str) {
    let mark = if is_required { "" } else { "<i>?</i>" };
    put(out, format_args!("<tr><td><code>{}</code>{mark}<td>{}<td>{}", escaped(name), kind(schema), marked(about)));
    let nested = if schema["items"].is_object() { &schema["items"] } else { schema };
    if nested["properties"].is_object() {
        fields(out, nested);
    }
    put(out, "</tr>");
}

/// A type in a few words, as HTML.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#object-{0}\">{0}</a>", escaped(name));
    }
    for alternatives in ["anyOf", "oneOf", "allOf"] {
        if let Some(list) = schema[alternatives].as_array() {
            return list.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(list) = schema["enum"].as_array() {
        return escaped(&list.iter().map(Value::to_string).collect::<Vec<_>>().join(", "));
    }
    if let Some(value) = schema.get("const") {
        return escaped(&value.to_string());
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return "anything".to_owned(),
    };
    names.into_iter().map(|name| plain(name, schema)).collect::<Vec<_>>().join(" or ")
}

fn plain(name: &str, schema: &Value) -> String {
    let number = |key: &str| schema[key].as_i64();
    let range = |least: Option<i64>, most: Option<i64>| match (least, most.filter(|most| *most != i64::MAX)) {
        (Some(least), Some(most)) if least > i64::MIN => format!(", {least} to {most}"),
        (_, Some(most)) => format!(", at most {most}"),
        (Some(least), None) if least > i64::MIN => format!(", at least {least}"),
        _ => String::new(),
    };
    match name {
        "array" => {
            let most = number("maxItems").map_or_else(String::new, |most| format!(", at most {most}"));
            format!("list of {}{most}", kind(&schema["items"]))
        }
        "string" => match schema["format"].as_str() {
            Some(format) => escaped(format),
            None => format!("text{}", range(number("minLength"), number("maxLength"))),
        },
        // What Rust calls its integers (`format`) is nobody's business; their width is no limit that means anything.
        "integer" => format!("integer{}", range(number("minimum").filter(|_| schema["format"].is_null()), number("maximum"))),
        other => escaped(other),
    }
}

/// A path, its parameters set off.
fn path(path: &str) -> String {
    escaped(path).replace('{', "<var>{").replace('}', "}</var>")
}

fn text(value: &Value, key: &str) -> String {
    value.as_object().and_then(|object: &Map<String, Value>| object.get(key)?.as_str()).unwrap_or_default().to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text with code in backticks.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }).collect()
}

fn put(out: &mut String, piece: impl Display) {
    write!(out, "{piece}").expect("a string takes everything");
}
