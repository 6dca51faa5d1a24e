//! Copying and summing files of folders.

use super::THUMBNAILS;
use anyhow::{Context, bail};
use aws_lc_rs::digest;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What is read at once.
const PIECE: usize = 256 * 1024;

/// A private folder and those above it.
pub fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("The folder {} cannot be made", path.display()))
}

/// Reads a file to its end into `sink` as well; its size and the sum.
fn pour(from: &Path, mut sink: impl Write) -> std::io::Result<(u64, String)> {
    let mut file = File::open(from)?;
    let mut piece = vec![0; PIECE];
    let (mut size, mut sum) = (0, digest::Context::new(&digest::SHA256));
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => {
                sum.update(&piece[..read]);
                sink.write_all(&piece[..read])?;
                size += read as u64;
            }
        }
    }
    let sum = sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, sum))
}

/// The sum of a file.
pub fn sum(file: &Path) -> std::io::Result<String> {
    Ok(pour(file, std::io::sink())?.1)
}

/// Copies a file, and who may read it, under another name until it is whole; one that is there is replaced. `None`: there is
/// none (any more). Whether it is on the disk is the caller's affair ([`flush`]).
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<Option<(u64, String)>> {
    let mut draft = to.as_os_str().to_owned();
    draft.push("#restored");
    let draft = PathBuf::from(draft);
    let copied = (|| {
        let mode = match fs::metadata(from) {
            Ok(found) => found.permissions().mode() & 0o644,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let _ = fs::remove_file(&draft);
        let file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&draft)?;
        match pour(from, file) {
            Ok(poured) => fs::rename(&draft, to).map(|()| Some(poured)),
            Err(error) => {
                let _ = fs::remove_file(&draft);
                if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) }
            }
        }
    })();
    copied.with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))
}

/// Everything below `folder` is on the disk after this.
pub fn flush(folder: &Path) -> anyhow::Result<()> {
    let flushed = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    flushed.with_context(|| format!("{} cannot be written to the disk", folder.display()))
}

/// The files below a place for files by their path in it: neither thumbnails nor what is being written. One that goes
/// meanwhile may be missing. Paths that are not ours (not Unicode, with a line break) are refused.
pub fn each_file(root: &Path, mut each: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("The folder {} cannot be read", path.display())),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("The folder {} cannot be read", path.display()))?;
            let name = entry.file_name();
            let name = match name.to_str() {
                Some(name) if !name.contains('\n') => name,
                _ => bail!("{} is no file of Guildhall; take it out of the folder.", entry.path().display()),
            };
            let inner = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().with_context(|| format!("{} cannot be looked at", entry.path().display()))?;
            if kind.is_dir() {
                if inner != THUMBNAILS {
                    folders.push(inner);
                }
            } else if kind.is_file() && !name.contains('#') {
                each(&inner)?;
            }
        }
    }
    Ok(())
}
