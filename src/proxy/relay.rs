//! The response body on its way to the client, while the request's may still be coming.
//!
//! Back-pressure is the absence of reads: what one side doesn't take isn't read from the other.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::attempt::{Answer, Carrier, Http1Carrier};
use super::context::RequestContext;
use super::exchange::Exchange;
use super::stall::Stall;
use super::upload::Upload;
use crate::config::{self, UpstreamTimeouts};
use crate::http::head::Fields;
use crate::http::http1::{BodyReader, Step};
use crate::http::splice::Splice;
use crate::http::stream::{Input, READ_BUFFER_BYTES, Stream};
use crate::http::timer::Timer;
use crate::reason::Reason;
use crate::upstream::connection::Connection;

/// A rest of a body from here on is worth a pipe.
const SPLICE_FROM_BYTES: u64 = 64 << 10;

/// Relays the answer's body up to its end, which [`finish`] writes: by then the endpoint is free for another request.
/// Returns the trailers.
///
/// # Errors
/// Why the response had to be cut short. The exchange is left as it is: the caller aborts it.
pub async fn relay<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    upload: &mut Upload,
    answer: &mut Answer,
    upstream: &config::Upstream,
    timer: &mut Timer,
) -> Result<Option<Fields>, Reason> {
    let carrier = match &mut answer.carrier {
        Carrier::Http1(carrier) => carrier,
        Carrier::Http2(carrier) => {
            return Box::pin(super::http2::relay(cx, exchange, upload, carrier, upstream, timer)).await;
        }
    };
    let mut relay = Relay {
        body: BodyReader::new(answer.length),
        send_timeout: cx.snapshot.http_limits(cx.listener).send_timeout,
        timeouts: upstream.timeouts,
        reads: Stall::default(),
        sends: Stall::default(),
        body_sent: 0,
        ended: false,
        splice: Splice::default(),
        splice_from: upstream.splice.then_some(SPLICE_FROM_BYTES),
    };
    let result = poll_fn(|task| relay.poll(task, exchange, upload, carrier, timer)).await;
    cx.body_sent = relay.body_sent;
    cx.body_received = upload.received();
    timer.set(None);
    result?;
    Ok(relay.body.take_trailers())
}

/// Ends the response and writes out what is held back.
///
/// # Errors
/// The client is gone, or takes nothing for too long.
pub async fn finish<E: Exchange>(
    cx: &RequestContext,
    exchange: &mut E,
    mut trailers: Option<Fields>,
    timer: &mut Timer,
) -> Result<(), Reason> {
    if let Some(trailers) = &mut trailers {
        trailers.retain(|id, name, _| !cx.response_rules().drops(id, name));
    }
    let patience = cx.snapshot.http_limits(cx.listener).send_timeout;
    let mut stall = Stall::default();
    let result = poll_fn(|task| {
        let ready = exchange.poll_finish(task, trailers.as_ref());
        if ready.is_ready() {
            return ready;
        }
        timer.set(stall.deadline(patience));
        timer.poll_expired(task).map(|()| Err(Reason::SendTimedOut))
    })
    .await;
    timer.set(None);
    result
}

struct Relay {
    body: BodyReader,
    send_timeout: std::time::Duration,
    timeouts: UpstreamTimeouts,
    /// The endpoint sends nothing.
    reads: Stall,
    /// The client takes nothing.
    sends: Stall,
    body_sent: u64,
    ended: bool,
    splice: Splice,
    /// The shortest rest of the body that is spliced; `None` where that isn't wanted, or turned out impossible.
    splice_from: Option<u64>,
}

/// Whom a pending relay waits for.
enum Waits {
    Endpoint,
    /// To take what has come.
    Client,
    /// To send the rest of its request.
    Body,
}

impl Relay {
    fn poll<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
        answer: &mut Http1Carrier,
        timer: &mut Timer,
    ) -> Poll<Result<(), Reason>> {
        if !self.ended && !answer.sent && !answer.broken {
            let before = (upload.received(), answer.connection.output.len());
            match upload.poll(cx, exchange, &mut answer.connection) {
                Poll::Ready(Ok(())) => answer.sent = true,
                // The answer has begun and goes on; only the request's connection is spent.
                Poll::Ready(Err(_)) => answer.broken = true,
                // An endpoint that takes a long body first isn't silent.
                Poll::Pending if before != (upload.received(), answer.connection.output.len()) => {
                    self.reads.progressed()
                }
                Poll::Pending => {}
            }
        }
        let (waits, deadline) = match self.poll_body(cx, exchange, answer) {
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending if self.sends.is_waiting() => (Waits::Client, self.sends.deadline(self.send_timeout)),
            Poll::Pending => (Waits::Endpoint, self.reads.deadline(self.timeouts.between_bytes)),
        };
        let body =
            if answer.sent || answer.broken || !upload.waits_for_client { None } else { exchange.body_deadline() };
        let (waits, deadline) = match body {
            Some(body) if deadline.is_none_or(|deadline| body < deadline) => (Waits::Body, Some(body)),
            _ => (waits, deadline),
        };
        if exchange.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Reason::ClientGone));
        }
        timer.set(deadline);
        if timer.poll_expired(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Err(match waits {
            Waits::Client => Reason::SendTimedOut,
            Waits::Body => Reason::BodyTimedOut,
            Waits::Endpoint => Reason::UpstreamBodyTimedOut,
        }))
    }

    fn poll_body<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        answer: &mut Http1Carrier,
    ) -> Poll<Result<(), Reason>> {
        let Connection { input, stream, .. } = &mut answer.connection;
        loop {
            ready!(self.poll_spliced(cx, exchange))?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match self.body.next(input.bytes()) {
                Err(_) => return Poll::Ready(Err(Reason::UpstreamBodyBroken)),
                Ok(Step::End) => self.ended = true,
                Ok(Step::Skip(n)) => input.consume(n),
                Ok(Step::Data(n)) => match exchange.poll_send(cx, &input.bytes()[..n]) {
                    Poll::Ready(Ok(taken)) => {
                        self.body.advance(taken);
                        input.consume(taken);
                        self.body_sent += taken as u64;
                        self.sends.progressed();
                    }
                    Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
                    Poll::Pending => {
                        self.sends.wait();
                        return Poll::Pending;
                    }
                },
                Ok(Step::More) => match self.poll_more(cx, exchange, input, stream) {
                    Poll::Ready(Ok(0) | Err(_)) if !self.body.may_end_now() => {
                        return Poll::Ready(Err(Reason::UpstreamBodyBroken));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::UpstreamBodyBroken)),
                    Poll::Ready(Ok(0)) => self.ended = true,
                    Poll::Ready(Ok(_)) => self.reads.progressed(),
                    Poll::Pending => return self.poll_flush(cx, exchange),
                },
            }
        }
    }

    /// Takes more of the endpoint's bytes: past this process where a long rest of the body allows it, or to be read.
    fn poll_more<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        input: &mut Input,
        stream: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        let rest = self.body.unframed();
        if self.splice_from.is_some_and(|from| rest >= from)
            && exchange.bare_socket().is_some()
            && let Some(source) = stream.as_plain()
        {
            match ready!(self.splice.poll_fill(cx, source, rest)) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => self.splice_from = None,
                result => {
                    self.splice_from = Some(1);
                    self.body.advance(result.as_ref().map_or(0, |n| *n));
                    return Poll::Ready(result);
                }
            }
        }
        input.poll_fill(cx, stream, READ_BUFFER_BYTES)
    }

    /// Gives the client what is in the pipe.
    fn poll_spliced<E: Exchange>(&mut self, cx: &mut Context<'_>, exchange: &mut E) -> Poll<Result<(), Reason>> {
        while !self.splice.is_empty() {
            let client = exchange.bare_socket().ok_or(Reason::ClientGone)?;
            match self.splice.poll_drain(cx, client) {
                Poll::Ready(Ok(n)) => {
                    self.body_sent += n as u64;
                    self.sends.progressed();
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ClientGone)),
                Poll::Pending => {
                    self.sends.wait();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing more to read for now: what the client could have already mustn't wait for it.
    fn poll_flush<E: Exchange>(&mut self, cx: &mut Context<'_>, exchange: &mut E) -> Poll<Result<(), Reason>> {
        match exchange.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.sends.progressed(),
            Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
            Poll::Pending => self.sends.wait(),
        }
        Poll::Pending
    }
}
