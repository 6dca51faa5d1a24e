//! A voice node of its own process, and the operator's commands.

use crate::server::{Server, binary, bound_to_this_thread, free_port, launch_at};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A voice node that has dialled, or is about to.
pub struct VoiceNode {
    process: Option<Child>,
    name: String,
    address: SocketAddr,
    data: TempDir,
    log: Arc<Mutex<Vec<String>>>,
}

/// A control plane without voice that nodes can dial, and where they do.
pub fn control_plane() -> (Server, String) {
    control_plane_with(&[])
}

/// The same with further arguments to `serve`.
pub fn control_plane_with(extra: &[&str]) -> (Server, String) {
    let nodes = format!("127.0.0.1:{}", free_port());
    let arguments = ["--role", "control-plane", "--region", "eu", "--nodes-listen", &nodes];
    (Server::start_with(&[&arguments, extra].concat()), nodes)
}

impl VoiceNode {
    /// `nodes` is where the control plane listens for nodes.
    pub fn start(control: &Server, nodes: &str, name: &str, region: &str) -> VoiceNode {
        let secret = control.data().join("join.secret");
        Self::start_with(control, nodes, name, region, &["--join-secret-file", path(&secret)])
    }

    /// The same with what it shows to the control plane in further arguments to `serve`.
    pub fn start_with(control: &Server, nodes: &str, name: &str, region: &str, shown: &[&str]) -> VoiceNode {
        let data = tempfile::Builder::new().prefix("guildhall-node-").tempdir().expect("a temporary folder");
        let (url, ca) = (format!("https://{nodes}"), control.ca());
        let extra = ["--role", "voice", "--node", name, "--region", region, "--control-plane", &url, "--media-workers", "1"];
        let extra: Vec<String> =
            [&extra[..], &["--control-plane-ca", path(&ca)], shown].concat().into_iter().map(str::to_owned).collect();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (process, address) = launch_at(data.path(), "127.0.0.1:0", &extra, &log);
        VoiceNode { process: Some(process), name: name.to_owned(), address, data, log }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Host and port of its voice WebSocket, as clients are told.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// What it made its own certificate with.
    pub fn ca(&self) -> PathBuf {
        self.data.path().join("tls/ca.pem")
    }

    /// Everything that it wrote to its standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no reader panics").join("\n")
    }

    /// Ends the process between two instructions.
    pub fn kill_9(&mut self) {
        let mut process = self.process.take().expect("the node runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child ends");
    }
}

impl Drop for VoiceNode {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill_9();
        }
    }
}

/// As an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

/// `guildhall node …` or `guildhall room …` on the control plane's machine. It ends by itself.
pub fn start_operating(control: &Server, arguments: &[&str]) -> Child {
    let listen = control.address().to_string();
    let mut command = bound_to_this_thread(&binary());
    command.args(arguments).args(["--data", path(control.data()), "--listen", &listen]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

pub fn operate(control: &Server, arguments: &[&str]) -> Output {
    start_operating(control, arguments).wait_with_output().expect("the command ends")
}

/// The same, when it must succeed: what it says.
pub fn operated(control: &Server, arguments: &[&str]) -> String {
    let output = operate(control, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
