//! The request body on its way to an endpoint, kept within a bound so that another attempt can send it again.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;

use super::exchange::Exchange;
use super::headers::{encode_trailers, passes_upstream};
use super::http2::poll_send;
use super::local::Pinned;
use crate::http::head::Fields;
use crate::http::http1::BodyLength;
use crate::reason::Reason;
use crate::route::RouteIndex;
use crate::upstream::connection::Connection;

/// How much may wait to be written before the client is read again.
const MAX_WAITING_BYTES: usize = 64 << 10;

/// One request's body over all its attempts.
pub struct Upload {
    length: BodyLength,
    /// What was read from the client so far, while it is within the bound.
    replay: Option<Vec<u8>>,
    max_replay: usize,
    /// How much of `replay` this attempt has sent.
    replayed: usize,
    received: u64,
    /// The client has sent all.
    ended: bool,
    trailers: Option<Fields>,
    snapshot: Rc<Pinned>,
    route: Option<RouteIndex>,
    /// The end was framed on this attempt.
    closed: bool,
    /// Whether the last poll was waiting for the client, not for the endpoint.
    pub waits_for_client: bool,
}

/// What comes next of a body.
pub enum Piece<'a> {
    Data(&'a [u8]),
    End(Option<&'a Fields>),
}

/// Whose side an upload failed on.
#[derive(Debug)]
pub enum UploadError {
    Client(Reason),
    Upstream(io::Error),
}

impl Upload {
    pub fn new(length: BodyLength, max_replay: usize, snapshot: Rc<Pinned>, route: Option<RouteIndex>) -> Self {
        let ended = length.is_empty();
        Self {
            length,
            replay: Some(Vec::new()),
            max_replay,
            replayed: 0,
            received: 0,
            ended,
            trailers: None,
            snapshot,
            route,
            closed: ended,
            waits_for_client: false,
        }
    }

    pub fn length(&self) -> BodyLength {
        self.length
    }

    /// Body bytes taken from the client.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether another attempt can send the same body.
    pub fn can_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// Goes back to the start for another attempt.
    pub fn rewind(&mut self) {
        self.replayed = 0;
        self.closed = self.length.is_empty();
    }

    /// Nothing is kept any more: a response has begun.
    pub fn forget_replay(&mut self) {
        if self.replay.as_ref().is_some_and(|replay| self.replayed == replay.len()) {
            self.replay = None;
        }
    }

    /// Moves body from the client to the endpoint; ready when all of it, and what waited before it, is written.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut impl Exchange,
        upstream: &mut Connection,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            self.waits_for_client = false;
            if !self.closed && upstream.output.len() < MAX_WAITING_BYTES {
                match self.poll_take(cx, exchange, upstream) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(reason)) => return Poll::Ready(Err(UploadError::Client(reason))),
                    Poll::Pending => self.waits_for_client = true,
                }
            }
            if !upstream.output.is_empty() {
                match upstream.output.poll_write_all(cx, &mut upstream.stream) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(UploadError::Upstream(error))),
                    Poll::Pending => {
                        self.waits_for_client = false;
                        return Poll::Pending;
                    }
                }
                if !self.closed && !self.waits_for_client {
                    continue;
                }
            }
            return match upstream.stream.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.closed => Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(UploadError::Upstream(error))),
                Poll::Pending => {
                    self.waits_for_client = false;
                    Poll::Pending
                }
            };
        }
    }

    /// [`poll`](Upload::poll) onto an HTTP/2 stream: as much as its flow control has room for.
    pub fn poll_http2(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut impl Exchange,
        send: &mut SendStream<Bytes>,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            self.waits_for_client = false;
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            let mut sent = Poll::Ready(Ok(0));
            let polled = self.poll_piece(cx, exchange, |cx, piece| {
                sent = poll_send(cx, send, piece);
                if let Poll::Ready(Ok(taken)) = sent { taken } else { 0 }
            });
            match (polled, sent) {
                (_, Poll::Ready(Err(error))) => {
                    return Poll::Ready(Err(UploadError::Upstream(io::Error::other(error))));
                }
                (Poll::Ready(Ok(())), _) => {}
                (Poll::Ready(Err(reason)), _) => return Poll::Ready(Err(UploadError::Client(reason))),
                (Poll::Pending, sent) => {
                    self.waits_for_client = sent.is_ready();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Frames the next piece into the endpoint's output.
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut impl Exchange,
        upstream: &mut Connection,
    ) -> Poll<Result<(), Reason>> {
        let (length, out) = (self.length, upstream.output.buffer());
        self.poll_piece(cx, exchange, |_, piece| {
            match piece {
                Piece::Data(data) => {
                    frame(length, data, out);
                    return data.len();
                }
                Piece::End(trailers) if length == BodyLength::Chunked => {
                    out.extend_from_slice(b"0\r\n");
                    encode_trailers(trailers, out);
                }
                Piece::End(_) => {}
            }
            0
        })
    }

    /// Hands `take` the next piece, replayed or new; it tells how much of it it took, and is not asked again after the
    /// end. Ready if something was taken, or the end was.
    #[inline]
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut impl Exchange,
        take: impl FnOnce(&mut Context<'_>, Piece<'_>) -> usize,
    ) -> Poll<Result<(), Reason>> {
        if let Some(rest) = self.replay.as_ref().and_then(|r| r.get(self.replayed..)).filter(|r| !r.is_empty()) {
            let taken = take(cx, Piece::Data(rest));
            self.replayed += taken;
            return if taken > 0 { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let piece = if self.ended { 0 } else { std::task::ready!(exchange.poll_body(cx))? };
        if piece == 0 {
            if !self.ended {
                self.ended = true;
                self.trailers = exchange.take_trailers();
                if let Some(trailers) = &mut self.trailers {
                    let rules = self.snapshot.request_rules(self.route);
                    trailers.retain(|id, name, _| passes_upstream(id, name, rules));
                }
            }
            self.closed = true;
            take(cx, Piece::End(self.trailers.as_ref()));
            return Poll::Ready(Ok(()));
        }
        let data = exchange.body();
        let taken = take(cx, Piece::Data(data));
        let data = data.get(..taken).unwrap_or_default();
        if data.is_empty() {
            return Poll::Pending;
        }
        match &mut self.replay {
            Some(replay) if replay.len() + data.len() <= self.max_replay => {
                replay.extend_from_slice(data);
                self.replayed = replay.len();
            }
            replay => *replay = None,
        }
        self.received += taken as u64;
        exchange.consume_body(taken);
        Poll::Ready(Ok(()))
    }
}

fn frame(length: BodyLength, data: &[u8], out: &mut Vec<u8>) {
    if length == BodyLength::Chunked {
        push_chunk_size(data.len(), out);
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(data);
    }
}

/// A chunk's size line: RFC 9112 7.1.
pub fn push_chunk_size(size: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (size >> (place * 4)) & 0xf;
        out.push(b"0123456789abcdef"[digit]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_plain_hexadecimal() {
        for (size, line) in [(0, "0\r\n"), (9, "9\r\n"), (16, "10\r\n"), (0xabcdef, "abcdef\r\n")] {
            let mut out = Vec::new();
            push_chunk_size(size, &mut out);
            assert_eq!(out, line.as_bytes());
        }
    }
}
