//! What the listener knows of the connection that a request came by. The binary puts it into every request's extensions.

use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The TCP peer: a client, or the proxy in front of us.
    pub peer: SocketAddr,
    /// Whether this port decrypted it: `wss://` and `https://` belong in the answers then.
    pub is_tls: bool,
}
