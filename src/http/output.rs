//! Bytes waiting to be written: heads, framing and small pieces of body, joined so that a small message is one write.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::stream::Stream;

/// What a worker keeps for reuse.
const POOLED: usize = 256;
/// A buffer that has grown past this isn't kept.
const POOLED_BYTES: usize = 64 << 10;
const INITIAL_BYTES: usize = 4 << 10;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Holds an allocation only while bytes wait, so that an idle connection has none.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    written: usize,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// The buffer to append to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = take_buffer();
        }
        &mut self.bytes
    }

    pub fn clear(&mut self) {
        self.written = 0;
        give_buffer(std::mem::take(&mut self.bytes));
    }

    /// Writes all that waits.
    pub fn poll_write_all(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            self.written += ready!(stream.poll_write(cx, &[IoSlice::new(&self.bytes[self.written..])]))?;
        }
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Writes what waits and then some of `data`, together. Ready with how much of `data` went; at least one byte.
    pub fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.is_empty() {
                return stream.poll_write(cx, &[IoSlice::new(data)]);
            }
            let parts = [IoSlice::new(&self.bytes[self.written..]), IoSlice::new(data)];
            let waiting = self.len();
            let n = ready!(stream.poll_write(cx, &parts))?;
            if n < waiting {
                self.written += n;
                continue;
            }
            self.clear();
            if n > waiting {
                return Poll::Ready(Ok(n - waiting));
            }
        }
    }

    /// Puts what waits and as much of `data` as makes `at_most` bytes into a TLS record, which leaves with the next write.
    /// Tells how much of `data` went in: none without TLS.
    pub fn seal_with(&mut self, stream: &mut Stream, data: &[u8], at_most: usize) -> io::Result<usize> {
        let waiting = self.len();
        let part = &data[..data.len().min(at_most.saturating_sub(waiting))];
        let n = stream.seal(&[IoSlice::new(&self.bytes[self.written..]), IoSlice::new(part)])?;
        self.written += n.min(waiting);
        if self.is_empty() {
            self.clear();
        }
        Ok(n.saturating_sub(waiting))
    }
}

/// An empty buffer, from the worker's pool if it has one.
pub(super) fn take_buffer() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(INITIAL_BYTES))
}

/// Gives a buffer to the worker's pool, unless it holds nothing or has grown large.
pub(super) fn give_buffer(mut bytes: Vec<u8>) {
    if (1..=POOLED_BYTES).contains(&bytes.capacity()) {
        bytes.clear();
        // The pool may be gone already when a thread ends.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < POOLED {
                free.push(bytes);
            }
        });
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.clear();
    }
}
