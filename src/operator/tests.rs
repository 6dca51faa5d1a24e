use super::*;
use crate::data::DataDir;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use guildhall_control_plane::ControlPlane;
use guildhall_control_plane::fleet::views::{ProbeView, Standing};
use guildhall_protocol::fleet::{CONTRACT_VERSION, FromNode, Hello, ToNode};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tower::ServiceExt;

struct World {
    router: Router,
    key: String,
    /// The node's ends of its line.
    _line: (mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>),
    _control_plane: ControlPlane,
    _folder: TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let config = guildhall_control_plane::Config::new(data.path().to_owned(), data.voice_key().unwrap());
    let control_plane = ControlPlane::start(config).await.unwrap();
    let (of_node, from_node) = mpsc::channel(8);
    let (to_node, mut for_node) = mpsc::channel(8);
    let hub = control_plane.hub().clone();
    tokio::spawn(async move { hub.serve_node(from_node, to_node).await });
    let hello = Hello {
        id: "voice-1".into(),
        region: "eu".parse().unwrap(),
        endpoint: "<b>voice.example</b>:443".to_owned(),
        media: Vec::new(),
        version: CONTRACT_VERSION,
        software: "test".to_owned(),
        egress_cap_bps: 1,
        incarnation: 1,
    };
    of_node.send(FromNode::Hello { hello, rooms: Vec::new(), sittings: Vec::new() }).await.unwrap();
    assert!(matches!(for_node.recv().await, Some(ToNode::Welcome { .. })));
    let (_, key) = data.shown_secret(KEY_FILE).unwrap();
    let router = router(control_plane.hub().clone(), &key);
    World { router, key, _line: (of_node, for_node), _control_plane: control_plane, _folder: folder }
}

impl World {
    async fn ask(&self, method: &str, path: &str, authorization: &str, body: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("anyone:{}", self.key)))
    }
}

#[tokio::test]
async fn only_the_key_opens_and_a_browsers_log_in_changes_nothing() {
    let world = world().await;
    let wrong = STANDARD.encode("anyone:wrong");
    for authorization in ["", "Bearer wrong", "Bearer ", "Basic !", &format!("Basic {wrong}"), &world.key] {
        for path in ["/operator/nodes", "/operator/rooms", "/operator/rooms/5", "/admin"] {
            assert_eq!(world.ask("GET", path, authorization, "").await.0, 401, "{authorization} {path}");
        }
    }
    for authorization in [world.bearer(), world.basic()] {
        let (status, nodes) = world.ask("GET", "/operator/nodes", &authorization, "").await;
        assert!(status == 200 && nodes.contains("\"state\":\"serving\""), "{nodes}");
    }
    assert_eq!(world.ask("POST", "/operator/nodes/voice-1/cordon", &world.basic(), "null").await.0, 401);
}

#[tokio::test]
async fn a_node_is_steered_and_what_cannot_be_is_said() {
    let world = world().await;
    let post = async |path: &str, body: &str| world.ask("POST", path, &world.bearer(), body).await;
    let state = async || {
        let nodes: Vec<NodeView> =
            serde_json::from_str(&world.ask("GET", "/operator/nodes", &world.bearer(), "").await.1).unwrap();
        explain::standing(&nodes[0])
    };
    assert_eq!((post("/operator/nodes/voice-1/cordon", "null").await.0, state().await.as_str()), (204, "cordoned"));
    assert_eq!((post("/operator/nodes/voice-1/uncordon", "null").await.0, state().await.as_str()), (204, "serving"));
    assert_eq!(post("/operator/nodes/voice-1/drain", "{\"within_s\":60}").await.0, 204);
    assert!(state().await.starts_with("draining: 0 moved, 0 moving, 0 waiting, "), "{}", state().await);
    assert_eq!((post("/operator/nodes/voice-1/undrain", "null").await.0, state().await.as_str()), (204, "serving"));
    let refusals = [
        ("/operator/nodes/voice-2/drain", "{\"within_s\":60}", 404, "there is no such node."),
        ("/operator/rooms/5/move", "{\"to\":\"voice-1\"}", 404, "nobody is in that room."),
        ("/operator/rooms/5/move", "{\"to\":\"voice-2\"}", 404, "there is no such node."),
        ("/operator/rooms/5/move", "{\"to\":null}", 400, "A node is missing."),
        ("/operator/rooms/5/pin", "{\"to\":\"voice-2\"}", 404, "there is no such node."),
    ];
    for (path, body, status, says) in refusals {
        let (found, answer) = post(path, body).await;
        assert!(found == status && answer.contains(says), "{path} {body}: {found} {answer}");
    }
    assert_eq!(post("/operator/rooms/5/pin", "{\"to\":\"voice-1\"}").await.0, 204);

    let nodes = world.ask("GET", "/operator/nodes", &world.bearer(), "").await.1;
    let mut node = serde_json::from_str::<Vec<NodeView>>(&nodes).unwrap().remove(0);
    assert_eq!((node.probe.take(), explain::first_audio(&node)), (None, "-".to_owned()), "it is in this process");
    let (mut found, calls) = (Vec::new(), [("", Some(31)), ("no audio through it", Some(32)), ("no audio through it", None)]);
    for ((trouble, media_ms), state) in calls.into_iter().zip([Standing::Failing, Standing::Failing, Standing::Serving]) {
        (node.state, node.probe) = (state, Some(ProbeView { media_ms, trouble: trouble.to_owned() }));
        found.push(format!("{}, {}", explain::standing(&node), explain::first_audio(&node)));
    }
    assert_eq!(
        found,
        ["failing: being tried again, 31 ms", "failing: no audio through it, 32 ms", "serving: no audio through it, -"]
    );
    let (_, why) = world.ask("GET", "/operator/rooms/5", &world.basic(), "").await;
    let Why { room, decisions } = serde_json::from_str(&why).unwrap();
    assert_eq!((room.pinned_to, room.node, decisions.len()), (Some("voice-1".into()), None, 0));
}

#[tokio::test]
async fn the_page_shows_the_fleet_and_escapes_what_nodes_say() {
    let world = world().await;
    let (status, page) = world.ask("GET", "/admin", &world.basic(), "").await;
    assert_eq!(status, 200);
    assert!(page.contains("voice-1") && page.contains("1 of 1") && page.contains("&lt;b&gt;voice.example"), "{page}");
    assert!(!page.contains("<b>"));
}

#[test]
fn a_table_is_as_wide_as_its_widest_cells() {
    let rows = [vec!["A".to_owned(), "B".to_owned()], vec!["long".to_owned(), "x".to_owned()]];
    assert_eq!(explain::table(&rows), "A     B\nlong  x\n");
}
