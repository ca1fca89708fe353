//! The PROXY header at the start of a connection: from those who may send one, in time, and not a byte more.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::peek;
use crate::config;
use crate::filter::client::TrustedProxies;
use crate::http::address::Peer;
use crate::metrics::ConnectionRefusal;
use crate::proxy::local::Local;
use crate::proxy_protocol::{Fault, Header, parse};

/// Whose headers are believed, and how long one may take.
pub struct Announcers {
    from: TrustedProxies,
    timeout: Duration,
}

impl Announcers {
    pub fn new(config: &config::ProxyProtocol) -> Self {
        Self { from: TrustedProxies::new(&config.from), timeout: config.timeout }
    }

    /// Takes the header off `stream`: who the client is, and where it had connected to if the header tells. `None`: the
    /// connection is to be closed, which is counted.
    pub async fn read(
        &self,
        local: &Rc<Local>,
        stream: &mut TcpStream,
        peer: Peer,
    ) -> Option<(Peer, Option<SocketAddr>)> {
        let refused = |why| {
            local.metrics.connection_refused(why);
            None
        };
        if !self.from.is_trusted(peer.client()) {
            tracing::debug!(%peer, "the peer may not send a PROXY header");
            return refused(ConnectionRefusal::ProxyUntrusted);
        }
        match timeout(self.timeout, take_header(local, stream)).await {
            Ok(Ok(Header::Own)) => Some((peer, None)),
            Ok(Ok(Header::Ip { source, destination })) => Some((source.into(), Some(destination))),
            Ok(Ok(Header::Unix)) => Some((Peer::Unix, None)),
            // Gone before a byte: a health check as likely as not, and nothing that anybody has to look into.
            Ok(Err(End::Closed)) => None,
            Ok(Err(End::Fault(fault))) => {
                tracing::debug!(%peer, %fault, "the connection is refused");
                refused(ConnectionRefusal::ProxyMalformed)
            }
            Err(_) => {
                tracing::debug!(%peer, "the connection is refused: no PROXY header in time");
                refused(ConnectionRefusal::ProxyTimedOut)
            }
        }
    }
}

/// Why there is no header.
enum End {
    /// The peer has ended before its first byte, or the worker drains.
    Closed,
    Fault(Fault),
}

/// Looks before it takes: what stands behind the header is TLS's or HTTP's. While the header isn't whole, all that has
/// come is part of it.
async fn take_header(local: &Rc<Local>, stream: &mut TcpStream) -> Result<Header, End> {
    let mut header = Vec::new();
    let mut ahead = [0; PEEK_BYTES];
    loop {
        let seen = peek(local, stream, &mut ahead).await.unwrap_or(0);
        if seen == 0 {
            return Err(if header.is_empty() { End::Closed } else { End::Fault(Fault::Malformed) });
        }
        let before = header.len();
        header.extend_from_slice(&ahead[..seen]);
        let parsed = parse(&header).map_err(End::Fault)?;
        let taken = parsed.map_or(seen, |(_, length)| length - before);
        take(stream, &mut ahead[..taken]).await.map_err(|_| End::Closed)?;
        if let Some((said, _)) = parsed {
            return Ok(said);
        }
    }
}

/// Takes what has been looked at: it is there.
async fn take(stream: &mut TcpStream, seen: &mut [u8]) -> io::Result<()> {
    stream.read_exact(seen).await.map(|_| ())
}

/// Nearly every header is shorter.
const PEEK_BYTES: usize = 256;
