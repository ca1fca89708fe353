//! Accepting: one task a listener and worker.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::announced::Announcers;
use super::caps::{Caps, Full};
use super::connection::start_connection;
use super::socket::ListenSocket;
use crate::config::{self, TcpOptions};
use crate::http::address::Peer;
use crate::metrics::ConnectionRefusal;
use crate::proxy::local::{ListenerSeat, Local};
use crate::tls;

/// How long accepting pauses when descriptors or memory are exhausted: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// What a listener's connections are served with; replaced by a reload.
#[derive(Clone)]
pub struct Terms {
    pub service: Service,
    /// From accept to the end of the handshake.
    pub handshake_timeout: Duration,
    /// Of accepted sockets.
    pub tcp: TcpOptions,
    /// The handshake's settings, on a TLS listener.
    pub tls: Option<Arc<tls::Server>>,
    /// Connections begin with a PROXY header of theirs.
    pub announcers: Option<Rc<Announcers>>,
}

/// What is done with connections.
#[derive(Clone)]
pub enum Service {
    Http(Arc<config::Listener>),
    /// Passed on as they are.
    Tcp,
}

impl Terms {
    pub fn http(listener: &config::Listener, tls: Option<Arc<tls::Server>>) -> Self {
        Self {
            service: Service::Http(Arc::new(listener.clone())),
            ..Self::of(listener.tls.as_ref(), listener.tcp, listener.proxy_protocol.as_ref(), tls)
        }
    }

    pub fn tcp(listener: &config::TcpListener, tls: Option<Arc<tls::Server>>) -> Self {
        Self::of(listener.tls.as_ref(), listener.tcp, listener.proxy_protocol.as_ref(), tls)
    }

    fn of(
        terms: Option<&config::Tls>,
        tcp: TcpOptions,
        proxy_protocol: Option<&config::ProxyProtocol>,
        tls: Option<Arc<tls::Server>>,
    ) -> Self {
        Self {
            service: Service::Tcp,
            handshake_timeout: terms.map_or(Duration::from_secs(10), |tls| tls.handshake_timeout),
            tcp,
            tls,
            announcers: proxy_protocol.map(|config| Rc::new(Announcers::new(config))),
        }
    }

    /// Whether connections of the one can go on under the other.
    pub fn is_like(&self, other: &Self) -> bool {
        matches!((&self.service, &other.service), (Service::Http(_), Service::Http(_)) | (Service::Tcp, Service::Tcp))
    }
}

/// One worker's part of a listener.
pub struct Acceptor {
    pub local: Rc<Local>,
    pub caps: Arc<Caps>,
    pub seat: Rc<ListenerSeat>,
    pub terms: RefCell<Terms>,
}

impl Acceptor {
    /// Accepts until the task is dropped.
    pub async fn run(self: Rc<Self>, socket: Rc<ListenSocket>) {
        let mut pause = FIRST_PAUSE;
        let mut logged: Option<Instant> = None;
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => {
                    pause = FIRST_PAUSE;
                    self.start(stream, peer);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.local.metrics.connection_refused(ConnectionRefusal::AcceptFailed);
                    if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                        logged = Some(Instant::now());
                        tracing::error!(%error, "accepting pauses: no connection can be taken");
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Takes what the kernel has queued already: closing the socket would reset it.
    pub fn take_queued(self: &Rc<Self>, socket: &ListenSocket) {
        while let Ok((stream, peer)) = socket.accept_queued() {
            self.start(stream, peer);
        }
    }

    fn start(&self, stream: TcpStream, peer: Peer) {
        let terms = self.terms.borrow().clone();
        let entered = match terms.announcers {
            None => self.caps.enter(peer.client()),
            Some(_) => self.caps.enter_unknown(),
        };
        let permit = match entered {
            Ok(permit) => permit,
            Err(full) => return self.local.metrics.connection_refused(full.into()),
        };
        let local = Rc::clone(&self.local);
        let seat = Rc::clone(&self.seat);
        let open = local.open(seat.metric);
        start_connection(local, seat, terms, stream, peer, (open, permit));
    }
}

impl From<Full> for ConnectionRefusal {
    fn from(full: Full) -> Self {
        match full {
            Full::All => Self::OverCap,
            Full::Client => Self::OverClientCap,
        }
    }
}

/// accept(2): errors already pending on the new connection; the next accept may well succeed.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable | PermissionDenied
    )
}
