//! What a stream's task takes from its connection, and gives it.

use std::task::{Context, Poll};

use super::STREAM_WINDOW;
use super::connection::Connection;
use super::frame::{self, Code, Kind, flag};
use super::ledger;
use super::streams::{Gone, Key};
use crate::http::field::FieldId;
use crate::http::head::Fields;
use crate::http::hpack::Repeats;

impl Connection {
    /// Takes what has come of a request's body as `piece`; 0 is the end.
    ///
    /// # Errors
    /// Nothing more comes.
    pub fn poll_body(&mut self, key: Key, cx: &Context<'_>, piece: &mut Vec<u8>) -> Poll<Result<usize, Gone>> {
        let Some(stream) = self.streams.get_mut(key) else { return Poll::Ready(Err(Gone::ByClient)) };
        if !stream.body.is_empty() {
            *piece = std::mem::take(&mut stream.body);
            return Poll::Ready(Ok(piece.len()));
        }
        match stream.gone {
            Some(gone) => Poll::Ready(Err(gone)),
            None if stream.ended => Poll::Ready(Ok(0)),
            None => {
                stream.register(cx);
                Poll::Pending
            }
        }
    }

    /// The request's trailers, once its body has ended.
    pub fn take_trailers(&mut self, key: Key) -> Option<Fields> {
        self.streams.get_mut(key)?.trailers.take()
    }

    /// Lets the client send as many bytes more: so many of a body were taken on.
    pub fn consume(&mut self, key: Key, bytes: usize) {
        self.credit(bytes);
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.unreported += bytes as u32;
        if stream.unreported >= STREAM_WINDOW / 2 && !stream.ended && stream.gone.is_none() {
            let bytes = std::mem::take(&mut stream.unreported);
            stream.receive_window += bytes;
            let id = stream.id;
            frame::window_update(self.out.buffer(), id, bytes);
            self.touch();
        }
    }

    /// Whether the client has sent all of its request.
    pub fn has_ended(&self, key: Key) -> bool {
        self.streams.get(key).is_none_or(|stream| stream.ended || stream.gone.is_some())
    }

    /// Ready when the client has given the stream up, or broke the rules on it.
    pub fn poll_gone(&mut self, key: Key, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(key) {
            Some(stream) if stream.gone.is_none() => {
                stream.register(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Begins a header section; `end` ends the stream with it. `status` of 0 is for trailers. `None`: the stream is gone.
    pub fn begin_section(&mut self, key: Key, status: u16, end: bool) -> Option<HeadWriter<'_>> {
        let stream = self.streams.get_mut(key).filter(|stream| stream.gone.is_none() && !stream.finished)?;
        stream.finished = end;
        let id = stream.id;
        let flags = if end { flag::END_HEADERS | flag::END_STREAM } else { flag::END_HEADERS };
        let out = self.out.buffer();
        let start = frame::begin(out, Kind::Headers, flags, id);
        self.encoder.begin(out);
        if status != 0 {
            self.encoder.status(status, out);
        }
        Some(HeadWriter { connection: self, start, stream: id, bytes: 0 })
    }

    /// Takes some of `data` into a DATA frame: at least one byte. Streams take turns, a frame each.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn poll_data(&mut self, key: Key, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize, Gone>> {
        let has_room = self.has_room() && self.turns.front().is_none_or(|next| *next == key);
        let Some(stream) = self.streams.get_mut(key) else { return Poll::Ready(Err(Gone::ByClient)) };
        if let Some(gone) = stream.gone {
            return Poll::Ready(Err(gone));
        }
        stream.register(cx);
        let window = usize::try_from(stream.send_window).unwrap_or(0);
        if window == 0 {
            // It waits for its own window, and lets others have their turns.
            if std::mem::take(&mut stream.is_waiting) {
                self.turns.retain(|waiting| *waiting != key);
                self.give_turn();
            }
            return Poll::Pending;
        }
        if !has_room {
            if !std::mem::replace(&mut stream.is_waiting, true) {
                self.turns.push_back(key);
            }
            return Poll::Pending;
        }
        let size = data.len().min(frame::DEFAULT_MAX_FRAME).min(window).min(self.send_window as usize);
        stream.send_window -= size as i64;
        self.send_window -= size as i64;
        let id = stream.id;
        let out = self.out.buffer();
        let start = frame::begin(out, Kind::Data, 0, id);
        out.extend_from_slice(&data[..size]);
        frame::finish(out, start);
        stream.last_data = Some(self.out.position() - (size + frame::HEAD) as u64);
        if std::mem::take(&mut stream.is_waiting) {
            self.turns.pop_front();
        }
        self.ledger.earn(ledger::BY_DATA);
        self.give_turn();
        self.touch();
        Poll::Ready(Ok(size))
    }

    /// Ends a response: with its last DATA frame if that is still here.
    pub fn end(&mut self, key: Key) {
        let Some(stream) = self.streams.get_mut(key).filter(|s| s.gone.is_none() && !s.finished) else { return };
        stream.finished = true;
        if !stream.last_data.is_some_and(|position| self.out.end_stream(position)) {
            frame::begin(self.out.buffer(), Kind::Data, flag::END_STREAM, stream.id);
        }
        self.touch();
    }

    /// Ends a stream without an answer.
    pub fn refuse_stream(&mut self, key: Key, code: Code) {
        self.reset(key, code, Gone::Malformed);
    }
}

/// A header section that is being written.
pub struct HeadWriter<'a> {
    connection: &'a mut Connection,
    start: usize,
    stream: u32,
    bytes: usize,
}

impl HeadWriter<'_> {
    /// Appends a field; its name may be in any case, `id` is [`FieldId::of`] it.
    pub fn field(&mut self, id: FieldId, name: &[u8], value: &[u8], repeats: Repeats) {
        self.bytes += name.len() + value.len();
        self.connection.encoder.field(id, name, value, repeats, self.connection.out.buffer());
    }

    /// Ends the section; tells how many bytes its names and values have.
    pub fn finish(self) -> usize {
        let out = self.connection.out.buffer();
        let end = self.start + frame::HEAD + frame::DEFAULT_MAX_FRAME;
        if out.len() > end {
            split(out, self.start, self.stream);
        } else {
            frame::finish(out, self.start);
        }
        self.connection.touch();
        self.bytes
    }
}

/// Cuts a section that is too long for one frame: RFC 9113 6.10.
fn split(out: &mut Vec<u8>, start: usize, stream: u32) {
    let rest = out.split_off(start + frame::HEAD + frame::DEFAULT_MAX_FRAME);
    out[start + 4] &= !flag::END_HEADERS;
    frame::finish(out, start);
    let mut pieces = rest.chunks(frame::DEFAULT_MAX_FRAME).peekable();
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
        let at = frame::begin(out, Kind::Continuation, flags, stream);
        out.extend_from_slice(piece);
        frame::finish(out, at);
    }
}
