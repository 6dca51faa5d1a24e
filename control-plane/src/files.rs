//! Files: what people attach, and the pictures of users, guilds and emojis.
//!
//! Their bytes are in an object store, a folder or a bucket; which are there for what is in the database ([`crate::store`]).
//! A file is durable before the row that shows it is committed, and deleted by [`janitor`] after nothing shows it any more.
//! [`incoming`] writes files as they arrive, [`serve`] sends them, [`links`] says where they are.

pub mod data_uri;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod incoming;
pub mod janitor;
pub mod links;
pub mod multipart;
mod part;
pub mod pictures;
pub mod recordings;
pub mod serve;
mod sniff;
mod strip;

use crate::store::Quotas;
use anyhow::{Context, bail};
use aws_lc_rs::hmac;
use guildhall_protocol::{AttachmentId, ChannelId, EmojiId, Snowflake, UserId};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use std::collections::HashMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use url::Url;

/// Files below the data folder, unless another place is configured.
const FOLDER: &str = "files";
/// What a bucket takes in one piece: the least that S3 allows. Such a piece per upload is in memory.
const CLOUD_PIECE: usize = 5 * 1024 * 1024;
/// What is written to a local file at once.
const LOCAL_PIECE: usize = 512 * 1024;
/// Uploads that run at once. Each may hold a piece in memory, so they stay below 320 MiB with a bucket, 32 MiB without.
const UPLOADS: usize = 64;
/// Uploads of one user at once, so that nobody takes all places.
const UPLOADS_PER_USER: u32 = 8;
/// Uploads that failed and wait to be cleaned up; those that find no room are found by their age.
const ABANDONED: usize = 1024;
/// How long a file waits for the message or the change that shows it. No upload takes so long.
pub const PATIENCE_MS: u64 = 3_600_000;
/// How long a picture stays that was replaced: clients that know the old one may still be showing it.
pub const FAREWELL_MS: u64 = 600_000;
/// What a request may hold beside its largest file.
const REQUEST_REST: u64 = 1024 * 1024;
/// What a request may hold in any case (COMPAT §10.6).
const REQUEST_BYTES: u64 = 25 * 1024 * 1024;

/// Where files are, and how many there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `file:///…`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`; `None`: below the data folder.
    pub url: Option<String>,
    /// The base of links, without a slash at its end; `None`: `/cdn` where the client reached this server.
    pub cdn_url: Option<String>,
    /// Bytes of one file.
    pub max_file: u64,
    /// Bytes of attachments.
    pub quotas: Quotas,
}

impl Default for Config {
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self { url: None, cdn_url: None, max_file: 10 * 1024 * 1024, quotas: Quotas { user: 10 * GIB, guild: 100 * GIB } }
    }
}

/// A cheap handle.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    piece: usize,
    config: Config,
    /// The host that links name if neither a base of links is configured nor a request tells.
    public_host: Option<String>,
    signing_key: hmac::Key,
    places: Arc<Semaphore>,
    uploads_of: Mutex<HashMap<UserId, u32>>,
    abandoned: mpsc::Sender<AttachmentId>,
    workshop: pictures::Workshop,
    received: AtomicU64,
    sent: AtomicU64,
}

/// What went through since the start, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStats {
    /// Of attachments, as they came.
    pub received: u64,
    /// Of files of any kind.
    pub sent: u64,
    /// Uploads that run now.
    pub uploads: usize,
}

/// A place among the uploads that run at once.
pub struct UploadPlace {
    files: Files,
    user: UserId,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut uploads = self.files.uploads_of();
        if let Some(count) = uploads.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                uploads.remove(&self.user);
            }
        }
    }
}

impl Files {
    /// Opens the place where files are; `secret` signs links. The receiver is for [`janitor::run`].
    pub fn open(
        config: Config,
        data_dir: &Path,
        public_host: Option<String>,
        secret: &[u8],
    ) -> anyhow::Result<(Self, mpsc::Receiver<AttachmentId>)> {
        let (store, is_local) = match &config.url {
            Some(url) => open(url).with_context(|| format!("The files at {url} cannot be reached"))?,
            None => (folder(&data_dir.join(FOLDER))?, true),
        };
        let (abandoned, to_clean) = mpsc::channel(ABANDONED);
        let inner = Inner {
            store,
            piece: if is_local { LOCAL_PIECE } else { CLOUD_PIECE },
            config,
            public_host,
            signing_key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            places: Arc::new(Semaphore::new(UPLOADS)),
            uploads_of: Mutex::default(),
            abandoned,
            workshop: pictures::Workshop::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        };
        Ok((Self(Arc::new(inner)), to_clean))
    }

    fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.0.store
    }

    pub fn max_file(&self) -> u64 {
        self.0.config.max_file
    }

    /// Bytes of a whole request with files.
    pub fn max_request(&self) -> u64 {
        REQUEST_BYTES.max(self.max_file().saturating_add(REQUEST_REST))
    }

    pub fn quotas(&self) -> Quotas {
        self.0.config.quotas
    }

    fn uploads_of(&self) -> std::sync::MutexGuard<'_, HashMap<UserId, u32>> {
        self.0.uploads_of.lock().expect("nothing panics while it counts")
    }

    fn count_received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Relaxed);
    }

    fn count_sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Relaxed);
    }

    pub fn stats(&self) -> FileStats {
        FileStats {
            received: self.0.received.load(Relaxed),
            sent: self.0.sent.load(Relaxed),
            uploads: UPLOADS - self.0.places.available_permits(),
        }
    }

    pub fn workshop(&self) -> &pictures::Workshop {
        &self.0.workshop
    }

    /// `None`: too many run already, of this user or of all.
    pub fn upload_place(&self, user: UserId) -> Option<UploadPlace> {
        let permit = self.0.places.clone().try_acquire_owned().ok()?;
        let mut uploads = self.uploads_of();
        let count = uploads.entry(user).or_default();
        if *count >= UPLOADS_PER_USER {
            return None;
        }
        *count += 1;
        drop(uploads);
        Some(UploadPlace { files: self.clone(), user, _permit: permit })
    }

    /// The attachment was uploaded for a message that was not sent, or it was sent: then it has one, and nothing happens.
    pub fn abandon(&self, id: AttachmentId) {
        // If the queue is full, its age will tell.
        let _ = self.0.abandoned.try_send(id);
    }
}

impl Files {
    /// Copies an attachment's file without reading it.
    pub async fn copy(&self, from: (ChannelId, AttachmentId), to: (ChannelId, AttachmentId)) -> Result<(), object_store::Error> {
        self.store().copy(&attachment_key(from.0, from.1), &attachment_key(to.0, to.1)).await
    }
}

/// Where an attachment is in the store. Without its name, which may have any length and letters.
pub fn attachment_key(channel: ChannelId, id: AttachmentId) -> Key {
    Key::from_iter(["attachments".to_owned(), channel.to_string(), id.to_string()])
}

/// Where the picture of a user, a guild or another is.
pub fn picture_path(folder: &str, owner: Snowflake, hash: &str) -> String {
    format!("{folder}/{owner}/{hash}")
}

/// Where an emoji's picture is.
pub fn emoji_path(id: EmojiId) -> String {
    format!("emojis/{id}")
}

/// Below it is what was made of a file, in other sizes and formats.
fn thumbnails_of(key: &Key) -> Key {
    Key::from("thumbnails").parts().chain(key.parts()).collect()
}

/// The folder that a configuration means, if it means one: what a backup copies.
pub fn local_folder(url: Option<&str>, data_dir: &Path) -> Option<PathBuf> {
    let Some(url) = url else { return Some(data_dir.join(FOLDER)) };
    Url::parse(url).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// Whether this is the address of a place for files, without going there.
pub fn check_url(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    match ObjectStoreScheme::parse(&url) {
        Ok((ObjectStoreScheme::Local, _)) => Ok(()),
        Ok((ObjectStoreScheme::AmazonS3 | ObjectStoreScheme::MicrosoftAzure | ObjectStoreScheme::GoogleCloudStorage, _)) => {
            Ok(())
        }
        _ => Err("it must begin with file:///, s3://, az:// or gs://".to_owned()),
    }
}

/// Opens a place, and whether it is on this machine. Buckets take their credentials from the usual environment variables.
fn open(url: &str) -> anyhow::Result<(Arc<dyn ObjectStore>, bool)> {
    let parsed = Url::parse(url)?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&parsed)?;
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => {
            let Ok(path) = parsed.to_file_path() else { bail!("it names no folder") };
            return Ok((folder(&path)?, true));
        }
        ObjectStoreScheme::AmazonS3 => Arc::new(AmazonS3Builder::from_env().with_url(url).build()?),
        ObjectStoreScheme::MicrosoftAzure => Arc::new(MicrosoftAzureBuilder::from_env().with_url(url).build()?),
        ObjectStoreScheme::GoogleCloudStorage => Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url).build()?),
        _ => bail!("it must begin with file:///, s3://, az:// or gs://"),
    };
    Ok((Arc::new(PrefixStore::new(store, prefix)), false))
}

/// A folder, made if need be. What is written there is on the disk before it counts as written.
fn folder(path: &Path) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("The folder {} cannot be created", path.display()))?;
    let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true).with_automatic_cleanup(true);
    Ok(Arc::new(store))
}
