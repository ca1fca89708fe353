//! An HTTP/2 connection's life: its streams side by side, each a task of its own, all bounded.
//!
//! The connection's task reads, starts a task for each request, and writes. Streams only leave their frames with the
//! connection and wake it, once, so that what several of them have goes out in one write.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::drain::{LINGER, drain_body};
use super::http2_exchange::Http2;
use crate::config::HttpLimits;
use crate::http::http1::HeadLimits;
use crate::http::http2::frame::{Code, PREFACE};
use crate::http::http2::{Arrival, Connection, Fault, Limits, Received};
use crate::http::stream::{Input, READ_BUFFER_BYTES, Stream};
use crate::http::timer::Timer;
use crate::metrics::Http2Fault;
use crate::proxy::context::{ConnectionFacts, RequestContext};
use crate::proxy::local::Local;
use crate::proxy::{reply, serve};
use crate::reason::Reason;

/// How long a client may take to read that no further requests are wanted, before those that still come are dropped.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// What TLS may hold encrypted that the client doesn't take.
const TLS_BUFFER_BYTES: usize = 32 << 10;
/// What an ending connection reads and drops, so that its GOAWAY isn't lost to a reset.
const MAX_LINGERED_BYTES: usize = 1 << 20;

/// Serves a connection until it ends.
pub async fn serve_http2(local: Rc<Local>, facts: Rc<ConnectionFacts>, mut stream: Stream) {
    let Some(limits) = facts.seat.index.get().map(|index| local.snapshot().http_limits(index).clone()) else { return };
    stream.limit_buffer(TLS_BUFFER_BYTES);
    let started = Instant::now();
    let connection = Rc::new(RefCell::new(Connection::new(codec_limits(&limits), started)));
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _entered = local.enter(waker);
    let mut life = Life {
        local: &local,
        facts: &facts,
        limits,
        connection,
        stream,
        input: Input::default(),
        timer: Timer::new(),
        started,
        requests: 0,
        stalled: None,
        idle: None,
        shutdown_began: None,
    };
    let end = poll_fn(|cx| life.poll(cx)).await;
    life.connection.borrow_mut().cut();
    if let Some(fault) = life.connection.borrow().fault() {
        tracing::debug!(peer = %facts.peer, code = ?fault.code, why = fault.why, "an HTTP/2 connection was ended");
        local.metrics.http2_fault(counted(fault.code));
    }
    if end.is_ok() {
        life.linger().await;
    }
}

/// The codec ends a connection with one of these.
fn counted(code: Code) -> Http2Fault {
    match code {
        Code::FlowControl => Http2Fault::FlowControl,
        Code::StreamClosed => Http2Fault::StreamClosed,
        Code::FrameSize => Http2Fault::FrameSize,
        Code::Compression => Http2Fault::Compression,
        Code::EnhanceYourCalm => Http2Fault::Calm,
        Code::Protocol | Code::NoError | Code::Internal | Code::RefusedStream | Code::Cancel => Http2Fault::Protocol,
    }
}

fn codec_limits(limits: &HttpLimits) -> Limits {
    let head = HeadLimits {
        max_head_bytes: limits.max_head_bytes,
        max_fields: limits.max_fields,
        max_target_bytes: limits.max_target_bytes,
    };
    Limits { head, max_streams: limits.max_streams }
}

/// A connection with its transport and its deadlines.
struct Life<'a> {
    local: &'a Rc<Local>,
    facts: &'a Rc<ConnectionFacts>,
    limits: HttpLimits,
    connection: Rc<RefCell<Connection>>,
    stream: Stream,
    input: Input,
    timer: Timer,
    started: Instant,
    requests: u64,
    /// Since when the client has taken nothing of what waits, and what had been written by then.
    stalled: Option<(Instant, u64)>,
    /// Since when no stream has been at work.
    idle: Option<Instant>,
    shutdown_began: Option<Instant>,
}

impl Life<'_> {
    /// Ready when the connection is over: with an error if its client is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.borrow_mut().attend(cx);
        loop {
            self.watch();
            self.read(cx)?;
            let was_congested = self.connection.borrow().is_congested();
            let written = self.connection.borrow_mut().poll_write(cx, &mut self.stream)?.is_ready();
            if self.connection.borrow().is_over() {
                return Poll::Ready(Ok(()));
            }
            // What wasn't read for that reason can be now.
            let can_read_on = written && was_congested;
            if !can_read_on && !self.is_late(cx)? {
                break;
            }
        }
        self.connection.borrow_mut().rest();
        Poll::Pending
    }

    /// Says that no further requests are wanted when that is so.
    fn watch(&mut self) {
        let is_last = self.local.is_draining()
            || self.facts.seat.index.get().is_none()
            || self.requests >= self.limits.max_requests;
        if is_last {
            self.shut_down();
        }
    }

    fn shut_down(&mut self) {
        if self.shutdown_began.is_none() {
            self.shutdown_began = Some(Instant::now());
            self.connection.borrow_mut().begin_shutdown();
        }
    }

    /// Takes in all that has come, as far as its answers have room, and starts what was asked for.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if !self.input.is_empty() {
                self.take(Instant::now());
            }
            let connection = self.connection.borrow();
            if connection.is_congested() || connection.is_over() {
                return Ok(());
            }
            drop(connection);
            match self.input.poll_fill(cx, &mut self.stream, READ_BUFFER_BYTES) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn take(&mut self, now: Instant) {
        loop {
            let step = self.connection.borrow_mut().receive(self.input.bytes(), now);
            self.input.consume(step.used);
            let Some(Arrival { key, request }) = step.arrival else { return };
            self.requests += 1;
            let exchange = Http2::new(Rc::clone(&self.connection), key);
            // Boxed: a task's cell is moved, and a large one twice.
            let handled = one_request(Rc::clone(self.local), Rc::clone(self.facts), exchange, request, now);
            tokio::task::spawn_local(Box::pin(handled));
        }
    }

    /// Looks at the deadlines. `true`: one has passed, and something was done about it; an error ends the connection.
    fn is_late(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let next = self.next_deadline();
        self.timer.set(next.map(|(deadline, _)| deadline));
        let Some((_, late)) = next else { return Ok(false) };
        if self.timer.poll_expired(cx).is_pending() {
            return Ok(false);
        }
        match late {
            Late::Client => return Err(io::ErrorKind::TimedOut.into()),
            Late::Section => {
                let fault = Fault { code: Code::EnhanceYourCalm, why: "a header section that doesn't come" };
                self.connection.borrow_mut().fail(fault);
            }
            Late::Shutdown => self.connection.borrow_mut().finish_shutdown(),
            Late::Idle => self.shut_down(),
        }
        Ok(true)
    }

    fn next_deadline(&mut self) -> Option<(Instant, Late)> {
        let connection = self.connection.borrow();
        let mut next: Option<(Instant, Late)> = None;
        let mut add = |since: Instant, patience: Duration, late: Late| {
            if let Some(deadline) = since.checked_add(patience)
                && next.is_none_or(|(first, _)| deadline < first)
            {
                next = Some((deadline, late));
            }
        };
        if connection.is_written() {
            self.stalled = None;
        } else {
            let progress = connection.progress();
            let stalled = self.stalled.filter(|(_, before)| *before == progress);
            let (since, _) = *self.stalled.insert(stalled.unwrap_or_else(|| (Instant::now(), progress)));
            add(since, self.limits.send_timeout, Late::Client);
        }
        if !connection.is_greeted() {
            add(self.started, self.limits.head_timeout, Late::Client);
        }
        if let Some(since) = connection.waits_for_section() {
            add(since, self.limits.head_timeout, Late::Section);
        }
        match self.shutdown_began {
            Some(began) if connection.is_shutting_down() => add(began, SHUTDOWN_GRACE, Late::Shutdown),
            None if connection.active() == 0 => {
                let ended = if self.requests == 0 { self.started } else { self.local.ended_at.get() };
                add(*self.idle.get_or_insert(ended), self.limits.idle_timeout, Late::Idle);
            }
            _ => {}
        }
        if connection.active() > 0 {
            self.idle = None;
        }
        next
    }

    /// Writes out what the end has left, and reads and drops what still comes for a moment.
    async fn linger(&mut self) {
        self.timer.set_after(Instant::now(), LINGER);
        let mut is_shut = false;
        let mut dropped = 0;
        let _ = poll_fn(|cx| {
            if !is_shut {
                let written = self.connection.borrow_mut().poll_write(cx, &mut self.stream)?;
                if written.is_pending() || self.stream.poll_shutdown(cx)?.is_pending() {
                    return self.timer.poll_expired(cx).map(io::Result::Ok);
                }
                is_shut = true;
            }
            while dropped < MAX_LINGERED_BYTES {
                let unread = self.input.bytes().len();
                self.input.consume(unread);
                match self.input.poll_fill(cx, &mut self.stream, READ_BUFFER_BYTES)? {
                    Poll::Ready(0) => return Poll::Ready(Ok(())),
                    Poll::Ready(n) => dropped += n,
                    Poll::Pending => return self.timer.poll_expired(cx).map(io::Result::Ok),
                }
            }
            Poll::Ready(Ok(()))
        })
        .await;
    }
}

/// What a connection is waited for.
#[derive(Clone, Copy, Debug)]
enum Late {
    /// The client: to say what it must say first, or to take what waits for it.
    Client,
    /// The rest of a header section.
    Section,
    /// The answer to the announcement of the end.
    Shutdown,
    /// A request.
    Idle,
}

async fn one_request(
    local: Rc<Local>,
    facts: Rc<ConnectionFacts>,
    mut exchange: Http2,
    request: Received,
    started: Instant,
) {
    let Some(listener) = facts.seat.index.get() else { return exchange.refuse(Code::RefusedStream) };
    let local = &local;
    let facts = &facts;
    let handled = AssertUnwindSafe(async move {
        let Received { head, length, refused, .. } = request;
        let mut cx = RequestContext::new(local, facts, listener, head, started);
        cx.head_received = cx.head.fields.bytes().len() as u64;
        exchange.begin(cx.snapshot.http_limits(listener));
        match refused {
            // RFC 9113 8.1.1: a stream error, for which there is no response.
            Some(reason @ Reason::MalformedHead) => {
                cx.reason = Some(reason);
                exchange.refuse(Code::Protocol);
            }
            Some(reason) => reply::refuse(&mut cx, &mut exchange, reason.into()).await,
            None => serve(&mut cx, &mut exchange, length).await,
        }
        cx.completed = true;
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

/// Whether bytes can be the start of a connection preface (RFC 9113 3.4): `None` until enough are there.
pub fn is_preface(bytes: &[u8]) -> Option<bool> {
    let n = bytes.len().min(PREFACE.len());
    match bytes[..n] == PREFACE[..n] {
        true if n < PREFACE.len() => None,
        same => Some(same),
    }
}
