//! A released client library in its own process, driven by JSON lines (see `clients/node/script.mjs`).

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::watch,
};

use crate::{DEADLINE, repository};

/// How much of what it said and logged a failing test prints.
const LOG_TAIL: usize = 60;

pub struct Script {
    name: String,
    /// Killed when this goes.
    _process: Child,
    input: tokio::sync::Mutex<ChildStdin>,
    next_command: AtomicU64,
    said: watch::Receiver<Said>,
    log: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Default)]
struct Said {
    lines: Arc<Mutex<Vec<Value>>>,
    count: usize,
    has_ended: bool,
}

impl Script {
    /// `clients/node/<file>`, trusting the server's own certificate authority if it talks to it over TLS.
    pub fn node(file: &str, given: &Value, ca: Option<&Path>) -> Script {
        let folder = repository().join("tests/clients/node");
        assert!(folder.join("node_modules").exists(), "run `npm ci` in {} first (`make test` does)", folder.display());
        let mut command = Command::new("node");
        command.arg(file).current_dir(folder);
        if let Some(ca) = ca {
            command.env("NODE_EXTRA_CA_CERTS", ca);
        }
        Self::spawn(file, command, given)
    }

    /// `clients/python/<file>` in the repository's virtual environment.
    pub fn python(file: &str, given: &Value, ca: &Path) -> Script {
        let python = repository().join(".venv/bin/python");
        assert!(python.exists(), "{} is missing: `make test` creates it", python.display());
        let mut command = Command::new(python);
        command.args(["-u", "-B", file]).current_dir(repository().join("tests/clients/python")).env("SSL_CERT_FILE", ca);
        Self::spawn(file, command, given)
    }

    /// A Chromium that opens a page per person; `GUILDHALL_CHROMIUM` names another one than the installed.
    pub async fn browser() -> Script {
        Self::browser_with(&[]).await
    }

    /// The same with further switches.
    pub async fn browser_with(switches: &[&str]) -> Script {
        let executable = std::env::var("GUILDHALL_CHROMIUM").unwrap_or_else(|_| {
            let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
                .into_iter()
                .find(|path| Path::new(path).exists());
            found.expect("Chromium is installed (`make test` does), or GUILDHALL_CHROMIUM names one").to_string()
        });
        let script = Self::node("browser.mjs", &json!({"executable": executable, "switches": switches}), None);
        script.event("ready", json!({})).await;
        script
    }

    fn spawn(name: &str, mut command: Command, given: &Value) -> Script {
        let mut process = command
            .arg(given.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} starts: {error}"));
        let input = process.stdin.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(keep(process.stderr.take().expect("piped"), Arc::clone(&log)));

        let (saying, said) = watch::channel(Said::default());
        let mut output = BufReader::new(process.stdout.take().expect("piped")).lines();
        let noise = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                match serde_json::from_str::<Value>(&line) {
                    Ok(value) => saying.send_modify(|said| {
                        said.lines.lock().expect("no reader panics").push(value);
                        said.count += 1;
                    }),
                    Err(_) => noise.lock().expect("no reader panics").push(line),
                }
            }
            saying.send_modify(|said| said.has_ended = true);
        });
        Script { name: name.to_string(), _process: process, input: input.into(), next_command: AtomicU64::new(1), said, log }
    }

    /// Waits for the first line, from the beginning, for which `pick` has an answer.
    async fn wait<T>(&self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        let mut said = self.said.clone();
        let mut looked_at = 0;
        let wait = async {
            loop {
                let now = said.borrow_and_update().clone();
                {
                    let lines = now.lines.lock().expect("no reader panics");
                    while looked_at < lines.len() {
                        looked_at += 1;
                        if let Some(found) = pick(&lines[looked_at - 1]) {
                            return found;
                        }
                    }
                }
                if now.has_ended {
                    panic!("{} ended before {what}", self.name);
                }
                let _ = said.changed().await;
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{}: waited {DEADLINE:?} for {what}", self.name),
        }
    }

    /// Waits until an event of this name with these fields was reported, now or before; answers with it.
    pub async fn event(&self, name: &str, fields: Value) -> Value {
        self.wait(&format!("event {name} with {fields}"), |line| matches(line, name, &fields).then(|| line.clone())).await
    }

    /// The same for the n-th such event (from 1).
    pub async fn event_number(&self, n: usize, name: &str, fields: Value) -> Value {
        let mut seen = 0;
        self.wait(&format!("event {name} with {fields}, number {n}"), |line| {
            seen += usize::from(matches(line, name, &fields));
            (seen == n).then(|| line.clone())
        })
        .await
    }

    /// Every event of this name reported so far.
    pub fn events(&self, name: &str) -> Vec<Value> {
        let said = self.said.borrow();
        let lines = said.lines.lock().expect("no reader panics");
        lines.iter().filter(|line| line["event"] == name).cloned().collect()
    }

    /// Gives a command and waits for its answer; panics if the library refused it.
    pub async fn ask(&self, what: &str, fields: Value) -> Value {
        match self.try_ask(what, fields).await {
            Ok(answer) => answer,
            Err(error) => panic!("{}: {what} failed: {error}", self.name),
        }
    }

    /// Gives a command and waits for its answer or for what went wrong.
    pub async fn try_ask(&self, what: &str, fields: Value) -> Result<Value, String> {
        let id = self.next_command.fetch_add(1, Ordering::Relaxed);
        let mut command = fields;
        command["id"] = json!(id);
        command["do"] = json!(what);
        let line = format!("{command}\n");
        self.input.lock().await.write_all(line.as_bytes()).await.unwrap_or_else(|error| {
            panic!("{} does not listen to {what}: {error}", self.name);
        });
        let reply = self.wait(&format!("the answer to {what}"), |line| (line["reply"] == id).then(|| line.clone())).await;
        match reply["error"].as_str() {
            Some(error) => Err(error.to_string()),
            None => Ok(reply["ok"].clone()),
        }
    }
}

impl Drop for Script {
    /// A failing test shows what the library said and logged.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let said = self.said.borrow();
        let lines = said.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let events: Vec<String> = lines.iter().filter(|line| line["event"].is_string()).map(shortened).collect();
        let events = &events[events.len().saturating_sub(LOG_TAIL)..];
        let log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
        eprintln!("--- {} said ---\n{}\n--- and logged ---\n{}\n---", self.name, events.join("\n"), tail.join("\n"));
    }
}

/// Whether a line is this event and has all of these fields with these values.
fn matches(line: &Value, name: &str, fields: &Value) -> bool {
    line["event"] == name && fields.as_object().is_none_or(|fields| fields.iter().all(|(key, value)| &line[key] == value))
}

/// One line for a person: long packets are cut.
fn shortened(line: &Value) -> String {
    line.to_string().chars().take(400).collect()
}

async fn keep(stream: impl AsyncRead + Unpin, log: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.lock().expect("no reader panics").push(line);
    }
}
