//! Deletes files that nothing shows (any more): a few at a time, the file first and what knows it last, so that a crash at any
//! moment leaves nothing behind that would not be tried again.

use super::{Files, Key, attachment_key, thumbnails_of};
use crate::ids::unix_ms;
use crate::store::Store;
use futures_util::TryStreamExt;
use guildhall_protocol::AttachmentId;
use object_store::{Error, ObjectStoreExt};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often it looks by itself; failed uploads make it look at once.
const EVERY: Duration = Duration::from_secs(30);
/// Files per look and transaction.
const BATCH: usize = 64;

/// Runs until it is aborted.
pub async fn run(files: Files, store: Store, mut abandoned: mpsc::Receiver<AttachmentId>) {
    loop {
        let mut ids = Vec::new();
        tokio::select! {
            _ = abandoned.recv_many(&mut ids, BATCH) => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        let cleaned = async {
            if !ids.is_empty() {
                store.abandon_attachments(ids).await?;
            }
            sweep(&files, &store, unix_ms()).await
        };
        if let Err(error) = cleaned.await {
            tracing::warn!(%error, "files that nobody shows could not be deleted; it will be tried again");
        }
    }
}

/// Deletes everything whose time has come.
pub async fn sweep(files: &Files, store: &Store, now_ms: u64) -> anyhow::Result<()> {
    loop {
        let orphans = store.orphaned_attachments(now_ms, BATCH as u32).await?;
        if orphans.is_empty() {
            break;
        }
        for (channel, id) in &orphans {
            files.delete(&attachment_key(*channel, *id)).await?;
        }
        store.forget_attachments(orphans.into_iter().map(|(_, id)| id).collect()).await?;
    }
    loop {
        let doomed = store.doomed_files(now_ms, BATCH as u32).await?;
        if doomed.is_empty() {
            return Ok(());
        }
        for path in &doomed {
            files.delete(&Key::from(path.as_str())).await?;
        }
        store.forget_files(doomed).await?;
    }
}

impl Files {
    /// Deletes a file and what was made of it. One that is gone is no error.
    async fn delete(&self, key: &Key) -> Result<(), Error> {
        let made: Vec<Key> = self.store().list(Some(&thumbnails_of(key))).map_ok(|object| object.location).try_collect().await?;
        for key in made.iter().chain([key]) {
            match self.store().delete(key).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
