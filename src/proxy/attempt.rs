//! One attempt: a connection, the request on it, and the response's head.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::context::RequestContext;
use super::exchange::Exchange;
use super::headers::{encode_request, names_token};
use super::http2::Http2Carrier;
use super::stall::Stall;
use super::upload::{Upload, UploadError};
use crate::config::UpstreamProtocol;
use crate::config::UpstreamTimeouts;
use crate::http::field::FieldId;
use crate::http::head::{Fields, Method, ResponseHead, Version};
use crate::http::http1::{BodyLength, HeadLimits, HeadReader};
use crate::http::http2::websocket;
use crate::http::timer::Timer;
use crate::metrics::{EndpointId, UpstreamHandshake};
use crate::reason::Reason;
use crate::upstream::connect::{ConnectError, Handshake, connect};
use crate::upstream::connection::Connection;
use crate::upstream::{Announced, Endpoint, Upstream};

/// 1xx responses passed on before the final one.
pub(super) const MAX_INTERIM: u32 = 10;

/// An endpoint that has answered: its head, and what the body comes over.
pub struct Answer {
    pub head: ResponseHead,
    pub length: BodyLength,
    pub carrier: Carrier,
}

/// What carries an answer's body, and the rest of the request.
pub enum Carrier {
    Http1(Http1Carrier),
    Http2(Box<Http2Carrier>),
}

/// A connection with one answer on it.
pub struct Http1Carrier {
    pub connection: Connection,
    /// The request is written in full.
    pub sent: bool,
    /// The endpoint stopped reading the request; its connection can't be used again.
    pub broken: bool,
}

impl Answer {
    /// The connection, if it may serve another request once the body has been read to its end.
    pub fn into_reusable(self) -> Option<Connection> {
        let Carrier::Http1(carrier) = self.carrier else { return None };
        let is_reusable = carrier.sent
            && !carrier.broken
            && self.head.version == Version::Http11
            && self.length != BodyLength::UntilClose
            && !names_token(&self.head.fields, b"close");
        is_reusable.then_some(carrier.connection)
    }
}

/// Why an attempt brought no answer.
#[derive(Debug)]
pub enum AttemptError {
    Connect(ConnectError),
    /// The transport failed before a response head. `stale`: on a reused connection, before any byte of an answer.
    Closed {
        stale: bool,
    },
    /// The endpoint has done nothing of the request. `leaving`: it closes the connection in order; `stale`: the connection
    /// had served others before.
    Refused {
        leaving: bool,
        stale: bool,
    },
    /// An HTTP/2 stream was reset before a response head.
    Reset,
    TimedOut,
    Invalid(Reason),
    /// Nothing the endpoint did: the client's body was bad or slow, or the client is gone.
    Downstream(Reason),
}

/// What is tried.
pub struct Trial<'a> {
    pub upstream: &'a Upstream,
    pub endpoint: &'a Arc<Endpoint>,
    /// The request asks for an upgrade.
    pub upgrade: bool,
    /// Not over a pooled connection.
    pub fresh: bool,
    /// When the endpoint was chosen: a reading of the clock serves both.
    pub started: Instant,
}

/// Makes one attempt.
///
/// # Errors
/// See [`AttemptError`]; whether to try another endpoint is the caller's decision.
pub async fn attempt<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    upload: &mut Upload,
    trial: &Trial<'_>,
    timer: &mut Timer,
) -> Result<Answer, AttemptError> {
    if let UpstreamProtocol::Http2(terms) = &trial.upstream.config().protocol {
        return Box::pin(super::http2::attempt(cx, exchange, upload, trial, terms, timer)).await;
    }
    let &Trial { upstream, endpoint, upgrade, fresh, started } = trial;
    let config = upstream.config();
    let client = config.proxy_protocol.map(|_| Announced::new(cx.connection.peer, cx.connection.destination));
    let pooled = if fresh { None } else { cx.local.pool.borrow_mut().take(endpoint, client) };
    cx.connect = None;
    let metric = cx.local.endpoint_metric(endpoint, upstream.name());
    let mut connection = match pooled {
        Some(connection) => {
            cx.local.metrics.upstream_connection_reused(metric);
            connection
        }
        None => {
            let opened = connect(endpoint, client, config.timeouts.connect).await;
            note_handshake(cx, metric, opened.as_ref().map(|opened| opened.handshake));
            let opened = opened.map_err(AttemptError::Connect)?;
            cx.connect = Some(started.elapsed());
            cx.local.metrics.upstream_connection_opened(metric);
            Connection::over(opened.stream, client)
        }
    };
    encode_request(cx, endpoint, upload.length(), upgrade, connection.output.buffer());
    let limits = HeadLimits {
        max_head_bytes: config.max_head_bytes,
        max_fields: config.max_fields,
        max_target_bytes: usize::MAX,
    };
    let mut wait = Wait {
        head_only: cx.head.method == Method::Head,
        upgrade: cx.head.fields.get(FieldId::Upgrade).filter(|_| upgrade),
        websocket: (upgrade && cx.head.version == Version::Http2).then_some(&cx.head.fields),
        limits,
        timeouts: config.timeouts,
        reader: HeadReader::default(),
        interim: 0,
        stall: Stall::default(),
        sent: false,
        now: if connection.reused { Some(started) } else { None },
        sent_at: None,
        broken: false,
        heard: false,
    };
    let result = poll_fn(|task| wait.poll(task, exchange, upload, &mut connection, timer)).await;
    let (sent, broken) = (wait.sent, wait.broken);
    cx.body_received = upload.received();
    timer.set(None);
    let (head, length) = result?;
    Ok(Answer { head, length, carrier: Carrier::Http1(Http1Carrier { connection, sent, broken }) })
}

/// Counts the handshake, if there was to be one.
pub(super) fn note_handshake(
    cx: &RequestContext,
    endpoint: EndpointId,
    result: Result<Option<Handshake>, &ConnectError>,
) {
    if let Some((outcome, took)) = handshake_outcome(result) {
        cx.local.metrics.upstream_handshake(endpoint, outcome, took);
    }
}

/// How the handshake ended and what it took; `None` if there was to be none.
pub fn handshake_outcome(
    result: Result<Option<Handshake>, &ConnectError>,
) -> Option<(UpstreamHandshake, Option<Duration>)> {
    match result {
        Ok(Some(handshake)) if handshake.resumed => Some((UpstreamHandshake::Resumed, Some(handshake.took))),
        Ok(Some(handshake)) => Some((UpstreamHandshake::Full, Some(handshake.took))),
        Err(ConnectError::HandshakeFailed(_) | ConnectError::NoHttp2) => Some((UpstreamHandshake::Failed, None)),
        Err(ConnectError::HandshakeTimedOut) => Some((UpstreamHandshake::TimedOut, None)),
        Ok(None) | Err(_) => None,
    }
}

/// Waiting for the final head while the request is still being sent.
struct Wait<'a> {
    head_only: bool,
    /// The protocols that the client would switch to.
    upgrade: Option<&'a [u8]>,
    /// The handshake that an Extended CONNECT was made.
    websocket: Option<&'a Fields>,
    limits: HeadLimits,
    timeouts: UpstreamTimeouts,
    reader: HeadReader,
    interim: u32,
    /// The endpoint takes no byte of the request.
    stall: Stall,
    sent: bool,
    /// A reading of the clock that is still good: nothing has been waited for since.
    now: Option<Instant>,
    /// When the response's deadline began to run.
    sent_at: Option<Instant>,
    broken: bool,
    /// A byte of an answer has come.
    heard: bool,
}

impl Wait<'_> {
    fn poll<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
        connection: &mut Connection,
        timer: &mut Timer,
    ) -> Poll<Result<(ResponseHead, BodyLength), AttemptError>> {
        let deadline = match self.poll_upload(cx, exchange, upload, connection)? {
            Some(deadline) => Some(deadline),
            None => {
                let now = self.now;
                let sent_at = *self.sent_at.get_or_insert_with(|| now.unwrap_or_else(Instant::now));
                sent_at.checked_add(self.timeouts.response)
            }
        };
        loop {
            if let Poll::Ready(result) = self.parse(exchange, connection) {
                return Poll::Ready(result);
            }
            match connection.poll_fill(cx, self.limits.max_head_bytes) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                    let stale = connection.reused && !self.heard;
                    return Poll::Ready(Err(AttemptError::Closed { stale }));
                }
                Poll::Ready(Ok(_)) => self.heard = true,
                Poll::Pending => break,
            }
        }
        if matches!(exchange.poll_flush(cx), Poll::Ready(Err(_))) || exchange.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(AttemptError::Downstream(Reason::ClientGone)));
        }
        self.now = None;
        timer.set(deadline);
        if timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(match upload.waits_for_client {
                true => AttemptError::Downstream(Reason::BodyTimedOut),
                false => AttemptError::TimedOut,
            }));
        }
        Poll::Pending
    }

    /// Sends on; the deadline that counts while the request isn't all sent, `None` once it is.
    fn poll_upload<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        upload: &mut Upload,
        connection: &mut Connection,
    ) -> Result<Option<Instant>, AttemptError> {
        if self.sent || self.broken {
            return Ok(None);
        }
        let before = (upload.received(), connection.output.len());
        match upload.poll(cx, exchange, connection) {
            Poll::Ready(Ok(())) => self.sent = true,
            Poll::Ready(Err(UploadError::Client(reason))) => return Err(AttemptError::Downstream(reason)),
            // The endpoint may have answered and closed without reading on: its answer decides.
            Poll::Ready(Err(UploadError::Upstream(_))) => self.broken = true,
            Poll::Pending if upload.waits_for_client => {
                self.stall.progressed();
                return Ok(exchange.body_deadline());
            }
            Poll::Pending => {
                if before != (upload.received(), connection.output.len()) {
                    self.stall.progressed();
                }
                return Ok(self.stall.deadline(self.timeouts.between_bytes));
            }
        }
        Ok(None)
    }

    /// Takes heads off the front of what has come: interim ones are passed on, the final one is the answer.
    fn parse<E: Exchange>(
        &mut self,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Poll<Result<(ResponseHead, BodyLength), AttemptError>> {
        while !connection.input.is_empty() {
            let parsed = self.reader.response(connection.input.bytes(), self.head_only, &self.limits);
            let (head, length, used) = match parsed {
                Ok(Some(found)) => found,
                Ok(None) => return Poll::Pending,
                Err(reason) => return Poll::Ready(Err(AttemptError::Invalid(reason))),
            };
            connection.input.consume(used);
            self.reader = HeadReader::default();
            if self.websocket.is_some_and(|handshake| !may_answer(handshake, &head)) {
                return Poll::Ready(Err(AttemptError::Invalid(Reason::UpgradeDeclined)));
            }
            if head.status >= 200 || (head.status == 101 && self.upgrade.is_some_and(|asked| agrees(asked, &head))) {
                return Poll::Ready(Ok((head, length)));
            }
            self.interim += 1;
            if head.status == 101 || self.interim > MAX_INTERIM {
                return Poll::Ready(Err(AttemptError::Invalid(Reason::UpstreamInterim)));
            }
            // We asked for no 100; the client's own was answered when its body was first wanted.
            if head.status != 100 {
                exchange.send_interim(&head);
            }
        }
        Poll::Pending
    }
}

/// Whether a client that asked for a WebSocket over HTTP/2 may see it: a 101 that answers its handshake, which is ours to
/// check, or a refusal. Any other success would open a tunnel to an endpoint that knows of none: RFC 8441 4.
fn may_answer(handshake: &Fields, answer: &ResponseHead) -> bool {
    match answer.status {
        101 => websocket::accepts(handshake, answer),
        status => !(200..300).contains(&status),
    }
}

/// RFC 9110 7.8: a server switches to no protocol that the client hasn't named.
fn agrees(asked: &[u8], answer: &ResponseHead) -> bool {
    let mut chosen = answer.fields.get_all(FieldId::Upgrade);
    match (chosen.next(), chosen.next()) {
        (Some(chosen), None) => {
            asked.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(chosen))
        }
        _ => false,
    }
}
