use super::*;
use crate::data::DataDir;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use guildhall_control_plane::ControlPlane;
use std::net::SocketAddr;
use tempfile::TempDir;
use tower::ServiceExt;

struct World {
    router: Router,
    control_plane: ControlPlane,
    sfu: Sfu,
    _folder: TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let config = guildhall_control_plane::Config::new(data.path().to_owned(), data.voice_key().unwrap());
    let control_plane = ControlPlane::start(config).await.unwrap();
    let bind = vec!["127.0.0.1:0".parse().unwrap(); 2];
    let sfu =
        Sfu::start(guildhall_sfu::Config { bind, advertise: Vec::new(), tcp_port: None, room_share: guildhall_sfu::ROOM_SHARE })
            .unwrap();
    let router = router(Some(control_plane.vitals()), Some(sfu.clone()), None);
    World { router, control_plane, sfu, _folder: folder }
}

async fn ask(router: &Router, path: &str, peer: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(Connection { peer, client: peer.ip(), is_tls: false });
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

const STRANGER: &str = "203.0.113.9:4000";
const HERE: &str = "127.0.0.1:4000";
const LOCAL: (&str, &str) = ("host", "127.0.0.1:8080");

#[tokio::test]
async fn ready_while_both_parts_answer() {
    let World { router, control_plane, sfu, .. } = world().await;
    let (status, body) = ask(&router, "/readyz", STRANGER, &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"ready":true,"failing":[]}"#));
    assert_eq!(ask(&router, "/livez", STRANGER, &[]).await.0, StatusCode::OK);
    control_plane.shutdown().await;
    sfu.shutdown();
}

#[tokio::test]
async fn what_does_not_answer_is_named() {
    let World { router, control_plane, sfu, _folder } = world().await;
    sfu.shutdown();
    let (status, body) = ask(&router, "/readyz", STRANGER, &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"failing":["media"]}"#));
    // A scrape still tells of the rest.
    let (status, page) = ask(&router, "/metrics", HERE, &[LOCAL]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("\nguildhall_media_workers 0\n") && page.contains("\nguildhall_guilds_loaded 0\n"), "{page}");
    control_plane.shutdown().await;

    let World { router, control_plane, sfu, _folder } = world().await;
    control_plane.shutdown().await;
    let (status, body) = ask(&router, "/readyz", STRANGER, &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, r#"{"ready":false,"failing":["database"]}"#));
    assert_eq!(ask(&router, "/livez", STRANGER, &[]).await.0, StatusCode::OK, "it lives all the same");
    sfu.shutdown();
}

#[tokio::test]
async fn metrics_count_what_was_written_and_are_for_this_machine_only() {
    let World { router, control_plane, sfu, _folder } = world().await;
    let before = control_plane.vitals().writer();
    assert_eq!(before.failures, 0);
    control_plane.ensure_owner().await.unwrap().expect("a first start");
    let after = control_plane.vitals().writer();
    assert!(after.commits > before.commits && after.jobs > before.jobs, "{before:?} {after:?}");
    assert!(after.failures == 0 && after.waiting == 0, "{after:?}");

    let (status, page) = ask(&router, "/metrics", HERE, &[LOCAL]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains(&format!("\nguildhall_database_jobs_total {}\n", after.jobs)), "{page}");
    assert!(page.contains("\nguildhall_media_workers 2\n"), "{page}");

    for (peer, headers) in [
        ("[::1]:4000", &[("host", "[::1]:8080")][..]),
        ("[::ffff:127.0.0.1]:4000", &[("host", "LocalHost")]),
        ("127.8.8.8:4000", &[("host", "127.0.0.1")]),
    ] {
        assert_eq!(ask(&router, "/metrics", peer, headers).await.0, StatusCode::OK, "{peer} {headers:?}");
    }
    for (peer, headers) in [
        (STRANGER, &[LOCAL][..]),
        ("[2001:db8::1]:4000", &[LOCAL]),
        ("192.168.0.2:4000", &[LOCAL]),
        (HERE, &[]),
        (HERE, &[("host", "chat.example.org")]),
        (HERE, &[LOCAL, ("x-forwarded-for", "127.0.0.1")]),
        (HERE, &[LOCAL, ("forwarded", "for=192.0.2.1")]),
        (HERE, &[LOCAL, ("via", "1.1 proxy")]),
        (HERE, &[LOCAL, ("x-real-ip", "192.0.2.1")]),
    ] {
        let (status, body) = ask(&router, "/metrics", peer, headers).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, ""), "{peer} {headers:?}");
    }
    control_plane.shutdown().await;
    sfu.shutdown();
}
