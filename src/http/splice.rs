//! Bytes from one TCP socket to another without passing through the process: `splice(2)`, and a worker's pipes for it.
//!
//! A pipe is filled only while it is empty. So `EAGAIN` always comes from a socket: a pipe without bytes has room, and one
//! with bytes has something to give.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What a pipe may hold.
pub const PIPE_BYTES: usize = 256 << 10;

/// Pipes that a worker has at most, free or in use; each is two descriptors. Whoever finds none copies.
pub const MAX_PIPES: usize = 64;

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { free: Vec::new(), made: 0 }) };
}

/// Bytes that have left one socket and are still to enter another. Has a pipe only while there are such bytes.
#[derive(Default)]
pub struct Splice {
    pipe: Option<Pipe>,
}

impl Splice {
    pub fn is_empty(&self) -> bool {
        self.pipe.is_none()
    }

    /// Takes what `source` has received, up to `at_most` bytes of it; 0 is the end of the stream. Only while empty.
    ///
    /// # Errors
    /// `Unsupported`: there is no pipe to be had, or the system doesn't splice here; the bytes can still be read.
    /// Otherwise the transport's.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, source: &TcpStream, at_most: u64) -> Poll<io::Result<usize>> {
        debug_assert!(self.is_empty());
        let at_most = at_most.min(PIPE_BYTES as u64) as usize;
        loop {
            ready!(source.poll_read_ready(cx))?;
            let Some(mut pipe) = Pipe::take() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
            match source.try_io(Interest::READABLE, || pipe.fill(source, at_most)) {
                Ok(0) => return Poll::Ready(Ok(0)),
                Ok(n) => {
                    pipe.holds = n;
                    self.pipe = Some(pipe);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives `sink` what it takes: at least one byte. Only while there are some.
    ///
    /// # Errors
    /// The transport's.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, sink: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(sink.poll_write_ready(cx))?;
            match sink.try_io(Interest::WRITABLE, || pipe.drain(sink)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    pipe.holds = pipe.holds.saturating_sub(n);
                    if pipe.holds == 0 {
                        self.pipe = None;
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Goes back to the worker when dropped, unless there is something in it.
struct Pipe {
    /// `None` only while it is dropped.
    ends: Option<Ends>,
    holds: usize,
}

/// A pipe's reading end and its writing end.
type Ends = (OwnedFd, OwnedFd);

impl Pipe {
    /// A free one, or a new one if that is allowed and to be had.
    fn take() -> Option<Self> {
        let ends = PIPES.with_borrow_mut(|pipes| pipes.free.pop().or_else(|| pipes.make()))?;
        Some(Self { ends: Some(ends), holds: 0 })
    }

    fn fill(&self, source: &TcpStream, at_most: usize) -> io::Result<usize> {
        self.ends.as_ref().map_or(Ok(0), |(_, writer)| move_bytes(source, writer, at_most))
    }

    fn drain(&self, sink: &TcpStream) -> io::Result<usize> {
        self.ends.as_ref().map_or(Ok(0), |(reader, _)| move_bytes(reader, sink, self.holds))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take() else { return };
        // The pool may be gone already when a thread ends.
        let _ = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            match self.holds {
                0 => pipes.free.push(ends),
                _ => pipes.made -= 1,
            }
        });
    }
}

/// A worker's pipes.
struct Pipes {
    free: Vec<Ends>,
    /// Free or in use.
    made: usize,
}

impl Pipes {
    fn make(&mut self) -> Option<Ends> {
        if self.made == MAX_PIPES {
            return None;
        }
        let ends = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // Past the user's share of pipe pages it stays as small as it is, and does all the same.
        let _ = fcntl_setpipe_size(&ends.1, PIPE_BYTES);
        self.made += 1;
        Some(ends)
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, at_most: usize) -> io::Result<usize> {
    splice(from, None, to, None, at_most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE).map_err(|errno| match errno {
        // A system that has no such call, or a sandbox that forbids it.
        Errno::INVAL | Errno::NOSYS | Errno::PERM => io::ErrorKind::Unsupported.into(),
        _ => errno.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    /// Of this thread: free ones, all of them.
    fn pipes() -> (usize, usize) {
        PIPES.with_borrow(|pipes| (pipes.free.len(), pipes.made))
    }

    #[tokio::test]
    async fn an_empty_pipe_is_kept_and_one_with_bytes_is_not() {
        let (mut origin, source) = connected().await;
        let (sink, mut client) = connected().await;
        origin.write_all(b"first, second").await.unwrap();
        let mut splice = Splice::default();
        assert_eq!(poll_fn(|cx| splice.poll_fill(cx, &source, 7)).await.unwrap(), 7);
        assert_eq!((splice.is_empty(), pipes()), (false, (0, 1)));
        assert_eq!(poll_fn(|cx| splice.poll_drain(cx, &sink)).await.unwrap(), 7);
        assert_eq!((splice.is_empty(), pipes()), (true, (1, 1)));
        let mut got = [0; 7];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"first, ");
        assert_eq!(poll_fn(|cx| splice.poll_fill(cx, &source, 100)).await.unwrap(), 6);
        drop(splice);
        assert_eq!(pipes(), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_for_bytes_holds_no_pipe() {
        let (mut origin, source) = connected().await;
        let mut splice = Splice::default();
        assert!(poll_fn(|cx| Poll::Ready(splice.poll_fill(cx, &source, 9).is_pending())).await);
        // Once more with a readiness that turns out false.
        origin.write_all(b"x").await.unwrap();
        assert_eq!(poll_fn(|cx| splice.poll_fill(cx, &source, 9)).await.unwrap(), 1);
        drop(splice);
        let mut splice = Splice::default();
        assert!(poll_fn(|cx| Poll::Ready(splice.poll_fill(cx, &source, 9).is_pending())).await);
        assert_eq!((splice.is_empty(), pipes()), (true, (1, 1)));
        drop(origin);
        assert_eq!(poll_fn(|cx| splice.poll_fill(cx, &source, 9)).await.unwrap(), 0);
        assert!(splice.is_empty());
    }

    #[tokio::test]
    async fn past_the_bound_there_is_no_pipe_and_nothing_is_lost() {
        let (mut origin, mut source) = connected().await;
        let taken: Vec<_> = (0..MAX_PIPES).map(|_| Pipe::take().unwrap()).collect();
        origin.write_all(b"x").await.unwrap();
        let mut splice = Splice::default();
        let refused = poll_fn(|cx| splice.poll_fill(cx, &source, 9)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert_eq!(source.read_u8().await.unwrap(), b'x');
        drop(taken);
        origin.write_all(b"y").await.unwrap();
        assert_eq!(poll_fn(|cx| splice.poll_fill(cx, &source, 9)).await.unwrap(), 1);
    }
}
