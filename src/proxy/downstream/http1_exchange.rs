//! The HTTP/1 connection as one request's exchange.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pace::Pace;
use crate::config::HttpLimits;
use crate::http::field::FieldId;
use crate::http::head::{Fields, RequestHead, ResponseHead, Version};
use crate::http::http1::{BodyLength, BodyReader, Step};
use crate::http::output::Output;
use crate::http::stream::{Input, READ_BUFFER_BYTES, Stream};
use crate::proxy::exchange::Exchange;
use crate::proxy::headers::{Http1Framing, Response, encode_interim, encode_response, encode_trailers, names_token};
use crate::proxy::local::Local;
use crate::proxy::upload::push_chunk_size;
use crate::reason::Reason;

/// Response bytes held back to leave in one write.
const HELD_BYTES: usize = 8 << 10;

/// The first TLS record of a long response, its head included: it is whole, and can be read, with the first flight of a
/// connection that has sent little so far (10 segments, RFC 6928). A record of 16 KiB would take another round trip.
const FIRST_RECORD_BYTES: usize = 12 << 10;

/// A connection, and the state of the request that it is in.
pub(super) struct Http1 {
    local: Rc<Local>,
    pub(super) stream: Stream,
    pub(super) input: Input,
    pub(super) output: Output,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
    body: BodyReader,
    max_body: Option<u64>,
    received: u64,
    pace: Pace,
    /// The client waits for a 100 before it sends its body.
    wants_continue: bool,
    client: Version,
    sending: Sending,
    started: bool,
    /// No byte of the body has been written.
    leads: bool,
    /// The response ended where it should.
    finished: bool,
    tunnel: bool,
    /// The client's side has shown something while a response was awaited: no reset, so no more looking.
    looked: bool,
}

/// How the response body is framed.
enum Sending {
    /// As it is: Content-Length, the connection's end, or no body at all.
    Plain { until_close: bool },
    /// `left` bytes of the current chunk are still to be handed over.
    Chunked { left: usize },
}

impl Http1 {
    pub(super) fn new(local: Rc<Local>, stream: Stream) -> Self {
        Self {
            local,
            stream,
            input: Input::default(),
            output: Output::default(),
            keep_alive: true,
            body: BodyReader::new(BodyLength::Known(0)),
            max_body: None,
            received: 0,
            pace: Pace::any(),
            wants_continue: false,
            client: Version::Http11,
            sending: Sending::Plain { until_close: false },
            started: false,
            leads: false,
            finished: false,
            tunnel: false,
            looked: false,
        }
    }

    /// Starts the exchange of one request. `last` ends the connection after it.
    pub(super) fn begin(&mut self, head: &RequestHead, length: BodyLength, limits: &HttpLimits, last: bool) {
        self.client = head.version;
        self.keep_alive = !last
            && match head.version {
                Version::Http10 => names_token(&head.fields, b"keep-alive") && !names_token(&head.fields, b"close"),
                _ => !names_token(&head.fields, b"close"),
            };
        self.body = BodyReader::new(length);
        self.max_body = None;
        self.received = 0;
        self.pace = Pace::new(limits);
        self.wants_continue =
            head.version == Version::Http11 && !length.is_empty() && head.fields.contains(FieldId::Expect);
        self.sending = Sending::Plain { until_close: false };
        self.started = false;
        self.finished = false;
        self.looked = false;
    }

    /// Whether the request's body has been read to its end.
    pub(super) fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Whether the client was shown a complete response.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the connection's end would be taken for the end of a response that was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.started && !self.finished && matches!(self.sending, Sending::Plain { until_close: true })
    }

    fn fail(&mut self, reason: Reason) -> Poll<Result<usize, Reason>> {
        self.keep_alive = false;
        Poll::Ready(Err(reason))
    }

    /// Lets the last of a response and TLS's end leave in one write.
    fn seal_end(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.output.seal_with(&mut self.stream, &[], 0)?;
        }
        if self.output.is_empty() {
            self.stream.seal_end();
        }
        Ok(())
    }

    fn answer_expectation(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.wants_continue = false;
        if !self.started {
            self.output.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            if let Poll::Ready(result) = self.output.poll_write_all(cx, &mut self.stream) {
                result?;
            }
            if let Poll::Ready(result) = self.stream.poll_flush(cx) {
                result?;
            }
        }
        Ok(())
    }
}

impl Exchange for Http1 {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>> {
        loop {
            match self.body.next(self.input.bytes()) {
                Ok(Step::Data(n)) => {
                    if self.max_body.is_some_and(|max| self.received + n as u64 > max) {
                        return self.fail(Reason::BodyTooLarge);
                    }
                    self.wants_continue = false;
                    return Poll::Ready(Ok(n));
                }
                Ok(Step::Skip(n)) => self.input.consume(n),
                Ok(Step::End) => return Poll::Ready(Ok(0)),
                Err(_) => return self.fail(Reason::MalformedBody),
                Ok(Step::More) => {
                    if self.wants_continue && self.input.is_empty() && self.answer_expectation(cx).is_err() {
                        return self.fail(Reason::ClientGone);
                    }
                    match self.input.poll_fill(cx, &mut self.stream, READ_BUFFER_BYTES) {
                        Poll::Ready(Ok(0)) if self.body.may_end_now() => return Poll::Ready(Ok(0)),
                        Poll::Ready(Ok(0) | Err(_)) => return self.fail(Reason::ClientGone),
                        Poll::Ready(Ok(_)) => self.pace.resume(),
                        Poll::Pending => {
                            self.pace.wait();
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }

    fn limit_body(&mut self, max: Option<u64>) {
        self.max_body = max;
    }

    fn body(&self) -> &[u8] {
        let bytes = self.input.bytes();
        &bytes[..self.body.available(bytes.len())]
    }

    fn consume_body(&mut self, n: usize) {
        self.body.advance(n);
        self.input.consume(n);
        self.received += n as u64;
    }

    fn take_trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }

    fn body_deadline(&self) -> Option<Instant> {
        self.pace.deadline(self.received)
    }

    fn send_interim(&mut self, head: &ResponseHead) {
        // RFC 9110 15.2: never to an HTTP/1.0 client.
        if self.client == Version::Http11 {
            encode_interim(head.status, &head.fields, self.output.buffer());
        }
    }

    fn send_head(&mut self, response: &Response<'_>) -> usize {
        self.started = true;
        self.leads = true;
        let length = match response.length {
            BodyLength::Known(n) => BodyLength::Known(n),
            _ if self.client == Version::Http10 => BodyLength::UntilClose,
            _ => BodyLength::Chunked,
        };
        let until_close = length == BodyLength::UntilClose && !response.head_only;
        // A body that was announced and never asked for may or may not come.
        // Neither may what is left of a body that was refused. A drain may have begun since the request came.
        let refused_body = matches!(response.status, 408 | 413) && !self.body.is_done();
        if until_close || self.wants_continue || refused_body || self.local.is_draining() {
            self.keep_alive = false;
        }
        if until_close {
            // Its end is the connection's: until it is whole, a close must not look like one, however it comes about.
            let _ = self.stream.tcp().set_zero_linger();
        }
        self.sending = match length {
            BodyLength::Chunked if !response.head_only => Sending::Chunked { left: 0 },
            _ => Sending::Plain { until_close },
        };
        let framing = Http1Framing { length, version: self.client, keep_alive: self.keep_alive };
        let before = self.output.len();
        encode_response(response, framing, self.output.buffer());
        self.output.len() - before
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Reason>> {
        let mut part = data;
        if let Sending::Chunked { left } = &mut self.sending {
            if *left == 0 {
                *left = data.len();
                push_chunk_size(data.len(), self.output.buffer());
            }
            part = &data[..data.len().min(*left)];
        }
        let taken = if self.output.len() + part.len() <= HELD_BYTES {
            self.output.buffer().extend_from_slice(part);
            part.len()
        } else {
            let sealed = match std::mem::take(&mut self.leads) {
                true => self.output.seal_with(&mut self.stream, part, FIRST_RECORD_BYTES),
                false => Ok(0),
            };
            match sealed.map_err(|_| Reason::ClientGone)? {
                0 => ready!(self.output.poll_write_with(cx, &mut self.stream, part)).map_err(|_| Reason::ClientGone)?,
                sealed => sealed,
            }
        };
        if let Sending::Chunked { left } = &mut self.sending {
            *left -= taken;
            if *left == 0 {
                self.output.buffer().extend_from_slice(b"\r\n");
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn bare_socket(&self) -> Option<&TcpStream> {
        match (&self.sending, &self.stream) {
            (Sending::Plain { .. }, Stream::Tcp(tcp)) if self.output.is_empty() => Some(tcp),
            _ => None,
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        if self.output.is_empty() && matches!(self.stream, Stream::Tcp(_)) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.output.poll_write_all(cx, &mut self.stream)).map_err(|_| Reason::ClientGone)?;
        self.stream.poll_flush(cx).map_err(|_| Reason::ClientGone)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), Reason>> {
        if let Sending::Chunked { .. } = self.sending {
            let out = self.output.buffer();
            out.extend_from_slice(b"0\r\n");
            encode_trailers(trailers, out);
            self.sending = Sending::Plain { until_close: false };
        }
        if !self.keep_alive && matches!(self.stream, Stream::Tls(_)) {
            self.seal_end().map_err(|_| Reason::ClientGone)?;
        }
        ready!(self.poll_flush(cx))?;
        if matches!(self.sending, Sending::Plain { until_close: true }) {
            let _ = SockRef::from(self.stream.tcp()).set_linger(None);
        }
        if self.tunnel {
            ready!(self.stream.poll_shutdown(cx)).map_err(|_| Reason::ClientGone)?;
        }
        self.finished = true;
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.looked || !self.body.is_done() || !self.input.is_empty() {
            return Poll::Pending;
        }
        match self.stream.poll_readable(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(reset) => {
                self.looked = true;
                if reset { Poll::Ready(()) } else { Poll::Pending }
            }
        }
    }

    fn abort(&mut self) {
        self.keep_alive = false;
    }

    fn end_connection(&mut self) {
        self.keep_alive = false;
    }

    fn start_tunnel(&mut self) {
        self.keep_alive = false;
        self.body = BodyReader::new(BodyLength::UntilClose);
        self.tunnel = true;
        self.max_body = None;
        self.pace = Pace::any();
        self.sending = Sending::Plain { until_close: false };
    }

    fn has_started(&self) -> bool {
        self.started
    }
}
