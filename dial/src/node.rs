//! The node's side: dials a control plane, again and again.

use crate::io::Io;
use crate::trust::{Badge, explain};
use crate::wire::fleet_client::FleetClient;
use crate::{MESSAGE_BYTES, TO_NODE, convert, wire};
use futures_util::stream::unfold;
use guildhall_protocol::fleet::{FromNode, ToNode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::error::Error;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

/// Between two tries, doubled each time, with jitter: a control plane that restarts is back within a second or two, and
/// hundreds of nodes must not all come at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A line that held for so long was a good one, and the next is dialled at once.
const GOOD_LINE: Duration = Duration::from_secs(5);

const CONNECT: Duration = Duration::from_secs(3);

/// A control plane that does not answer for this long, on a connection that is open, is dialled anew.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// Messages that wait for one control plane: [`FromNode`]s of seconds.
const TO_CONTROL: usize = 4_096;

/// Where a control plane listens for nodes: `https://HOST:PORT`, or `http://HOST:PORT` in a closed network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlUrl {
    host: String,
    port: u16,
    is_tls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control plane is given as https://HOST:PORT")]
pub struct BadUrl;

impl FromStr for ControlUrl {
    type Err = BadUrl;
    fn from_str(url: &str) -> Result<Self, BadUrl> {
        let uri: Uri = url.parse().map_err(|_| BadUrl)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(BadUrl),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(BadUrl);
        }
        let host = uri.host().ok_or(BadUrl)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: uri.port_u16().ok_or(BadUrl)?, is_tls })
    }
}

impl std::fmt::Display for ControlUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

impl ControlUrl {
    /// Without it no certificate can be shown.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether the secrets cross a network in the open.
    pub fn is_in_the_open(&self) -> bool {
        let is_here = self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !self.is_tls && !is_here
    }
}

/// Keeps a line to the control plane until `stop` turns true. `line` is run for each, with where to report and where orders
/// come from; it returns when the orders end.
pub async fn keep_dialling<Line: Future<Output = ()>>(
    url: ControlUrl,
    badge: watch::Receiver<Arc<Badge>>,
    line: impl Fn(mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>) -> Line,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let shown = Arc::clone(&badge.borrow());
        let ended = tokio::select! {
            ended = dial(&url, &shown, &line) => ended,
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
        };
        let lasted = began.elapsed();
        match ended {
            Ok(()) => tracing::info!(%url, "the line to the control plane has ended"),
            Err(error) => tracing::warn!(%url, %error, "no line to the control plane"),
        }
        if lasted >= GOOD_LINE {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            _ = stop.wait_for(|is_stopping| *is_stopping) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Half to one and a half times as long.
fn jittered(pause: Duration) -> Duration {
    let mut bytes = [0];
    // Without randomness everyone waits equally long.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    pause / 2 + pause * u32::from(bytes[0]) / 255
}

pub(crate) async fn dial<Line: Future<Output = ()>>(
    url: &ControlUrl,
    badge: &Badge,
    line: &impl Fn(mpsc::Sender<FromNode>, mpsc::Receiver<ToNode>) -> Line,
) -> Result<(), String> {
    let authority =
        if url.host.contains(':') { format!("[{}]:{}", url.host, url.port) } else { format!("{}:{}", url.host, url.port) };
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let (target, tls) = (url.clone(), TlsConnector::from(Arc::clone(&badge.tls)));
    // TLS is ours to do: with the same library, provider and trust as everywhere else.
    let connector = tower::service_fn(move |_: Uri| {
        let (target, tls) = (target.clone(), tls.clone());
        async move { connect(&target, tls).await }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(whole)?;
    let (to_control, reports) = mpsc::channel(TO_CONTROL);
    let (orders_in, orders) = mpsc::channel(TO_NODE);
    let stream = unfold(reports, async |mut reports: mpsc::Receiver<FromNode>| {
        let report = reports.recv().await?;
        Some((convert::from_node(report), reports))
    });
    let mut request = Request::new(stream);
    if let Some(secret) = &badge.secret {
        let header: MetadataValue<_> = secret.header().parse().map_err(|_| "the join secret cannot be sent".to_owned())?;
        request.metadata_mut().insert("authorization", header);
    }
    let mut client = FleetClient::new(channel).max_decoding_message_size(MESSAGE_BYTES);
    let answers = client.join(request).await.map_err(|status| reason(&status))?.into_inner();
    tracing::info!(%url, "on the line with the control plane");
    tokio::join!(pass_on(answers, orders_in), line(to_control, orders)).0
}

/// What the control plane orders, until either end of that is gone.
async fn pass_on(mut answers: Streaming<wire::ToNode>, orders: mpsc::Sender<ToNode>) -> Result<(), String> {
    while let Some(message) = answers.message().await.map_err(|status| reason(&status))? {
        if let Some(message) = convert::read_to_node(message)
            && orders.send(message).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

/// What the control plane says, or what happened to the connection.
fn reason(status: &Status) -> String {
    match status.source() {
        Some(cause) => whole(cause),
        None => status.message().to_owned(),
    }
}

/// An error with what caused it.
fn whole(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

async fn connect(target: &ControlUrl, tls: TlsConnector) -> io::Result<TokioIo<Io>> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    if !target.is_tls {
        return Ok(TokioIo::new(Io::new(stream, None)));
    }
    let name = ServerName::try_from(target.host.clone()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(TokioIo::new(Io::new(tls.connect(name, stream).await.map_err(explain)?, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_is_a_scheme_a_host_and_a_port() {
        for url in ["https://control.example:7443", "http://127.0.0.1:7443", "https://[2001:db8::1]:7443"] {
            assert_eq!(url.parse::<ControlUrl>().unwrap().to_string(), url);
        }
        for url in ["control.example:7443", "https://control.example", "ws://control.example:1", "https://a:1/path", ""] {
            assert_eq!(url.parse::<ControlUrl>(), Err(BadUrl), "{url}");
        }
        let in_the_open = |url: &str| url.parse::<ControlUrl>().unwrap().is_in_the_open();
        assert!(in_the_open("http://control.example:1"));
        assert!(!in_the_open("https://control.example:1") && !in_the_open("http://127.0.0.1:1"));
    }
}
