//! Files in a bucket instead of a folder: their whole life against a server that speaks S3.

use std::process::Command;

use guildhall_loadtest::Rest;
use guildhall_protocol::ChannelId;
use guildhall_tests::{
    bucket::Bucket,
    eventually,
    server::{Server, binary},
    world::World,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A message with one file.
async fn send_file(rest: &Rest, channel: ChannelId, name: &str, bytes: &[u8]) -> Value {
    let head = format!("--cut\r\nContent-Disposition: form-data; name=\"files[0]\"; filename=\"{name}\"\r\n\r\n");
    let body = [head.as_bytes(), bytes, b"\r\n--cut--\r\n"].concat();
    let path = format!("/channels/{channel}/messages");
    let reply = rest.call_raw(Method::POST, &path, "multipart/form-data; boundary=cut", body).await.expect("an answer");
    assert!(reply.is_success(), "{}", reply.body);
    reply.body
}

fn link(message: &Value) -> &str {
    message["attachments"][0]["url"].as_str().expect("a link")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_live_in_a_bucket_and_leave_it_again() {
    let bucket = Bucket::start().await;
    let arguments = ["--rate-limits", "off", "--files", &bucket.files()];
    let mut world = World::on(Server::start_among(&arguments, &bucket.environment())).await;
    let rest = world.owner.rest.clone();

    // Larger than one part of an upload, and than what one answer is read ahead of.
    let long: Vec<u8> = (0..7_000_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    let tale = send_file(&rest, world.text, "tale.bin", &long).await;
    assert_eq!(rest.download(link(&tale)).await.expect("the file"), long);
    let http = bucket.http();
    let part = http.get(link(&tale)).header("range", "bytes=6000000-6000009").send().await.expect("an answer");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 6000000-6000009/7000000");
    assert_eq!(part.bytes().await.expect("ten bytes"), long[6_000_000..6_000_010]);

    // A picture, and the same smaller: made once, then kept beside it.
    let face = rest.download(&format!("{}/cdn/embed/avatars/0.png", world.server.base())).await.expect("a picture");
    let picture = send_file(&rest, world.text, "face.png", &face).await;
    let smaller = format!("{}width=64&height=64", link(&picture));
    let thumbnail = rest.download(&smaller).await.expect("a thumbnail");
    assert!(thumbnail.len() < face.len() && thumbnail.starts_with(b"\x89PNG"), "{} bytes", thumbnail.len());
    assert_eq!(rest.download(&smaller).await.expect("the same again"), thumbnail);
    let icon = format!("data:image/png;base64,{}", base64_of(&face));
    let guild = format!("/guilds/{}", world.guild);
    let dressed: Value = rest.expect(Method::PATCH, &guild, Some(json!({ "icon": icon }))).await.expect("an icon");
    let icon = format!("{}/cdn/icons/{}/{}.png", world.server.base(), world.guild, dressed["icon"].as_str().expect("a hash"));
    assert_eq!(rest.download(&icon).await.expect("the icon"), face);

    let keys = bucket.keys().await;
    for (folder, count) in [("files/attachments/", 2), ("files/thumbnails/", 1), ("files/icons/", 1)] {
        assert_eq!(keys.iter().filter(|key| key.starts_with(folder)).count(), count, "{folder}: {keys:?}");
    }
    assert!(!world.server.data().join("files").exists(), "nothing is kept beside the bucket");

    // A forward has a copy of its own, which the bucket made.
    let forward = json!({ "message_reference": { "type": 1, "message_id": picture["id"], "channel_id": world.text } });
    let path = format!("/channels/{}/messages", world.text);
    let forward: Value = rest.expect(Method::POST, &path, Some(forward)).await.expect("a forward");
    let copy = forward["message_snapshots"][0]["message"]["attachments"][0]["url"].as_str().expect("a link").to_owned();

    // A backup names the bucket and leaves what is in it to its own means.
    let saved = tempfile::tempdir().expect("a temporary folder");
    let mut backup = Command::new(binary());
    backup.args(["backup", "--data"]).arg(world.server.data()).args(["--files", &bucket.files()]).arg(saved.path().join("saved"));
    let output = backup.envs(bucket.environment()).output().expect("it runs");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    assert!(output.status.success() && said.contains(&bucket.files()), "{said}");

    // All is there after a restart, and goes with the messages that show it.
    assert_eq!(world.server.signal("TERM").code(), Some(0));
    world.restart().await;
    assert_eq!(rest.download(link(&tale)).await.expect("the file"), long);
    for message in [&tale, &picture] {
        let path = format!("{path}/{}", message["id"].as_str().expect("an id"));
        rest.expect::<Value>(Method::DELETE, &path, None).await.expect("deleted");
        let gone = http.get(link(message)).send().await.expect("an answer");
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    }
    // An upload makes the janitor look at once.
    send_file(&rest, world.text, "last.txt", b"last").await;
    eventually("the files to leave the bucket", async || {
        let keys = bucket.keys().await;
        let left = keys.iter().filter(|key| key.contains("attachments/")).count();
        (left == 2).then_some(())
    })
    .await;
    assert_eq!(rest.download(&copy).await.expect("the forward's own"), face);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
