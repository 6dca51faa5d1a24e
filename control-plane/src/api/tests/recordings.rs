//! Recordings of voice channels: who may, who sees it, what is kept and for how long.

use super::fleet::siblings::{Two, hears, two};
use super::{Reply, Session, World, text};
use crate::hub::core::Attached;
use crate::hub::world::told;
use crate::ids::unix_ms;
use crate::recordings::Keeper;
use axum::body::Body;
use axum::http::{Method, Request};
use guildhall_protocol::fleet::{DURATION_AT, FromNode, Medium, Recorded, RecordingOrder, ToNode};
use guildhall_protocol::{Permissions, RecordingId, UserId};
use serde_json::{Value, json};
use std::time::Duration;

const DAY_MS: u64 = 86_400_000;

impl World {
    fn recordings(&self) -> String {
        format!("/channels/{}/recordings", self.voice)
    }

    /// Someone in the voice channel.
    async fn in_voice(&self, name: &str) -> (Session, Attached) {
        let person = self.member(name).await;
        let (session, _) = self.listen(&person, None).await;
        self.join_voice(&session, &self.voice);
        (person, session)
    }

    async fn record(&self) -> Value {
        self.post(&self.owner, &self.recordings(), json!({})).await.ok()
    }

    /// What the node is asked next about a recording.
    async fn asked(&mut self) -> RecordingOrder {
        loop {
            if let ToNode::Record(record) = self._node.0.recv().await.expect("the line stands") {
                return record;
            }
        }
    }

    async fn node_says(&self, message: FromNode) {
        self._node.1.send(message).await.expect("the line stands");
    }

    /// A piece of what somebody said.
    async fn piece(&self, recording: RecordingId, user: &str, number: u32, bytes: &[u8]) {
        self.piece_of(Medium::Voice, recording, user, number, bytes).await;
    }

    async fn piece_of(&self, medium: Medium, recording: RecordingId, user: &str, number: u32, bytes: &[u8]) {
        let (user, length_ms) = (user.parse::<UserId>().unwrap(), u64::from(number + 1) * 1_000);
        let bytes = bytes.to_vec();
        self.node_says(FromNode::Recorded(Recorded { recording, user, medium, start_ms: 40, number, length_ms, lost: 1, bytes }))
            .await;
    }

    /// The recording, once it is so.
    async fn recording_when(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let found = self.get(&self.owner, &format!("{}/{id}", self.recordings())).await.ok();
            if is_so(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn download(&self, url: &str, range: Option<&str>) -> Reply {
        let path = url.strip_prefix("http://hall.example:8080").expect("a link to here");
        let mut request = Request::builder().uri(path).header("host", "hall.example:8080");
        if let Some(range) = range {
            request = request.header("range", range);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    fn keeper(&self) -> Keeper {
        let app = self.control_plane.app();
        Keeper {
            files: app.files().clone(),
            store: app.store().clone(),
            hub: app.hub().clone(),
            intake: crate::recordings::Intake::new().0,
            days: app.config().recording_days,
        }
    }

    /// Files of recordings that there are.
    fn recorded_files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            let size = |entry: std::io::Result<std::fs::DirEntry>| {
                let path = entry.unwrap().path();
                if path.is_dir() { count(&path) } else { 1 }
            };
            entries.map(size).sum()
        }
        count(&self.folder.path().join("files/recordings"))
    }
}

fn id_of(made: &Value) -> RecordingId {
    text(&made["id"]).parse().unwrap()
}

/// What a session was told of the channel's being recorded: the recording's id or nothing with each CHANNEL_UPDATE, and what
/// was written in its chat.
fn noticed(session: &Attached) -> (Vec<Value>, Vec<String>) {
    let all = told(session);
    let updates = all.iter().filter(|(name, _)| *name == "CHANNEL_UPDATE").map(|(_, channel)| channel["recording"]["id"].clone());
    let messages = all.iter().filter(|(name, _)| *name == "MESSAGE_CREATE").map(|(_, message)| text(&message["content"]));
    (updates.collect(), messages.collect())
}

#[tokio::test]
async fn a_recording_is_seen_by_everyone_kept_in_pieces_and_sent_as_one_file() {
    let mut world = World::new().await;
    world.post(&world.owner, &world.recordings(), json!({})).await.refused(409, 0);
    let (anna, session) = world.in_voice("anna").await;
    told(&session);
    let made = world.record().await;
    let id = text(&made["id"]);
    assert_eq!((&made["state"], &made["user_id"], &made["tracks"]), (&json!("recording"), &json!(world.owner.id), &json!([])));
    assert_eq!((&made["ended_at"], &made["expires_at"]), (&Value::Null, &Value::Null));
    let asked = world.asked().await;
    assert_eq!((asked.recording, asked.room.to_string(), asked.is_over), (id_of(&made), world.voice.clone(), false));
    let (updates, messages) = noticed(&session);
    assert_eq!(updates, [json!(id)]);
    assert!(messages.len() == 1 && messages[0].contains("recording this voice channel"), "{messages:?}");
    let channel = world.get(&anna, &format!("/channels/{}", world.voice)).await.ok();
    assert_eq!((&channel["recording"]["id"], &channel["recording"]["user_id"]), (&json!(id), &json!(world.owner.id)));

    // The second piece comes twice.
    for (number, bytes) in [(0, b"OggS one "), (1, b"OggS two "), (1, b"OggS two ")] {
        world.piece(id_of(&made), &anna.id, number, bytes).await;
    }
    let shown = world.recording_when(&id, |shown| shown["size"] == 18).await;
    let track = &shown["tracks"][0];
    assert_eq!((&track["user_id"], &track["start_ms"], &track["length_ms"]), (&json!(anna.id), &json!(40), &json!(2000)));
    assert_eq!((&track["size"], &track["lost_packets"], &track["content_type"]), (&json!(18), &json!(2), &json!("audio/ogg")));
    let url = text(&track["url"]);
    let whole = world.download(&url, None).await;
    assert_eq!((whole.status, whole.text.as_str(), whole.header("content-type")), (200, "OggS one OggS two ", "audio/ogg"));
    assert_eq!((whole.header("cache-control"), whole.header("accept-ranges")), ("private, no-cache", "bytes"));
    let part = world.download(&url, Some("bytes=5-13")).await;
    assert_eq!((part.status, part.text.as_str(), part.header("content-range")), (206, "one OggS ", "bytes 5-13/18"));
    assert_eq!(world.download(&url, Some("bytes=18-")).await.status, 416);
    for wrong in [url.replace("hm=", "hm=0"), url.replace("ex=", "ex=1"), url.replace("/40/", "/41/")] {
        assert_eq!(world.download(&wrong, None).await.status, 404, "{wrong}");
    }

    world.delete(&world.owner, &format!("{}/{id}", world.recordings())).await.refused(409, 0);
    let stopped = world.post(&world.owner, &format!("{}/{id}/stop", world.recordings()), json!({})).await.ok();
    assert_eq!(stopped["state"], "ending");
    assert!(stopped["ended_at"].is_string() && stopped["expires_at"].is_string(), "{stopped}");
    while !world.asked().await.is_over {}
    let (updates, messages) = noticed(&session);
    assert_eq!(updates, [Value::Null]);
    assert!(messages.len() == 1 && messages[0].contains("has ended"), "{messages:?}");
    world.piece(id_of(&made), &anna.id, 2, b"OggS end").await;
    world.node_says(FromNode::Recording { recording: id_of(&made), is_over: true }).await;
    let done = world.recording_when(&id, |shown| shown["state"] == "done").await;
    assert_eq!(done["size"], 26, "the last piece came in time");
    world.piece(id_of(&made), &anna.id, 3, b"too late").await;
    let again = world.post(&world.owner, &format!("{}/{id}/stop", world.recordings()), json!({})).await.ok();
    assert_eq!((&again["state"], &again["ended_at"]), (&json!("done"), &done["ended_at"]), "it ends once");
    let listed = world.get(&world.owner, &world.recordings()).await.ok();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &json!(id)));

    let log = world.get(&world.owner, &format!("/guilds/{}/audit-logs?action_type=11", world.guild)).await.ok();
    let lines: Vec<&Value> = log["audit_log_entries"].as_array().unwrap().iter().map(|line| &line["changes"][0]).collect();
    let expected = [json!({ "key": "recording", "old_value": id }), json!({ "key": "recording", "new_value": id })];
    assert_eq!(lines, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_or_expired_recording_is_gone_with_its_files() {
    let mut world = World::new().await;
    let (anna, _session) = world.in_voice("anna").await;
    let mut urls = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = world.record().await;
        world.asked().await;
        let id = text(&made["id"]);
        world.piece(id_of(&made), &anna.id, 0, b"OggS").await;
        let shown = world.recording_when(&id, |shown| shown["size"] == 4).await;
        urls.push(text(&shown["tracks"][0]["url"]));
        world.post(&world.owner, &format!("{}/{id}/stop", world.recordings()), json!({})).await.ok();
        world.node_says(FromNode::Recording { recording: id_of(&made), is_over: true }).await;
        world.recording_when(&id, |shown| shown["state"] == "done").await;
        ids.push(id);
    }
    let keeper = world.keeper();
    keeper.sweep(unix_ms() + 29 * DAY_MS).await.unwrap();
    assert_eq!(world.recorded_files(), 2, "nothing is old");
    let path = format!("{}/{}", world.recordings(), ids[0]);
    world.call(&world.owner, Method::DELETE, &path, None).await.no_content();
    world.get(&world.owner, &path).await.refused(404, 0);
    world.call(&world.owner, Method::DELETE, &path, None).await.refused(404, 0);
    assert_eq!(world.download(&urls[0], None).await.status, 404, "at once");
    keeper.sweep(unix_ms()).await.unwrap();
    assert_eq!((world.recorded_files(), world.download(&urls[1], None).await.status), (1, 200));
    keeper.sweep(unix_ms() + 31 * DAY_MS).await.unwrap();
    assert_eq!((world.recorded_files(), world.download(&urls[1], None).await.status), (0, 404));
    assert_eq!(world.get(&world.owner, &world.recordings()).await.ok(), json!([]));
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_a_recording_does_not_outlive_its_channel() {
    let world = World::new().await;
    let (anna, _session) = world.in_voice("anna").await;
    let rights = Permissions::MANAGE_CHANNELS;
    let (bea, _) = world.member_with("bea", rights.0).await;
    world.post(&anna, &world.recordings(), json!({})).await.refused(403, 50013);
    let in_text = format!("/channels/{}/recordings", world.text);
    world.post(&world.owner, &in_text, json!({})).await.refused(400, 50024);
    let made = world.post(&bea, &world.recordings(), json!({})).await.ok();
    let path = format!("{}/{}", world.recordings(), text(&made["id"]));
    world.post(&world.owner, &world.recordings(), json!({})).await.refused(409, 0);
    for refused in [
        world.get(&anna, &world.recordings()).await,
        world.get(&anna, &path).await,
        world.post(&anna, &format!("{path}/stop"), json!({})).await,
        world.delete(&anna, &path).await,
    ] {
        refused.refused(403, 50013);
    }
    let channels = format!("/guilds/{}/channels", world.guild);
    let other = text(&world.post(&world.owner, &channels, json!({ "name": "other", "type": 2 })).await.ok()["id"]);
    let elsewhere = format!("/channels/{other}/recordings/{}", text(&made["id"]));
    world.get(&world.owner, &elsewhere).await.refused(404, 0);
    world.post(&world.owner, &format!("{elsewhere}/stop"), json!({})).await.refused(404, 0);

    world.piece(id_of(&made), &anna.id, 0, b"OggS").await;
    world.recording_when(&text(&made["id"]), |shown| shown["size"] == 4).await;
    let channel = format!("/channels/{}", world.voice);
    world.call(&world.owner, Method::DELETE, &channel, None).await.ok();
    let app = world.control_plane.app();
    let by = crate::audit::By::nobody();
    let ended = app.store().end_recording(by, id_of(&made), guildhall_protocol::model::RecordingState::Interrupted).await;
    assert!(ended.is_ok(), "{ended:?}");
    world.keeper().sweep(unix_ms()).await.unwrap();
    assert_eq!(world.recorded_files(), 0);
}

#[tokio::test]
async fn whoever_runs_the_server_may_want_no_recordings() {
    let world = World::with(|config| (config.rate_limits, config.recording_days) = (false, 0)).await;
    world.in_voice("anna").await;
    world.post(&world.owner, &world.recordings(), json!({})).await.refused(403, 0);
}

#[tokio::test]
async fn cameras_and_screens_are_files_beside_the_voice_and_everyone_is_told_that_they_are_recorded() {
    let mut world = World::new().await;
    let (anna, session) = world.in_voice("anna").await;
    told(&session);
    world.post(&world.owner, &world.recordings(), json!({ "video": 7 })).await.refused(400, 50035);
    let made = world.post(&world.owner, &world.recordings(), json!({ "video": true })).await.ok();
    assert!(made["video"] == true && world.asked().await.video);
    let (_, messages) = noticed(&session);
    assert!(messages.len() == 1 && messages[0].contains("said and shown"), "{messages:?}");
    let channel = world.get(&anna, &format!("/channels/{}", world.voice)).await.ok();
    assert_eq!(channel["recording"]["video"], true);

    // All begin at the same time.
    let (id, head) = (id_of(&made), vec![7; DURATION_AT + 20]);
    for medium in Medium::ALL {
        world.piece_of(medium, id, &anna.id, 0, &head).await;
        world.piece_of(medium, id, &anna.id, 1, b"more").await;
    }
    let whole = 5 * (head.len() + 4);
    let shown = world.recording_when(&id.to_string(), |shown| shown["size"] == whole).await;
    let tracks = shown["tracks"].as_array().unwrap();
    let kinds: Vec<_> = tracks.iter().map(|track| (text(&track["kind"]), text(&track["content_type"]))).collect();
    let expected = Medium::ALL.map(|medium| (text(&json!(medium.kind())), medium.content_type().to_owned()));
    assert_eq!(kinds, expected);
    for (track, medium) in tracks.iter().zip(Medium::ALL) {
        assert!(text(&track["filename"]).ends_with(medium.extension()), "{track}");
        let (url, bytes) = (text(&track["url"]), track["size"].as_u64().unwrap() as usize);
        let found = world.download(&url, None).await;
        assert_eq!((found.status, found.header("content-type"), found.bytes.len()), (200, medium.content_type(), bytes));
        // The pieces of all end after two seconds.
        let length = if medium == Medium::Voice { [7; 8] } else { 2_000f64.to_be_bytes() };
        assert_eq!(found.bytes[DURATION_AT..DURATION_AT + 8], length, "{medium:?}");
        let part = world.download(&url, Some("bytes=64-80")).await;
        assert_eq!((part.status, &part.bytes[..]), (206, &found.bytes[64..=80]));
        if medium != Medium::Voice {
            let other = url.replace(&format!("/40.{}/", medium.number()), "/40/");
            assert_eq!(world.download(&other, None).await.status, 404, "a link is for one track");
        }
    }
    world.post(&world.owner, &format!("{}/{id}/stop", world.recordings()), json!({})).await.ok();
    world.node_says(FromNode::Recording { recording: id, is_over: true }).await;
    world.recording_when(&id.to_string(), |shown| shown["state"] == "done").await;
    assert_eq!(world.recorded_files(), 10);
    world.keeper().sweep(unix_ms() + 31 * DAY_MS).await.unwrap();
    assert_eq!(world.recorded_files(), 0);
}

#[tokio::test]
async fn with_two_control_planes_either_begins_a_recording_keeps_it_running_and_takes_its_pieces() {
    let Two { mut a, mut b, ann, ann_at_a, bob_at_b, redis, folder: _folder, .. } = two().await;
    a.join_voice(&ann_at_a, &a.voice);
    let opened = loop {
        if let ToNode::Open { room, epoch } = a._node.0.recv().await.expect("the line stands") {
            break FromNode::Opened { room, epoch };
        }
    };
    // The node has a line to each, and tells both.
    a.node_says(opened.clone()).await;
    b.node_says(opened).await;
    hears(&bob_at_b, "VOICE_STATE_UPDATE", |d| d["channel_id"] == a.voice.as_str()).await;
    // The news of the node comes by another way than that of ann.
    let made = loop {
        let made = b.post(&b.owner, &b.recordings(), json!({ "video": true })).await;
        match made.status {
            409 => tokio::time::sleep(Duration::from_millis(5)).await,
            _ => break made.ok(),
        }
    };
    let id = id_of(&made);
    assert_eq!((b.asked().await.recording, a.asked().await.recording), (id, id), "both ask the node to go on");
    hears(&ann_at_a, "CHANNEL_UPDATE", |d| d["recording"]["id"] == made["id"]).await;
    // It sends to whoever asked last.
    a.piece(id, &ann.id, 0, b"OggS").await;
    b.piece(id, &ann.id, 1, b"more").await;
    b.piece_of(Medium::ALL[1], id, &ann.id, 0, b"picture").await;
    for world in [&a, &b] {
        let shown = world.recording_when(&id.to_string(), |shown| shown["size"] == 15).await;
        assert_eq!(shown["tracks"].as_array().unwrap().len(), 2, "{shown}");
    }
    // Stopped at one, it ends at both, and the last word may come to either.
    a.post(&a.owner, &format!("{}/{id}/stop", a.recordings()), json!({})).await.ok();
    while !b.asked().await.is_over {}
    b.node_says(FromNode::Recording { recording: id, is_over: true }).await;
    a.recording_when(&id.to_string(), |shown| shown["state"] == "done").await;
    drop(redis);
}
