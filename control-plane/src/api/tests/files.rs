//! Files: sent with messages, stored, sent again, and gone with what showed them.

use super::shapes::SCHEMAS;
use super::{Reply, Session, World, text};
use crate::files::janitor::sweep;
use crate::files::pictures::default_avatar;
use crate::ids::unix_ms;
use crate::store::Quotas;
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use serde_json::{Value, json};

/// A name, and what is in it.
pub(super) type File<'a> = (&'a str, &'a [u8]);

fn form(payload: &Value, files: &[File]) -> Vec<u8> {
    let mut form = format!("--b\r\nContent-Disposition: form-data; name=\"payload_json\"\r\n\r\n{payload}\r\n").into_bytes();
    for (index, (name, bytes)) in files.iter().enumerate() {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"files[{index}]\"; filename=\"{name}\"\r\n\r\n");
        form.extend(head.bytes());
        form.extend_from_slice(bytes);
        form.extend(b"\r\n");
    }
    form.extend(b"--b--\r\n");
    form
}

impl World {
    pub(super) async fn upload(&self, who: &Session, method: Method, path: &str, payload: Value, files: &[File<'_>]) -> Reply {
        let request = self.request(who, method, path).header("content-type", "multipart/form-data; boundary=b");
        self.send(request.body(Body::from(form(&payload, files))).unwrap()).await
    }

    /// A message with files in the first text channel.
    async fn attach(&self, who: &Session, payload: Value, files: &[File<'_>]) -> Reply {
        self.upload(who, Method::POST, &self.messages_path(), payload, files).await
    }

    /// A link that the server gave, as it is or with headers.
    pub(super) async fn fetch(&self, link: &str, headers: &[(&str, &str)]) -> (Reply, Bytes) {
        let path = link.strip_prefix("http://hall.example:8080").expect("links lead to where the client came");
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = tower::ServiceExt::oneshot(self.router.clone(), request.body(Body::empty()).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (Reply { status, headers, body: Value::Null, text: String::new(), bytes: bytes.clone() }, bytes)
    }

    /// Deletes what nobody shows, as the janitor would do at this time.
    pub(super) async fn sweep_at(&self, now_ms: u64) {
        let app = self.control_plane.app();
        sweep(app.files(), app.store(), now_ms).await.unwrap();
    }

    /// The files that are stored, thumbnails among them.
    fn stored(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.folder.path().join("files"))
    }
}

#[tokio::test]
async fn a_file_is_sent_with_a_message_and_comes_back_the_same() {
    let world = World::new().await;
    let payload =
        json!({ "content": "look", "attachments": [{ "id": 0, "description": "a note" }, { "id": "1", "is_spoiler": true }] });
    let files: [File; 2] = [("my note.txt", b"h\xC3\xA4llo"), ("face.bin", default_avatar(2))];
    let message = world.attach(&world.owner, payload, &files).await.ok();
    let [note, face] = message["attachments"].as_array().unwrap().as_slice() else { panic!("{message}") };
    assert_eq!((note["filename"].as_str(), note["description"].as_str()), (Some("my_note.txt"), Some("a note")));
    assert_eq!((note["size"].as_u64(), note["content_type"].as_str()), (Some(6), Some("text/plain; charset=utf-8")));
    assert_eq!((face["filename"].as_str(), face["content_type"].as_str()), (Some("SPOILER_face.bin"), Some("image/png")));
    assert_eq!((face["width"].as_u64(), face["height"].as_u64(), note.get("width")), (Some(256), Some(256), None));

    let (reply, bytes) = world.fetch(&text(&note["url"]), &[]).await;
    assert_eq!((reply.status, &bytes[..]), (200, &b"h\xC3\xA4llo"[..]));
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(reply.header("content-disposition"), "inline; filename*=UTF-8''my_note.txt");
    assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(reply.header("content-security-policy"), "sandbox; default-src 'none'");
    let (_, bytes) = world.fetch(&text(&face["url"]), &[]).await;
    assert_eq!(bytes, default_avatar(2));
    // The same when it is read again, in every way.
    let path = format!("{}/{}", world.messages_path(), text(&message["id"]));
    assert_eq!(world.get(&world.owner, &path).await.ok()["attachments"], message["attachments"]);
    assert_eq!(world.get(&world.owner, &world.messages_path()).await.ok()[0]["attachments"], message["attachments"]);
}

#[tokio::test]
async fn links_lead_to_where_the_reader_came_or_to_where_they_are_configured_to() {
    let world = World::new().await;
    let message = world.attach(&world.owner, json!({}), &[("a.txt", b"a")]).await.ok();
    let path = format!("/api/v10{}/{}", world.messages_path(), text(&message["id"]));
    let request = Request::get(path).header("host", "other.example").header("x-forwarded-proto", "https");
    let request = request.header("authorization", &world.owner.token).body(Body::empty()).unwrap();
    let elsewhere = text(&world.send(request).await.ok()["attachments"][0]["url"]);
    let sent = text(&message["attachments"][0]["url"]);
    assert_eq!(elsewhere, sent.replace("http://hall.example:8080/", "https://other.example/"));

    let world = World::with(|config| config.files.cdn_url = Some("https://cdn.example/x".to_owned())).await;
    let message = world.attach(&world.owner, json!({}), &[("a.txt", b"a")]).await.ok();
    assert!(text(&message["attachments"][0]["proxy_url"]).starts_with("https://cdn.example/x/attachments/"));
}

#[tokio::test]
async fn a_file_comes_in_ranges_and_is_not_sent_twice() {
    let world = World::new().await;
    let message = world.attach(&world.owner, json!({}), &[("digits.txt", b"0123456789")]).await.ok();
    let url = text(&message["attachments"][0]["url"]);
    let get = async |headers: &[(&str, &str)]| world.fetch(&url, headers).await;
    let (reply, bytes) = get(&[("range", "bytes=2-4")]).await;
    assert_eq!((reply.status, &bytes[..], reply.header("content-range")), (206, &b"234"[..], "bytes 2-4/10"));
    let (reply, bytes) = get(&[("range", "bytes=-3")]).await;
    assert_eq!((reply.status, &bytes[..], reply.header("content-length")), (206, &b"789"[..], "3"));
    let (reply, bytes) = get(&[("range", "bytes=10-")]).await;
    assert_eq!((reply.status, bytes.len(), reply.header("content-range")), (416, 0, "bytes */10"));
    let (whole, _) = get(&[]).await;
    let etag = whole.header("etag").to_owned();
    let (reply, bytes) = get(&[("if-none-match", &etag)]).await;
    assert_eq!((reply.status, bytes.len()), (304, 0));
    let (reply, _) = get(&[("range", "bytes=2-4"), ("if-range", "\"another\"")]).await;
    assert_eq!(reply.status, 200);
    let (reply, _) = get(&[("range", "bytes=2-4"), ("if-range", &etag)]).await;
    assert_eq!(reply.status, 206);
}

#[tokio::test]
async fn nobody_guesses_a_link() {
    let world = World::new().await;
    let message = world.attach(&world.owner, json!({}), &[("a.txt", b"a")]).await.ok();
    let url = text(&message["attachments"][0]["url"]);
    let (place, signature) = url.split_once("?hm=").unwrap();
    let wrong = if signature.starts_with('0') { "1" } else { "0" };
    for link in [place.to_owned(), format!("{place}?hm="), format!("{place}?hm={wrong}{}", &signature[1..])] {
        assert_eq!(world.fetch(&link, &[]).await.0.status, 404, "{link}");
    }
    let other_channel = url.replace(&world.text, &world.voice);
    assert_eq!(world.fetch(&other_channel, &[]).await.0.status, 404);
    let (reply, _) = world.fetch("http://hall.example:8080/cdn/attachments/x/y/z", &[]).await;
    assert_eq!((reply.status, reply.header("x-content-type-options")), (404, "nosniff"));
}

#[tokio::test]
async fn what_a_browser_could_run_is_saved_and_not_shown() {
    let world = World::new().await;
    let files: [File; 4] = [
        ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"),
        ("b.txt", b"<!doctype html><script>1</script>"),
        ("c.jpg", b"%PDF-1.7"),
        ("d.html", b"\x00\x01"),
    ];
    let message = world.attach(&world.owner, json!({}), &files).await.ok();
    let expected = ["image/svg+xml", "text/html", "application/pdf", "application/octet-stream"];
    for (attachment, kind) in message["attachments"].as_array().unwrap().iter().zip(expected) {
        let (reply, _) = world.fetch(&text(&attachment["url"]), &[]).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, kind));
        assert!(reply.header("content-disposition").starts_with("attachment"), "{attachment}");
    }
}

#[tokio::test]
async fn a_picture_comes_smaller_and_in_other_formats() {
    let world = World::new().await;
    let message = world.attach(&world.owner, json!({}), &[("face.png", default_avatar(0))]).await.ok();
    let url = text(&message["attachments"][0]["proxy_url"]);
    for (query, kind, side) in [
        ("width=60&height=40", "image/png", 64),
        ("width=60&height=40&format=webp", "image/webp", 64),
        ("size=16&format=jpeg", "image/jpeg", 16),
        ("format=webp", "image/webp", 256),
        ("size=4096", "image/png", 256),
    ] {
        for _ in 0..2 {
            let (reply, bytes) = world.fetch(&format!("{url}{query}"), &[]).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, kind), "{query}");
            assert_eq!(image::load_from_memory(&bytes).unwrap().width(), side, "{query}");
        }
    }
    // What was made is kept, once for each size and format.
    assert_eq!(world.stored(), 1 + 5);
    let (reply, bytes) = world.fetch(&format!("{url}width=junk&height="), &[]).await;
    assert_eq!((reply.status, &bytes[..]), (200, default_avatar(0)));
}

#[tokio::test]
async fn an_embed_shows_a_file_of_its_message() {
    let world = World::new().await;
    let payload = json!({ "embeds": [{ "title": "x", "image": { "url": "attachment://face.png" } }] });
    let message = world.attach(&world.owner, payload, &[("face.png", default_avatar(0)), ("a.txt", b"a")]).await.ok();
    assert_eq!(message["attachments"].as_array().unwrap().len(), 1, "{message}");
    let image = &message["embeds"][0]["image"];
    assert_eq!((image["width"].as_u64(), image["url"].as_str()), (Some(256), image["proxy_url"].as_str()));
    assert_eq!(world.fetch(&text(&image["url"]), &[]).await.0.status, 200);
    // The file that only the embed shows stays when other things change.
    let path = format!("{}/{}", world.messages_path(), text(&message["id"]));
    world.patch(&world.owner, &path, json!({ "content": "y", "attachments": [] })).await.ok();
    world.sweep_at(unix_ms()).await;
    assert_eq!(world.fetch(&text(&image["url"]), &[]).await.0.status, 200);
}

#[tokio::test]
async fn an_edit_keeps_what_it_lists_and_adds_what_it_brings() {
    let world = World::new().await;
    let message = world.attach(&world.owner, json!({ "content": "x" }), &[("a.txt", b"a"), ("b.txt", b"b")]).await.ok();
    let path = format!("{}/{}", world.messages_path(), text(&message["id"]));
    let names = |message: &Value| -> Vec<String> {
        message["attachments"].as_array().unwrap().iter().map(|attachment| text(&attachment["filename"])).collect()
    };
    let unlisted = world.patch(&world.owner, &path, json!({ "content": "y" })).await.ok();
    assert_eq!(names(&unlisted), ["a.txt", "b.txt"]);
    let payload = json!({ "attachments": [{ "id": message["attachments"][1]["id"] }, { "id": 0, "description": "new" }] });
    let edited = world.upload(&world.owner, Method::PATCH, &path, payload, &[("c.txt", b"c")]).await.ok();
    assert_eq!(names(&edited), ["b.txt", "c.txt"]);
    assert_eq!(edited["attachments"][1]["description"], "new");
    assert_eq!(world.get(&world.owner, &path).await.ok()["attachments"], edited["attachments"]);
    assert_eq!(world.fetch(&text(&message["attachments"][0]["url"]), &[]).await.0.status, 404);
    world.sweep_at(unix_ms()).await;
    assert_eq!(world.stored(), 2);
    world.patch(&world.owner, &path, json!({ "attachments": [{ "id": "12345" }] })).await.refused(400, 50046);
    let anna = world.member("anna").await;
    world.patch(&anna, &path, json!({ "attachments": [] })).await.refused(403, 50005);
}

#[tokio::test]
async fn files_go_with_their_message_channel_and_guild() {
    let world = World::new().await;
    let send = async || world.attach(&world.owner, json!({}), &[("face.png", default_avatar(0))]).await.ok();
    let message = send().await;
    let url = text(&message["attachments"][0]["url"]);
    world.fetch(&format!("{url}width=16"), &[]).await;
    send().await;
    assert_eq!(world.stored(), 3);
    world.delete(&world.owner, &format!("{}/{}", world.messages_path(), text(&message["id"]))).await.no_content();
    assert_eq!(world.fetch(&url, &[]).await.0.status, 404, "at once, whatever is still on the disk");
    world.sweep_at(unix_ms()).await;
    assert_eq!(world.stored(), 1);
    world.delete(&world.owner, &format!("/channels/{}", world.text)).await.ok();
    let app = world.control_plane.app();
    while !app.store().messages(world.text.parse().unwrap(), crate::store::Page::Latest, 1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    world.sweep_at(unix_ms()).await;
    assert_eq!(world.stored(), 0);
}

#[tokio::test]
async fn files_without_a_message_are_cleaned_up() {
    let world = World::new().await;
    // Refused after its file came in: a reply to nothing.
    let payload = json!({ "message_reference": { "message_id": "12345" } });
    world.attach(&world.owner, payload, &[("a.txt", b"a")]).await.form_error("/message_reference", "REPLIES_UNKNOWN_MESSAGE");
    // And one that was cut off.
    let whole = form(&json!({}), &[("b.txt", &[b'b'; 100_000])]);
    let request = world.request(&world.owner, Method::POST, &world.messages_path());
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    world.send(request.body(Body::from(whole[..50_000].to_vec())).unwrap()).await.refused(400, 50109);
    world.sweep_at(unix_ms() + crate::files::PATIENCE_MS + 1).await;
    assert_eq!(world.stored(), 0);
    let used = world.control_plane.app().store().stored_bytes(world.owner.id.parse().unwrap()).await.unwrap();
    assert_eq!(used, 0, "they count no longer");
    assert_eq!(world.said().await, Vec::<String>::new());
}

#[tokio::test]
async fn limits_hold() {
    let limits = |config: &mut crate::app::Config| {
        config.rate_limits = false;
        config.files.max_file = 1000;
        config.files.quotas = Quotas { user: 1500, guild: 2500 };
    };
    let world = World::with(limits).await;
    let send = async |who: &Session, files: &[File]| world.attach(who, json!({ "content": "x" }), files).await;
    send(&world.owner, &[("a", &[b'a'; 1001])]).await.refused(413, 50045);
    let many = [("a", &b"a"[..]); 11];
    send(&world.owner, &many).await.refused(400, 30015);
    let huge = vec![b'a'; 26 * 1024 * 1024];
    send(&world.owner, &[("a", &huge)]).await.refused(413, 40005);
    let request = world.request(&world.owner, Method::POST, &world.messages_path()).header("content-length", "99999999");
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(Body::empty()).unwrap();
    world.send(request).await.refused(413, 40005);
    // Quotas: of the user, of the guild, and room again when something goes.
    let first = send(&world.owner, &[("a", &[b'a'; 1000])]).await.ok();
    send(&world.owner, &[("a", &[b'a'; 501])]).await.refused(413, 0);
    send(&world.owner, &[("a", &[b'a'; 500])]).await.ok();
    send(&world.owner, &[("a", b"a")]).await.refused(413, 0);
    let anna = world.member("anna").await;
    send(&anna, &[("a", &[b'a'; 1000])]).await.ok();
    let bert = world.member("bert").await;
    send(&bert, &[("a", b"a")]).await.refused(413, 0);
    world.delete(&world.owner, &format!("{}/{}", world.messages_path(), text(&first["id"]))).await.no_content();
    world.sweep_at(unix_ms() + crate::files::PATIENCE_MS + 1).await;
    send(&bert, &[("a", b"a")]).await.ok();
    send(&world.owner, &[("a", &[b'a'; 900])]).await.ok();
}

#[tokio::test]
async fn files_need_a_permission_and_a_form_that_fits() {
    let world = World::new().await;
    let everyone = format!("/channels/{}/permissions/{}", world.text, world.guild);
    let anna = world.member("anna").await;
    world.attach(&anna, json!({}), &[("a.txt", b"a")]).await.ok();
    world.put(&world.owner, &everyone, json!({ "type": 0, "deny": (1u64 << 15).to_string() })).await.no_content();
    world.attach(&anna, json!({ "content": "x" }), &[("a.txt", b"a")]).await.refused(403, 50013);
    world.attach(&anna, json!({ "content": "x" }), &[]).await.ok();
    world.attach(&world.nobody(), json!({}), &[("a.txt", b"a")]).await.refused(401, 0);
    let stranger = world.register("carl").await;
    world.attach(&stranger, json!({}), &[("a.txt", b"a")]).await.refused(403, 50001);
    assert_eq!(world.stored(), 1, "nothing was stored for those who may not");
    world.attach(&world.owner, json!({ "attachments": [{ "id": 1 }] }), &[("a.txt", b"a")]).await.refused(400, 50046);
    world.attach(&world.owner, json!({}), &[]).await.refused(400, 50006);
}

#[tokio::test]
async fn a_voice_message_is_a_sound_and_nothing_else() {
    let world = World::new().await;
    let sound: File = ("voice.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0OpusHead");
    let listed = json!([{ "id": 0, "duration_secs": 1.5, "waveform": "AAAA" }]);
    let send = async |payload: Value, files: &[File]| world.attach(&world.owner, payload, files).await;
    let message = send(json!({ "flags": 8192, "attachments": listed }), &[sound]).await.ok();
    let attachment = &message["attachments"][0];
    assert_eq!((message["flags"].as_u64(), attachment["duration_secs"].as_f64()), (Some(8192), Some(1.5)));
    assert_eq!((attachment["waveform"].as_str(), attachment["content_type"].as_str()), (Some("AAAA"), Some("audio/ogg")));
    send(json!({ "flags": 8192, "attachments": listed, "content": "x" }), &[sound]).await.refused(400, 50159);
    send(json!({ "flags": 8192, "attachments": listed }), &[("a.txt", b"a")]).await.refused(400, 50160);
    send(json!({ "flags": 8192 }), &[sound]).await.refused(400, 50161);
    let path = format!("{}/{}", world.messages_path(), text(&message["id"]));
    world.patch(&world.owner, &path, json!({ "content": "x" })).await.refused(400, 50162);
}

#[tokio::test]
async fn those_without_a_picture_have_one() {
    let world = World::new().await;
    let (reply, bytes) = world.fetch("http://hall.example:8080/cdn/embed/avatars/3.png", &[]).await;
    assert_eq!((reply.status, &bytes[..], reply.header("content-type")), (200, default_avatar(3), "image/png"));
    for path in [
        "embed/avatars/x.png",
        "embed/avatars/1.gif",
        "avatars/1/aaaaaaaaaaaaaaaa.png",
        "nothing/1/aaaaaaaaaaaaaaaa.png",
        "avatars/1/x.exe",
    ] {
        let (reply, _) = world.fetch(&format!("http://hall.example:8080/cdn/{path}"), &[]).await;
        assert!(matches!(reply.status, 404 | 415), "{path}: {}", reply.status);
    }
}

/// A red dot.
const DOT: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// After all that may still be shown has been forgotten.
fn later() -> u64 {
    unix_ms() + crate::files::PATIENCE_MS + 1
}

#[tokio::test]
async fn webhooks_and_groups_have_pictures_that_are_replaced_and_go() {
    let world = World::new().await;
    let made =
        world.post(&world.owner, &format!("/channels/{}/webhooks", world.text), json!({ "name": "h", "avatar": DOT })).await.ok();
    let path = format!("/webhooks/{}", text(&made["id"]));
    let link = |hash: &Value| format!("http://hall.example:8080/cdn/avatars/{}/{}.png", text(&made["id"]), text(hash));
    assert_eq!(world.fetch(&link(&made["avatar"]), &[]).await.0.status, 200);
    let renamed = world.patch(&world.owner, &path, json!({ "name": "i" })).await.ok();
    assert_eq!(renamed["avatar"], made["avatar"], "what is not named stays");
    let said =
        world.post(&world.nobody(), &format!("{path}/{}?wait=true", text(&made["token"])), json!({ "content": "x" })).await.ok();
    assert_eq!(said["author"]["avatar"], made["avatar"]);
    let changed = world.patch(&world.nobody(), &format!("{path}/{}", text(&made["token"])), json!({ "avatar": DOT })).await.ok();
    assert_ne!(changed["avatar"], made["avatar"]);
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 1, "the old one is gone");
    world.delete(&world.owner, &path).await.no_content();
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 0);

    let (anna, bea) = (world.register("anna").await, world.register("bea").await);
    for friend in [&anna, &bea] {
        world.befriend(&world.owner, friend).await;
    }
    let recipients = json!({ "recipients": [anna.id, bea.id] });
    let group = world.post(&world.owner, "/users/@me/channels", recipients).await.ok();
    let path = format!("/channels/{}", text(&group["id"]));
    let shown = world.patch(&anna, &path, json!({ "icon": DOT })).await.ok();
    let icon = format!("http://hall.example:8080/cdn/channel-icons/{}/{}.png", text(&group["id"]), text(&shown["icon"]));
    assert_eq!(world.fetch(&icon, &[]).await.0.status, 200);
    assert_eq!(world.get(&bea, &path).await.ok()["icon"], shown["icon"]);
    world.patch(&anna, &path, json!({ "icon": "data:" })).await.form_error("/icon", "IMAGE_INVALID");
    assert_eq!(world.patch(&anna, &path, json!({ "icon": null })).await.ok()["icon"], Value::Null);
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 0);
}

#[tokio::test]
async fn a_deleted_guild_and_a_deleted_account_leave_no_pictures() {
    let world = World::new().await;
    let anna = world.register("anna").await;
    world.patch(&anna, "/users/@me", json!({ "avatar": DOT })).await.ok();
    world.post(&world.owner, "/guilds", json!({ "name": "brief", "icon": "data:" })).await.form_error("/icon", "IMAGE_INVALID");
    let made = world.post(&world.owner, "/guilds", json!({ "name": "brief", "icon": DOT })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let guild = text(&made.body["id"]);
    assert_eq!(world.get(&world.owner, &format!("/guilds/{guild}")).await.ok()["icon"], made.body["icon"]);
    let icon = format!("http://hall.example:8080/cdn/icons/{guild}/{}.png", text(&made.body["icon"]));
    assert_eq!(world.fetch(&icon, &[]).await.0.status, 200);
    world.patch(&world.owner, &format!("/guilds/{guild}"), json!({ "icon": DOT })).await.ok();
    let emoji = world.post(&world.owner, &format!("/guilds/{guild}/emojis"), json!({ "name": "dot", "image": DOT })).await;
    assert_eq!(emoji.status, 201, "{}", emoji.text);
    let channels = world.get(&world.owner, &format!("/guilds/{guild}/channels")).await.ok();
    let channel = channels.as_array().unwrap().iter().find(|channel| channel["type"] == 0).unwrap();
    let hooks = format!("/channels/{}/webhooks", text(&channel["id"]));
    world.post(&world.owner, &hooks, json!({ "name": "h", "avatar": DOT })).await.ok();
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 4, "what is shown stays");
    world.delete(&world.owner, &format!("/guilds/{guild}")).await.no_content();
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 1);
    let id = anna.id.parse().unwrap();
    world.control_plane.app().store().delete_account(id).await.unwrap();
    world.sweep_at(later()).await;
    assert_eq!(world.stored(), 0);
}

#[tokio::test]
async fn a_forward_keeps_copies_of_the_files() {
    let world = World::new().await;
    let original = world.attach(&world.owner, json!({ "content": "look" }), &[("a.txt", b"one"), ("b.txt", b"two")]).await.ok();
    let elsewhere = json!({ "name": "elsewhere" });
    let elsewhere = world.post(&world.owner, &format!("/guilds/{}/channels", world.guild), elsewhere).await.ok();
    let path = format!("/channels/{}/messages", text(&elsewhere["id"]));
    let forward = json!({ "message_reference": { "type": 1, "message_id": original["id"], "channel_id": world.text } });
    let sent = world.post(&world.owner, &path, forward).await.ok();
    let again = json!({ "message_reference": { "type": 1, "message_id": sent["id"], "channel_id": elsewhere["id"] } });
    let again = world.post(&world.owner, &world.messages_path(), again).await.ok();
    assert_eq!(sent["attachments"], json!([]));
    let files = |message: &Value| message["message_snapshots"][0]["message"]["attachments"].clone();
    assert_eq!((&files(&sent)[0]["filename"], &files(&sent)[1]["size"]), (&json!("a.txt"), &json!(3)));
    assert_ne!(files(&sent)[0]["id"], original["attachments"][0]["id"]);
    // The originals go, and then the first forward; what is left shows its own.
    for (path, message) in [(world.messages_path(), &original), (path.clone(), &sent)] {
        world.delete(&world.owner, &format!("{path}/{}", text(&message["id"]))).await.no_content();
        world.sweep_at(unix_ms()).await;
    }
    assert_eq!(world.fetch(&text(&original["attachments"][0]["url"]), &[]).await.0.status, 404);
    assert_eq!(world.fetch(&text(&files(&sent)[0]["url"]), &[]).await.0.status, 404);
    let read = world.get(&world.owner, &format!("{}/{}", world.messages_path(), text(&again["id"]))).await.ok();
    assert_eq!(files(&read), files(&again));
    assert_eq!(world.fetch(&text(&files(&read)[1]["url"]), &[]).await.1, "two");
    assert_eq!(world.stored(), 2);
    world.delete(&world.owner, &format!("{}/{}", world.messages_path(), text(&again["id"]))).await.no_content();
    world.sweep_at(unix_ms()).await;
    assert_eq!(world.stored(), 0);
}

#[tokio::test]
async fn applications_have_pictures() {
    let world = World::new().await;
    let (bot, application) = world.bot("helper", 0).await;
    let path = format!("/applications/{application}");
    let shown = world.patch(&bot, "/applications/@me", json!({ "icon": DOT })).await;
    let shown = SCHEMAS.check("PATCH /applications/@me", shown);
    let icon = format!("http://hall.example:8080/cdn/app-icons/{application}/{}.png", text(&shown["icon"]));
    assert_eq!(world.fetch(&icon, &[]).await.0.status, 200);
    assert_eq!(world.get(&world.owner, &path).await.ok()["icon"], shown["icon"]);
    world.patch(&bot, &path, json!({ "icon": "data:" })).await.form_error("/icon", "IMAGE_INVALID");
    assert_eq!(world.patch(&bot, &path, json!({ "description": "d" })).await.ok()["icon"], shown["icon"]);
    assert_eq!(world.patch(&world.owner, &path, json!({ "icon": null })).await.ok()["icon"], Value::Null);
    world.sweep_at(unix_ms() + 3_700_000).await;
    assert_eq!(world.fetch(&icon, &[]).await.0.status, 404);
}
