//! One HTTP/2 connection, and a request's place on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::Request;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::drive::{Watched, drive};
use crate::config;
use crate::http::stream::Stream;
use crate::upstream::connect::ConnectError;

/// What an endpoint may send ahead on one stream: RFC 9113's default.
const STREAM_WINDOW: u32 = 65_535;
/// Request bytes that wait for one stream's turn on the wire.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// A larger head than allowed is still read up to this many times the bound, to tell what is wrong with it.
const HEAD_SLACK: usize = 2;

/// A connection as requests see it. Its last owner ends it; the task that drives it is told by h2.
pub(super) struct Session {
    send: RefCell<SendRequest<Bytes>>,
    state: Rc<State>,
    born: Instant,
    idle_since: Cell<Option<Instant>>,
}

/// What a connection's requests and its task share.
#[derive(Default)]
pub(super) struct State {
    pub(super) streams: Cell<usize>,
    /// It takes no further request: its peer said so, or it is broken.
    pub(super) closed: Cell<bool>,
    /// A request timed out on it: nobody knows whether it still leads anywhere, until a PING is answered.
    pub(super) suspect: Cell<bool>,
    /// A response head came over it.
    pub(super) answered: Cell<bool>,
    /// Its peer's SETTINGS have come: how many streams it takes is known.
    pub(super) settled: Cell<bool>,
    /// Told when it is settled, or will hardly be.
    pub(super) news: Notify,
    /// Reads that brought something.
    pub(super) reads: Cell<u64>,
    /// Of the task that drives it.
    pub(super) driver: RefCell<Option<Waker>>,
}

impl State {
    fn wake_driver(&self) {
        if let Some(waker) = &*self.driver.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Session {
    /// Speaks the preface, and starts the task that drives the connection.
    pub(super) async fn open(
        stream: Stream,
        terms: &config::UpstreamHttp2,
        max_head_bytes: usize,
    ) -> Result<Self, ConnectError> {
        let state = Rc::new(State::default());
        let list = u32::try_from(max_head_bytes.saturating_mul(HEAD_SLACK)).unwrap_or(u32::MAX);
        let streams = u32::try_from(terms.max_streams).unwrap_or(u32::MAX);
        // No slow client can hold up the others: their windows together fit into the connection's.
        let window = STREAM_WINDOW.saturating_mul(streams.saturating_add(1)).min(MAX_WINDOW);
        let (send, connection) = Builder::new()
            .enable_push(false)
            .max_header_list_size(list)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(window)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .initial_max_send_streams(UNSETTLED)
            .handshake::<_, Bytes>(Watched::new(stream, Rc::clone(&state)))
            .await
            .map_err(|error| {
                ConnectError::Failed(error.into_io().unwrap_or_else(|| std::io::ErrorKind::Other.into()))
            })?;
        // Ends with the connection: when its last request and its session are gone, or the endpoint is.
        tokio::task::spawn_local(drive(connection, Rc::clone(&state), terms.ping_interval, terms.ping_timeout));
        Ok(Self { send: RefCell::new(send), state, born: Instant::now(), idle_since: Cell::new(None) })
    }

    /// Whether it may take further requests, as far as its peer has told.
    pub(super) fn is_open(&self) -> bool {
        if self.state.closed.get() {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let failed = matches!(self.send.borrow_mut().poll_ready(&mut cx), std::task::Poll::Ready(Err(_)));
        if failed {
            self.state.closed.set(true);
        }
        !failed
    }

    /// Whether one more request may go over it. One is always allowed: else an endpoint that allows none would get a
    /// connection for each. Before it is settled no other is: those that are too many are refused.
    pub(super) fn has_room(&self, max_streams: usize) -> bool {
        let at_most = match self.state.settled.get() {
            true => self.send.borrow().current_max_send_streams().min(max_streams).max(1),
            false => 1,
        };
        !self.state.suspect.get() && self.state.streams.get() < at_most
    }

    /// Whether nothing is known yet of the streams that it takes, and nothing speaks against it.
    pub(super) fn is_promising(&self) -> bool {
        !self.state.settled.get() && !self.state.closed.get() && !self.state.suspect.get()
    }

    /// Returns when it may no longer be promising.
    pub(super) async fn news(&self) {
        self.state.news.notified().await;
    }

    /// No further request goes over this connection.
    pub(super) fn retire(&self) {
        self.state.closed.set(true);
        self.state.news.notify_waiters();
    }

    pub(super) fn place(self: &Rc<Self>, reused: bool) -> Place {
        self.state.streams.set(self.state.streams.get() + 1);
        self.idle_since.set(None);
        Place { session: Rc::clone(self), reused }
    }

    /// Whether it was opened no earlier than that.
    pub(super) fn is_of(&self, since: Option<Instant>) -> bool {
        since.is_none_or(|since| self.born >= since)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// How long it has been without a request, to a sweep's precision.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        if self.state.streams.get() > 0 {
            return None;
        }
        let since = self.idle_since.get().unwrap_or(now);
        self.idle_since.set(Some(since));
        Some(now.saturating_duration_since(since))
    }
}

/// One request's place on a connection; dropping it gives the place back.
pub struct Place {
    session: Rc<Session>,
    /// It wasn't opened for this request: a failure may only mean that the endpoint was about to close it.
    pub reused: bool,
}

impl Place {
    /// Sends a request's head.
    ///
    /// # Errors
    /// The connection takes no request any more, or the head has what HTTP/2 can't carry.
    pub fn send(&self, request: Request<()>, ends: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A clone: what is queued on one would make the others wait.
        let mut send = self.session.send.borrow().clone();
        send.send_request(request, ends)
    }

    /// No further request goes over this connection.
    pub fn retire(&self) {
        self.session.retire();
    }

    /// A request timed out: no other is sent until the endpoint has answered a PING.
    pub fn suspect(&self) {
        self.session.state.suspect.set(true);
        self.session.state.news.notify_waiters();
        self.session.state.wake_driver();
    }

    /// A response head came.
    pub fn note_answer(&self) {
        self.session.state.answered.set(true);
    }

    /// Whether the connection ever brought a response head.
    pub fn has_answered(&self) -> bool {
        self.session.state.answered.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = &self.session.state;
        state.streams.set(state.streams.get() - 1);
    }
}

/// Whether the TLS handshake agreed on HTTP/2.
pub(super) fn negotiates(stream: &Stream) -> bool {
    match stream {
        Stream::ClientTls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        _ => true,
    }
}

/// Stands for how many streams a peer takes until its SETTINGS have come: what they say has 32 bits, and what they leave
/// out is `usize::MAX`.
pub(super) const UNSETTLED: usize = usize::MAX - 1;
/// RFC 9113 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;
