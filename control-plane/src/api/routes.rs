//! The one list of routes: what the router serves, what the reference describes and what the tests count are the same.
//!
//! A resource's `routes()` returns [`Routes`]. It is written like axum's router, with this module's [`get`], [`post`] … in
//! place of axum's, and a sentence with every handler:
//!
//! ```ignore
//! Routes::new().route("/guilds/{guild_id}/roles", get(list, "Lists the roles.").post(create, "Makes a role: MANAGE_ROLES."))
//! ```
//!
//! That is all there is to write. Who may call, the query, the body with its limits and the answer are read from the types of
//! the handler's arguments ([`Describe`]) and of its answer ([`Answer`]); a new extractor needs an `impl Describe`, which
//! may be empty, and a new answer `#[derive(JsonSchema)]`. A route without a description does not compile, and a description without a route cannot be written.

use super::body::{self, Body, Caller, Ids, Person, Query};
use super::error::ApiError;
use super::form::{self, Shape};
use crate::app::App;
use crate::audit::By;
use axum::extract::{Path, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use std::any::type_name;
use std::convert::Infallible;

/// Who is let through to the handler; what it then asks of them is its own affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Who {
    /// Without a token, too.
    #[default]
    Anyone,
    /// Anyone with a token.
    Caller,
    /// People, not bots.
    Person,
}

/// A request's body.
#[derive(Clone, Debug)]
pub struct Content {
    pub schema: Value,
    /// Whether it may come as a form with files.
    pub is_multipart: bool,
}

/// An answer's body.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    /// No body.
    Nothing,
    /// JSON, as our own types are written.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// The handler builds it by hand.
    Raw,
}

/// Reads an input as a handler would.
#[cfg(any(test, feature = "fuzzing"))]
pub type Reader = fn(&Value) -> Result<(), form::Errors>;

/// What a handler's types say.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub who: Who,
    pub query: Option<Value>,
    pub body: Option<Content>,
    #[cfg(any(test, feature = "fuzzing"))]
    pub query_reader: Option<Reader>,
    #[cfg(any(test, feature = "fuzzing"))]
    pub body_reader: Option<Reader>,
    /// Whether the deed may be explained for the audit log.
    pub has_reason: bool,
    /// The status of success.
    pub status: u16,
    pub given: Option<Given>,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    /// Below `/api`, as in `/guilds/{guild_id}`.
    pub path: &'static str,
    pub summary: &'static str,
    /// The handler's path in Rust.
    handler: &'static str,
    describe: fn(&mut Facts),
}

impl Operation {
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        (self.describe)(&mut facts);
        facts
    }

    /// The resource: the file that the handler is in, as in `guilds`.
    pub fn tag(&self) -> &'static str {
        self.name().split("::").next().unwrap_or_default()
    }

    /// As in `guilds_list`.
    pub fn id(&self) -> String {
        self.name().replace("::", "_")
    }

    fn name(&self) -> &'static str {
        let path = self.handler.split_once("::api::").map_or(self.handler, |(_, path)| path);
        path.split('<').next().unwrap_or(path)
    }
}

/// A router that knows what is in it.
#[derive(Default)]
pub struct Routes {
    router: Router<App>,
    operations: Vec<Operation>,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn route(mut self, path: &'static str, methods: Methods) -> Self {
        self.operations.extend(methods.operations.into_iter().map(|operation| Operation { path, ..operation }));
        self.router = self.router.route(path, methods.router);
        self
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self.router = self.router.merge(other.router);
        self
    }

    pub fn into_parts(self) -> (Router<App>, Vec<Operation>) {
        (self.router, self.operations)
    }
}

/// The operations of one path.
pub struct Methods {
    router: MethodRouter<App, Infallible>,
    operations: Vec<Operation>,
}

macro_rules! methods {
    ($($name:ident $upper:ident)*) => {$(
        pub fn $name<H: Handler<A, App> + Described<A>, A: 'static>(handler: H, summary: &'static str) -> Methods {
            let operations = vec![operation::<H, A>(Method::$upper, summary)];
            Methods { router: on(MethodFilter::$upper, handler), operations }
        }
    )*};
}

macro_rules! more_methods {
    ($($name:ident $upper:ident)*) => {$(
        pub fn $name<H: Handler<A, App> + Described<A>, A: 'static>(mut self, handler: H, summary: &'static str) -> Self {
            self.operations.push(operation::<H, A>(Method::$upper, summary));
            self.router = self.router.on(MethodFilter::$upper, handler);
            self
        }
    )*};
}

methods! { get GET post POST put PUT patch PATCH delete DELETE }

impl Methods {
    more_methods! { post POST put PUT patch PATCH delete DELETE }
}

fn operation<H: Described<A>, A>(method: Method, summary: &'static str) -> Operation {
    Operation { method, path: "", summary, handler: type_name::<H>(), describe: H::describe }
}

/// What an argument of a handler says about the operation.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an argument of a handler that the API reference knows nothing of",
    note = "write `impl Describe for {Self} {{}}` next to it, and say in it what it takes from the request"
)]
pub trait Describe {
    fn describe(_facts: &mut Facts) {}
}

impl<T> Describe for State<T> {}
impl<T> Describe for Ids<T> {}
impl<T> Describe for Path<T> {}
impl Describe for crate::gateway::Origin {}

impl Describe for Caller {
    fn describe(facts: &mut Facts) {
        facts.who = Who::Caller;
    }
}

impl Describe for Person {
    fn describe(facts: &mut Facts) {
        facts.who = Who::Person;
    }
}

impl Describe for By {
    fn describe(facts: &mut Facts) {
        facts.has_reason = true;
    }
}

impl<T: Shape> Describe for Query<T> {
    fn describe(facts: &mut Facts) {
        facts.query = Some(form::schema::<T>());
        #[cfg(any(test, feature = "fuzzing"))]
        {
            facts.query_reader = Some(|input| form::read::<T>(input).map(drop));
        }
    }
}

impl<T: Shape> Describe for Body<T> {
    fn describe(facts: &mut Facts) {
        facts.body = Some(Content { schema: form::schema::<T>(), is_multipart: false });
        #[cfg(any(test, feature = "fuzzing"))]
        {
            facts.body_reader = Some(|input| form::read::<T>(input).map(drop));
        }
    }
}

impl Describe for body::Json {
    fn describe(facts: &mut Facts) {
        facts.body = Some(Content { schema: serde_json::json!({}), is_multipart: false });
    }
}

/// What a handler's result says about the operation.
#[diagnostic::on_unimplemented(message = "`{Self}` is a handler's answer that the API reference knows nothing of")]
pub trait Answer {
    /// The status of success, as long as the handler does not choose another.
    const STATUS: u16 = 200;
    fn given() -> Given;
}

impl<T: Answer> Answer for Result<T, ApiError> {
    const STATUS: u16 = T::STATUS;
    fn given() -> Given {
        T::given()
    }
}

/// Something new.
impl<T: Answer> Answer for (StatusCode, T) {
    const STATUS: u16 = 201;
    fn given() -> Given {
        T::given()
    }
}

impl Answer for StatusCode {
    const STATUS: u16 = 204;
    fn given() -> Given {
        Given::Nothing
    }
}

impl<T: JsonSchema> Answer for Json<T> {
    fn given() -> Given {
        Given::Json(|generator| generator.subschema_for::<T>())
    }
}

impl Answer for Response {
    fn given() -> Given {
        Given::Raw
    }
}

/// A handler whose arguments are `A`, as axum's [`Handler`] counts them: a marker, then each.
pub trait Described<A> {
    fn describe(facts: &mut Facts);
}

macro_rules! handlers {
    ($(($($argument:ident)*))*) => {$(
        impl<F, Future, Marker, $($argument,)*> Described<(Marker, $($argument,)*)> for F
        where
            F: FnOnce($($argument),*) -> Future,
            Future: std::future::Future<Output: Answer>,
            $($argument: Describe,)*
        {
            fn describe(facts: &mut Facts) {
                $($argument::describe(facts);)*
                facts.status = Future::Output::STATUS;
                facts.given = Some(Future::Output::given());
            }
        }
    )*};
}

handlers! { () (T1) (T1 T2) (T1 T2 T3) (T1 T2 T3 T4) (T1 T2 T3 T4 T5) (T1 T2 T3 T4 T5 T6) (T1 T2 T3 T4 T5 T6 T7) }
