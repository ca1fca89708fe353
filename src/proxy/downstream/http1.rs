//! An HTTP/1 connection's life: idle, a head, its exchange, and again.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Poll, ready};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::drain::{LINGER, drain_body};
use super::http1_exchange::Http1;
use crate::http::head::{Fields, RequestHead, Span, Version};
use crate::http::http1::{BodyLength, HeadLimits, HeadReader};
use crate::http::stream::{READ_BUFFER_BYTES, Stream};
use crate::http::timer::Timer;
use crate::proxy::context::{ConnectionFacts, RequestContext};
use crate::proxy::local::Local;
use crate::proxy::{reply, serve};
use crate::reason::Reason;

/// What a closing connection reads and drops, so that its last response isn't lost to a reset.
const MAX_LINGERED_BYTES: usize = 16 << 20;

/// Serves a connection until it ends, and drops `held` then. No `async fn`, which would hold each argument twice for as
/// long as that takes.
pub fn serve_http1(
    local: Rc<Local>,
    facts: Rc<ConnectionFacts>,
    stream: Stream,
    held: impl Sized,
) -> impl Future<Output = ()> {
    let mut http1 = Http1::new(Rc::clone(&local), stream);
    async move {
        let _held = &held;
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let _entered = local.enter(waker);
        let mut timer = Timer::new();
        let mut requests = 0;
        loop {
            // Boxed, and before anything is awaited, so that an idle connection doesn't hold the room that a request needs.
            let request = match next_head(&local, &facts, &mut http1, &mut timer, requests == 0).await {
                Some(next) => Box::pin(one_request(&local, &facts, &mut http1, next, requests + 1)),
                None => break,
            };
            requests += 1;
            if AssertUnwindSafe(request).catch_unwind().await.is_err() {
                local.metrics.panic();
                tracing::error!(peer = %facts.peer, "a request's task panicked; its connection is closed");
                return;
            }
            if !http1.keep_alive {
                break;
            }
        }
        close(&mut http1, &mut timer).await;
    }
}

/// Answers a connection that doesn't speak HTTP/1 as this listener does, and ends it.
pub async fn refuse_http1(local: Rc<Local>, facts: Rc<ConnectionFacts>, stream: Stream, reason: Reason) {
    let mut http1 = Http1::new(Rc::clone(&local), stream);
    one_request(&local, &facts, &mut http1, Arrival { started: Instant::now(), head: Err(reason), bytes: 0 }, 1).await;
    close(&mut http1, &mut Timer::new()).await;
}

/// A request that has arrived, or why it can't be taken.
struct Arrival {
    started: Instant,
    head: Result<(RequestHead, BodyLength), Reason>,
    bytes: usize,
}

async fn one_request(
    local: &Rc<Local>,
    facts: &Rc<ConnectionFacts>,
    http1: &mut Http1,
    arrival: Arrival,
    requests: u64,
) {
    let Some(listener) = facts.seat.index.get() else {
        http1.keep_alive = false;
        return;
    };
    let refused = arrival.head.as_ref().err().copied();
    let (head, length) = arrival.head.unwrap_or_else(|_| (refused_head(http1.input.bytes()), BodyLength::Known(0)));
    let mut cx = RequestContext::new(local, facts, listener, head, arrival.started);
    cx.head_received = arrival.bytes as u64;
    let limits = cx.snapshot.http_limits(listener);
    let last = requests >= limits.max_requests || local.is_draining() || refused.is_some();
    http1.begin(&cx.head, length, limits, last);
    match refused {
        Some(reason) => reply::refuse(&mut cx, http1, reason.into()).await,
        None => serve(&mut cx, http1, length).await,
    }
    cx.completed = true;
    http1.keep_alive &= http1.is_finished();
    drop(cx);
    if http1.keep_alive && !http1.body_is_done() {
        http1.keep_alive = drain_body(http1).await;
    }
}

/// Stands for a head that couldn't be read, so that its refusal is answered and recorded like any other, with its first
/// line as far as it came: nginx's `$request`.
fn refused_head(bytes: &[u8]) -> RequestHead {
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = &bytes[start..];
    let line = &line[..memchr::memchr2(b'\r', b'\n', line).unwrap_or(line.len())];
    let mut fields = Fields::with_capacity(line.len(), 0);
    let line = fields.store(line);
    RequestHead::new(fields, Version::Http11, Span::default(), Span::default(), Span::default())
        .with_received_target(line)
}

/// The next request; `None` when the connection is to end without one.
async fn next_head(
    local: &Local,
    facts: &ConnectionFacts,
    http1: &mut Http1,
    timer: &mut Timer,
    first: bool,
) -> Option<Arrival> {
    let snapshot = local.snapshot();
    let config = snapshot.http_limits(facts.seat.index.get()?);
    let limits = HeadLimits {
        max_head_bytes: config.max_head_bytes,
        max_fields: config.max_fields,
        max_target_bytes: config.max_target_bytes,
    };
    let (head_timeout, idle_timeout) = (config.head_timeout, config.idle_timeout);
    drop(snapshot);
    let mut reader = HeadReader::default();
    let mut started = (!http1.input.is_empty()).then(Instant::now);
    // A connection that says nothing at all gets no longer than a slow head.
    let (since, patience) = match first {
        true => (Instant::now(), head_timeout),
        false => (local.ended_at.get(), idle_timeout),
    };
    timer.set_after(since, if started.is_some() { head_timeout } else { patience });
    poll_fn(|cx| {
        loop {
            if let Some(started) = started {
                match reader.request(http1.input.bytes(), &limits) {
                    Ok(None) => {}
                    Ok(Some((head, length, used))) => {
                        http1.input.consume(used);
                        return Poll::Ready(Some(Arrival { started, head: Ok((head, length)), bytes: used }));
                    }
                    Err(reason) => {
                        let bytes = http1.input.bytes().len();
                        return Poll::Ready(Some(Arrival { started, head: Err(reason), bytes }));
                    }
                }
            }
            match http1.input.poll_fill(cx, &mut http1.stream, limits.max_head_bytes.max(READ_BUFFER_BYTES)) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(_)) if started.is_none() => {
                    let now = Instant::now();
                    started = Some(now);
                    timer.set_after(if first { since } else { now }, head_timeout);
                }
                Poll::Ready(Ok(_)) => {}
                // A request that has come all the same is still served; only silence ends here.
                Poll::Pending if started.is_none() && (local.is_draining() || facts.seat.index.get().is_none()) => {
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        ready!(timer.poll_expired(cx));
        Poll::Ready(started.map(|started| Arrival {
            started,
            head: Err(Reason::HeadTimedOut),
            bytes: http1.input.bytes().len(),
        }))
    })
    .await
}

/// Ends the connection. What the client still sends is read and dropped for a moment: a close with unread bytes is a
/// reset, and would take the last response from the client's hands.
async fn close(http1: &mut Http1, timer: &mut Timer) {
    if http1.is_cut() {
        return;
    }
    timer.set_after(Instant::now(), LINGER);
    let mut shut = false;
    let mut dropped = 0;
    poll_fn(|cx| {
        if !shut {
            if http1.output.poll_write_all(cx, &mut http1.stream)?.is_pending() {
                return timer.poll_expired(cx).map(Ok);
            }
            if http1.stream.poll_shutdown(cx)?.is_pending() {
                return timer.poll_expired(cx).map(Ok);
            }
            shut = true;
        }
        while dropped < MAX_LINGERED_BYTES {
            let unread = http1.input.bytes().len();
            http1.input.consume(unread);
            match http1.input.poll_fill(cx, &mut http1.stream, READ_BUFFER_BYTES)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(n) => dropped += n,
                Poll::Pending => return timer.poll_expired(cx).map(Ok),
            }
        }
        Poll::Ready(std::io::Result::Ok(()))
    })
    .await
    .unwrap_or_default();
}
