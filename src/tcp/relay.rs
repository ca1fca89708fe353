//! Bytes both ways until both sides have ended, one breaks off, or neither says anything for too long.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::time::Instant;

use super::record::Session;
use crate::http::splice::{PIPE_BYTES, Splice};
use crate::http::stream::{Input, READ_BUFFER_BYTES, Stream};
use crate::http::timer::Timer;
use crate::reason::Reason;

/// Both ends. Unless they have come to a proper one, they are reset when this is dropped: an end would say that all has
/// come, and what is cut must look cut.
pub(super) struct Pair<'a> {
    client: &'a mut Stream,
    endpoint: &'a mut Stream,
    reset_client: bool,
    reset_endpoint: bool,
}

impl<'a> Pair<'a> {
    pub(super) fn new(client: &'a mut Stream, endpoint: &'a mut Stream) -> Self {
        Self { client, endpoint, reset_client: true, reset_endpoint: true }
    }

    fn end(&mut self, result: Result<(), Reason>) {
        self.reset_client = result == Err(Reason::UpstreamClosed);
        self.reset_endpoint = result == Err(Reason::ClientGone);
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if self.reset_client {
            reset(self.client);
        }
        if self.reset_endpoint {
            reset(self.endpoint);
        }
    }
}

/// Relays, `early` first. Each side's end is passed on to the other, and so is a side's breaking off.
///
/// # Errors
/// A side broke off, or both were silent for `idle`.
pub(super) async fn relay(
    session: &mut Session,
    mut pair: Pair<'_>,
    early: Vec<u8>,
    idle: Duration,
) -> Result<(), Reason> {
    let mut up = Direction { early, ..Direction::default() };
    let mut down = Direction::default();
    let mut timer = Timer::new();
    timer.set_after(Instant::now(), idle);
    let mut seen = (0, false, 0, false);
    let result = poll_fn(|cx| {
        let sent = up.poll(cx, pair.client, pair.endpoint).map_err(Broken::upward);
        let received = match sent {
            Poll::Ready(Err(_)) => Poll::Pending,
            _ => down.poll(cx, pair.endpoint, pair.client).map_err(Broken::downward),
        };
        // Told as it goes: the connection may be cut at any moment.
        session.relayed(up.bytes, down.bytes);
        match (sent, received) {
            (Poll::Ready(Err(reason)), _) | (_, Poll::Ready(Err(reason))) => return Poll::Ready(Err(reason)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        let now = (up.bytes, up.closed, down.bytes, down.closed);
        if now != seen {
            seen = now;
            timer.set_after(Instant::now(), idle);
        }
        timer.poll_expired(cx).map(|()| Err(Reason::IdleTimedOut))
    })
    .await;
    pair.end(result);
    result
}

/// Makes the socket's close a reset.
fn reset(stream: &Stream) {
    // At a Unix socket there is no such thing.
    let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
}

/// Which side an error came from.
enum Broken {
    Source,
    Sink,
}

impl Broken {
    fn upward(self) -> Reason {
        match self {
            Self::Source => Reason::ClientGone,
            Self::Sink => Reason::UpstreamClosed,
        }
    }

    fn downward(self) -> Reason {
        match self {
            Self::Source => Reason::UpstreamClosed,
            Self::Sink => Reason::ClientGone,
        }
    }
}

/// One way.
#[derive(Default)]
struct Direction {
    /// Read before the relay began; given back once it is sent.
    early: Vec<u8>,
    early_sent: usize,
    input: Input,
    splice: Splice,
    /// So much comes at once that it is worth a pipe.
    bulk: bool,
    bytes: u64,
    source_ended: bool,
    closed: bool,
}

impl Direction {
    /// Ready once the source's end has been passed on.
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Stream, sink: &mut Stream) -> Poll<Result<(), Broken>> {
        while !self.closed {
            if self.has_bytes() {
                ready!(self.poll_send(cx, sink)).map_err(|_| Broken::Sink)?;
            } else if self.source_ended {
                ready!(sink.poll_flush(cx)).map_err(|_| Broken::Sink)?;
                // Whoever has closed already needn't be told.
                let _ = ready!(sink.poll_shutdown(cx));
                self.closed = true;
            } else {
                match self.poll_fill(cx, source, sink) {
                    Poll::Ready(Ok(0)) => self.source_ended = true,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Source)),
                    Poll::Pending => {
                        ready!(sink.poll_flush(cx)).map_err(|_| Broken::Sink)?;
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn has_bytes(&self) -> bool {
        !self.early.is_empty() || !self.input.is_empty() || !self.splice.is_empty()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, sink: &mut Stream) -> Poll<io::Result<()>> {
        let sent = if !self.early.is_empty() {
            let sent = ready!(sink.poll_write(cx, &[IoSlice::new(&self.early[self.early_sent..])]))?;
            self.early_sent += sent;
            if self.early_sent == self.early.len() {
                self.early = Vec::new();
            }
            sent
        } else if !self.input.is_empty() {
            let sent = ready!(sink.poll_write(cx, &[IoSlice::new(self.input.bytes())]))?;
            self.input.consume(sent);
            sent
        } else {
            ready!(self.splice.poll_drain(cx, sink.tcp()))?
        };
        self.bytes += sent as u64;
        Poll::Ready(Ok(()))
    }

    /// Through a pipe if much is coming and neither side is encrypted; else through a buffer. A small message is cheaper
    /// to copy.
    fn poll_fill(&mut self, cx: &mut Context<'_>, source: &mut Stream, sink: &Stream) -> Poll<io::Result<usize>> {
        if let (true, Some(plain), Some(_)) = (self.bulk, source.as_plain(), sink.as_plain()) {
            match ready!(self.splice.poll_fill(cx, plain, PIPE_BYTES as u64)) {
                Ok(came) => {
                    self.bulk = came >= WORTH_A_PIPE;
                    return Poll::Ready(Ok(came));
                }
                // No pipe to be had now.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let came = ready!(self.input.poll_fill(cx, source, READ_BUFFER_BYTES))?;
        self.bulk = came == READ_BUFFER_BYTES;
        Poll::Ready(Ok(came))
    }
}

/// Less at once, and the next piece is copied again.
const WORTH_A_PIPE: usize = 8 << 10;
