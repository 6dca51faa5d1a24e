//! Both sides of the line over loopback.

use crate::control;
use crate::node::{self, ControlUrl, Trust};
use crate::secret::JoinSecret;
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Epoch, FromNode, Hello, Secret, ToNode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Nothing here takes a second; this only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

type Line<In, Out> = (mpsc::Receiver<In>, mpsc::Sender<Out>);

/// A control plane whose lines a test holds in its hands.
struct Control {
    address: SocketAddr,
    lines: mpsc::Receiver<Line<FromNode, ToNode>>,
    stop: watch::Sender<bool>,
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

fn secret(text: &str) -> JoinSecret {
    JoinSecret::new(text).unwrap()
}

const SECRET: &str = "a secret-of-the-test";

impl Control {
    async fn start() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("ca.pem");
        std::fs::write(&authority, cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lines_in, lines) = mpsc::channel(8);
        let (stop, stopped) = watch::channel(false);
        let line = move |from: mpsc::Receiver<FromNode>, to: mpsc::Sender<ToNode>| {
            let lines = lines_in.clone();
            async move {
                let _ = lines.send((from, to)).await;
            }
        };
        tokio::spawn(control::serve(listener, Arc::new(tls), secret(&SECRET.replace(' ', "-")), line, stopped));
        Self { address, lines, stop, authority, _folder: folder }
    }

    fn url(&self, scheme: &str) -> ControlUrl {
        format!("{scheme}://localhost:{}", self.address.port()).parse().unwrap()
    }

    async fn line(&mut self) -> Line<FromNode, ToNode> {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("a node dials").unwrap()
    }
}

/// A node that dials, and its ends of each line.
fn node(
    url: ControlUrl,
    text: &str,
    trust: Trust,
    stop: &Control,
) -> mpsc::Receiver<(mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>)> {
    let (lines_in, lines) = mpsc::channel(8);
    let line = move |to: mpsc::Sender<FromNode>, from: mpsc::Receiver<ToNode>| {
        let lines = lines_in.clone();
        async move {
            // The line is over when its orders end, as it is for a real node.
            let (orders_in, orders) = mpsc::channel(8);
            let _ = lines.send((to, orders)).await;
            let mut from = from;
            while let Some(order) = from.recv().await {
                let _ = orders_in.send(order).await;
            }
        }
    };
    tokio::spawn(node::keep_dialling(url, secret(&text.replace(' ', "-")), trust, line, stop.stop.subscribe()));
    lines
}

async fn soon<T>(what: impl Future<Output = Option<T>>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time").expect("not closed")
}

fn hello() -> FromNode {
    let hello = Hello {
        id: "a".into(),
        region: "eu".parse().unwrap(),
        endpoint: "a:1".into(),
        media: Vec::new(),
        version: 1,
        software: String::new(),
        egress_cap_bps: 1,
        incarnation: 1,
    };
    FromNode::Hello { hello, rooms: Vec::new(), sittings: Vec::new() }
}

#[tokio::test]
async fn words_go_both_ways_and_a_line_that_ends_is_dialled_anew() {
    for scheme in ["http", "https"] {
        let mut control = Control::start().await;
        let trust = Trust::new(Some(&control.authority)).unwrap();
        let mut lines = node(control.url(scheme), SECRET, trust, &control);
        for round in 0..2 {
            let (report, mut orders) = soon(lines.recv()).await;
            report.send(hello()).await.unwrap();
            let (mut heard, order) = control.line().await;
            assert_eq!(soon(heard.recv()).await, hello(), "{scheme} {round}");
            let words =
                [ToNode::Welcome { voice_key: Secret([1; 32]) }, ToNode::Open { room: ChannelId::new(5), epoch: Epoch(round) }];
            for word in words {
                order.send(word.clone()).await.unwrap();
                assert_eq!(soon(orders.recv()).await, word);
            }
            report.send(FromNode::Alive).await.unwrap();
            assert_eq!(soon(heard.recv()).await, FromNode::Alive);
            // Either side may hang up; the node hears of it by the end of its orders.
            if round == 0 {
                drop(order);
            } else {
                drop(report);
                assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time"), None);
                drop(order);
            }
            assert_eq!(tokio::time::timeout(PATIENCE, orders.recv()).await.expect("in time"), None);
        }
    }
}

#[tokio::test]
async fn a_stranger_gets_no_line_in_either_direction() {
    let mut control = Control::start().await;
    let trust = Trust::new(Some(&control.authority)).unwrap();
    let mut wrong_secret = node(control.url("https"), "another secret of the test", trust.clone(), &control);
    // It does not know the authority, so it must not say the secret.
    let mut wrong_server = node(control.url("https"), SECRET, Trust::new(None).unwrap(), &control);
    let mut right = node(control.url("https"), SECRET, trust, &control);
    let (report, _orders) = soon(right.recv()).await;
    report.send(hello()).await.unwrap();
    control.line().await;
    assert!(wrong_secret.try_recv().is_err() && wrong_server.try_recv().is_err());
    assert!(control.lines.try_recv().is_err());
}
