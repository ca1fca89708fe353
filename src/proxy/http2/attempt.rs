//! One attempt over HTTP/2: a place on a connection, the request, and the response's head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason as Code, RecvStream, SendStream};
use http::Response;
use tokio::time::Instant;

use super::{Http2Carrier, head};
use crate::config::{self, UpstreamHttp2, UpstreamTimeouts};
use crate::http::head::{Method, ResponseHead};
use crate::http::http1::BodyLength;
use crate::http::timer::Timer;
use crate::proxy::attempt::{Answer, AttemptError, Carrier, MAX_INTERIM, Trial, note_handshake};
use crate::proxy::context::RequestContext;
use crate::proxy::exchange::Exchange;
use crate::proxy::stall::Stall;
use crate::proxy::upload::{Upload, UploadError};
use crate::reason::Reason;
use crate::upstream::http2::Place;

/// Makes one attempt.
///
/// # Errors
/// See [`AttemptError`].
pub async fn attempt<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    upload: &mut Upload,
    trial: &Trial<'_>,
    terms: &UpstreamHttp2,
    timer: &mut Timer,
) -> Result<Answer, AttemptError> {
    let &Trial { upstream, endpoint, fresh, started, .. } = trial;
    let config = upstream.config();
    let request = head::request(cx, endpoint, upload.length()).map_err(AttemptError::Downstream)?;
    let metric = cx.local.endpoint_metric(endpoint, upstream.name());
    cx.connect = None;
    let reached = cx.local.sessions.reach(endpoint, config, terms, fresh.then_some(started)).await;
    note_handshake(cx, metric, reached.as_ref().map(|reached| reached.opened.flatten()));
    let reached = reached.map_err(AttemptError::Connect)?;
    match reached.opened {
        Some(_) => {
            cx.connect = Some(started.elapsed());
            cx.local.metrics.upstream_connection_opened(metric);
        }
        None => cx.local.metrics.upstream_connection_reused(metric),
    }
    let place = reached.place;
    let (response, send) = place.send(request, upload.length().is_empty()).map_err(|error| {
        // Nothing was sent, and nothing more can be.
        place.retire();
        tracing::debug!(%error, "an HTTP/2 connection takes no request");
        AttemptError::Refused { leaving: true, stale: place.reused }
    })?;
    let mut wait = Wait {
        head_only: cx.head.method == Method::Head,
        bounds: config,
        timeouts: config.timeouts,
        response,
        send,
        interim: 0,
        stall: Stall::default(),
        sent: upload.length().is_empty(),
        sent_at: None,
        broken: false,
    };
    let result = poll_fn(|task| wait.poll(task, exchange, upload, &place, timer)).await;
    cx.body_received = upload.received();
    timer.set(None);
    let (head, length, receive) = result?;
    place.note_answer();
    let Wait { send, sent, broken, head_only, .. } = wait;
    let has_body = !head_only && !matches!(head.status, 204 | 304);
    let carrier = Carrier::Http2(Box::new(Http2Carrier { send, receive, sent, broken, has_body, place }));
    Ok(Answer { head, length, carrier })
}

/// Waiting for the final head while the request is still being sent.
struct Wait<'a> {
    head_only: bool,
    bounds: &'a config::Upstream,
    timeouts: UpstreamTimeouts,
    response: ResponseFuture,
    send: SendStream<Bytes>,
    interim: u32,
    /// The endpoint takes no byte of the request.
    stall: Stall,
    sent: bool,
    /// When the response's deadline began to run.
    sent_at: Option<Instant>,
    broken: bool,
}

type Head = (ResponseHead, BodyLength, RecvStream);

impl Wait<'_> {
    fn poll<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
        place: &Place,
        timer: &mut Timer,
    ) -> Poll<Result<Head, AttemptError>> {
        let deadline = match self.poll_upload(cx, exchange, upload)? {
            Some(deadline) => Some(deadline),
            None => {
                let sent_at = *self.sent_at.get_or_insert_with(Instant::now);
                sent_at.checked_add(self.timeouts.response)
            }
        };
        if let Poll::Ready(result) = self.poll_head(cx, exchange, place) {
            return Poll::Ready(result);
        }
        if matches!(exchange.poll_flush(cx), Poll::Ready(Err(_))) || exchange.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::Downstream(Reason::ClientGone)));
        }
        timer.set(deadline);
        if timer.poll_expired(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(Err(match upload.waits_for_client {
            true => AttemptError::Downstream(Reason::BodyTimedOut),
            false => {
                place.suspect();
                AttemptError::TimedOut
            }
        }))
    }

    /// Sends on; the deadline that counts while the request isn't all sent, `None` once it is.
    fn poll_upload<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
    ) -> Result<Option<Instant>, AttemptError> {
        if self.sent || self.broken {
            return Ok(None);
        }
        let before = upload.received();
        match upload.poll_http2(cx, exchange, &mut self.send) {
            Poll::Ready(Ok(())) => self.sent = true,
            Poll::Ready(Err(UploadError::Client(reason))) => return Err(AttemptError::Downstream(reason)),
            // The endpoint may have answered without reading on: its answer decides.
            Poll::Ready(Err(UploadError::Upstream(_))) => self.broken = true,
            Poll::Pending if upload.waits_for_client => {
                self.stall.progressed();
                return Ok(exchange.body_deadline());
            }
            Poll::Pending => {
                if before != upload.received() {
                    self.stall.progressed();
                }
                return Ok(self.stall.deadline(self.timeouts.between_bytes));
            }
        }
        Ok(None)
    }

    /// Interim heads are passed on, the final one is the answer.
    fn poll_head<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        place: &Place,
    ) -> Poll<Result<Head, AttemptError>> {
        loop {
            match self.response.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => self.pass_on(exchange, &interim)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(failure(&error, place))),
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        let response = match std::task::ready!(Pin::new(&mut self.response).poll(cx)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(failure(&error, place))),
        };
        let ended = response.body().is_end_stream();
        match head::response(&response, self.head_only, ended, self.bounds) {
            Ok((head, length)) => Poll::Ready(Ok((head, length, response.into_body()))),
            Err(reason) => Poll::Ready(Err(AttemptError::Invalid(reason))),
        }
    }

    fn pass_on<E: Exchange>(&mut self, exchange: &mut E, interim: &Response<()>) -> Result<(), AttemptError> {
        self.interim += 1;
        let head = head::interim(interim);
        // RFC 9113 8.6: there is no 101.
        if head.status == 101 || self.interim > MAX_INTERIM {
            return Err(AttemptError::Invalid(Reason::UpstreamInterim));
        }
        // We asked for no 100; the client's own was answered when its body was first wanted.
        if head.status != 100 {
            exchange.send_interim(&head);
        }
        Ok(())
    }
}

/// What a stream's error before its head means.
fn failure(error: &h2::Error, place: &Place) -> AttemptError {
    tracing::debug!(%error, "an HTTP/2 stream to an endpoint failed");
    match (error.is_remote(), error.reason()) {
        // h2 gives this error only to streams past the last one that the endpoint will look at.
        (true, Some(_)) if error.is_go_away() => {
            place.retire();
            AttemptError::Refused { leaving: error.reason() == Some(Code::NO_ERROR), stale: place.reused }
        }
        (true, Some(Code::REFUSED_STREAM)) => AttemptError::Refused { leaving: false, stale: false },
        (true, Some(Code::HTTP_1_1_REQUIRED)) => AttemptError::Invalid(Reason::UpstreamNoHttp2),
        (true, Some(_)) => AttemptError::Reset,
        (false, _) if error.is_library() && error.is_go_away() && !place.has_answered() => {
            AttemptError::Invalid(Reason::UpstreamNoHttp2)
        }
        (false, _) if error.is_library() => AttemptError::Invalid(Reason::BadUpstreamHead),
        _ => {
            place.retire();
            AttemptError::Closed { stale: place.reused }
        }
    }
}
