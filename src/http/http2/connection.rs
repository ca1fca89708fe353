//! The state of one connection, and how it ends.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::Instant;

use super::closed::{Closed, How};
use super::frame::{self, Code, setting};
use super::ledger::Ledger;
use super::outgoing::Outgoing;
use super::streams::{Gone, Key, Streams};
use super::{CONNECTION_WINDOW, FULL, STREAM_WINDOW};
use crate::http::hpack::{Decoder, Encoder};
use crate::http::http1::HeadLimits;
use crate::http::stream;

/// What a client is held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub head: HeadLimits,
    /// Streams at once.
    pub max_streams: u32,
}

/// Why the connection ended: RFC 9113 5.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: Code,
    /// For whoever debugs the client.
    pub why: &'static str,
}

/// One connection with its streams.
pub struct Connection {
    pub(super) limits: Limits,
    pub(super) greeting: Greeting,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    /// A header section whose frames have not all come.
    pub(super) section: Option<Partial>,
    pub(super) streams: Streams,
    pub(super) out: Outgoing,
    /// The last stream that the client has opened.
    pub(super) last_stream: u32,
    pub(super) farewell: Farewell,
    fault: Option<Fault>,
    pub(super) ledger: Ledger,
    pub(super) closed: Closed,
    pub(super) send_window: i64,
    pub(super) initial_send_window: i64,
    /// Bytes that the client may still send, and that it is still to be told of.
    pub(super) receive_window: u32,
    unreported: u32,
    /// Streams whose next DATA frame waits for room, the next one first.
    pub(super) turns: VecDeque<Key>,
    waker: Option<Waker>,
    /// The connection's task needn't be woken: it is at work, or was woken already.
    attended: bool,
}

/// What must come first: RFC 9113 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    Preface,
    Settings,
    Done,
}

/// A section in the middle of its frames.
pub(super) struct Partial {
    pub(super) stream: u32,
    pub(super) ends_stream: bool,
    /// The stream would depend on itself.
    pub(super) is_circular: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) since: Instant,
}

/// How far the end of the connection has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    None,
    /// No more requests, please; those on their way are still taken: RFC 9113 6.8.
    Announced,
    /// No stream behind this one is looked at.
    Final(u32),
}

impl Connection {
    /// A new connection; what it says first already waits to be written.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let mut connection = Self {
            limits,
            greeting: Greeting::Preface,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            section: None,
            streams: Streams::default(),
            out: Outgoing::default(),
            last_stream: 0,
            farewell: Farewell::None,
            fault: None,
            ledger: Ledger::new(now),
            closed: Closed::default(),
            send_window: i64::from(frame::DEFAULT_WINDOW),
            initial_send_window: i64::from(frame::DEFAULT_WINDOW),
            receive_window: CONNECTION_WINDOW,
            unreported: 0,
            turns: VecDeque::new(),
            waker: None,
            attended: true,
        };
        let out = connection.out.buffer();
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, limits.max_streams),
            (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (setting::MAX_HEADER_LIST_SIZE, u32::try_from(limits.head.max_head_bytes).unwrap_or(u32::MAX)),
            (setting::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        frame::settings(out, &settings);
        frame::window_update(out, 0, CONNECTION_WINDOW - frame::DEFAULT_WINDOW);
        connection
    }

    /// The connection's task begins its work; it is woken again when something changes after [`Connection::rest`].
    pub fn attend(&mut self, cx: &Context<'_>) {
        self.attended = true;
        match &mut self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    /// The connection's task has done what there is to do.
    pub fn rest(&mut self) {
        self.attended = false;
    }

    /// Something is to be written, or to be looked at.
    pub(super) fn touch(&mut self) {
        if !std::mem::replace(&mut self.attended, true)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// Writes what waits, and lets streams add more.
    ///
    /// # Errors
    /// The transport's.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut stream::Stream) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let result = self.out.poll_write(cx, stream);
        self.give_turn();
        ready!(result)?;
        Poll::Ready(Ok(()))
    }

    /// Bytes that have left so far, to tell whether the client takes any.
    pub fn progress(&self) -> u64 {
        self.out.progress()
    }

    /// Nothing waits to be written.
    pub fn is_written(&self) -> bool {
        self.out.is_empty()
    }

    /// The client was told that the connection ends, and may not have read it yet.
    pub fn is_shutting_down(&self) -> bool {
        self.farewell == Farewell::Announced
    }

    /// Since when a header section has been waited for in its middle.
    pub fn waits_for_section(&self) -> Option<Instant> {
        self.section.as_ref().map(|section| section.since)
    }

    /// The client has said what it must say first.
    pub fn is_greeted(&self) -> bool {
        self.greeting == Greeting::Done
    }

    /// Streams that somebody still works on.
    pub fn active(&self) -> usize {
        self.streams.len()
    }

    /// Why the connection is over, if a rule was broken.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Nothing more comes of it but what waits to be written.
    pub fn is_over(&self) -> bool {
        self.fault.is_some() || (matches!(self.farewell, Farewell::Final(_)) && self.streams.len() == 0)
    }

    /// Tells the client to send no further requests. Those that it has sent until it reads that are still taken:
    /// [`Connection::finish_shutdown`] ends that, and so does the client's answer.
    pub fn begin_shutdown(&mut self) {
        if self.farewell == Farewell::None {
            self.farewell = Farewell::Announced;
            frame::go_away(self.out.buffer(), frame::STREAM_MASK, Code::NoError, "");
            frame::ping(self.out.buffer(), 0, SHUTDOWN_PING);
            self.touch();
        }
    }

    /// The last stream is the last one that has come.
    pub fn finish_shutdown(&mut self) {
        if !matches!(self.farewell, Farewell::Final(_)) {
            self.farewell = Farewell::Final(self.last_stream);
            frame::go_away(self.out.buffer(), self.last_stream, Code::NoError, "");
            self.touch();
        }
    }

    /// Ends the connection with all its streams.
    pub fn fail(&mut self, fault: Fault) {
        if self.fault.is_none() {
            let last = if let Farewell::Final(last) = self.farewell { last } else { self.last_stream };
            frame::go_away(self.out.buffer(), last, fault.code, fault.why);
            self.fault = Some(fault);
            self.cut();
        }
    }

    /// The transport is gone: no stream has a client any more.
    pub fn cut(&mut self) {
        self.section = None;
        self.turns.clear();
        for stream in self.streams.iter_mut() {
            stream.gone.get_or_insert(Gone::ByClient);
            stream.wake();
        }
        self.touch();
    }

    /// Nobody works on the stream any more; `untaken` bytes of its body were left. What isn't over by now is cut off.
    pub fn close(&mut self, key: Key, untaken: usize) {
        let Some(stream) = self.streams.remove(key) else { return };
        self.credit(untaken + stream.body.len());
        let mut how = How::Whole;
        if stream.gone.is_none() && !(stream.ended && stream.finished) {
            how = How::Cut;
            // RFC 9113 8.1: behind a whole response the rest of the request isn't wanted.
            let code = if stream.finished { Code::NoError } else { Code::Internal };
            frame::reset(self.out.buffer(), stream.id, code);
            self.touch();
        }
        if stream.gone.is_none() {
            self.closed.note(stream.id, how);
        }
        if stream.is_waiting {
            self.turns.retain(|waiting| *waiting != key);
            self.give_turn();
        }
        if self.streams.len() == 0 {
            self.touch();
        }
    }

    /// Breaks a stream off, unless its response is whole.
    pub fn abort(&mut self, key: Key) {
        let is_over = self.streams.get(key).is_none_or(|stream| stream.finished);
        if !is_over {
            self.reset(key, Code::Internal, Gone::ByClient);
        }
    }

    /// Resets a stream from this side.
    pub(super) fn reset(&mut self, key: Key, code: Code, why: Gone) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.gone.is_some() {
            return;
        }
        stream.gone = Some(why);
        stream.wake();
        let id = stream.id;
        self.closed.note(id, How::Cut);
        frame::reset(self.out.buffer(), id, code);
        self.touch();
    }

    /// Lets the client send as many bytes more on the connection.
    pub(super) fn credit(&mut self, bytes: usize) {
        self.unreported += bytes as u32;
        if self.unreported >= CONNECTION_WINDOW / 2 && self.fault.is_none() {
            let bytes = std::mem::take(&mut self.unreported);
            self.receive_window += bytes;
            frame::window_update(self.out.buffer(), 0, bytes);
            self.touch();
        }
    }

    /// Whether a DATA frame may be added, its stream's own window aside.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < FULL && self.send_window > 0
    }

    /// Wakes the stream whose turn it is, if there is something for it to do.
    pub(super) fn give_turn(&mut self) {
        if self.has_room()
            && let Some(next) = self.turns.front().and_then(|key| self.streams.get(*key))
        {
            next.wake();
        }
    }
}

/// Answered when the client has read what stands before it.
pub(super) const SHUTDOWN_PING: &[u8; 8] = b"shutdown";
