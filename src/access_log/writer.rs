//! The writer thread: takes buffers from a queue and writes them, through full disks and closed pipes.
//!
//! A failed write is tried again until it succeeds, with pauses up to a second. Meanwhile the workers' buffers fill
//! up, and what doesn't fit is dropped there and counted; so lines are lost in whole, and nothing is written twice.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::buffer::CAPACITY;
use crate::config::LogOutput;

/// What workers and control send to the writer.
pub(super) enum Message {
    Lines(Batch),
    /// Look at [`Shared`].
    Wake,
}

/// A full buffer and its way home.
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    /// How many lines it holds.
    pub(super) count: u64,
    pub(super) home: SyncSender<Vec<u8>>,
}

impl Batch {
    /// Returns the buffer, emptied and at its usual size. Its worker may be gone.
    pub(super) fn give_back(mut self) {
        self.lines.clear();
        self.lines.shrink_to(CAPACITY);
        let _ = self.home.try_send(self.lines);
    }
}

/// What both ends look at.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) dropped: AtomicU64,
    pub(super) reopen: AtomicBool,
    pub(super) closing: AtomicBool,
}

/// Where lines end up.
pub(super) enum Sink {
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    File { path: PathBuf, file: File },
}

impl Sink {
    /// Opens the output; a file is appended to, and made for its owner alone.
    pub(super) fn open(output: &LogOutput) -> io::Result<Self> {
        Ok(match output {
            LogOutput::Stdout => Sink::Stdout(io::stdout()),
            LogOutput::Stderr => Sink::Stderr(io::stderr()),
            LogOutput::File(path) => Sink::File { path: path.clone(), file: append(path)? },
        })
    }

    /// Opens the file's path again, for it may have been renamed. If that fails, the file open now is kept.
    fn reopen(&mut self) {
        if let Sink::File { path, file } = self {
            match append(path) {
                Ok(new) => {
                    *file = new;
                    tracing::info!("access log reopened");
                }
                Err(error) => tracing::error!(%error, "access log not reopened; the old file is kept"),
            }
        }
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Sink::Stdout(stdout) => stdout.as_fd(),
            Sink::Stderr(stderr) => stderr.as_fd(),
            Sink::File { file, .. } => file.as_fd(),
        }
    }
}

pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) queue: Receiver<Message>,
    pub(super) shared: Arc<Shared>,
    /// The last write failed, and that has been said.
    pub(super) failing: bool,
}

impl Writer {
    /// Writes until closing is asked for and the queue is empty.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.queue.recv() {
            self.take(message);
            if self.shared.closing.load(Relaxed) {
                while let Ok(message) = self.queue.try_recv() {
                    self.take(message);
                }
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        if let Message::Lines(batch) = message {
            self.write(&batch.lines);
            batch.give_back();
        }
        self.reopen_if_asked();
    }

    fn write(&mut self, lines: &[u8]) {
        let mut written = 0;
        let mut pause = FIRST_PAUSE;
        while written < lines.len() {
            if self.reopen_if_asked() {
                // A line begun in the old file is written whole to the new one.
                written = memchr::memrchr(b'\n', &lines[..written]).map_or(0, |end| end + 1);
            }
            match rustix::io::write(&self.sink, &lines[written..]) {
                Ok(n) if n > 0 => {
                    written += n;
                    pause = FIRST_PAUSE;
                    self.recovered();
                }
                Err(Errno::INTR) => {}
                result => {
                    self.failed(result.err().unwrap_or(Errno::IO));
                    if self.shared.closing.load(Relaxed) {
                        let lost = memchr::memchr_iter(b'\n', &lines[written..]).count();
                        self.shared.dropped.fetch_add(lost as u64, Relaxed);
                        return;
                    }
                    thread::park_timeout(pause);
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    }

    fn reopen_if_asked(&mut self) -> bool {
        let asked = self.shared.reopen.swap(false, Relaxed);
        if asked {
            self.sink.reopen();
        }
        asked
    }

    /// A pipe that is full for a moment (`EAGAIN`, a descriptor made non-blocking by somebody) is no failure.
    fn failed(&mut self, error: Errno) {
        if !self.failing && error != Errno::AGAIN {
            self.failing = true;
            tracing::error!(%error, "access log can't be written; retrying, lines may be dropped");
        }
    }

    fn recovered(&mut self) {
        if self.failing {
            self.failing = false;
            let dropped = self.shared.dropped.load(Relaxed);
            tracing::info!(dropped, "access log is written again");
        }
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
