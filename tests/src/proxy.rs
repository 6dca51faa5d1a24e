//! A wire that can be cut: forwards TCP to the server under test, drops every connection on demand, and can keep new ones
//! waiting while the test does what the cut client must not miss.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub struct Proxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    accepted: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Wire {
    /// Counts the cuts: a connection lives in the one in which it began.
    cuts: u64,
    /// New connections are accepted, and wait.
    is_held: bool,
}

impl Proxy {
    pub async fn start(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let (wire, state) = watch::channel(Wire { cuts: 0, is_held: false });
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, target, state.clone()));
            }
        });
        Proxy { address, wire, accepted, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were ever accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Drops every connection without a word and lets no new one through until [`Proxy::release`].
    pub fn cut_and_hold(&self) {
        self.wire.send_modify(|wire| *wire = Wire { cuts: wire.cuts + 1, is_held: true });
    }

    /// Drops every connection without a word; new ones pass.
    pub fn cut(&self) {
        self.wire.send_modify(|wire| wire.cuts += 1);
    }

    pub fn release(&self) {
        self.wire.send_modify(|wire| wire.is_held = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut wire: watch::Receiver<Wire>) {
    let born = wire.borrow().cuts;
    if wire.wait_for(|wire| !wire.is_held || wire.cuts != born).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = wire.wait_for(|wire| wire.cuts != born) => {}
    }
}
