//! One HTTP/2 stream as its request's exchange.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream, SendStream};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::pace::Pace;
use crate::config::HttpLimits;
use crate::filter::hop_by_hop::{self, Named};
use crate::http::date;
use crate::http::field::FieldId;
use crate::http::head::{Fields, ResponseHead};
use crate::http::http1::BodyLength;
use crate::http::http1::parse::may_trail;
use crate::proxy::exchange::Exchange;
use crate::proxy::headers::{Response, passes_interim};
use crate::reason::Reason;

/// Body bytes put into one DATA frame: RFC 9113's default SETTINGS_MAX_FRAME_SIZE.
const MAX_PIECE_BYTES: usize = 16 << 10;

pub(super) struct Http2 {
    body: RecvStream,
    /// Received and not yet taken.
    piece: Bytes,
    max_body: Option<u64>,
    received: u64,
    pace: Pace,
    respond: SendResponse<Bytes>,
    send: Option<SendStream<Bytes>>,
    /// Capacity was asked for.
    has_asked: bool,
    /// The last piece, held back so that it can carry END_STREAM.
    held: Option<Bytes>,
    finished: bool,
    reset: bool,
}

impl Http2 {
    pub(super) fn new(body: RecvStream, respond: SendResponse<Bytes>, limits: &HttpLimits) -> Self {
        Self {
            body,
            piece: Bytes::new(),
            max_body: None,
            received: 0,
            pace: Pace::new(limits),
            respond,
            send: None,
            has_asked: false,
            held: None,
            finished: false,
            reset: false,
        }
    }

    /// Whether the client gave the stream up.
    pub(super) fn was_reset(&self) -> bool {
        self.reset
    }

    /// Whether the response is over, and the request's body isn't.
    pub(super) fn is_still_uploading(&self) -> bool {
        self.finished && !self.reset && !self.body.is_end_stream()
    }

    fn send_held(&mut self, end: bool) -> Result<(), Reason> {
        let Some(send) = &mut self.send else { return Ok(()) };
        match self.held.take() {
            Some(piece) => send.send_data(piece, end).map_err(|_| Reason::ClientGone),
            None if end => send.send_data(Bytes::new(), true).map_err(|_| Reason::ClientGone),
            None => Ok(()),
        }
    }

    fn header_map(response: &Response<'_>) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(response.fields.len() + 12);
        append_fields(response.fields, &mut map, |id, name| response.passes(id, name));
        if response.lacks_date() {
            let value = date::with_date(|date| HeaderValue::from_bytes(date));
            map.extend(value.ok().map(|value| (http::header::DATE, value)));
        }
        response.rules.for_each(response.fields, |name, value| {
            map.append(name, value.clone());
        });
        if let Some(standing) = response.standing {
            for (name, number) in standing.fields() {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    map.append(name, HeaderValue::from(number));
                }
            }
        }
        if let (BodyLength::Known(n), false) = (response.length, response.head_only) {
            map.append(http::header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        map
    }
}

/// Appends the fields that `passes` lets through. Values share one copy of the head's bytes.
fn append_fields(fields: &Fields, map: &mut HeaderMap, passes: impl Fn(FieldId, &[u8]) -> bool) {
    let bytes = Bytes::copy_from_slice(fields.bytes());
    for field in fields.list() {
        let name = fields.slice(field.name);
        if !passes(field.id, name) {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(bytes.slice(field.value.range()));
        let name = field.id.header_name().map_or_else(|| HeaderName::from_bytes(name), Ok);
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
}

impl Exchange for Http2 {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>> {
        while self.piece.is_empty() {
            match self.body.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    self.pace.resume();
                    self.piece = piece;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.reset = true;
                    let broken = error.reason().is_some_and(|code| code == Code::PROTOCOL_ERROR) && !error.is_remote();
                    return Poll::Ready(Err(if broken { Reason::MalformedBody } else { Reason::ClientGone }));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending => {
                    self.pace.wait();
                    return Poll::Pending;
                }
            }
        }
        if self.max_body.is_some_and(|max| self.received + self.piece.len() as u64 > max) {
            return Poll::Ready(Err(Reason::BodyTooLarge));
        }
        Poll::Ready(Ok(self.piece.len()))
    }

    fn limit_body(&mut self, max: Option<u64>) {
        self.max_body = max;
    }

    fn body(&self) -> &[u8] {
        &self.piece
    }

    fn consume_body(&mut self, n: usize) {
        self.piece.advance(n);
        self.received += n as u64;
        // Fails only for more than was received.
        let _ = self.body.flow_control().release_capacity(n);
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Ok(Some(map))) = self.body.poll_trailers(&mut cx) else { return None };
        let mut fields = Fields::default();
        for (name, value) in &map {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            if may_trail(FieldId::of(name)) {
                fields.push(name, value);
            }
        }
        Some(fields)
    }

    fn body_deadline(&self) -> Option<Instant> {
        self.pace.deadline(self.received)
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        let mut map = HeaderMap::new();
        let named = Named::of(&head.fields);
        append_fields(&head.fields, &mut map, |id, name| passes_interim(&named, id, name));
        if let Ok(status) = http::StatusCode::from_u16(head.status) {
            let mut response = http::Response::new(());
            *response.status_mut() = status;
            *response.headers_mut() = map;
            // A client that is gone shows at the final response.
            let _ = self.respond.send_informational(response);
        }
    }

    fn send_head(&mut self, response: &Response<'_>) -> usize {
        let mut head = http::Response::new(());
        *head.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        *head.headers_mut() = Self::header_map(response);
        let bytes = head.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let ends = response.head_only || response.length.is_empty();
        match self.respond.send_response(head, ends) {
            Ok(send) => self.send = Some(send),
            // Fields that HTTP/2 can't carry, or a stream that is gone already.
            Err(_) => self.respond.send_reset(Code::INTERNAL_ERROR),
        }
        self.finished = ends;
        bytes
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Reason>> {
        self.send_held(false)?;
        let Some(send) = &mut self.send else { return Poll::Ready(Err(Reason::ClientGone)) };
        let wanted = data.len().min(MAX_PIECE_BYTES);
        // Each question takes h2's lock. A stream has no capacity before it has asked for some.
        let mut capacity = if std::mem::replace(&mut self.has_asked, true) { send.capacity() } else { 0 };
        if capacity < wanted {
            send.reserve_capacity(wanted);
            capacity = send.capacity();
        }
        while capacity == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => capacity = send.capacity(),
                _ => {
                    self.reset = true;
                    return Poll::Ready(Err(Reason::ClientGone));
                }
            }
        }
        let taken = wanted.min(capacity);
        self.held = Some(Bytes::copy_from_slice(&data[..taken]));
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        Poll::Ready(self.send_held(false))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), Reason>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        self.finished = true;
        let Some(trailers) = trailers else { return Poll::Ready(self.send_held(true)) };
        self.send_held(false)?;
        let mut map = HeaderMap::new();
        append_fields(trailers, &mut map, |id, _| !hop_by_hop::RESPONSE.contains(id));
        let sent = self.send.as_mut().map(|send| send.send_trailers(map));
        Poll::Ready(sent.unwrap_or(Ok(())).map_err(|_| Reason::ClientGone))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.send {
            Some(_) if self.finished => return Poll::Pending,
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        ready!(reset).ok();
        self.reset = true;
        Poll::Ready(())
    }

    fn abort(&mut self) {
        self.held = None;
        match &mut self.send {
            Some(send) if !self.finished => send.send_reset(Code::INTERNAL_ERROR),
            Some(_) => {}
            None => self.respond.send_reset(Code::INTERNAL_ERROR),
        }
    }

    fn start_tunnel(&mut self) {}

    fn has_started(&self) -> bool {
        self.send.is_some()
    }
}
