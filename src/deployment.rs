//! Keeps `deploy/` true: its files can be read, name only settings, commands and metrics that exist, and every alert has a
//! reason, a test and a chapter of the runbook.

use crate::{backup, config, doctor, operator::cli, serve};
use clap::Command;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use yaml_rust2::{Yaml, YamlLoader};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// Every file below `deploy/`, with its path from there. What somebody keeps in `secrets` is none of our business.
fn files() -> Vec<(String, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![folder()]);
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(&below).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder()).unwrap().display().to_string();
            match path.is_dir() {
                true if name != "secrets" => folders.push(path),
                true => {}
                false => files.push((name.clone(), text(&name))),
            }
        }
    }
    assert!(files.len() > 20, "{files:?}");
    files
}

fn yaml(name: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&text(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"));
    assert_eq!(documents.len(), 1, "deploy/{name}");
    documents.remove(0)
}

/// The first column of the table in deploy/README.md.
pub fn documented_metrics() -> BTreeSet<String> {
    let text = text("README.md");
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()));
    let names: BTreeSet<String> = cells.filter(|name| name.starts_with("guildhall_") || name.starts_with("process_")).collect();
    assert!(names.len() > 30, "{names:?}");
    names
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// As `guildhall` has them.
fn commands() -> [Command; 6] {
    [config::command(), backup::command(), backup::restore_command(), doctor::command(), cli::node_command(), cli::room_command()]
}

#[test]
fn what_is_yaml_or_json_can_be_read() {
    for (name, text) in files() {
        // Templates are YAML only after they were rendered: `make deploy-check`.
        if name.contains("/templates/") {
            continue;
        }
        if name.ends_with(".yaml") {
            yaml(&name);
        } else if name.ends_with(".json") {
            serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("deploy/{name}: {error}"));
        }
    }
}

/// Calls of the program in a text: the words from the subcommand on, to the end of the line or of the quotation. Shell lines may
/// go on after a backslash, lists of words have commas.
fn calls(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in text.lines() {
        let starts = ["guildhall ", "[serve", "exec guildhall "];
        for (at, _) in starts.iter().flat_map(|start| line.match_indices(start)) {
            let rest = line[at..].trim_start_matches("exec ").trim_start_matches("guildhall ").trim_start_matches('[');
            let rest = rest.split(['`', '|', '#', ';', ']', '(']).next().unwrap_or_default();
            let words: Vec<String> = rest
                .split([' ', ','])
                .map(|word| word.trim_matches(['"', '\'', '*', '.']).to_owned())
                .filter(|word| !word.is_empty())
                .collect();
            let is_call = words.first().is_some_and(|word| commands().iter().any(|command| command.get_name() == word));
            if is_call {
                calls.push(words);
            }
        }
    }
    calls
}

/// Whether the words name a command that exists, with flags that it has.
fn judge(words: &[String]) -> Result<(), String> {
    let commands = commands();
    let mut command = commands.iter().find(|command| command.get_name() == words[0]).expect("calls are of commands");
    if command.has_subcommands() {
        let Some(verb) = words.get(1) else { return Ok(()) };
        command = command.find_subcommand(verb).ok_or(format!("no such command: {words:?}"))?;
    }
    for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
        let name = flag.split('=').next().unwrap_or_default();
        let is_known = name == "help" || command.get_arguments().any(|argument| argument.get_long() == Some(name));
        if !is_known {
            return Err(format!("no such flag: --{name} in {words:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_command_and_flag_exists() {
    let mut seen = BTreeSet::new();
    for (name, text) in files() {
        for words in calls(&text) {
            judge(&words).unwrap_or_else(|error| panic!("deploy/{name}: {error}"));
            seen.insert(words[0].clone());
        }
    }
    let every: BTreeSet<String> = commands().iter().map(|command| command.get_name().to_owned()).collect();
    assert_eq!(seen, every, "every command is told of somewhere");
    let words = |line: &str| calls(line).remove(0);
    assert!(judge(&words("run `guildhall node drain eu-1 --deadline 30`")).is_ok());
    assert!(judge(&words("run `guildhall node drain eu-1 --dead 30`")).is_err(), "this test can fail");
    assert!(judge(&words("args: [serve, --rolle=voice]")).is_err(), "this test can fail");
}

#[test]
fn every_variable_is_a_setting() {
    let settings: BTreeSet<String> = config::flags(|_| true)
        .map(|flag| format!("GUILDHALL_{}", flag.get_id().as_str().to_ascii_uppercase().replace('-', "_")))
        .collect();
    let mut seen = 0;
    for (name, text) in files() {
        for word in text.split(|letter| !is_word(letter)).filter(|word| word.starts_with("GUILDHALL_")) {
            assert!(word == "GUILDHALL_" || settings.contains(word), "deploy/{name}: {word}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn compose_starts_the_server_with_settings_that_it_takes() {
    let files = [("compose.yaml", 1), ("compose.control-plane.yaml", 1), ("compose.voice.yaml", 1), ("compose.fleet.yaml", 2)];
    for (name, expected) in files {
        let compose = yaml(name);
        let mut servers = 0;
        for (service, body) in compose["services"].as_hash().unwrap() {
            if body["build"].is_badvalue() {
                continue;
            }
            let words = body["command"].as_vec().unwrap().iter().map(|word| word.as_str().expect("a string").to_owned());
            let words: Vec<String> = words.collect();
            let parsed = config::command().no_binary_name(true).try_get_matches_from(&words[1..]);
            assert!(words[0] == "serve" && parsed.is_ok(), "{name} {service:?}: {parsed:?}");
            assert_eq!(body["read_only"].as_bool(), Some(true));
            assert!(body["healthcheck"]["test"].as_vec().unwrap().iter().any(|word| word.as_str().unwrap().contains("/readyz")));
            servers += 1;
        }
        assert_eq!(servers, expected, "{name}");
    }
}

/// What a service is told by its environment and its command, `NAME=value` each, and the secrets that it gets.
fn told(service: &Yaml) -> (Vec<String>, BTreeSet<&str>) {
    let environment = service["environment"].as_hash().into_iter().flatten();
    let mut told: Vec<String> =
        environment.map(|(name, value)| format!("{}={}", name.as_str().unwrap(), value.as_str().unwrap())).collect();
    told.extend(service["command"].as_vec().into_iter().flatten().filter_map(Yaml::as_str).map(str::to_owned));
    (told, service["secrets"].as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect())
}

#[test]
fn compose_gives_a_service_the_secrets_that_its_settings_name() {
    let stacks = [
        ("compose.control-plane.yaml", vec!["compose.postgres.yaml", "compose.control-plane.mutual-tls.yaml"]),
        ("compose.fleet.yaml", vec!["compose.fleet.mutual-tls.yaml"]),
        ("compose.voice.yaml", vec!["compose.voice.mutual-tls.yaml"]),
    ];
    let mut seen = 0;
    for (base, more) in stacks {
        for overlay in std::iter::once(None).chain(more.into_iter().map(Some)) {
            let files: Vec<Yaml> = std::iter::once(base).chain(overlay).map(yaml).collect();
            let services = |file: &Yaml| -> Vec<String> {
                file["services"].as_hash().unwrap().keys().map(|name| name.as_str().unwrap().to_owned()).collect()
            };
            let is_declared = |secret: &str| files.iter().any(|file| !file["secrets"][secret]["file"].is_badvalue());
            for name in files.iter().flat_map(services) {
                let parts: Vec<_> = files.iter().map(|file| told(&file["services"][name.as_str()])).collect();
                let given: BTreeSet<&str> = parts.iter().flat_map(|(_, secrets)| secrets.iter().copied()).collect();
                assert!(given.iter().all(|secret| is_declared(secret)), "{base} {overlay:?} {name}: {given:?}");
                for line in parts.iter().flat_map(|(lines, _)| lines) {
                    let Some((_, secret)) = line.split_once("=/run/secrets/") else { continue };
                    assert!(given.contains(secret), "{base} {overlay:?} {name}: {line}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn with_mutual_tls_no_compose_file_has_a_join_secret() {
    let of = |file: &str, service: &str| told(&yaml(file)["services"][service]).0;
    let says = |lines: &[String], line: &str| lines.iter().any(|told| told == line);
    for (file, service) in
        [("compose.fleet", "control-plane-a"), ("compose.fleet", "control-plane-b"), ("compose.voice", "voice")]
    {
        let named = "GUILDHALL_JOIN_SECRET_FILE=/run/secrets/join_secret";
        assert!(says(&of(&format!("{file}.yaml"), service), named), "{file} {service}: what is emptied is there");
        assert!(says(&of(&format!("{file}.mutual-tls.yaml"), service), "GUILDHALL_JOIN_SECRET_FILE="), "{file} {service}");
        assert!(yaml(&format!("{file}.mutual-tls.yaml"))["secrets"]["join_secret"]["file"].as_str() == Some("/dev/null"));
    }
    // Alone it makes one for itself, unless nodes have certificates.
    assert!(
        !of("compose.control-plane.yaml", "control-plane")
            .iter()
            .any(|line| line.contains("JOIN_SECRET") || line.contains("join-secret"))
    );
    for (file, service) in [("control-plane", "control-plane"), ("fleet", "control-plane-a"), ("fleet", "control-plane-b")] {
        assert!(says(&of(&format!("compose.{file}.mutual-tls.yaml"), service), "GUILDHALL_NODES_CA=/run/secrets/nodes_ca"));
    }
}

#[test]
fn who_stops_a_voice_node_waits_until_it_is_empty() {
    let patience = |leave: u64| Duration::from_secs(leave) + serve::STOP_TIMEOUT;
    let unit = text("guildhall-voice.service");
    let after = |text: &str, key: &str| -> u64 {
        let rest = text.split_once(key).unwrap_or_else(|| panic!("{key}")).1;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(Duration::from_secs(after(&unit, "TimeoutStopSec=")) >= patience(after(&unit, "--leave-within ")));
    let compose = text("compose.voice.yaml");
    assert!(Duration::from_secs(after(&compose, "stop_grace_period: ")) >= patience(after(&compose, "--leave-within=")));
    let chart = text("helm/guildhall/templates/voice.yaml");
    let more = after(&chart, "terminationGracePeriodSeconds: {{ add $voice.leaveWithinSeconds ");
    assert!(Duration::from_secs(more) >= patience(0));
    for unit in ["guildhall.service", "guildhall-control-plane.service"] {
        assert!(Duration::from_secs(after(&text(unit), "TimeoutStopSec=")) >= serve::STOP_TIMEOUT, "{unit}");
    }
}

#[test]
fn alerts_dashboards_and_autoscaling_go_by_metrics_that_are_printed() {
    let documented = documented_metrics();
    for (name, text) in files() {
        let is_asked = name.starts_with("prometheus/") || name.starts_with("grafana/") || name.ends_with("templates/voice.yaml");
        if !is_asked {
            continue;
        }
        let mut metrics = 0;
        for word in text.split(|letter| !is_word(letter)) {
            let Some(("guildhall" | "process", _)) = word.split_once('_') else { continue };
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
            let is_printed = documented.contains(word) || bare.is_some_and(|bare| documented.contains(bare));
            assert!(is_printed, "deploy/{name}: {word} is no metric");
            metrics += 1;
        }
        assert!(metrics > 0 || name.ends_with("scrape.yaml"), "deploy/{name}");
    }
}

#[test]
fn every_alert_has_a_reason_a_test_and_a_chapter() {
    let (rules, tests, runbook) = (text("prometheus/alerts.yaml"), text("prometheus/alerts.test.yaml"), text("RUNBOOK.md"));
    let lines: Vec<&str> = rules.lines().collect();
    let mut names = BTreeSet::new();
    for group in yaml("prometheus/alerts.yaml")["groups"].as_vec().unwrap() {
        for rule in group["rules"].as_vec().unwrap() {
            let name = rule["alert"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")), "{name}");
            assert!(rule["annotations"]["summary"].as_str().is_some(), "{name}");
            let anchor = format!("RUNBOOK.md#{}", name.to_ascii_lowercase());
            assert_eq!(rule["annotations"]["runbook"].as_str(), Some(anchor.as_str()));
            assert!(runbook.lines().any(|line| line == format!("### {name}")), "{name} has no chapter");
            assert!(tests.contains(&format!("alertname: {name}\n")), "{name} has no test");
            let at = lines.iter().position(|line| line.trim() == format!("- alert: {name}")).unwrap();
            assert!(lines[at - 1].trim().starts_with("# "), "{name} has no reason");
        }
    }
    let chapters = runbook.lines().filter_map(|line| line.strip_prefix("### Guildhall")).map(|rest| format!("Guildhall{rest}"));
    assert_eq!(names, chapters.collect(), "a chapter of each alert, and of no other");
}
