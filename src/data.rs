//! The data directory: one process at a time, and files that nobody else may read.

use anyhow::{Context, bail};
use guildhall_control_plane::store::Location;
use guildhall_protocol::voice_token::VoiceKey;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data directory that is ours until this is dropped.
pub struct DataDir {
    path: PathBuf,
    /// The lock lives as long as the open file.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be and locks it: two servers on one database would each believe to be alone.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // What is inside is nobody else's business: messages, password hashes, keys.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.with_context(|| format!("The data directory {} cannot be created", path.display()))?;
        let refusal = "give each its own --data";
        let lock = lock(&path.join("lock"), &format!("The data directory {}", path.display()), refusal)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Locks a database file that is not in here, for the same reason. It is ours until the answer is dropped.
    pub fn lock_elsewhere(&self, database: &Location) -> anyhow::Result<Option<File>> {
        match database {
            Location::File(file) if !file.starts_with(&self.path) => {
                let refusal = "a SQLite file has one server";
                lock(&file.with_extension("lock"), &format!("The database {}", file.display()), refusal).map(Some)
            }
            Location::File(_) | Location::Postgres(_) => Ok(None),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that signs voice tokens, made at the first start.
    pub fn voice_key(&self) -> anyhow::Result<VoiceKey> {
        Ok(VoiceKey::new(&self.secret("voice.key")?))
    }

    /// The same, if there is one: control planes that share a database share a key, which the database keeps.
    pub fn known_voice_key(&self) -> anyhow::Result<Option<VoiceKey>> {
        if self.path.join("voice.key").exists() { self.voice_key().map(Some) } else { Ok(None) }
    }

    /// What tells this control plane from others, for voice nodes; the same after a restart.
    pub fn issuer(&self) -> anyhow::Result<u64> {
        let [a, b, c, d, e, f, g, h, ..] = self.secret("issuer.key")?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The secret in a file of hexadecimal digits, made at the first start: for people and programs to copy.
    pub fn shown_secret(&self, name: &str) -> anyhow::Result<(PathBuf, String)> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok((path, text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                aws_lc_rs::rand::fill(&mut bytes).ok().context("The system has no randomness")?;
                let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                write_private(&path, format!("{text}\n").as_bytes())?;
                Ok((path, text))
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// 32 bytes of a file, made at the first start.
    fn secret(&self, name: &str) -> anyhow::Result<[u8; 32]> {
        let path = self.path.join(name);
        let secret: [u8; 32] = match fs::read(&path) {
            Ok(bytes) => match bytes.try_into() {
                Ok(secret) => secret,
                Err(_) => bail!("{} is damaged: it must have 32 bytes. Remove it, and a new one is made.", path.display()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut secret = [0; 32];
                aws_lc_rs::rand::fill(&mut secret).ok().context("The system has no randomness")?;
                write_private(&path, &secret)?;
                secret
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(secret)
    }
}

fn lock(path: &Path, what: &str, refusal: &str) -> anyhow::Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let lock = opened.with_context(|| format!("{what} cannot be written to"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!("{what} is in use by another guildhall process; {refusal}."),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{what} cannot be locked")),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, bytes, 0o600)
}

/// Writes a file for everyone to read, whole or not at all.
pub fn write_public(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, bytes, 0o644)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let written = (|| {
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_has_one_process_and_its_key_survives_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let data = DataDir::open(&path).unwrap();
        let refusal = DataDir::open(&path).err().unwrap().to_string();
        assert!(refusal.contains("in use by another guildhall process"), "{refusal}");
        assert!(data.known_voice_key().unwrap().is_none(), "nobody asked for one");
        data.voice_key().unwrap();
        assert!(data.known_voice_key().unwrap().is_some());
        let key_path = path.join("voice.key");
        let secret = fs::read(&key_path).unwrap();
        assert_eq!(fs::metadata(&key_path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(data.lock_elsewhere(&Location::File(path.join("x.db"))).unwrap().is_none());
        let elsewhere = Location::File(dir.path().join("x.db"));
        let held = data.lock_elsewhere(&elsewhere).unwrap();
        let refusal = data.lock_elsewhere(&elsewhere).err().unwrap().to_string();
        assert!(held.is_some() && refusal.contains("a SQLite file has one server"), "{refusal}");
        drop(data);
        DataDir::open(&path).unwrap().voice_key().unwrap();
        assert_eq!(fs::read(&key_path).unwrap(), secret);
        let data = DataDir::open(&path).unwrap();
        let (shown, text) = data.shown_secret("operator.key").unwrap();
        assert_eq!((text.len(), fs::metadata(&shown).unwrap().permissions().mode() & 0o777), (64, 0o600));
        assert_eq!((data.shown_secret("operator.key").unwrap().1, data.issuer().unwrap()), (text, data.issuer().unwrap()));
        drop(data);
        fs::write(&key_path, b"short").unwrap();
        let damaged = DataDir::open(&path).unwrap().voice_key().err().unwrap().to_string();
        assert!(damaged.contains("damaged"), "{damaged}");
    }
}
