//! What the listener knows of the connection that a request came by. The binary puts it into every request's extensions.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The TCP peer: a client, or the proxy in front of us.
    pub peer: SocketAddr,
    /// The client: the peer, or whom a proxy that is trusted names. Limits for each address go by it.
    pub client: IpAddr,
    /// Whether this port decrypted it: `wss://` and `https://` belong in the answers then.
    pub is_tls: bool,
}

/// A connection's place among those of its address that nobody has logged in on. It is given back when the last copy is
/// dropped: a WebSocket keeps one until it has identified.
#[derive(Clone)]
pub struct Lodging {
    _place: Arc<dyn Any + Send + Sync>,
}

impl Lodging {
    pub fn new(place: impl Send + Sync + 'static) -> Self {
        Self { _place: Arc::new(place) }
    }
}
