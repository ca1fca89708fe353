//! A worker's end of the access log: lines are formatted into a buffer, and whole buffers change hands.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::AccessLog;
use super::record::Record;
use super::stamp::Stamp;
use super::writer::{Batch, Message};

/// One worker's buffer of log lines. Dropping it hands over what is left.
///
/// It owns a fixed number of buffers that go round between it and the writer. Without a free one the writer is behind,
/// and lines are dropped and counted rather than waited for.
pub struct LogBuffer {
    log: Arc<AccessLog>,
    stamp: Stamp,
    lines: Vec<u8>,
    count: u64,
    spares: Receiver<Vec<u8>>,
    /// The way back for buffers handed over.
    home: SyncSender<Vec<u8>>,
}

impl LogBuffer {
    pub(super) fn new(log: Arc<AccessLog>) -> Self {
        let (home, spares) = sync_channel(SPARES);
        for _ in 0..SPARES {
            // There is room for all of them.
            let _ = home.try_send(Vec::with_capacity(CAPACITY));
        }
        Self { log, stamp: Stamp::new(), lines: Vec::with_capacity(CAPACITY), count: 0, spares, home }
    }

    /// Appends a line. Never waits; drops the line, and counts that, if the writer is behind.
    pub fn write(&mut self, record: &Record<'_>) {
        if self.lines.len() >= HAND_OVER {
            self.flush();
            if self.lines.len() >= HAND_OVER {
                self.log.shared.dropped.fetch_add(1, Relaxed);
                return;
            }
        }
        self.log.format.write(record, &mut self.stamp, &mut self.lines);
        self.count += 1;
    }

    /// Hands over what was written, so that it reaches the log soon. For a worker's tick, every 100 ms to 1 s. If the
    /// writer is behind, it is kept for the next call.
    pub fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if let Ok(empty) = self.spares.try_recv() {
            self.hand_over(empty);
        }
    }

    fn hand_over(&mut self, empty: Vec<u8>) {
        let lines = mem::replace(&mut self.lines, empty);
        let batch = Batch { lines, count: mem::take(&mut self.count), home: self.home.clone() };
        match self.log.queue.try_send(Message::Lines(batch)) {
            Ok(()) => {}
            Err(TrySendError::Full(Message::Lines(batch))) => {
                self.count = batch.count;
                let _ = self.home.try_send(mem::replace(&mut self.lines, batch.lines));
            }
            Err(TrySendError::Disconnected(Message::Lines(batch))) => {
                self.log.shared.dropped.fetch_add(batch.count, Relaxed);
                batch.give_back();
            }
            Err(_) => {}
        }
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        // The last lines go even if the writer is behind: there is no further one to make room for.
        if !self.lines.is_empty() {
            self.hand_over(Vec::new());
        }
        self.log.shared.dropped.fetch_add(self.count, Relaxed);
    }
}

/// Bytes a buffer is made for. One long line may outgrow it; [`Batch::give_back`] undoes that.
pub(super) const CAPACITY: usize = 64 << 10;
/// From this length a buffer is handed over without waiting for the tick; what is left of it holds a usual line.
const HAND_OVER: usize = CAPACITY - (4 << 10);
/// Buffers beside the one being filled: 256 KiB a worker in all.
const SPARES: usize = 3;
