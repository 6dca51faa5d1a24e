//! Making a backup: the database first, so that every file it names is older than the copy of the files.

use super::manifest::{Manifest, Place, Sums};
use super::{CONFIG, DATA, DATABASE, FILES, KEPT, NAMED, database_file, named, size, tree};
use crate::config::Config;
use anyhow::{Context, bail};
use guildhall_control_plane::files;
use guildhall_control_plane::store::{copy_database, inspect, named_files};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes the backup and answers with what to say about it. Nothing is left of one that fails.
pub async fn save(config: &Config, target: &Path) -> anyhow::Result<String> {
    let database = database_file(config)?;
    if !database.is_file() {
        bail!("There is no database at {}.", database.display());
    }
    let folder = files::local_folder(config.files.url.as_deref(), &config.data);
    if let Some(folder) = &folder
        && std::path::absolute(target)?.starts_with(std::path::absolute(folder)?)
    {
        bail!("{} is inside the folder of files {}: put the backup elsewhere.", target.display(), folder.display());
    }
    match DirBuilder::new().mode(0o700).create(target) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already; it is not overwritten.", target.display())
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be made", target.display())),
    }
    let saved = fill(config, database, folder.as_deref(), target).await;
    if saved.is_err() {
        // Half a backup is worse than none. If it cannot be removed, it is known by the manifest that it lacks.
        let _ = fs::remove_dir_all(target);
    }
    saved
}

async fn fill(config: &Config, database: &Path, folder: Option<&Path>, target: &Path) -> anyhow::Result<String> {
    let mut sums = Sums::default();
    let copy = target.join(DATABASE);
    copy_database(database, &copy).await?;
    let found = inspect(&copy).await.with_context(|| format!("{} is not sound", database.display()))?;
    let sum = tree::sum(&copy).with_context(|| format!("{} cannot be read again", copy.display()))?;
    sums.0.insert(DATABASE.to_owned(), sum);

    let place = match folder {
        Some(folder) => copy_files(folder, target, &mut sums)?,
        None => Place::Bucket(config.files.url.clone().unwrap_or_default()),
    };
    let mut kept = Vec::new();
    for name in KEPT {
        let to = target.join(DATA).join(name);
        tree::make_folder(to.parent().expect("it is in a folder"))?;
        if let Some((_, sum)) = tree::copy(&config.data.join(name), &to)? {
            sums.0.insert(format!("{DATA}/{name}"), sum);
            kept.push(name);
        }
    }
    if let Some(file) = &config.file
        && let Some((_, sum)) = tree::copy(file, &target.join(CONFIG))?
    {
        sums.0.insert(CONFIG.to_owned(), sum);
    }

    let (mut missing, mut total) = (Vec::new(), 0_u64);
    if let Place::Folder { .. } = place {
        named_files(&copy, |path| {
            if !sums.0.contains_key(&format!("{FILES}/{path}")) {
                total += 1;
                if missing.len() < NAMED {
                    missing.push(path.to_owned());
                }
            }
        })
        .await?;
    }
    let made_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let config_file = config.file.as_ref().map(|file| std::path::absolute(file).unwrap_or(file.clone()).display().to_string());
    let manifest = Manifest::new(found.schema, found.counts, place, config_file, made_at);
    sums.write(target)?;
    tree::flush(target)?;
    manifest.write(target)?;
    tree::flush(target)?;
    Ok(report(config, &manifest, &kept, target, &missing, total))
}

fn copy_files(folder: &Path, target: &Path, sums: &mut Sums) -> anyhow::Result<Place> {
    let (mut count, mut bytes) = (0, 0);
    let into = target.join(FILES);
    tree::make_folder(&into)?;
    tree::each_file(folder, |path| {
        let to = into.join(path);
        tree::make_folder(to.parent().expect("it is in a folder"))?;
        // One that was deleted since it was listed belongs to a message that is gone, too.
        if let Some((size, sum)) = tree::copy(&folder.join(path), &to)? {
            (count, bytes) = (count + 1, bytes + size);
            sums.0.insert(format!("{FILES}/{path}"), sum);
        }
        Ok(())
    })?;
    Ok(Place::Folder { count, bytes })
}

/// Rows for people: `3 users, 1 guild`.
pub fn rows(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn report(config: &Config, manifest: &Manifest, kept: &[&str], target: &Path, missing: &[String], total: u64) -> String {
    let mut text = format!("The backup is in {}:\n  database  {}\n", target.display(), rows(&manifest.counts));
    if let Place::Folder { count, bytes } = manifest.files {
        text += &format!("  files     {count} of {}\n", size(bytes));
    }
    text += &format!("  keys      {}\n", if kept.is_empty() { "none yet".to_owned() } else { kept.join(", ") });
    if let Some(file) = &manifest.config {
        text += &format!("  settings  {CONFIG}, a copy of {file}\n");
    }
    let mut absent = String::new();
    if let Place::Bucket(url) = &manifest.files {
        absent += &format!("  the files in {url}: save the bucket with its own tools, after this\n");
    }
    if let Some(tls) = &config.tls {
        absent += &format!("  the certificate {} and its key {}\n", tls.certificate.display(), tls.key.display());
    }
    absent += "  settings from flags and the environment\n";
    text += &format!("Not in it:\n{absent}");
    if total > 0 {
        text += &format!(
            "{total} of the files that the database names are not in it, lost before or deleted meanwhile:\n{}",
            named(missing, total)
        );
    }
    text
}
