//! An HTTP/2 connection's life: its streams side by side, each a task of its own, all bounded.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::server::{Connection, SendResponse};
use h2::{Reason as Code, RecvStream};
use http::Request;
use tokio::time::{Instant, timeout};

use super::drain::drain_body;
use super::http2_exchange::Http2;
use super::http2_head::{read_head, refused_head};
use crate::config::HttpLimits;
use crate::http::stream::Stream;
use crate::http::timer::Timer;
use crate::proxy::context::{ConnectionFacts, RequestContext};
use crate::proxy::local::Local;
use crate::proxy::{reply, serve};

/// What a client may send ahead of being read, over all its streams; with a stream's, the bound on a connection's memory.
const CONNECTION_WINDOW: u32 = 128 << 10;
const STREAM_WINDOW: u32 = 64 << 10;
/// Response bytes that wait for one stream's turn on the wire.
const MAX_SEND_BUFFER: usize = 16 << 10;
/// Streams that the client may have reset before they were answered, in a connection's last [`RESET_WINDOW`].
const MAX_RESETS: u32 = 200;
const RESET_WINDOW: Duration = Duration::from_secs(10);
/// Streams reset for the client's protocol errors before the connection ends (CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 64;
/// How long the client's GOAWAY answer may take after the last stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a connection until it ends.
pub async fn serve_http2(local: Rc<Local>, facts: Rc<ConnectionFacts>, stream: Stream) {
    let Some(limits) = facts.seat.index.get().map(|index| local.snapshot().http_limits(index).clone()) else { return };
    let Ok(Ok(mut connection)) = timeout(limits.head_timeout, builder(&limits).handshake(stream)).await else { return };
    let _entered = local.enter(waker_of_this_task().await);
    let streams =
        Rc::new(Streams { waker: waker_of_this_task().await, active: Cell::new(0), resets: Resets::default() });
    let mut life = Life { timer: Timer::new(), closing: false, requests: 0, streams: Rc::clone(&streams) };
    loop {
        let accepted = poll_fn(|cx| {
            life.watch(&local, &facts, &mut connection, &limits);
            match connection.poll_accept(cx) {
                Poll::Ready(accepted) => Poll::Ready(accepted),
                Poll::Pending => life.poll_idle(cx, &mut connection, &limits).map(|()| None),
            }
        })
        .await;
        let (request, respond) = match accepted {
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                log_end(&error);
                break;
            }
            None => break,
        };
        life.requests += 1;
        let active = Active::enter(&streams);
        // Boxed: a task's cell is moved, and a large one twice.
        let request = Box::pin(one_request(Rc::clone(&local), Rc::clone(&facts), request, respond, active));
        tokio::task::spawn_local(request);
    }
    // What the loop's last turn has queued (GOAWAY) still goes out.
    let _ = timeout(CLOSE_TIMEOUT, poll_fn(|cx| connection.poll_closed(cx))).await;
}

fn builder(limits: &HttpLimits) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS));
    builder
}

/// The connection's own deadlines and bounds.
struct Life {
    timer: Timer,
    /// A graceful shutdown has begun.
    closing: bool,
    requests: u64,
    streams: Rc<Streams>,
}

/// What a connection knows of its streams' tasks.
struct Streams {
    /// Of the connection's task: it looks at its deadlines again when the last stream has ended.
    waker: Waker,
    active: Cell<usize>,
    resets: Resets,
}

/// One running stream.
struct Active(Rc<Streams>);

impl Active {
    fn enter(streams: &Rc<Streams>) -> Self {
        streams.active.set(streams.active.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let left = self.0.active.get() - 1;
        self.0.active.set(left);
        if left == 0 {
            self.0.waker.wake_by_ref();
        }
    }
}

/// Streams that their client gave up, in the current window.
#[derive(Default)]
struct Resets {
    count: Cell<u32>,
    since: Cell<Option<Instant>>,
}

impl Resets {
    fn note(&self) {
        let now = Instant::now();
        match self.since.get() {
            Some(since) if now.saturating_duration_since(since) < RESET_WINDOW => self.count.set(self.count.get() + 1),
            _ => {
                self.since.set(Some(now));
                self.count.set(1);
            }
        }
    }
}

impl Life {
    /// Ends the connection when it should: drain, its share of requests, or a client that resets stream after stream.
    fn watch(
        &mut self,
        local: &Local,
        facts: &ConnectionFacts,
        connection: &mut Connection<Stream, Bytes>,
        limits: &HttpLimits,
    ) {
        if self.streams.resets.count.get() > MAX_RESETS {
            connection.abrupt_shutdown(Code::ENHANCE_YOUR_CALM);
        } else if !self.closing
            && (local.is_draining() || facts.seat.index.get().is_none() || self.requests >= limits.max_requests)
        {
            self.closing = true;
            // The idle deadline is armed, and too far off now.
            self.timer.set(None);
            connection.graceful_shutdown();
        }
    }

    /// Ready when a connection without streams has been idle for too long.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection<Stream, Bytes>,
        limits: &HttpLimits,
    ) -> Poll<()> {
        if self.streams.active.get() > 0 {
            self.timer.set(None);
            return Poll::Pending;
        }
        if self.timer.deadline().is_none() {
            let patience = if self.closing { CLOSE_TIMEOUT } else { limits.idle_timeout };
            self.timer.set_after(Instant::now(), patience);
        }
        std::task::ready!(self.timer.poll_expired(cx));
        self.timer.set(None);
        if self.closing {
            // GOAWAY goes unanswered: the last one needs no answer.
            connection.abrupt_shutdown(Code::NO_ERROR);
            return Poll::Ready(());
        }
        self.closing = true;
        connection.graceful_shutdown();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn one_request(
    local: Rc<Local>,
    facts: Rc<ConnectionFacts>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    active: Active,
) {
    let started = Instant::now();
    let Some(listener) = facts.seat.index.get() else { return respond.send_reset(Code::REFUSED_STREAM) };
    let local = &local;
    let facts = &facts;
    let active = &active;
    let handled = AssertUnwindSafe(async move {
        let snapshot = local.snapshot();
        let limits = snapshot.http_limits(listener);
        let (parts, body) = request.into_parts();
        let parsed = read_head(&parts, body.is_end_stream(), limits);
        let (refused, head, length) = match parsed {
            Ok((head, length)) => (None, head, length),
            Err(reason) => {
                let (head, length) = refused_head(&parts);
                (Some(reason), head, length)
            }
        };
        let mut cx = RequestContext::new(local, facts, listener, head, started);
        cx.head_received = cx.head.fields.bytes().len() as u64;
        let mut exchange = Http2::new(body, respond, limits);
        match refused {
            Some(reason) => reply::refuse(&mut cx, &mut exchange, reason.into()).await,
            None => serve(&mut cx, &mut exchange, length).await,
        }
        cx.completed = true;
        if exchange.was_reset() {
            active.0.resets.note();
        }
        drop(cx);
        // RFC 9113 8.1 lets a server reset a stream behind a response that came before the request's end. Clients that
        // read both at once take the response for lost (curl before 8.0), so the reset gives them time.
        if exchange.is_still_uploading() {
            drain_body(&mut exchange).await;
        }
    });
    if handled.catch_unwind().await.is_err() {
        local.metrics.panic();
        tracing::error!(peer = %facts.peer, "a request's task panicked; its stream is reset");
    }
}

async fn waker_of_this_task() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// Whether bytes can be the start of a connection preface (RFC 9113 3.4): `None` until enough are there.
pub fn is_preface(bytes: &[u8]) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let n = bytes.len().min(PREFACE.len());
    match bytes[..n] == PREFACE[..n] {
        true if n < PREFACE.len() => None,
        same => Some(same),
    }
}

/// What h2 reports when the client went away is no news; anything else is worth a line for whoever debugs a client.
fn log_end(error: &h2::Error) {
    if error.get_io().is_none_or(|io| io.kind() != io::ErrorKind::ConnectionReset) {
        tracing::debug!(%error, "an HTTP/2 connection ended");
    }
}
