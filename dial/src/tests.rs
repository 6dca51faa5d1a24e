//! Both sides of the line over loopback.

use crate::control;
use crate::node::{self, ControlUrl};
use crate::secret::JoinSecrets;
use crate::trust::{Badge, Gate};
use guildhall_protocol::ChannelId;
use guildhall_protocol::fleet::{Epoch, FromNode, Hello, Secret, ToNode};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// Nothing here takes a second; this only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(20);

type Line<In, Out> = (mpsc::Receiver<In>, mpsc::Sender<Out>);

/// Makes certificates.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// A certificate for the name, in PEM and DER, and its key; it ends in the given time from now, or has ended before.
    fn certify(&self, name: &str, usage: ExtendedKeyUsagePurpose, ends_in_days: i64) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let day = Duration::from_secs(86_400);
        params.not_before = (SystemTime::now() - 10 * day).into();
        params.not_after = (SystemTime::now() - 10 * day + day * (10 + ends_in_days) as u32).into();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

/// A control plane whose lines a test holds in its hands.
struct Control {
    address: SocketAddr,
    lines: mpsc::Receiver<Line<FromNode, ToNode>>,
    stop: watch::Sender<bool>,
    tls: ServerConfig,
    gate: watch::Sender<Arc<Gate>>,
    folder: tempfile::TempDir,
}

fn secrets(text: &str) -> JoinSecrets {
    JoinSecrets::read(text).unwrap()
}

const SECRET: &str = "a-secret-of-the-test";
const OTHER: &str = "another-secret-of-the-test";

impl Control {
    /// It takes `SECRET`.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("control planes");
        std::fs::write(folder.path().join("ca.pem"), &authority.1).unwrap();
        let (certificate, key) = authority.certify("localhost", ExtendedKeyUsagePurpose::ServerAuth, 1);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
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
        let (gate, opened) = watch::channel(Arc::new(Gate::new(&tls, Some(secrets(SECRET)), None).unwrap()));
        tokio::spawn(control::serve(listener, opened, line, stopped));
        Self { address, lines, stop, tls, gate, folder }
    }

    /// From now on it takes these, and certificates below the authority if there is one.
    fn take(&self, secrets: Option<JoinSecrets>, authority: Option<&Authority>) {
        let path = self.folder.path().join("nodes.pem");
        let path = authority.map(|authority| std::fs::write(&path, &authority.1).map(|()| path).unwrap());
        self.gate.send_replace(Arc::new(Gate::new(&self.tls, secrets, path.as_deref()).unwrap()));
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Of a node that shows this.
    fn badge(&self, text: Option<&str>, own: Option<&(rcgen::Certificate, KeyPair)>) -> Badge {
        let path = |name: &str| self.folder.path().join(name);
        if let Some((certificate, key)) = own {
            std::fs::write(path("own.pem"), certificate.pem()).unwrap();
            std::fs::write(path("own.key"), key.serialize_pem()).unwrap();
        }
        let (certificate, key) = (path("own.pem"), path("own.key"));
        let own = own.map(|_| (certificate.as_path(), key.as_path()));
        Badge::new(text.map(secrets).as_ref(), Some(&self.authority()), own).unwrap()
    }

    fn url(&self, scheme: &str) -> ControlUrl {
        format!("{scheme}://localhost:{}", self.address.port()).parse().unwrap()
    }

    async fn line(&mut self) -> Line<FromNode, ToNode> {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("a node dials").unwrap()
    }
}

/// A node that dials, and its ends of each line.
fn node(url: ControlUrl, badge: Badge, stop: &Control) -> mpsc::Receiver<(mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>)> {
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
    tokio::spawn(node::keep_dialling(url, watch::channel(Arc::new(badge)).1, line, stop.stop.subscribe()));
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
        let mut lines = node(control.url(scheme), control.badge(Some(SECRET), None), &control);
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
    let mut wrong_secret = node(control.url("https"), control.badge(Some(OTHER), None), &control);
    // It does not know the authority, so it must not say the secret.
    let mut wrong_server = node(control.url("https"), Badge::new(Some(&secrets(SECRET)), None, None).unwrap(), &control);
    let mut right = node(control.url("https"), control.badge(Some(SECRET), None), &control);
    let (report, _orders) = soon(right.recv()).await;
    report.send(hello()).await.unwrap();
    control.line().await;
    assert!(wrong_secret.try_recv().is_err() && wrong_server.try_recv().is_err());
    assert!(control.lines.try_recv().is_err());
}

/// Why a node gets no line, or loses the one that it has. It says hello as `a`.
async fn refusal(control: &Control, scheme: &str, badge: &Badge) -> String {
    let line = async |to: mpsc::Sender<FromNode>, mut from: mpsc::Receiver<ToNode>| {
        let _ = to.send(hello()).await;
        while from.recv().await.is_some() {}
    };
    let ended = tokio::time::timeout(PATIENCE, node::dial(&control.url(scheme), badge, &line)).await;
    ended.expect("in time").expect_err("a line that ended well")
}

#[tokio::test]
async fn a_node_joins_with_a_certificate_for_its_name_and_is_told_what_is_wrong_with_another() {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let mut control = Control::start().await;
    let (nodes, strangers) = (Authority::new("nodes"), Authority::new("strangers"));
    let namesakes = Authority::new("nodes");
    let right = nodes.certify("a", ClientAuth, 1);
    let told = refusal(&control, "https", &control.badge(None, Some(&right))).await;
    assert_eq!(told, "the control plane takes nodes by a join secret (--join-secret-file), and by no certificate");

    control.take(None, Some(&nodes));
    let cases = [
        (control.badge(Some(SECRET), None), "by a certificate (--control-plane-cert), and by no join secret"),
        (control.badge(None, Some(&nodes.certify("b", ClientAuth, 1))), "not for the node's name, a, but for DnsName(\"b\")"),
        (control.badge(None, Some(&nodes.certify("a", ClientAuth, -1))), "it takes our certificate for expired"),
        (
            control.badge(None, Some(&strangers.certify("a", ClientAuth, 1))),
            "it trusts no authority that our certificate is below",
        ),
        (control.badge(None, Some(&namesakes.certify("a", ClientAuth, 1))), "it does not take our certificate"),
        (control.badge(None, Some(&nodes.certify("a", ServerAuth, 1))), "it does not take our certificate"),
        (Badge::new(None, None, None).unwrap(), "its certificate is below no authority that is trusted here"),
    ];
    for (badge, expected) in cases {
        let told = refusal(&control, "https", &badge).await;
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let told = refusal(&control, "http", &control.badge(None, Some(&right))).await;
    assert!(told.contains("by a certificate"), "{told}");
    while control.lines.try_recv().is_ok() {}

    let mut lines = node(control.url("https"), control.badge(None, Some(&right)), &control);
    let (report, _orders) = soon(lines.recv()).await;
    report.send(hello()).await.unwrap();
    let (mut heard, _order) = control.line().await;
    assert_eq!(soon(heard.recv()).await, hello());
    // Its authority is not trusted any more.
    control.take(Some(secrets(SECRET)), Some(&strangers));
    assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time"), None);
    let told = refusal(&control, "https", &Badge::new(None, Some(&control.authority()), None).unwrap()).await;
    assert_eq!(told, "neither a join secret nor a certificate was shown");
}

#[tokio::test]
async fn a_secret_gives_way_to_another_and_who_still_has_it_is_shut_out() {
    let mut control = Control::start().await;
    let (badge, shown) = watch::channel(Arc::new(control.badge(Some(SECRET), None)));
    let line = async |to: mpsc::Sender<FromNode>, mut from: mpsc::Receiver<ToNode>| {
        let _ = to.send(hello()).await;
        while from.recv().await.is_some() {}
    };
    let (url, stop) = (control.url("https"), control.stop.subscribe());
    let dialling = async move { node::keep_dialling(url, shown, line, stop).await };
    let rotation = async {
        let (mut heard, _order) = control.line().await;
        assert_eq!(soon(heard.recv()).await, hello());
        control.take(Some(secrets(&format!("{SECRET}\n{OTHER}"))), None);
        badge.send_replace(Arc::new(control.badge(Some(&format!("{OTHER}\n{SECRET}")), None)));
        assert!(tokio::time::timeout(Duration::from_millis(50), heard.recv()).await.is_err(), "the line is as good as before");
        control.take(Some(secrets(OTHER)), None);
        assert_eq!(tokio::time::timeout(PATIENCE, heard.recv()).await.expect("in time"), None);
        let (mut heard, _order) = control.line().await;
        assert_eq!(soon(heard.recv()).await, hello(), "it dials with the new one");
        let told = refusal(&control, "https", &control.badge(Some(SECRET), None)).await;
        assert_eq!(told, "the join secret is not one of the control plane's");
    };
    tokio::select! {
        () = dialling => panic!("a node that gives up"),
        () = rotation => {}
    }
}
