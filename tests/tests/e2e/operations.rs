//! What an operator does with the real binary: a backup while people write, a restore elsewhere, the doctor, logs for machines.

use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use guildhall_loadtest::Rest;
use guildhall_protocol::{ChannelId, MessageId};
use guildhall_tests::{
    eventually,
    server::{Server, binary},
    world::World,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Messages that are there before the backup begins, and that are awaited while it may be running.
const BEFORE: usize = 30;
const MEANWHILE: usize = 20;

fn guildhall(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().expect("it runs")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// What a command said and its exit code.
fn said(output: &Output) -> (String, Option<i32>) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (String::from_utf8(text).expect("text"), output.status.code())
}

async fn send_file(rest: &Rest, channel: ChannelId, name: &str, bytes: &[u8]) -> Value {
    let mut body = format!(
        "--cut\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend(bytes);
    body.extend(b"\r\n--cut--\r\n");
    let url = format!("/channels/{channel}/messages");
    let reply = rest.call_raw(Method::POST, &url, "multipart/form-data; boundary=cut", body).await.expect("an answer");
    assert!(reply.is_success(), "{}", reply.body);
    reply.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_people_write_is_restored_elsewhere_with_everything_in_it() {
    let world = World::on(Server::start_with(&["--rate-limits", "off"])).await;
    let ann = world.member("ann").await;
    let file: Vec<u8> = (0..200_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    let with_file = send_file(&ann.rest, world.text, "tale.bin", &file).await;
    let picture =
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let guild: Value = world
        .owner
        .rest
        .expect(Method::PATCH, &format!("/guilds/{}", world.guild), Some(json!({"icon": picture})))
        .await
        .expect("the owner gives it an icon");
    let mut before: Vec<MessageId> = Vec::new();
    for n in 0..BEFORE {
        before.push(ann.rest.send_message(world.text, &format!("before {n}")).await.expect("sent").id);
    }

    let is_over = Arc::new(AtomicBool::new(false));
    let (rest, text, over) = (ann.rest.clone(), world.text, is_over.clone());
    let writer = tokio::spawn(async move {
        let mut meanwhile = 0;
        while !over.load(Relaxed) || meanwhile < MEANWHILE {
            rest.send_message(text, &format!("meanwhile {meanwhile}")).await.expect("a backup holds nobody up");
            meanwhile += 1;
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = folder.path().join("saved");
    let data = world.server.data().to_owned();
    let target = saved.clone();
    let backup = tokio::task::spawn_blocking(move || guildhall(&["backup", "--data", path(&data), path(&target)]));
    let (output, code) = said(&backup.await.expect("it runs"));
    is_over.store(true, Relaxed);
    writer.await.expect("every message was taken");
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("files     2 of"), "the attachment and the icon: {output}");
    // Anybody can check it without us.
    let sums = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&saved).status();
    assert!(sums.expect("coreutils").success());

    let (refusal, code) = said(&guildhall(&["restore", "--data", path(world.server.data()), path(&saved)]));
    assert!(code == Some(1) && refusal.contains("in use by another guildhall process"), "{refusal}");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let restore = guildhall(&["restore", "--data", path(elsewhere.path()), path(&saved)]);
    let (output, code) = said(&restore);
    assert!(code == Some(0) && output.contains("The database is sound") && !output.contains("missing"), "{output}");

    let other = Server::start_restored(elsewhere, world.server.owner().clone(), &["--rate-limits", "off"]);
    let rest = Rest::new(&other.base()).expect("a client");
    rest.login(&other.owner().login, &other.owner().password).await.expect("the owner's password is in the backup");
    let ann = rest.as_user(&ann.token);
    let mut kept = Vec::new();
    loop {
        let after = kept.last().map_or(with_file["id"].as_str().expect("an id").to_owned(), MessageId::to_string);
        let page = ann.messages(world.text, &format!("limit=100&after={after}")).await.expect("her log-in is, too");
        if page.is_empty() {
            break;
        }
        let mut page: Vec<_> = page.into_iter().map(|message| message.id).collect();
        page.sort();
        kept.extend(page);
    }
    assert_eq!(kept[..BEFORE], before, "what was acknowledged before the backup is in it");
    let url = format!("/channels/{}/messages/{}", world.text, with_file["id"].as_str().expect("an id"));
    let message: Value = ann.expect(Method::GET, &url, None).await.expect("the message with the file");
    let link = message["attachments"][0]["url"].as_str().expect("a link");
    assert!(link.starts_with(&other.base()), "{link}");
    assert_eq!(ann.download(link).await.expect("the file"), file);
    let icon = format!("{}/cdn/icons/{}/{}.png", other.base(), world.guild, guild["icon"].as_str().expect("an icon"));
    assert!(!ann.download(&icon).await.expect("the icon").is_empty());
    // And it goes on.
    ann.send_message(world.text, "after").await.expect("sent");
}

#[tokio::test]
async fn the_doctor_finds_a_good_server_good_and_names_what_is_wrong_with_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let at = |name: &str| folder.path().join(name);
    let doctor = |arguments: &[&str]| {
        let media = ["--media-ip", "127.0.0.1", "--media-listen", "127.0.0.1", "--media-workers", "1"];
        said(&guildhall(&[&["doctor"], &media[..], arguments].concat()))
    };
    // Ports that were free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one").to_string();
    let fresh = ["--data", path(&data), "--listen", &free, "--media-port", "0"];
    let (output, code) = doctor(&fresh);
    assert_eq!(code, Some(0), "before the first start: {output}");
    assert!(output.contains("the first start makes it") && !data.exists(), "it changes nothing: {output}");

    let mut server = Server::start_with(&["--media-workers", "1"]);
    let listen = server.address().to_string();
    let served = server.data().to_owned();
    let running = ["--data", path(&served), "--listen", &listen, "--media-port", "0"];
    let (output, code) = doctor(&running);
    assert_eq!(code, Some(0), "{output}");
    for line in ["a server runs on it", "is ready", "It is sound", "holds for more than two weeks", "All 0 are in"] {
        assert!(output.contains(line), "{line} is not in {output}");
    }

    // Wrong settings are not even looked at.
    assert_eq!(doctor(&["--listen", "nowhere"]).1, Some(2));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let media = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let (taken_tcp, taken_udp) =
        (taken.local_addr().expect("it has one").to_string(), media.local_addr().expect("it has one").port().to_string());
    std::fs::write(at("file"), "").expect("writable");
    std::fs::create_dir(at("damaged")).expect("writable");
    std::fs::write(at("damaged").join("guildhall.db"), [7; 8192]).expect("writable");
    let tls = served.join("tls");
    let (leaf, foreign) = (tls.join("leaf.pem"), tls.join("ca.key"));
    for (why, arguments) in [
        ("is taken, and not by a server on this data", vec!["--data", path(&data), "--listen", &taken_tcp, "--media-port", "0"]),
        ("cannot be opened", vec!["--data", path(&data), "--listen", &free, "--media-port", &taken_udp]),
        ("does not listen on", vec!["--data", path(&served), "--listen", &free, "--media-port", "0"]),
        ("is no folder", vec!["--data", path(&folder.path().join("file")), "--listen", &free, "--media-port", "0"]),
        (
            "Put the last backup back",
            vec!["--data", path(&folder.path().join("damaged")), "--listen", &free, "--media-port", "0"],
        ),
        ("do not fit", [&fresh[..], &["--tls-cert", path(&leaf), "--tls-key", path(&foreign)]].concat()),
        ("has no address", [&fresh[..], &["--public-host", "nowhere.invalid"]].concat()),
    ] {
        let (output, code) = doctor(&arguments);
        assert!(code == Some(1) && output.contains(why), "{why}: {output}");
        assert!(output.contains("→"), "it says what to do: {output}");
    }

    // A file that the database names and that is gone.
    let rest = Rest::new(&server.base()).expect("a client");
    let owner = rest.login(&server.owner().login, &server.owner().password).await.expect("the owner");
    let guild = owner.rest.create_guild("hall").await.expect("a guild").id;
    let text = owner.rest.create_channel(guild, "t", guildhall_protocol::model::ChannelType::Text).await.expect("a channel").id;
    send_file(&owner.rest, text, "x.bin", b"short").await;
    assert_eq!(server.signal("TERM").code(), Some(0));
    std::fs::remove_dir_all(served.join("files/attachments")).expect("it is there");
    let (output, code) = doctor(&running);
    assert!(code == Some(0) && output.contains("1 of 1 files are missing"), "a warning: {output}");
}

#[tokio::test]
async fn json_logs_have_a_line_for_each_request_with_the_route_and_nothing_private() {
    let server = Server::start_with(&["--log", "info,guildhall::requests=debug", "--log-format", "json"]);
    let world = World::on(server).await;
    let hook: Value = world
        .owner
        .rest
        .expect(Method::POST, &format!("/channels/{}/webhooks", world.text), Some(json!({"name": "herald"})))
        .await
        .expect("a webhook");
    let (id, token) = (hook["id"].as_str().expect("an id"), hook["token"].as_str().expect("a token"));
    let url = format!("/webhooks/{id}/{token}?wait=true");
    let reply = world.rest.call(Method::POST, &url, Some(&json!({"content": "hear, hear"}))).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let request = reply.headers["x-request-id"].to_str().expect("text").to_owned();
    let line = eventually("the request's line", async || {
        world.server.log().lines().find(|line| line.contains(&request)).map(str::to_owned)
    })
    .await;
    let line: Value = serde_json::from_str(&line).expect("an object");
    assert_eq!(
        (&line["route"], &line["method"], &line["status"], &line["level"], &line["target"]),
        (
            &json!("/api/webhooks/{webhook_id}/{webhook_token}"),
            &json!("POST"),
            &json!(200),
            &json!("DEBUG"),
            &json!("guildhall::requests")
        )
    );
    assert!(line["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    let log = world.server.log();
    assert!(log.lines().count() > 5);
    for line in log.lines() {
        let line = serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    for private in [token, "hear, hear", &world.owner.token, id] {
        assert!(!log.contains(private), "{private} is in the log");
    }

    let metrics = world.rest.download(&format!("{}/metrics", world.server.base())).await.expect("for this machine");
    let metrics = String::from_utf8(metrics).expect("text");
    assert!(metrics.contains("guildhall_http_requests_total{class=\"webhooks\",status=\"2xx\"} 1\n"), "{metrics}");
    assert!(metrics.contains("guildhall_http_request_seconds_count{class=\"webhooks\"} 1\n"), "{metrics}");
}

/// The status of a log-in with nothing in it, by a request that says for whom it is.
async fn log_in(server: &Server, forwarded: &str) -> u16 {
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    let head =
        format!("POST /api/v10/auth/login HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {forwarded}\r\nConnection: close\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[tokio::test]
async fn limits_go_by_whom_a_trusted_proxy_names_and_nobody_evades_them_by_naming_another() {
    /// More than may be asked in ten seconds.
    const MANY: usize = 15;
    let behind = Server::start_with(&["--trusted-proxies", "127.0.0.1,10.0.0.0/8"]);
    let mut by_one = Vec::new();
    for number in 0..MANY {
        // The proxy appends whom it saw to what the client has made up.
        by_one.push(log_in(&behind, &format!("198.51.100.{number}, 203.0.113.9")).await);
    }
    assert!(by_one.starts_with(&[400]) && by_one.ends_with(&[429]), "{by_one:?}");
    assert_eq!(log_in(&behind, "203.0.113.10, 10.0.0.3").await, 400, "another client is not concerned");

    let open = Server::start();
    let mut forged = Vec::new();
    for number in 0..MANY {
        forged.push(log_in(&open, &format!("198.51.100.{number}")).await);
    }
    assert!(forged.starts_with(&[400]) && forged.ends_with(&[429]), "{forged:?}");
}
