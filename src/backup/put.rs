//! Putting a backup in place: checked whole before anything changes, the database last, and checked again there.

use super::manifest::{Manifest, Place, Sums};
use super::save::rows;
use super::{CONFIG, DATA, DATABASE, FILES, NAMED, database_file, named, tree};
use crate::config::Config;
use crate::data::DataDir;
use anyhow::{Context, bail};
use guildhall_control_plane::files;
use guildhall_control_plane::store::{inspect, known_schema, named_files, put_database};
use std::fs;
use std::path::Path;

/// Sessions that a stopped server kept for its next start: they belong to the database that is replaced.
const SESSIONS: &str = "sessions.json";

/// Restores the backup and answers with what to say about it.
pub async fn put(config: &Config, backup: &Path, may_replace: bool) -> anyhow::Result<String> {
    let database = database_file(config)?;
    let manifest = Manifest::read(backup)?;
    let sums = Sums::read(backup)?;
    for (path, expected) in &sums.0 {
        let sum = tree::sum(&backup.join(path)).with_context(|| format!("{path} of the backup cannot be read"))?;
        if sum != *expected {
            bail!("The backup is damaged: {path} is not what was saved. Nothing was changed.");
        }
    }
    if !sums.0.contains_key(DATABASE) {
        bail!("The backup is damaged: it lists no {DATABASE}. Nothing was changed.");
    }
    inspect(&backup.join(DATABASE)).await.context("The backup cannot be restored, and nothing was changed")?;

    // The lock keeps every server away meanwhile.
    let data = DataDir::open(&config.data)?;
    let folder = files::local_folder(config.files.url.as_deref(), data.path());
    if !may_replace {
        refuse_to_replace(database, &sums, data.path(), folder.as_deref())?;
    }
    // Those put into the folder, and those that have none to go to.
    let (mut files, mut elsewhere) = (0_u64, 0_u64);
    for (path, expected) in &sums.0 {
        let to = match path.split_once('/') {
            Some((FILES, inner)) => match &folder {
                Some(folder) => {
                    files += 1;
                    folder.join(inner)
                }
                None => {
                    elsewhere += 1;
                    continue;
                }
            },
            Some((DATA, inner)) => data.path().join(inner),
            // The database comes last; the configuration is the operator's to place.
            _ => continue,
        };
        tree::make_folder(to.parent().expect("it is in a folder"))?;
        match tree::copy(&backup.join(path), &to)? {
            Some((_, sum)) if sum == *expected => {}
            _ => bail!("{path} of the backup changed while it was copied; restore it again with --force."),
        }
    }
    for folder in [Some(data.path()), folder.as_deref().filter(|folder| folder.exists())].into_iter().flatten() {
        tree::flush(folder)?;
    }
    let sessions = data.path().join(SESSIONS);
    if sessions.exists() {
        fs::remove_file(&sessions).with_context(|| format!("{} cannot be removed", sessions.display()))?;
    }
    put_database(&backup.join(DATABASE), database).await?;

    let found = inspect(database).await.context("What was restored is not sound")?;
    if found.counts != manifest.counts {
        bail!("What was restored has {}, the backup had {}.", rows(&found.counts), rows(&manifest.counts));
    }
    let (mut missing, mut total) = (Vec::new(), 0_u64);
    if let Some(folder) = &folder
        && found.schema == known_schema()
    {
        named_files(database, |path| {
            if !folder.join(path).is_file() {
                total += 1;
                if missing.len() < NAMED {
                    missing.push(path.to_owned());
                }
            }
        })
        .await?;
    }

    let mut text =
        format!("{} is restored: {}, {files} files. The database is sound.\n", data.path().display(), rows(&found.counts));
    if elsewhere > 0 {
        let url = config.files.url.as_deref().unwrap_or_default();
        text += &format!(
            "To do: the backup has {elsewhere} files, and {url} is no folder: put {}/{FILES} there.\n",
            backup.display()
        );
    }
    if let Place::Bucket(url) = &manifest.files {
        text += &format!("To do: its files are in {url}, not in the backup; see that they are there, and start with --files.\n");
    }
    if let Some(path) = &manifest.config {
        text += &format!("To do: its settings were in {path}; a copy is {}/{CONFIG}.\n", backup.display());
    }
    if total > 0 {
        text += &format!("{total} of the files that the database names are missing:\n{}", named(&missing, total));
    }
    Ok(text)
}

/// Nothing of a server may be there.
fn refuse_to_replace(database: &Path, sums: &Sums, data: &Path, folder: Option<&Path>) -> anyhow::Result<()> {
    let keys = sums.0.keys().filter_map(|path| Some(data.join(path.strip_prefix(DATA)?.strip_prefix('/')?)));
    if let Some(path) = std::iter::once(database.to_owned()).chain(keys).find(|path| path.exists()) {
        bail!("{} is there already; it is replaced only with --force.", path.display());
    }
    if let Some(folder) = folder {
        tree::each_file(folder, |path| {
            bail!("{} is there already; files are added and replaced only with --force.", folder.join(path).display())
        })?;
    }
    Ok(())
}
