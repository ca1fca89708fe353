//! Frames on their way out, in the order in which they leave.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::frame::flag;
use crate::http::output::{give_buffer, take_buffer};
use crate::http::stream::Stream;

/// Holds an allocation only while frames wait, so that an idle connection has none.
#[derive(Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that have left before those in `bytes`.
    before: u64,
    /// TLS may still hold something of what was written.
    unflushed: bool,
}

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && !self.unflushed
    }

    /// Bytes that have been handed to the transport.
    pub(super) fn progress(&self) -> u64 {
        self.before + self.written as u64
    }

    /// The buffer to append frames to.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = take_buffer();
        }
        if self.written >= COMPACT_FROM {
            self.bytes.drain(..self.written);
            self.before += self.written as u64;
            self.written = 0;
        }
        if self.bytes.len() >= STEP && self.bytes.capacity() - self.bytes.len() < STEP {
            // By doubling it would come to hold twice its bound.
            self.bytes.reserve_exact(STEP);
        }
        &mut self.bytes
    }

    /// Where the next frame will begin, for [`Outgoing::end_stream`].
    pub(super) fn position(&self) -> u64 {
        self.before + self.bytes.len() as u64
    }

    /// Gives the DATA frame that begins at `position` its END_STREAM, if it is all here.
    pub(super) fn end_stream(&mut self, position: u64) -> bool {
        let start =
            position.checked_sub(self.before).map(|start| start as usize).filter(|start| *start >= self.written);
        let flags = start.and_then(|start| self.bytes.get_mut(start + 4));
        flags.map(|flags| *flags |= flag::END_STREAM).is_some()
    }

    /// Takes what waits, as if it had been written.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Vec<u8> {
        let bytes = self.bytes.split_off(self.written);
        self.before += (self.written + bytes.len()) as u64;
        self.written = 0;
        self.bytes.clear();
        bytes
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Writes all that waits.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let n = ready!(stream.poll_write(cx, &[IoSlice::new(&self.bytes[self.written..])]))?;
            self.written += n;
            self.unflushed = true;
        }
        self.before += self.bytes.len() as u64;
        self.written = 0;
        give_buffer(std::mem::take(&mut self.bytes));
        if self.unflushed {
            ready!(stream.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// How a large buffer grows: by what a frame may have.
const STEP: usize = (16 << 10) + 9;

/// Written bytes in front of what waits, past which they are given up.
const COMPACT_FROM: usize = 16 << 10;
