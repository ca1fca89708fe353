//! The response's body from an HTTP/2 stream to the client, while the request's may still be coming.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;

use super::Http2Carrier;
use crate::config::{self, UpstreamTimeouts};
use crate::http::field::FieldId;
use crate::http::head::Fields;
use crate::http::http1::parse::may_trail;
use crate::http::timer::Timer;
use crate::proxy::context::RequestContext;
use crate::proxy::exchange::Exchange;
use crate::proxy::stall::Stall;
use crate::proxy::upload::Upload;
use crate::reason::Reason;

/// Relays the body up to its end. Returns the trailers.
///
/// # Errors
/// Why the response had to be cut short.
pub async fn relay<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    upload: &mut Upload,
    carrier: &mut Http2Carrier,
    upstream: &config::Upstream,
    timer: &mut Timer,
) -> Result<Option<Fields>, Reason> {
    let mut relay = Relay {
        send_timeout: cx.snapshot.http_limits(cx.listener).send_timeout,
        timeouts: upstream.timeouts,
        reads: Stall::default(),
        sends: Stall::default(),
        piece: Bytes::new(),
        ended: !carrier.has_body,
        body_sent: 0,
    };
    let result = poll_fn(|task| relay.poll(task, exchange, upload, carrier, timer)).await;
    cx.body_sent = relay.body_sent;
    cx.body_received = upload.received();
    timer.set(None);
    Ok(result?.as_ref().map(trailers))
}

struct Relay {
    send_timeout: Duration,
    timeouts: UpstreamTimeouts,
    /// The endpoint sends nothing.
    reads: Stall,
    /// The client takes nothing.
    sends: Stall,
    /// Received and not yet taken by the client; until then, the endpoint's window stays so much smaller.
    piece: Bytes,
    ended: bool,
    body_sent: u64,
}

impl Relay {
    fn poll<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
        carrier: &mut Http2Carrier,
        timer: &mut Timer,
    ) -> Poll<Result<Option<HeaderMap>, Reason>> {
        if !self.ended && !carrier.sent && !carrier.broken {
            let before = upload.received();
            match upload.poll_http2(cx, exchange, &mut carrier.send) {
                Poll::Ready(Ok(())) => carrier.sent = true,
                // The answer has begun and goes on.
                Poll::Ready(Err(_)) => carrier.broken = true,
                // An endpoint that takes a long body first isn't silent.
                Poll::Pending if before != upload.received() => self.reads.progressed(),
                Poll::Pending => {}
            }
        }
        let (late, deadline) = match self.poll_body(cx, exchange, carrier) {
            Poll::Ready(result) => return Poll::Ready(result),
            Poll::Pending if self.sends.is_waiting() => (Reason::SendTimedOut, self.sends.deadline(self.send_timeout)),
            Poll::Pending => (Reason::UpstreamBodyTimedOut, self.reads.deadline(self.timeouts.between_bytes)),
        };
        let is_uploading = !carrier.sent && !carrier.broken && upload.waits_for_client;
        let (late, deadline) = match exchange.body_deadline().filter(|_| is_uploading) {
            Some(body) if deadline.is_none_or(|deadline| body < deadline) => (Reason::BodyTimedOut, Some(body)),
            _ => (late, deadline),
        };
        if exchange.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Reason::ClientGone));
        }
        timer.set(deadline);
        timer.poll_expired(cx).map(|()| {
            if late == Reason::UpstreamBodyTimedOut {
                carrier.place.suspect();
            }
            Err(late)
        })
    }

    fn poll_body<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        carrier: &mut Http2Carrier,
    ) -> Poll<Result<Option<HeaderMap>, Reason>> {
        loop {
            while !self.piece.is_empty() {
                match exchange.poll_send(cx, &self.piece) {
                    Poll::Ready(Ok(taken)) => {
                        self.piece.advance(taken);
                        // Fails only for more than was received.
                        let _ = carrier.receive.flow_control().release_capacity(taken);
                        self.body_sent += taken as u64;
                        self.sends.progressed();
                    }
                    Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
                    Poll::Pending => {
                        self.sends.wait();
                        return Poll::Pending;
                    }
                }
            }
            if self.ended {
                if !carrier.has_body {
                    return Poll::Ready(Ok(None));
                }
                let trailers = ready!(carrier.receive.poll_trailers(cx));
                return Poll::Ready(trailers.map_err(|_| Reason::UpstreamBodyBroken));
            }
            match carrier.receive.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.piece = piece;
                    self.reads.progressed();
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "an endpoint's HTTP/2 body broke off");
                    return Poll::Ready(Err(Reason::UpstreamBodyBroken));
                }
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => return self.poll_flush(cx, exchange),
            }
        }
    }

    /// Nothing more to read for now: what the client could have already mustn't wait for it.
    fn poll_flush<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
    ) -> Poll<Result<Option<HeaderMap>, Reason>> {
        match exchange.poll_flush(cx) {
            Poll::Ready(Ok(())) => self.sends.progressed(),
            Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
            Poll::Pending => self.sends.wait(),
        }
        Poll::Pending
    }
}

fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        if may_trail(FieldId::of(name.as_str().as_bytes())) {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    fields
}
