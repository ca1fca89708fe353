//! From an accepted socket to an HTTP connection: the handshake, and which HTTP is spoken.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::accept::Terms;
use crate::http::stream::Stream;
use crate::metrics::HandshakeOutcome;
use crate::proxy::context::ConnectionFacts;
use crate::proxy::downstream::http1::serve_http1;
use crate::proxy::downstream::http2::{is_preface, serve_http2};
use crate::proxy::local::{ListenerSeat, Local};
use crate::tls::Handshake;

/// What a client that speaks plain HTTP to a TLS listener is told.
const PLAIN_ON_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 48\r\n\
    Connection: close\r\n\r\nplain HTTP was sent to a port that speaks HTTPS\n";

/// Serves one connection to its end.
pub async fn serve_connection(
    local: Rc<Local>,
    seat: Rc<ListenerSeat>,
    terms: Terms,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let Some(config) = &terms.tls else {
        let facts = Rc::new(ConnectionFacts { peer, seat, tls: None });
        let prior_knowledge = terms.listener.h2c && speaks_http2(&stream, terms.listener.http.head_timeout).await;
        return match prior_knowledge {
            true => serve_http2(local, facts, Stream::Tcp(stream)).await,
            false => serve_http1(local, facts, Stream::Tcp(stream)).await,
        };
    };
    let deadline = terms.listener.tls.as_ref().map_or(Duration::from_secs(10), |tls| tls.handshake_timeout);
    let Some((stream, handshake)) = shake_hands(&local, config, stream, deadline).await else { return };
    let http2 = handshake.http2;
    let facts = Rc::new(ConnectionFacts { peer, seat, tls: Some(handshake) });
    match http2 {
        true => serve_http2(local, facts, stream).await,
        false => serve_http1(local, facts, stream).await,
    }
}

/// The handshake, within its deadline. What goes wrong is counted, and told to the client as far as it can understand.
async fn shake_hands(
    local: &Local,
    config: &Arc<ServerConfig>,
    mut stream: TcpStream,
    deadline: Duration,
) -> Option<(Stream, Handshake)> {
    let started = Instant::now();
    let deadline = started + deadline;
    let mut first = [0; 1];
    match timeout_at(deadline, stream.peek(&mut first)).await {
        Err(_) => {
            local.metrics.handshake(HandshakeOutcome::TimedOut, started.elapsed());
            return None;
        }
        Ok(Ok(1)) => {}
        Ok(_) => {
            local.metrics.handshake(HandshakeOutcome::Failed, started.elapsed());
            return None;
        }
    }
    if first[0].is_ascii_uppercase() {
        local.metrics.handshake(HandshakeOutcome::Failed, started.elapsed());
        let _ = timeout_at(deadline, refuse_plain(&mut stream)).await;
        return None;
    }
    match timeout_at(deadline, TlsAcceptor::from(Arc::clone(config)).accept(stream)).await {
        Ok(Ok(stream)) => {
            let handshake = Handshake::of(stream.get_ref().1);
            local.metrics.handshake(handshake.outcome(), started.elapsed());
            Some((Stream::Tls(Box::new(stream)), handshake))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            local.metrics.handshake(HandshakeOutcome::Failed, started.elapsed());
            None
        }
        Err(_) => {
            local.metrics.handshake(HandshakeOutcome::TimedOut, started.elapsed());
            None
        }
    }
}

/// Says what is wrong, and reads what was sent so that the close doesn't take the words back.
async fn refuse_plain(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(PLAIN_ON_TLS).await?;
    stream.shutdown().await?;
    let mut sink = [0; 1024];
    for _ in 0..64 {
        stream.readable().await?;
        match stream.try_read(&mut sink) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a plaintext client starts with HTTP/2's preface. Looks without taking.
async fn speaks_http2(stream: &TcpStream, patience: Duration) -> bool {
    let look = async {
        let mut start = [0; 24];
        loop {
            match stream.peek(&mut start).await {
                Ok(0) | Err(_) => return false,
                Ok(n) => match is_preface(&start[..n]) {
                    Some(answer) => return answer,
                    // The rest of a preface that came in pieces raises no new readiness.
                    None => sleep(Duration::from_millis(5)).await,
                },
            }
        }
    };
    timeout(patience, look).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_plain_http_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN_ON_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
