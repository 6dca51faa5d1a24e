//! Files that may be replaced while the process runs: what is made from them is made anew, for whoever uses it next.

use anyhow::Context;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// How often files are looked at. What changed is used after it has stood still from one look to the next: who writes a file in
/// place, or several that belong together, is done by then.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file is another one, without reading it: when it was written, how long it is, and which it is. `None`: it is
/// not there.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Makes `T` from the files, now and whenever one of them has changed, until nobody wants it. The first time it must be possible;
/// later what cannot be made is said in the log, and what was there before holds.
pub fn watched<T: Send + Sync + 'static>(
    files: Vec<PathBuf>,
    make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
) -> anyhow::Result<watch::Receiver<Arc<T>>> {
    // Before it is made, so that a change meanwhile is a change.
    let mut looks = Looks::new(look(&files));
    let (made, wanted) = watch::channel(Arc::new(make()?));
    let make = Arc::new(make);
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = clock.tick() => {}
                () = made.closed() => return,
            }
            if !looks.is_new(look(&files)) {
                continue;
            }
            let make = Arc::clone(&make);
            // A large file takes a while to read.
            let again = tokio::task::spawn_blocking(move || make()).await.context("it could not be read");
            match again.and_then(|again| again) {
                Ok(again) => {
                    made.send_replace(Arc::new(again));
                    tracing::info!(?files, "a file has changed, and holds from now on");
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "a file has changed for the worse; what it had before holds")
                }
            }
        }
    });
    Ok(wanted)
}

fn look(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &Path| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files.iter().map(|file| stamp(file)).collect()
}

/// What was seen, and what is in use.
#[derive(Debug)]
struct Looks<S> {
    used: S,
    seen: S,
}

impl<S: PartialEq + Clone> Looks<S> {
    fn new(used: S) -> Self {
        Self { seen: used.clone(), used }
    }

    /// Whether what is there now has stood still since the last look, and is not in use.
    fn is_new(&mut self, now: S) -> bool {
        let stands_still = now == self.seen;
        self.seen = now;
        if !stands_still || self.seen == self.used {
            return false;
        }
        self.used = self.seen.clone();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_taken_once_it_stands_still() {
        let mut looks = Looks::new(1);
        let taken: Vec<bool> = [1, 2, 3, 3, 3, 4, 3, 3, 1, 1].map(|now| looks.is_new(now)).to_vec();
        assert_eq!(taken, [false, false, false, true, false, false, false, false, false, true]);
    }

    #[tokio::test]
    async fn a_file_is_made_use_of_when_it_changes_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let (tried, mut tries) = watch::channel(0);
        let read = {
            let path = path.clone();
            move || {
                tried.send_modify(|tries| *tries += 1);
                Ok(std::fs::read_to_string(&path)?.parse::<u32>()?)
            }
        };
        std::fs::write(&path, "1").unwrap();
        let mut number = watched(vec![path.clone()], read).unwrap();
        assert_eq!((**number.borrow(), *tries.borrow_and_update()), (1, 1));
        std::fs::write(&path, "none").unwrap();
        tries.changed().await.unwrap();
        std::fs::write(&path, "22").unwrap();
        number.changed().await.unwrap();
        assert_eq!((**number.borrow_and_update(), *tries.borrow()), (22, 3), "what was bad was not used");
        assert!(watched(vec![folder.path().join("none")], || anyhow::bail!("there is nothing") as anyhow::Result<u32>).is_err());
    }
}
