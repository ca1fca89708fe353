//! From an accepted socket to an HTTP connection: the handshake, and which HTTP is spoken.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::accept::{Service, Terms};
use super::caps::Permit;
use crate::http::address::Peer;
use crate::http::stream::Stream;
use crate::metrics::HandshakeOutcome;
use crate::proxy::context::ConnectionFacts;
use crate::proxy::downstream::http1::{refuse_http1, serve_http1};
use crate::proxy::downstream::http2::{is_preface, serve_http2};
use crate::proxy::local::{ListenerSeat, Local, Open};
use crate::reason::Reason;
use crate::tcp::{TcpFacts, serve_tcp};
use crate::tls::{self, Handshake};

/// What a connection gives back at its end: it is counted, and has a place under the caps.
pub type Held = (Open, Permit);

/// Serves one connection to its end, and drops `held` then. What is spoken has a task of its own, so that an idle
/// connection doesn't hold the room that its handshake needed.
pub fn start_connection(
    local: Rc<Local>,
    seat: Rc<ListenerSeat>,
    terms: Terms,
    stream: TcpStream,
    peer: Peer,
    held: Held,
) {
    let plain_http1 = matches!(&terms.service, Service::Http(listener) if !listener.h2c);
    if !plain_http1 || terms.tls.is_some() || terms.announcers.is_some() {
        // Boxed: a task's cell is moved, and a large one twice.
        spawn_local(Box::pin(find_out(local, seat, terms, stream, peer, held)));
    } else {
        let destination = destination_of(&local, &stream);
        let facts = Rc::new(ConnectionFacts { peer, destination, seat, tls: None });
        spawn_local(serve_http1(local, facts, Stream::Tcp(stream), held));
    }
}

/// What the client connected to, where an endpoint is told of it.
fn destination_of(local: &Local, stream: &TcpStream) -> Option<SocketAddr> {
    if local.snapshot().announces { stream.local_addr().ok() } else { None }
}

/// Takes what is announced of the client, makes the handshake, finds out what is spoken, and hands the connection on.
async fn find_out(
    local: Rc<Local>,
    seat: Rc<ListenerSeat>,
    terms: Terms,
    mut stream: TcpStream,
    mut peer: Peer,
    mut held: Held,
) {
    let started = Instant::now();
    let mut destination = None;
    if let Some(announcers) = &terms.announcers {
        let Some(said) = announcers.read(&local, &mut stream, peer).await else { return };
        (peer, destination) = said;
        if let Err(full) = held.1.identify(peer.client()) {
            return local.metrics.connection_refused(full.into());
        }
    }
    destination = destination.or_else(|| destination_of(&local, &stream));
    let Service::Http(listener) = &terms.service else {
        let accepted = Accepted { peer, destination, started };
        return pass_on(local, seat, &terms, accepted, stream, held).await;
    };
    let (http2, stream, tls) = match &terms.tls {
        None => {
            let http2 = listener.h2c && speaks_http2(&local, &stream, listener.http.head_timeout).await;
            (http2, Stream::Tcp(stream), None)
        }
        Some(server) => match shake_hands(&local, server, stream, terms.handshake_timeout).await {
            Shaken::Tls(stream, handshake) => (handshake.http2, Stream::Tls(stream), Some(handshake)),
            Shaken::PlainHttp(stream) => {
                let facts = Rc::new(ConnectionFacts { peer, destination, seat, tls: None });
                return refuse_http1(local, facts, Stream::Tcp(stream), Reason::WrongProtocol).await;
            }
            Shaken::Ended => return,
        },
    };
    let facts = Rc::new(ConnectionFacts { peer, destination, seat, tls });
    if http2 {
        spawn_local(async move {
            let _held = held;
            Box::pin(serve_http2(local, facts, stream)).await;
        });
    } else {
        spawn_local(serve_http1(local, facts, stream, held));
    }
}

/// What is known of a connection once its client is.
struct Accepted {
    peer: Peer,
    destination: Option<SocketAddr>,
    started: Instant,
}

/// Serves a connection of a listener that passes them on, after its handshake if TLS ends here.
async fn pass_on(
    local: Rc<Local>,
    seat: Rc<ListenerSeat>,
    terms: &Terms,
    accepted: Accepted,
    stream: TcpStream,
    held: Held,
) {
    let snapshot = local.snapshot();
    let Some(listener) = seat.index.get().and_then(|index| snapshot.tcp(index)).map(Arc::clone) else { return };
    drop(snapshot);
    let (stream, tls) = match &terms.tls {
        None => (Stream::Tcp(stream), None),
        Some(config) => match shake_hands(&local, config, stream, terms.handshake_timeout).await {
            Shaken::Tls(stream, handshake) => (Stream::Tls(stream), Some(handshake)),
            // Counted as a failed handshake.
            Shaken::PlainHttp(_) | Shaken::Ended => return,
        },
    };
    let Accepted { peer, destination, started } = accepted;
    spawn_local(async move {
        let _held = held;
        Box::pin(serve_tcp(local, listener, TcpFacts { peer, destination, started, tls }, stream)).await;
    });
}

/// What came of a handshake.
enum Shaken {
    Tls(Box<TlsStream<TcpStream>>, Handshake),
    /// The client speaks HTTP without TLS.
    PlainHttp(TcpStream),
    Ended,
}

/// The handshake, within its deadline. What goes wrong is counted, and told to the client as far as it can understand.
async fn shake_hands(local: &Rc<Local>, server: &tls::Server, stream: TcpStream, deadline: Duration) -> Shaken {
    let started = Instant::now();
    let deadline = started + deadline;
    let mut first = [0; 1];
    match timeout_at(deadline, peek(local, &stream, &mut first)).await {
        Err(_) => {
            local.metrics.handshake(HandshakeOutcome::TimedOut, started.elapsed());
            return Shaken::Ended;
        }
        Ok(Ok(1)) => {}
        Ok(Ok(_)) if local.is_draining() => return Shaken::Ended,
        Ok(_) => {
            local.metrics.handshake(HandshakeOutcome::Failed, started.elapsed());
            return Shaken::Ended;
        }
    }
    if first[0].is_ascii_uppercase() {
        local.metrics.handshake(HandshakeOutcome::Failed, started.elapsed());
        return Shaken::PlainHttp(stream);
    }
    let handshake = async {
        match &server.acme {
            None => TlsAcceptor::from(Arc::clone(&server.settings)).accept(stream).await.map(Some),
            Some(store) => Box::pin(shake_hands_or_answer(&server.settings, store, stream)).await,
        }
    };
    match timeout_at(deadline, handshake).await {
        Ok(Ok(None)) => Shaken::Ended,
        Ok(Ok(Some(stream))) => {
            let handshake = Handshake::of(stream.get_ref().1);
            local.metrics.handshake(handshake.outcome(), started.elapsed());
            Shaken::Tls(Box::new(stream), handshake)
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            local.metrics.handshake(tls::failure(&error), started.elapsed());
            Shaken::Ended
        }
        Err(_) => {
            local.metrics.handshake(HandshakeOutcome::TimedOut, started.elapsed());
            Shaken::Ended
        }
    }
}

/// A handshake where a CA may come to look at a challenge (RFC 8737 3). It gets the challenge's certificate only if that
/// is all it asks for, and nothing after it.
async fn shake_hands_or_answer(
    settings: &Arc<ServerConfig>,
    store: &tls::Store,
    stream: TcpStream,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let hello = started.client_hello();
    let is_challenge =
        hello.alpn().is_some_and(|mut offered| offered.next() == Some(tls::ACME_TLS) && offered.next().is_none());
    if !is_challenge {
        if let Some(missing) = hello.server_name().and_then(|name| store.missing(name)) {
            store.wait_for(missing).await;
        }
        return started.into_stream(Arc::clone(settings)).await.map(Some);
    }
    let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
    match store.challenges().tls_alpn01(&name).await {
        Some(answer) => {
            let mut stream = started.into_stream(answer).await?;
            stream.shutdown().await.map(|()| None)
        }
        // Ends with an alert: there is no certificate for that protocol.
        None => started.into_stream(Arc::clone(settings)).await.map(|_| None),
    }
}

/// Whether a plaintext client starts with HTTP/2's preface. Looks without taking.
async fn speaks_http2(local: &Rc<Local>, stream: &TcpStream, patience: Duration) -> bool {
    let look = async {
        let mut start = [0; 24];
        let mut pause = Duration::from_millis(5);
        loop {
            match peek(local, stream, &mut start).await {
                Ok(0) | Err(_) => return false,
                Ok(n) => match is_preface(&start[..n]) {
                    Some(answer) => return answer,
                    // The rest of a preface that came in pieces raises no new readiness.
                    None if is_closed(stream).await => return false,
                    None => {
                        sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_millis(250));
                    }
                },
            }
        }
    };
    timeout(patience, look).await.unwrap_or(false)
}

/// Waits for a client's first bytes and looks at them. 0: it has ended, or says nothing while a drain goes on.
pub(super) async fn peek(local: &Rc<Local>, stream: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _entered = local.enter(waker);
    poll_fn(|cx| match stream.poll_peek(cx, &mut ReadBuf::new(bytes)) {
        Poll::Pending if local.is_draining() => Poll::Ready(Ok(0)),
        peeked => peeked,
    })
    .await
}

/// Whether the client has ended its side.
async fn is_closed(stream: &TcpStream) -> bool {
    stream.ready(Interest::READABLE).await.map_or(true, |ready| ready.is_read_closed())
}
