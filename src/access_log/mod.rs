//! The access log: one line a request.
//!
//! Owns the [forms](format) of a line, the workers' buffers and the thread that writes them. Never makes a request
//! wait: what can't be written in time is dropped and counted.

mod buffer;
mod format;
mod record;
mod stamp;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::config;
use format::Format;
use writer::{Message, Shared, Sink, Writer};

pub use buffer::LogBuffer;
pub use record::{FIELDS, Record, TlsRecord};
pub use template::{Template, TemplateError, parse_template};

/// An access log and its writer thread.
pub struct AccessLog {
    format: Format,
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    writer: Thread,
    /// Disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Opens the output and starts the writer. Fails if a file can't be opened, or the template is wrong.
    pub fn start(config: &config::AccessLog) -> io::Result<Arc<AccessLog>> {
        let format =
            Format::compile(&config.format).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let (queue, batches) = sync_channel(QUEUE);
        let (alive, ended) = channel();
        let shared = Arc::new(Shared::default());
        let sink = Sink::open(&config.output)?;
        let writer = Writer { sink, queue: batches, shared: Arc::clone(&shared), failing: false };
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run();
            drop(alive);
        })?;
        let writer = thread.thread().clone();
        Ok(Arc::new(Self { format, queue, shared, writer, ended: Mutex::new(ended) }))
    }

    /// A buffer for one worker.
    pub fn buffer(self: &Arc<Self>) -> LogBuffer {
        LogBuffer::new(Arc::clone(self))
    }

    /// Has the writer open the file's path again before its next write. For USR1.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Relaxed);
        self.wake();
    }

    /// Lines lost since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Writes what has been handed over and ends the writer. Waits for it, but no longer than two seconds: a pipe that
    /// nobody reads must not hold up a shutdown. Drop every [`LogBuffer`] first.
    pub fn close(&self) {
        self.shared.closing.store(true, Relaxed);
        self.wake();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(CLOSE_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("access log could not be written to its end");
        }
    }

    /// With the queue full the writer is awake, and looks by itself after its present batch.
    fn wake(&self) {
        let _ = self.queue.try_send(Message::Wake);
        self.writer.unpark();
    }
}

/// Buffers on their way at once. The buffers themselves are bounded by each worker's own few.
const QUEUE: usize = 256;
const CLOSE_WAIT: Duration = Duration::from_secs(2);
