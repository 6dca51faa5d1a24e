//! What a backup says of itself, and the sums that prove that it is what was saved.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path};

const FILE: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";
/// The form of the folder; a higher one is a newer version's.
const FORM: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub form: u32,
    /// Of the program that made it.
    pub version: String,
    pub made_at_unix_ms: u64,
    /// The form of the database's tables.
    pub schema: i64,
    /// Rows of the database by what they are.
    pub counts: BTreeMap<String, u64>,
    pub files: Place,
    /// Where the configuration file was that `guildhall.toml` is a copy of.
    pub config: Option<String>,
}

/// Where the server keeps files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// They are in the backup.
    Folder { count: u64, bytes: u64 },
    /// They are not.
    Bucket(String),
}

impl Manifest {
    pub fn new(schema: i64, counts: BTreeMap<String, u64>, files: Place, config: Option<String>, made_at_unix_ms: u64) -> Self {
        Self { form: FORM, version: env!("CARGO_PKG_VERSION").to_owned(), made_at_unix_ms, schema, counts, files, config }
    }

    pub fn write(&self, backup: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        crate::data::write_private(&backup.join(FILE), &text)
    }

    pub fn read(backup: &Path) -> anyhow::Result<Self> {
        let path = backup.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !backup.exists() => {
                bail!("There is no backup at {}.", backup.display())
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                bail!("{} is no complete backup: it has no {FILE}, which is written last.", backup.display())
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let Form { form } = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if form > FORM {
            bail!("A newer version of Guildhall made this backup (its form is {form}, this version knows {FORM}).");
        }
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }
}

/// The sums of a backup's files by their path in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sums(pub BTreeMap<String, String>);

impl Sums {
    /// In the form of `sha256sum`.
    pub fn write(&self, backup: &Path) -> anyhow::Result<()> {
        let lines: String = self.0.iter().map(|(path, sum)| format!("{sum}  {path}\n")).collect();
        crate::data::write_private(&backup.join(SUMS), lines.as_bytes())
    }

    /// Paths that lead out of the backup are refused.
    pub fn read(backup: &Path) -> anyhow::Result<Self> {
        let path = backup.join(SUMS);
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut sums = BTreeMap::new();
        for line in text.lines() {
            let is_inside = |path: &str| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            match line.split_once("  ") {
                Some((sum, path)) if sum.len() == 64 && !path.is_empty() && is_inside(path) => {
                    sums.insert(path.to_owned(), sum.to_owned())
                }
                _ => bail!("{} is damaged.", path.display()),
            };
        }
        Ok(Self(sums))
    }
}
