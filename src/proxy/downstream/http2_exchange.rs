//! One HTTP/2 stream as its request's exchange.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::pace::Pace;
use crate::config::HttpLimits;
use crate::filter::hop_by_hop::{self, Named};
use crate::http::date;
use crate::http::field::FieldId;
use crate::http::head::{Fields, ResponseHead};
use crate::http::hpack::Repeats;
use crate::http::http1::BodyLength;
use crate::http::http2::frame::Code;
use crate::http::http2::{Connection, Gone, Key, websocket};
use crate::proxy::exchange::Exchange;
use crate::proxy::headers::{Response, passes_interim};
use crate::reason::Reason;

/// A stream of a connection. Dropping it gives the stream's place back, and resets what isn't over.
pub(super) struct Http2 {
    connection: Rc<RefCell<Connection>>,
    key: Key,
    /// Received, of which `taken` bytes were taken.
    piece: Vec<u8>,
    taken: usize,
    max_body: Option<u64>,
    received: u64,
    pace: Pace,
    started: bool,
    finished: bool,
}

impl Http2 {
    pub(super) fn new(connection: Rc<RefCell<Connection>>, key: Key) -> Self {
        Self {
            connection,
            key,
            piece: Vec::new(),
            taken: 0,
            max_body: None,
            received: 0,
            pace: Pace::any(),
            started: false,
            finished: false,
        }
    }

    /// Holds the body to the listener's pace from now on.
    pub(super) fn begin(&mut self, limits: &HttpLimits) {
        self.pace = Pace::new(limits);
    }

    /// Whether the response is over, and the request's body isn't.
    pub(super) fn is_still_uploading(&self) -> bool {
        self.finished && !self.connection.borrow().has_ended(self.key)
    }

    /// Ends the stream without an answer.
    pub(super) fn refuse(&self, code: Code) {
        self.connection.borrow_mut().refuse_stream(self.key, code);
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.borrow_mut().close(self.key, self.piece.len() - self.taken);
    }
}

impl Exchange for Http2 {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>> {
        if self.taken == self.piece.len() {
            self.piece = Vec::new();
            self.taken = 0;
            match self.connection.borrow_mut().poll_body(self.key, cx, &mut self.piece) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(_)) => self.pace.resume(),
                Poll::Ready(Err(Gone::ByClient)) => return Poll::Ready(Err(Reason::ClientGone)),
                Poll::Ready(Err(Gone::Malformed)) => return Poll::Ready(Err(Reason::MalformedBody)),
                Poll::Pending => {
                    self.pace.wait();
                    return Poll::Pending;
                }
            }
        }
        let waiting = self.piece.len() - self.taken;
        if self.max_body.is_some_and(|max| self.received + waiting as u64 > max) {
            return Poll::Ready(Err(Reason::BodyTooLarge));
        }
        Poll::Ready(Ok(waiting))
    }

    fn limit_body(&mut self, max: Option<u64>) {
        self.max_body = max;
    }

    fn body(&self) -> &[u8] {
        self.piece.get(self.taken..).unwrap_or_default()
    }

    fn consume_body(&mut self, n: usize) {
        self.taken = (self.taken + n).min(self.piece.len());
        self.received += n as u64;
        self.connection.borrow_mut().consume(self.key, n);
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.connection.borrow_mut().take_trailers(self.key)
    }

    fn body_deadline(&self) -> Option<Instant> {
        self.pace.deadline(self.received)
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        let named = Named::of(&head.fields);
        let mut connection = self.connection.borrow_mut();
        // A client that is gone shows at the final response.
        let Some(mut section) = connection.begin_section(self.key, head.status, false) else { return };
        for (id, name, value) in head.fields.iter() {
            if passes_interim(&named, id, name) {
                section.field(id, name, value, Repeats::Perhaps);
            }
        }
        section.finish();
    }

    fn send_head(&mut self, response: &Response<'_>) -> usize {
        self.started = true;
        self.finished = (response.head_only || response.length.is_empty()) && response.upgrade.is_none();
        let mut connection = self.connection.borrow_mut();
        let Some(mut section) = connection.begin_section(self.key, response.status, self.finished) else { return 0 };
        for (id, name, value) in response.fields.iter() {
            if response.passes(id, name) && !(response.upgrade.is_some() && websocket::is_of_http1(name)) {
                section.field(id, name, value, Repeats::Perhaps);
            }
        }
        if response.lacks_date() {
            date::with_date(|date| section.field(FieldId::Date, FieldId::Date.name().as_bytes(), date, Repeats::Often));
        }
        response.rules.for_each(response.fields, |id, name, value| section.field(id, name, value, Repeats::Often));
        let mut digits = itoa::Buffer::new();
        if let Some(standing) = response.standing {
            for (name, number) in standing.fields() {
                section.field(FieldId::Other, name.as_bytes(), digits.format(number).as_bytes(), Repeats::Perhaps);
            }
        }
        if let (BodyLength::Known(n), false, None) = (response.length, response.head_only, response.upgrade) {
            let name = FieldId::ContentLength.name().as_bytes();
            section.field(FieldId::ContentLength, name, digits.format(n).as_bytes(), Repeats::Perhaps);
        }
        section.finish()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Reason>> {
        self.connection.borrow_mut().poll_data(self.key, cx, data).map_err(|_| Reason::ClientGone)
    }

    /// What is held back is the connection's, and leaves with whatever other streams have.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), Reason>> {
        if std::mem::replace(&mut self.finished, true) {
            return Poll::Ready(Ok(()));
        }
        let mut connection = self.connection.borrow_mut();
        let Some(trailers) = trailers else {
            connection.end(self.key);
            return Poll::Ready(Ok(()));
        };
        let Some(mut section) = connection.begin_section(self.key, 0, true) else {
            return Poll::Ready(Err(Reason::ClientGone));
        };
        for (id, name, value) in trailers.iter() {
            if !hop_by_hop::RESPONSE.contains(id) {
                section.field(id, name, value, Repeats::Perhaps);
            }
        }
        section.finish();
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.finished {
            return Poll::Pending;
        }
        self.connection.borrow_mut().poll_gone(self.key, cx)
    }

    fn abort(&mut self) {
        self.connection.borrow_mut().abort(self.key);
    }

    fn start_tunnel(&mut self) {
        self.max_body = None;
        self.pace = Pace::any();
    }

    fn has_started(&self) -> bool {
        self.started
    }
}
