//! How a connection to an endpoint comes about: a socket with its PROXY header, then TLS, then the protocol spoken over it.
//!
//! Each step is a function of its own, and all share one deadline. [`Connection`] and whatever else speaks a protocol
//! take the stream that comes out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, HandshakeKind};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::dial::TlsDial;
use super::{Announced, Endpoint};
use crate::http::stream::Stream;

/// A connection on which nothing was said yet.
pub struct Opened {
    pub stream: Stream,
    /// `None` is plain text.
    pub handshake: Option<Handshake>,
}

/// A completed TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub resumed: bool,
    /// From the TCP connection made to the handshake's end.
    pub took: Duration,
}

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    TimedOut,
    Failed(io::Error),
    /// The TCP connection was made in time, the TLS handshake wasn't.
    HandshakeTimedOut,
    /// The certificate isn't believed, the two have no version or protocol in common, or it isn't TLS that is spoken.
    HandshakeFailed(io::Error),
    /// The endpoint doesn't agree on HTTP/2.
    NoHttp2,
    /// This side has no descriptor, memory or source address for it; the endpoint was not asked.
    Exhausted(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Exhausted(error),
            _ if error.kind() == io::ErrorKind::AddrNotAvailable => Self::Exhausted(error),
            _ => Self::Failed(error),
        }
    }
}

/// Opens a connection to an endpoint within `limit`: everything below the protocol. It is for `client` alone if the
/// upstream announces its clients.
///
/// # Errors
/// Refused or unreachable; not done in time; no TLS to be had; out of descriptors or memory.
pub async fn connect(endpoint: &Endpoint, client: Option<Announced>, limit: Duration) -> Result<Opened, ConnectError> {
    let now = Instant::now();
    let deadline = now.checked_add(limit).unwrap_or(now + FAR);
    let tcp = connect_socket(endpoint, client, deadline).await?;
    if endpoint.tls.is_none() {
        return Ok(Opened { stream: Stream::Tcp(tcp), handshake: None });
    }
    // Boxed: a plain connect mustn't hold the handshake's room.
    Box::pin(shake_hands(endpoint, tcp, deadline)).await
}

async fn connect_socket(
    endpoint: &Endpoint,
    client: Option<Announced>,
    deadline: Instant,
) -> Result<TcpStream, ConnectError> {
    match timeout_at(deadline, endpoint.dial.socket.open(endpoint.address(), client)).await {
        Ok(stream) => Ok(stream?),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

async fn shake_hands(endpoint: &Endpoint, tcp: TcpStream, deadline: Instant) -> Result<Opened, ConnectError> {
    let started = Instant::now();
    let (Some(dial), Some(name)) = (&endpoint.dial.tls, endpoint.tls.as_ref().and_then(|tls| tls.name.clone())) else {
        return Err(ConnectError::HandshakeFailed(io::ErrorKind::InvalidInput.into()));
    };
    match timeout_at(deadline, TlsConnector::from(Arc::clone(&dial.config)).connect(name, tcp)).await {
        Ok(Ok(tls)) => {
            endpoint.note_handshake(None);
            let resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            let handshake = Handshake { resumed, took: started.elapsed() };
            Ok(Opened { stream: Stream::ClientTls(Box::new(tls)), handshake: Some(handshake) })
        }
        Ok(Err(error)) => {
            endpoint.note_handshake(Some(&error));
            Err(if offers_http2(dial) && lacks_protocol(&error) {
                ConnectError::NoHttp2
            } else {
                ConnectError::HandshakeFailed(error)
            })
        }
        Err(_) => Err(ConnectError::HandshakeTimedOut),
    }
}

fn offers_http2(dial: &TlsDial) -> bool {
    dial.config.alpn_protocols.iter().any(|protocol| protocol == b"h2")
}

/// Whether the endpoint speaks none of the protocols that it was offered. Those that speak HTTP/1.1 alone say so, or
/// agree on nothing and go on in it: so that it is HTTP/2 that is missing.
fn lacks_protocol(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}

/// Stands for a deadline that the clock can't express.
pub(super) const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
