//! The network between a control plane and an engine: carries TCP to a socket in the file system, and can be slow, silent or cut.

use rand::{RngExt, rngs::StdRng};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is read at once.
const PIECE: usize = 16 * 1024;

/// How the network is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Every piece waits this long, both ways.
    Slow(Duration),
    /// Connections stand and nothing comes through, as behind a switch that lost its table: what was sent arrives later.
    Silent,
    /// Connections break, and no new one comes about.
    Cut,
    /// Connections that stand carry nothing any more, not even their end: the machine behind them is gone. New ones are fair.
    Forgotten,
}

impl fmt::Display for Weather {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fair => formatter.write_str("carries everything"),
            Self::Slow(delay) => write!(formatter, "is slow by {delay:?}"),
            Self::Silent => formatter.write_str("carries nothing"),
            Self::Cut => formatter.write_str("is cut"),
            Self::Forgotten => formatter.write_str("has forgotten its connections"),
        }
    }
}

impl Weather {
    /// Any bad one.
    pub fn draw(random: &mut StdRng) -> Self {
        match random.random_range(0..5) {
            0 => Self::Slow(Duration::from_millis(random.random_range(1..40))),
            1 | 2 => Self::Silent,
            3 => Self::Cut,
            _ => Self::Forgotten,
        }
    }
}

/// Several connections over one network.
pub struct Wire {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    weather: Weather,
    /// Connections that were made before the last one of these are broken, or forgotten.
    cuts: u64,
    forgotten: u64,
}

impl Wire {
    /// To whoever listens on the socket at the moment of each connection.
    pub async fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let (state, seen) = watch::channel(State { weather: Weather::Fair, cuts: 0, forgotten: 0 });
        let socket = socket.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), seen.clone()));
            }
        });
        Self { address, state, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set(&self, weather: Weather) {
        self.state.send_modify(|state| {
            state.weather = weather;
            state.cuts += u64::from(weather == Weather::Cut);
            state.forgotten += u64::from(weather == Weather::Forgotten);
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Weather::Cut);
    }
}

async fn carry(client: TcpStream, socket: PathBuf, mut state: watch::Receiver<State>) {
    let State { weather, cuts, forgotten } = *state.borrow();
    if weather == Weather::Cut {
        return;
    }
    // What is said at once leaves at once, as it does without this in between.
    let _ = client.set_nodelay(true);
    let Ok(server) = UnixStream::connect(&socket).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = copy(from_client, to_server, state.clone(), forgotten);
    let back = copy(from_server, to_client, state.clone(), forgotten);
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// One way of a connection, until it ends. A forgotten connection never does.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    forgotten: u64,
) {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await;
        let State { weather, .. } = match state.wait_for(|now| now.weather != Weather::Silent).await {
            Ok(now) => *now,
            Err(_) => return,
        };
        if state.borrow().forgotten != forgotten {
            return std::future::pending().await;
        }
        if let Weather::Slow(delay) = weather {
            tokio::time::sleep(delay).await;
        }
        match read {
            Ok(length) if length > 0 && to.write_all(&piece[..length]).await.is_ok() => {}
            _ => return,
        }
    }
}
