//! Who may be a voice node: one that shows a join secret, or a certificate for its name; both change while everything runs.

use guildhall_tests::{
    eventually,
    node::{VoiceNode, control_plane_with, operated, path},
    server::Server,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(86_400);

/// As `guildhall node list` tells it: `serving`, or `lost for 3 s`.
async fn becomes(server: &Server, node: &str, state: &str) {
    eventually(&format!("{node} to be {state}"), async || {
        let list = operated(server, &["node", "list"]);
        list.lines().any(|line| line.starts_with(node) && line.contains(state)).then_some(())
    })
    .await;
}

async fn says(node: &VoiceNode, what: &str) {
    eventually(&format!("{} to say: {what}", node.name()), async || node.log().contains(what).then_some(())).await;
}

/// An authority of nodes, and the folder that it keeps everything in.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, mut params) = (KeyPair::generate().expect("randomness"), CertificateParams::default());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).expect("a certificate").pem()).expect("written");
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key for a name.
    fn certify(&self, name: &str, ends: SystemTime) -> [PathBuf; 2] {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = (ends - 2 * DAY).into();
        params.not_after = ends.into();
        let key = KeyPair::generate().expect("randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = ["pem", "key"].map(|end| self.folder.path().join(format!("{name}.{end}")));
        std::fs::write(&paths[0], certificate.pem()).expect("written");
        std::fs::write(&paths[1], key.serialize_pem()).expect("written");
        paths
    }
}

fn start(server: &Server, nodes: &str, name: &str, [certificate, key]: &[PathBuf; 2]) -> VoiceNode {
    let shown = ["--control-plane-cert", path(certificate), "--control-plane-key", path(key)];
    VoiceNode::start_with(server, nodes, name, "eu", &shown)
}

#[tokio::test]
async fn a_voice_node_joins_with_a_certificate_for_its_name_and_with_a_renewed_one_without_a_restart() {
    let (authority, stranger) = (Authority::new("nodes"), Authority::new("strangers"));
    let (server, nodes) = control_plane_with(&["--nodes-ca", path(&authority.path())]);
    assert!(!server.data().join("join.secret").exists(), "there is no secret that opens as well");
    let (past, future) = (SystemTime::now() - DAY / 2, SystemTime::now() + DAY);
    let right = authority.certify("eu-1", future);
    let _eu = start(&server, &nodes, "eu-1", &right);
    becomes(&server, "eu-1", "serving").await;

    let other = start(&server, &nodes, "eu-2", &right);
    says(&other, "the certificate is not for the node's name, eu-2, but for DnsName").await;
    let strange = start(&server, &nodes, "eu-3", &stranger.certify("eu-3", future));
    says(&strange, "it trusts no authority that our certificate is below").await;
    let late = start(&server, &nodes, "eu-4", &authority.certify("eu-4", past));
    says(&late, "it takes our certificate for expired").await;
    let list = operated(&server, &["node", "list"]);
    assert!(!["eu-2", "eu-3", "eu-4"].iter().any(|name| list.contains(name)), "{list}");

    authority.certify("eu-4", future);
    becomes(&server, "eu-4", "serving").await;
}

#[tokio::test]
async fn a_join_secret_is_replaced_without_a_restart_and_nodes_with_the_old_one_are_shut_out() {
    let (server, nodes) = control_plane_with(&[]);
    let theirs = server.data().join("join.secret");
    let old = std::fs::read_to_string(&theirs).expect("a control plane that listens for nodes makes one");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = ["eu-1", "eu-2"].map(|name| folder.path().join(name));
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
    own.iter().for_each(|path| write(path, &old));
    let node = |at: usize| {
        let shown = ["--join-secret-file", path(&own[at])];
        VoiceNode::start_with(&server, &nodes, ["eu-1", "eu-2"][at], "eu", &shown)
    };
    let [first, second] = [node(0), node(1)];
    becomes(&server, "eu-1", "serving").await;
    becomes(&server, "eu-2", "serving").await;

    let new = "the-secret-of-tomorrow\n";
    write(&own[1], "short\n");
    says(&second, "line 1 has 5 characters: fewer than 16 can be guessed").await;
    write(&own[0], new);
    says(&first, "a file has changed, and holds from now on").await;
    write(&theirs, new);
    says(&first, "what this line was opened with is not taken any more").await;
    says(&second, "the join secret is not one of the control plane's").await;
    becomes(&server, "eu-2", "lost").await;
    becomes(&server, "eu-1", "serving").await;
    write(&own[1], new);
    becomes(&server, "eu-2", "serving").await;
    assert!(operated(&server, &["node", "list"]).lines().any(|line| line.starts_with("eu-1") && line.contains("serving")));
}
