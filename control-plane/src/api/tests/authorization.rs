//! Who may do what: `docs/authorization.md` is the table, and here every route is asked by everyone.
//!
//! Refused callers come first and all try the same thing, which then still has to be there for the first who may. Everyone
//! else who may has a thing of their own, so that nobody finds a door open because the one before broke it.

mod stage;
mod things;

use super::{Reply, Session, World};
use crate::api::routes;
use crate::api::routes::Who;
use crate::hub::core::Attached;
use crate::hub::world::told;
use axum::http::Method;
use guildhall_protocol::Permissions;
use guildhall_protocol::gateway::Intents;
use serde_json::Value;
use stage::{Cast, Stage};
use std::collections::BTreeSet;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/authorization.md");

/// HTTP status and number of the error, 0 if there is none.
type Outcome = (u16, u64);

/// In the order of the table's letters.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Owner,
    Admin,
    With,
    Without,
    TimedOut,
    Robot,
    Stranger,
    Banned,
    Nobody,
}

use Role::{Admin, Banned, Nobody, Owner, Robot, Stranger, TimedOut, With, Without};
const ROLES: [Role; 9] = [Owner, Admin, With, Without, TimedOut, Robot, Stranger, Banned, Nobody];
/// The least trusted first: what is told apart by rights must not depend on who came before.
const ORDER: [Role; 9] = [Nobody, Banned, Stranger, TimedOut, Without, Robot, With, Admin, Owner];

/// One line of the table.
struct Row {
    method: Method,
    /// As the router knows it.
    route: String,
    /// With the query, where there is one.
    path: String,
    case: String,
    /// One is enough.
    any_of: Vec<Permissions>,
    /// All are needed.
    all_of: Vec<Permissions>,
    letters: Vec<char>,
    answer: Outcome,
    otherwise: Option<Outcome>,
    body: Option<String>,
}

fn outcome(text: &str) -> Outcome {
    let (status, code) = text.split_once(' ').unwrap_or((text, "0"));
    (status.parse().expect("a status"), code.parse().expect("the number of an error"))
}

fn permission(name: &str) -> Permissions {
    let known = Permissions::NAMES.iter().find(|(known, _)| *known == name);
    known.unwrap_or_else(|| panic!("no permission is called {name}")).1
}

impl Row {
    fn read(line: &str) -> Self {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim().trim_matches(['|', ' ', '`'])).collect();
        let [route, case, needs, letters, answer, otherwise, body] = cells[..] else { panic!("seven columns: {line}") };
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let list = |separator: &str| needs.split(separator).filter(|name| !name.is_empty()).map(permission).collect::<Vec<_>>();
        let (any_of, all_of) = if needs.contains(" / ") { (list(" / "), Vec::new()) } else { (Vec::new(), list(" + ")) };
        assert_eq!(letters.len(), ROLES.len(), "a letter for each: {line}");
        Self {
            method: method.parse().expect("a method"),
            route: format!("{method} {}", path.split('?').next().unwrap_or(path)),
            path: path.to_owned(),
            case: case.to_owned(),
            any_of,
            all_of,
            letters: letters.chars().collect(),
            answer: outcome(answer),
            otherwise: (!otherwise.is_empty()).then(|| outcome(otherwise)),
            body: (!body.is_empty()).then(|| body.to_owned()),
        }
    }

    fn letter(&self, role: Role) -> char {
        self.letters[ROLES.iter().position(|known| *known == role).expect("one of them")]
    }

    fn may(&self, role: Role) -> bool {
        self.letter(role) == '+'
    }

    fn expected(&self, role: Role) -> Outcome {
        match self.letter(role) {
            '+' => self.answer,
            'p' => (403, 50013),
            'a' => (403, 50001),
            'u' => (404, 10004),
            'h' => (403, 20001),
            'b' => (403, 20002),
            '-' => (401, 0),
            '!' => self.otherwise.unwrap_or_else(|| panic!("{}: what else?", self.route)),
            letter => panic!("{}: no letter of the table: {letter}", self.route),
        }
    }

    /// What W and R are given, one after another.
    fn given(&self) -> Vec<Permissions> {
        let all = self.all_of.iter().fold(Permissions::NONE, |all, bit| all | *bit);
        if self.any_of.is_empty() { vec![all] } else { self.any_of.clone() }
    }

    /// What M is left without, one after another.
    fn withheld(&self) -> Vec<Permissions> {
        match (&self.any_of[..], &self.all_of[..]) {
            ([], []) => vec![Permissions::NONE],
            ([], all) => all.to_vec(),
            (any, _) => vec![any.iter().fold(Permissions::NONE, |all, bit| all | *bit)],
        }
    }

    /// Whether guild, membership or ownership are gone when it was done, so that it needs a guild that nothing else needs.
    fn spoils_the_guild(&self) -> bool {
        let routes = ["DELETE /guilds/{guild_id}", "DELETE /users/@me/guilds/{guild_id}", "POST /invites/{code}"];
        routes.contains(&self.route.as_str()) || self.case == "given away"
    }

    /// Whether what it is about is another for everyone.
    fn is_of_the_caller(&self) -> bool {
        ["your own", "a friend"].contains(&self.case.as_str())
    }

    fn name(&self) -> String {
        format!("{} {}", self.route, self.case).trim_end().to_owned()
    }
}

fn rows() -> Vec<Row> {
    let table = std::fs::read_to_string(TABLE).expect("the table is committed");
    table.lines().filter(|line| line.starts_with("| `")).map(Row::read).collect()
}

/// The row's callers in turn, with what they are given or left without for the call.
fn turns(row: &Row, wants_allowed: bool) -> Vec<(Role, Permissions)> {
    let mut turns = Vec::new();
    for role in ORDER.into_iter().filter(|role| row.may(*role) == wants_allowed) {
        let bits = match role {
            With | Robot => row.given(),
            Without => row.withheld(),
            _ => vec![Permissions::NONE],
        };
        turns.extend(bits.into_iter().map(|bits| (role, bits)));
    }
    turns
}

struct Trial<'w> {
    world: &'w World,
    cast: Cast,
    stage: Stage,
    ear: Attached,
    wrong: Vec<String>,
}

impl Trial<'_> {
    async fn call(&self, row: &Row, who: &Session, things: &things::Things) -> Reply {
        let body = row.body.as_ref().map(|body| {
            let body = things.fill(body, '<', '>');
            serde_json::from_str::<Value>(&body).unwrap_or_else(|error| panic!("{}: {error}: {body}", row.route))
        });
        self.world.call(who, row.method.clone(), &things.fill(&row.path, '{', '}'), body).await
    }

    async fn judge(&mut self, row: &Row) {
        let other = if row.spoils_the_guild() { Some(Stage::build(self.world, &self.cast, None).await) } else { None };
        let main = other.map(|other| std::mem::replace(&mut self.stage, other));
        let mut shared = None;
        for (role, bits) in turns(row, false) {
            self.cast.grant(self.world, &self.stage, role, bits).await;
            // What is the caller's own has to be another for each.
            if shared.is_none() || row.is_of_the_caller() {
                shared = Some(self.make(row, role).await);
            }
            let log = self.last_entry(row).await;
            told(&self.ear);
            let things = shared.as_ref().expect("made just now");
            let reply = self.call(row, &self.session(row, role).await, things).await;
            self.compare(row, role, bits, &reply);
            let events: Vec<_> = told(&self.ear).into_iter().map(|(name, _)| name).filter(|name| is_trace(name)).collect();
            if !events.is_empty() || self.last_entry(row).await != log {
                self.wrong(format!("{} by {role:?} was refused and left a trace: {events:?}", row.name()));
            }
        }
        let mut is_first = !row.is_of_the_caller();
        for (role, bits) in turns(row, true) {
            self.cast.grant(self.world, &self.stage, role, bits).await;
            let things = match shared.take_if(|_| is_first || row.method == Method::GET) {
                Some(things) => things,
                None => self.make(row, role).await,
            };
            is_first = false;
            let reply = self.call(row, &self.session(row, role).await, &things).await;
            self.compare(row, role, bits, &reply);
            if row.method == Method::GET {
                shared = Some(things);
            }
        }
        if let Some(main) = main {
            self.stage = main;
        }
    }

    fn compare(&mut self, row: &Row, role: Role, bits: Permissions, reply: &Reply) {
        let found = (reply.status, if reply.status < 400 { 0 } else { reply.body["code"].as_u64().unwrap_or(0) });
        let expected = row.expected(role);
        if found != expected {
            let line = format!("{} by {role:?} {bits:?}: {found:?}, not {expected:?}: {}", row.name(), reply.text);
            self.wrong(line.chars().take(400).collect());
        }
    }

    /// Said at once, in case that what comes later stops the test.
    fn wrong(&mut self, what: String) {
        eprintln!("{what}");
        self.wrong.push(what);
    }

    /// Of the audit log; what only reads has no place in it.
    async fn last_entry(&self, row: &Row) -> Value {
        if row.method == Method::GET {
            return Value::Null;
        }
        let path = format!("/guilds/{}/audit-logs?limit=1", self.stage.guild);
        self.world.get(&self.cast.owner, &path).await.body["audit_log_entries"][0]["id"].clone()
    }
}

/// Interactions end by themselves a while later, which is nobody's deed.
fn is_trace(event: &str) -> bool {
    !event.starts_with("INTERACTION_")
}

#[tokio::test]
async fn every_route_answers_everyone_as_the_table_says() {
    let world = World::new().await;
    let cast = Cast::gather(&world).await;
    let stage = Stage::build(&world, &cast, Some(&world.guild)).await;
    // Presences come a second late.
    let (ear, _) = world.listen(&cast.owner, Some(Intents::ALL.without(Intents::GUILD_PRESENCES))).await;
    let mut trial = Trial { world: &world, cast, stage, ear, wrong: Vec::new() };
    for row in rows() {
        trial.judge(&row).await;
    }
    assert!(trial.wrong.is_empty(), "{} are wrong, see above", trial.wrong.len());
}

#[test]
fn every_route_has_a_row_that_agrees_with_its_handlers_arguments() {
    let rows = rows();
    let mut wrong = Vec::new();
    let (_, operations) = routes().into_parts();
    let known: BTreeSet<String> = operations.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    wrong.extend(rows.iter().filter(|row| !known.contains(&row.route)).map(|row| format!("{} is no route", row.route)));
    for operation in operations {
        let name = format!("{} {}", operation.method, operation.path);
        let who = operation.facts().who;
        let mut own = rows.iter().filter(|row| row.route == name).peekable();
        if own.peek().is_none() {
            wrong.push(format!("{name} has no row in docs/authorization.md"));
        }
        for row in own {
            let by_letters = match (row.letter(Nobody), row.letter(Robot)) {
                ('-', 'h') => Who::Person,
                ('-', _) => Who::Caller,
                _ => Who::Anyone,
            };
            if by_letters != who {
                wrong.push(format!("{}: the handler asks for {who:?}, the row for {by_letters:?}", row.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
