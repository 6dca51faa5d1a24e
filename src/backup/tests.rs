use super::*;
use crate::data::DataDir;
use guildhall_control_plane::{Config as ControlConfig, ControlPlane, OwnerCredentials};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Starts a control plane on the folder, and whether it found nobody there.
async fn start(data: &DataDir) -> (ControlPlane, Option<OwnerCredentials>) {
    let config = ControlConfig::new(data.path().to_owned(), data.voice_key().unwrap());
    // Without a voice node.
    let control_plane = ControlPlane::start(config).await.unwrap();
    let owner = control_plane.ensure_owner().await.unwrap();
    (control_plane, owner)
}

fn settings(command: Command, data: &Path, more: &[&str]) -> (Config, ArgMatches) {
    let name = command.get_name().to_owned();
    let arguments = [name.as_ref(), "--data".as_ref(), data.as_os_str()].into_iter().chain(more.iter().map(|one| one.as_ref()));
    let matches = command.get_matches_from(arguments);
    (Config::load(&matches).unwrap(), matches)
}

async fn backup(data: &Path, folder: &Path, more: &[&str]) -> anyhow::Result<String> {
    let more: Vec<&str> = more.iter().copied().chain([folder.to_str().unwrap()]).collect();
    let (config, matches) = settings(command(), data, &more);
    save::save(&config, given(&matches)).await
}

async fn restore(data: &Path, folder: &Path, more: &[&str]) -> anyhow::Result<String> {
    let more: Vec<&str> = more.iter().copied().chain([folder.to_str().unwrap()]).collect();
    let (config, matches) = settings(restore_command(), data, &more);
    put::put(&config, given(&matches), matches.get_flag("force")).await
}

/// A data folder with a database, keys and files, and a copy of it, made while a server was on it.
async fn world() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("saved"));
    let open = DataDir::open(&data).unwrap();
    let (running, owner) = start(&open).await;
    assert!(owner.is_some(), "a first start");
    for (path, text) in [("files/icons/7/abcdef12", "picture"), ("files/thumbnails/x", "small"), ("files/icons/7/new#1", "half")]
    {
        let path = data.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let said = backup(&data, &saved, &[]).await.unwrap();
    assert!(said.contains("1 users") && said.contains("files     1 of 7 bytes") && said.contains("voice.key"), "{said}");
    running.shutdown().await;
    (folder, data, saved)
}

#[tokio::test]
async fn a_backup_made_beside_a_running_server_has_everything_once_and_overwrites_nothing() {
    let (folder, data, saved) = world().await;
    assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(saved.join(DATABASE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(saved.join("data/voice.key")).unwrap(), fs::read(data.join("voice.key")).unwrap());
    let sums = fs::read_to_string(saved.join("SHA256SUMS")).unwrap();
    let paths: Vec<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(paths, ["data/voice.key", "files/icons/7/abcdef12", "guildhall.db"], "no thumbnails, nothing unfinished");
    let refusal = backup(&data, &saved, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("exists already"), "{refusal}");
    let refusal = backup(&data, &data.join("files/saved"), &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("inside the folder of files"), "{refusal}");

    // A bucket is named and left alone; a configuration file comes along.
    let config = folder.path().join("g.toml");
    fs::write(&config, "files = 's3://bucket/prefix'\n").unwrap();
    let other = folder.path().join("other");
    let said = backup(&data, &other, &["--config", config.to_str().unwrap()]).await.unwrap();
    assert!(said.contains("the files in s3://bucket/prefix"), "{said}");
    assert!(!other.join(FILES).exists() && fs::read(other.join(CONFIG)).unwrap() == fs::read(&config).unwrap());
    let said = restore(&folder.path().join("third"), &other, &[]).await.unwrap();
    assert!(said.contains("To do: its files are in s3://bucket/prefix") && said.contains("To do: its settings"), "{said}");
}

#[tokio::test]
async fn without_a_readable_database_there_is_no_backup_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("saved"));
    fs::create_dir(&data).unwrap();
    let refusal = backup(&data, &saved, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("There is no database at"), "{refusal}");
    fs::write(data.join("guildhall.db"), [7; 8192]).unwrap();
    let refusal = backup(&data, &saved, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("cannot be copied"), "{refusal}");
    assert!(!saved.exists(), "half a backup is none");
}

#[tokio::test]
async fn a_backup_is_restored_whole_and_only_over_a_stopped_server_that_may_lose_its_own() {
    let (folder, data, saved) = world().await;
    let open = DataDir::open(&data).unwrap();
    let refusal = restore(&data, &saved, &["--force"]).await.unwrap_err().to_string();
    assert!(refusal.contains("in use by another guildhall process"), "{refusal}");
    drop(open);
    let refusal = restore(&data, &saved, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("--force"), "{refusal}");
    // Files without a database are somebody's as well.
    let half = folder.path().join("half");
    fs::create_dir_all(half.join("files/icons")).unwrap();
    fs::write(half.join("files/icons/1"), "mine").unwrap();
    let refusal = restore(&half, &saved, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("only with --force"), "{refusal}");

    fs::write(data.join("sessions.json"), "{}").unwrap();
    let said = restore(&data, &saved, &["--force"]).await.unwrap();
    assert!(said.contains("1 users") && said.contains("1 files. The database is sound."), "{said}");
    assert!(!data.join("sessions.json").exists(), "sessions of another database");
    let elsewhere = folder.path().join("elsewhere");
    let files = folder.path().join("big disk");
    let url = format!("file://{}", files.display()).replace(' ', "%20");
    restore(&elsewhere, &saved, &["--files", &url]).await.unwrap();
    assert_eq!(fs::read(files.join("icons/7/abcdef12")).unwrap(), b"picture");
    assert_eq!(fs::read(elsewhere.join("voice.key")).unwrap(), fs::read(data.join("voice.key")).unwrap());
    assert_eq!(fs::metadata(elsewhere.join("voice.key")).unwrap().permissions().mode() & 0o777, 0o600);
    for path in [data, elsewhere] {
        let (restored, owner) = start(&DataDir::open(&path).unwrap()).await;
        assert!(owner.is_none(), "the owner is in the backup");
        restored.shutdown().await;
    }
}

#[tokio::test]
async fn a_damaged_a_cut_off_and_a_newer_backup_change_nothing() {
    let (folder, data, saved) = world().await;
    let before = fs::read(data.join("guildhall.db")).unwrap();
    let sums = fs::read(saved.join("SHA256SUMS")).unwrap();
    let manifest = fs::read_to_string(saved.join("manifest.json")).unwrap();
    let refused = async |why: &str| {
        let refusal = format!("{:#}", restore(&data, &saved, &["--force"]).await.expect_err(why));
        assert!(refusal.contains(why), "{refusal}");
        assert_eq!(fs::read(data.join("guildhall.db")).unwrap(), before);
        assert!(!folder.path().join("data/guildhall.restored").exists());
    };
    fs::write(saved.join("manifest.json"), manifest.replacen("\"form\": 1", "\"form\": 99", 1)).unwrap();
    refused("newer version").await;
    fs::remove_file(saved.join("manifest.json")).unwrap();
    refused("no complete backup").await;
    fs::write(saved.join("manifest.json"), manifest).unwrap();
    fs::write(
        saved.join("SHA256SUMS"),
        [&sums[..], b"0000000000000000000000000000000000000000000000000000000000000000  ../x\n"].concat(),
    )
    .unwrap();
    refused("damaged").await;
    fs::write(saved.join("SHA256SUMS"), &sums).unwrap();
    fs::write(saved.join("files/icons/7/abcdef12"), "pictures").unwrap();
    refused("files/icons/7/abcdef12 is not what was saved").await;
    fs::remove_file(saved.join("files/icons/7/abcdef12")).unwrap();
    refused("cannot be read").await;
}
