//! `guildhall backup` copies the database, also while the server runs; `guildhall restore` puts such a copy back.

use crate::data::DataDir;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;

/// The `backup` subcommand.
pub fn command() -> Command {
    let file = Arg::new("file").value_name("FILE").required(true);
    Command::new("backup")
        .about("Copies the database to a new file, also while the server runs")
        .arg(data())
        .arg(file.value_parser(value_parser!(PathBuf)).help("The file to write; it must not exist"))
}

/// The `restore` subcommand.
pub fn restore_command() -> Command {
    let file = Arg::new("file").value_name("FILE").required(true);
    let force = Arg::new("force").long("force").action(ArgAction::SetTrue);
    Command::new("restore")
        .about("Puts a backup in the place of a stopped server's database")
        .arg(data())
        .arg(force.help("Replace the database that is there"))
        .arg(file.value_parser(value_parser!(PathBuf)).help("What `guildhall backup` wrote"))
}

fn data() -> Arg {
    let data = Arg::new("data").long("data").value_name("DIR").env("GUILDHALL_DATA").default_value("./data");
    data.value_parser(value_parser!(PathBuf)).help("The data folder of the server")
}

/// Makes the copy and says so.
pub async fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let path = |name| matches.get_one::<PathBuf>(name).expect("clap asks for it or has a default");
    let file = path("file");
    guildhall_control_plane::backup(path("data"), file).await?;
    println!("The database is saved in {}.", file.display());
    Ok(())
}

/// Checks the backup, puts it in place and says so.
pub async fn run_restore(matches: &ArgMatches) -> anyhow::Result<()> {
    let path = |name| matches.get_one::<PathBuf>(name).expect("clap asks for it or has a default");
    // The lock keeps every server away meanwhile.
    let data = DataDir::open(path("data"))?;
    guildhall_control_plane::restore(path("file"), data.path(), matches.get_flag("force")).await?;
    println!("{} is restored from {}.", data.path().display(), path("file").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_control_plane::{Config, ControlPlane, OwnerCredentials};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tokio::sync::mpsc;

    /// Starts a control plane on the folder, and whether it found nobody there.
    async fn start(data: &DataDir) -> (ControlPlane, Option<OwnerCredentials>) {
        let config = Config::new(data.path().to_owned(), data.voice_key().unwrap());
        // Without a voice node.
        let control_plane = ControlPlane::start(config, mpsc::channel(1).0, mpsc::channel(1).1).await.unwrap();
        let owner = control_plane.ensure_owner().await.unwrap();
        (control_plane, owner)
    }

    async fn backup(data: &DataDir, file: &std::path::Path) -> anyhow::Result<()> {
        let arguments = ["backup".as_ref(), "--data".as_ref(), data.path().as_os_str(), file.as_os_str()];
        run(&command().get_matches_from(arguments)).await
    }

    #[tokio::test]
    async fn a_copy_made_beside_a_running_server_is_a_whole_database_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let copy = DataDir::open(&folder.path().join("copy")).unwrap();
        let (running, owner) = start(&data).await;
        assert!(owner.is_some(), "a first start");

        let file = copy.path().join("guildhall.db");
        backup(&data, &file).await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let saved = fs::read(&file).unwrap();
        let refusal = backup(&data, &file).await.unwrap_err().to_string();
        assert!(refusal.contains("exists already"), "{refusal}");
        assert_eq!(fs::read(&file).unwrap(), saved);

        // The server goes on, and a stopped one's data can be copied, too.
        running.shutdown().await;
        let later = folder.path().join("later.db");
        backup(&data, &later).await.unwrap();
        assert!(fs::metadata(&later).unwrap().len() > 0);

        let (restored, owner) = start(&copy).await;
        assert!(owner.is_none(), "the owner is in the copy");
        restored.shutdown().await;
    }

    #[tokio::test]
    async fn without_a_readable_database_there_is_no_file_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(&folder.path().join("data")).unwrap();
        let file = folder.path().join("saved.db");
        let refusal = backup(&data, &file).await.unwrap_err().to_string();
        assert!(refusal.contains("There is no database at"), "{refusal}");
        assert!(!file.exists());

        fs::write(data.path().join("guildhall.db"), [7; 8192]).unwrap();
        let refusal = backup(&data, &file).await.unwrap_err().to_string();
        assert!(refusal.contains("cannot be copied"), "{refusal}");
        assert!(!file.exists(), "half a backup is none");
    }

    async fn restore(data: &std::path::Path, file: &std::path::Path, more: &[&str]) -> anyhow::Result<()> {
        let arguments = ["restore".as_ref(), "--data".as_ref(), data.as_os_str(), file.as_os_str()];
        run_restore(&restore_command().get_matches_from(arguments.into_iter().chain(more.iter().map(|one| one.as_ref())))).await
    }

    #[tokio::test]
    async fn a_backup_is_restored_whole_and_only_over_a_stopped_server_that_may_lose_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let data = DataDir::open(&path).unwrap();
        let (running, _) = start(&data).await;
        let saved = folder.path().join("saved.db");
        backup(&data, &saved).await.unwrap();
        let refusal = restore(&path, &saved, &["--force"]).await.unwrap_err().to_string();
        assert!(refusal.contains("in use by another guildhall process"), "{refusal}");
        running.shutdown().await;
        drop(data);

        let database = path.join("guildhall.db");
        let before = fs::read(&database).unwrap();
        let refusal = restore(&path, &saved, &[]).await.unwrap_err().to_string();
        assert!(refusal.contains("--force"), "{refusal}");
        let mut damaged = fs::read(&saved).unwrap();
        let middle = damaged.len() / 2;
        damaged[4096..middle].fill(0xa5);
        let bad = folder.path().join("bad.db");
        fs::write(&bad, damaged).unwrap();
        restore(&path, &bad, &["--force"]).await.expect_err("a damaged backup");
        assert_eq!(fs::read(&database).unwrap(), before, "what was refused changed nothing");
        assert!(!path.join("guildhall.restored").exists());

        restore(&path, &saved, &["--force"]).await.unwrap();
        assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
        let elsewhere = folder.path().join("elsewhere");
        restore(&elsewhere, &saved, &[]).await.unwrap();
        for path in [path, elsewhere] {
            let (restored, owner) = start(&DataDir::open(&path).unwrap()).await;
            assert!(owner.is_none(), "the owner is in the backup");
            restored.shutdown().await;
        }
    }
}
