//! A connection, with TLS or without, in the form that tonic takes.

use crate::trust::{Chain, explain};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tonic::transport::server::Connected;

pub struct Io {
    stream: Box<dyn Duplex>,
    /// The certificate that the other side showed.
    chain: Option<Chain>,
    /// It counts as long as it is open.
    _permit: Option<OwnedSemaphorePermit>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Io {
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { stream: Box::new(stream), chain: None, _permit: permit }
    }

    pub fn with_chain(self, chain: Option<Chain>) -> Self {
        Self { chain, ..self }
    }
}

/// What a request knows of its connection.
#[derive(Clone)]
pub struct Shown(pub Option<Chain>);

impl Connected for Io {
    type ConnectInfo = Shown;
    fn connect_info(&self) -> Shown {
        Shown(self.chain.clone())
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // With TLS 1.3 a node reads only here what the control plane thinks of its certificate.
        Pin::new(&mut self.stream).poll_read(cx, buffer).map_err(explain)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
