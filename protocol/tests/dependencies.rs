//! What the product is made of: the licence, the source and the versions of everything that is compiled into it or runs in
//! the browser. It reads lock files and asks cargo offline, so it belongs to `cargo test` and costs CI a second.
//!
//! It lives here because `protocol` compiles first, and `make audit` can answer before anything else is built.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Licences that a binary under Apache-2.0 may contain without a duty beyond keeping their text, and MPL-2.0, whose duty ends
/// at the files it covers.
const LICENCES: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0", // Mozilla's list of certificate authorities, which is data
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL", // parts of aws-lc
    "Unicode-3.0",
    "Zlib",
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Packages that are compiled in two incompatible versions, and who holds the older one back. A new one fails the test, and
/// so does one that is gone: two copies cost build time and binary size, and of two `rand`s one is soon forgotten.
const DUPLICATES: &[(&str, &[&str], &str)] = &[
    ("base64", &["0.22", "0.23"], "axum 0.8, sqlx 0.9"),
    ("block-buffer", &["0.10", "0.12"], "digest 0.10"),
    ("cpufeatures", &["0.2", "0.3"], "sha1 and sha2 0.10"),
    ("crypto-common", &["0.1", "0.2"], "digest 0.10"),
    ("digest", &["0.10", "0.11"], "sha1 and sha2 0.10"),
    ("foldhash", &["0.1", "0.2"], "hashbrown 0.15"),
    ("getrandom", &["0.3", "0.4"], "rand 0.9"),
    (
        "hashbrown",
        &["0.14", "0.15", "0.16", "0.17"],
        "dashmap of twilight-standby 0.18, petgraph of prost-build 0.14, which only tests need; hashlink of sqlx 0.9",
    ),
    ("itertools", &["0.14", "0.15"], "prost 0.14"),
    ("logos", &["0.15", "0.16"], "prost-reflect of protox 0.9, which only a test needs"),
    ("logos-codegen", &["0.15", "0.16"], "logos 0.15"),
    ("logos-derive", &["0.15", "0.16"], "logos 0.15"),
    ("miniz_oxide", &["0.8", "0.9"], "png 0.18 of image 0.25"),
    ("rand", &["0.9", "0.10"], "sctp-proto of str0m 0.25, tungstenite 0.29"),
    ("rand_core", &["0.9", "0.10"], "rand 0.9"),
    ("sha1", &["0.10", "0.11"], "axum 0.8 and tungstenite 0.29, for the WebSocket handshake"),
    ("sha2", &["0.10", "0.11"], "sqlx 0.9"),
    ("spin", &["0.9", "0.10"], "flume of sqlx 0.9"),
    ("syn", &["2", "3"], "sqlx 0.9, rust-embed, tracing: half of all derive macros are not there yet"),
    ("tower-http", &["0.6", "0.7"], "reqwest 0.13"),
    ("webpki-roots", &["0.26", "1"], "tokio-tungstenite 0.29; 0.26 is only a name for 1"),
];

/// Cryptography providers, of which only aws-lc may be there: two would mean two sets of certificates checks, two sources of
/// randomness, and a rustls that refuses to choose.
const OTHER_PROVIDERS: [&str; 7] =
    ["ring", "openssl-sys", "native-tls", "mbedtls", "boring-sys", "rustls-rustcrypto", "aws-lc-fips-sys"];

struct Package {
    name: String,
    version: String,
    licence: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("protocol/ is a folder of the repository").to_path_buf()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that is compiled on this machine for the workspace, its build scripts and its tests. `cargo tree` knows which
/// features are on; `cargo metadata` also lists what an unused feature would bring.
fn compiled() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").expect("cargo runs this test");
    let output = Command::new(cargo)
        .args(["tree", "--workspace", "--edges", "normal,build,dev", "--prefix", "none", "--no-dedupe"])
        .args(["--offline", "--locked", "--quiet", "--color", "never", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: BTreeSet<&str> = std::str::from_utf8(&output.stdout).expect("cargo writes UTF-8").lines().collect();
    lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (package, licence) = line.rsplit_once('|').expect("the format has a bar");
            let mut words = package.split(' ');
            let (name, version) = (words.next().expect("a name"), words.next().expect("a version"));
            Package { name: name.to_owned(), version: version.trim_start_matches('v').to_owned(), licence: licence.to_owned() }
        })
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences: all parts of an AND, one of an OR. `/` is an old OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "\u{a0}WITH\u{a0}");
    let tokens: Vec<String> = spaced.split(' ').filter(|t| !t.is_empty()).map(|t| t.replace('\u{a0}', " ")).collect();
    let mut rest = tokens.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[String]) -> bool {
    let mut met = all_of(rest);
    while rest.first().is_some_and(|token| token == "OR") {
        *rest = &rest[1..];
        met |= all_of(rest);
    }
    met
}

fn all_of(rest: &mut &[String]) -> bool {
    let mut met = one(rest);
    while rest.first().is_some_and(|token| token == "AND") {
        *rest = &rest[1..];
        met &= one(rest);
    }
    met
}

fn one(rest: &mut &[String]) -> bool {
    let Some((token, after)) = rest.split_first() else { return false };
    *rest = after;
    if token != "(" {
        return LICENCES.contains(&token.as_str());
    }
    let met = any_of(rest);
    let closes = rest.first().is_some_and(|token| token == ")");
    *rest = rest.get(1..).unwrap_or_default();
    met && closes
}

/// The part of a version that semantic versioning holds compatible.
fn compatible_part(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next().expect("a version"), parts.next()) {
        ("0", Some(minor)) => format!("0.{minor}"),
        (major, _) => major.to_owned(),
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0 OR MIT",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "ISC AND (Apache-2.0 OR ISC) AND OpenSSL",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in [
        "",
        "AGPL-3.0-only",
        "MIT AND GPL-3.0",
        "GPL-3.0 AND MIT OR GPL-2.0",
        "(MIT OR Apache-2.0) AND SSPL-1.0",
        "GPL-2.0 WITH Classpath-exception-2.0",
        "MIT MIT",
        "(MIT",
    ] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn every_compiled_package_has_an_allowed_licence() {
    let packages = compiled();
    assert!(packages.len() > 100, "cargo named only {} packages", packages.len());
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !is_allowed(&package.licence))
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.licence))
        .collect();
    assert!(refused.is_empty(), "not in the list of allowed licences:\n{}", refused.join("\n"));
}

#[test]
fn every_package_comes_from_crates_io_or_from_here() {
    let lock = read("Cargo.lock");
    let mut named = 0;
    for package in lock.split("[[package]]\n").skip(1) {
        let value = |key: &str| package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        let name = value("name").expect("a name");
        match value("source") {
            Some(source) => assert!(source == CRATES_IO && value("checksum").is_some(), "{name} comes from {source}"),
            None => assert!(name.starts_with("guildhall"), "{name} is a path outside the workspace"),
        }
        named += 1;
    }
    assert!(named > 100, "the lock file names only {named} packages");
}

#[test]
fn duplicate_versions_are_exactly_the_known_ones() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in compiled() {
        versions.entry(package.name).or_default().insert(compatible_part(&package.version));
    }
    let duplicates: BTreeMap<String, BTreeSet<String>> = versions.into_iter().filter(|(_, v)| v.len() > 1).collect();
    let known = DUPLICATES.iter().map(|(name, v, _)| (name.to_string(), v.iter().map(|v| v.to_string()).collect())).collect();
    assert_eq!(duplicates, known, "left: compiled, right: known. `cargo tree -i NAME@VERSION` says who wants it");
}

#[test]
fn aws_lc_is_the_only_cryptography_provider() {
    let names: Vec<String> = compiled().into_iter().map(|package| package.name).collect();
    let others: Vec<&String> = names.iter().filter(|name| OTHER_PROVIDERS.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(names.iter().filter(|name| *name == "aws-lc-sys").count(), 1, "one version of it");
}

#[test]
fn every_dependency_is_named_once_in_the_root_manifest() {
    let root_manifest = read("Cargo.toml");
    let members = root_manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("the workspace has members");
    let members: Vec<String> = serde_json::from_str(members).expect("a list of strings on one line");
    for manifest in members.iter().map(|member| format!("{member}/Cargo.toml")).chain(["Cargo.toml".to_owned()]) {
        let mut section = String::new();
        for line in read(&manifest).lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if section.ends_with("dependencies") && section != "workspace.dependencies" && line.contains('=') {
                let follows = line.starts_with('#') || line.contains(".workspace = true") || line.contains("workspace = true");
                assert!(follows, "{manifest} [{section}]: {line:?} belongs into the root's [workspace.dependencies]");
            }
        }
    }
}

#[test]
fn javascript_packages_are_pinned_by_hash_and_have_an_allowed_licence() {
    for path in ["web/package-lock.json", "tests/clients/node/package-lock.json"] {
        let lock: Value = serde_json::from_str(&read(path)).expect("a lock file is JSON");
        let packages = lock["packages"].as_object().expect("lock file version 2 or later");
        assert!(packages.len() > 10, "{path} names only {} packages", packages.len());
        for (name, package) in packages {
            let licence = package["license"].as_str().unwrap_or("");
            assert!(is_allowed(licence), "{path}: {name:?} has the licence {licence:?}");
            let is_ours = name.is_empty();
            assert!(is_ours || package["integrity"].is_string(), "{path}: {name} has no hash");
            // Without an address npm asks whichever registry it is set up for, and the hash says whether the answer is right.
            assert!(package["resolved"].is_null(), "{path}: {name} names the place it was fetched from");
        }
    }
}

#[test]
fn python_packages_are_pinned() {
    let path = "tests/clients/python/requirements.txt";
    let requirements = read(path);
    let named: Vec<&str> = requirements.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(!named.is_empty());
    for line in named {
        assert!(line.contains("=="), "{path}: {line} is not one version");
    }
}
