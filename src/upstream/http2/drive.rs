//! The task of an HTTP/2 connection: its reads and writes, and whether its other end still answers.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::session::{State, UNSETTLED};
use crate::http::stream::Stream;
use crate::http::timer::Timer;

/// Drives a connection to its end, or until it doesn't answer a PING.
pub(super) async fn drive(
    mut connection: Connection<Watched, Bytes>,
    state: Rc<State>,
    interval: Option<Duration>,
    timeout: Duration,
) {
    let mut life =
        Life { ping: connection.ping_pong(), asked: false, interval, timeout, reads: 0, timer: Timer::new() };
    poll_fn(|cx| {
        let mut driver = state.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
        drop(driver);
        match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "an HTTP/2 connection to an endpoint ended");
                }
                Poll::Ready(())
            }
            Poll::Pending => {
                if !state.settled.get() && connection.max_concurrent_send_streams() != UNSETTLED {
                    state.settled.set(true);
                    state.news.notify_waiters();
                }
                life.poll(cx, &state)
            }
        }
    })
    .await;
    // What is still on it fails when the connection is dropped.
    state.closed.set(true);
    state.news.notify_waiters();
}

/// Asks whether the other end still answers: at an interval, or when a request has timed out.
struct Life {
    ping: Option<PingPong>,
    /// A PING is under way.
    asked: bool,
    interval: Option<Duration>,
    timeout: Duration,
    /// Reads at the time that the timer was set.
    reads: u64,
    timer: Timer,
}

impl Life {
    /// Ready when a PING wasn't answered in time.
    fn poll(&mut self, cx: &mut Context<'_>, state: &State) -> Poll<()> {
        let Some(ping) = &mut self.ping else { return Poll::Pending };
        loop {
            if self.asked {
                match ping.poll_pong(cx) {
                    Poll::Ready(Ok(_)) => {
                        self.asked = false;
                        state.suspect.set(false);
                        self.timer.set(None);
                    }
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => return self.timer.poll_expired(cx),
                }
            }
            if !state.suspect.get() {
                let Some(interval) = self.interval.filter(|_| state.streams.get() > 0) else {
                    self.timer.set(None);
                    return Poll::Pending;
                };
                if self.timer.deadline().is_none() {
                    self.reads = state.reads.get();
                    self.timer.set_after(Instant::now(), interval);
                }
                ready!(self.timer.poll_expired(cx));
                if self.reads != state.reads.get() {
                    self.timer.set(None);
                    continue;
                }
            }
            if ping.send_ping(Ping::opaque()).is_err() {
                return Poll::Pending;
            }
            self.asked = true;
            self.timer.set_after(Instant::now(), self.timeout);
            // The PING leaves with the connection's next turn.
            cx.waker().wake_by_ref();
        }
    }
}

/// A connection's bytes, and the count of its reads.
///
/// A write that fails is not told: who reads on finds what the other end said last, and then that it has gone. h2 would stop
/// at the failed write, and a GOAWAY that lets requests be sent again would never be read.
pub(super) struct Watched {
    stream: Stream,
    state: Rc<State>,
    /// Nothing that is written arrives any more.
    broken: bool,
}

impl Watched {
    pub(super) fn new(stream: Stream, state: Rc<State>) -> Self {
        Self { stream, state, broken: false }
    }

    /// What a write gave, or, once one has failed, what it would have given.
    fn unless_broken<T>(
        &mut self,
        cx: &mut Context<'_>,
        instead: T,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.broken {
            match ready!(write(Pin::new(&mut self.stream), cx)) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(error) => {
                    tracing::debug!(%error, "an HTTP/2 connection to an endpoint can't be written to");
                    self.broken = true;
                    // The reader may not have been told by the failure.
                    cx.waker().wake_by_ref();
                }
            }
        }
        Poll::Ready(Ok(instead))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if result.is_ready() {
            self.state.reads.set(self.state.reads.get() + 1);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unless_broken(cx, buf.len(), |stream, cx| AsyncWrite::poll_write(stream, cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.unless_broken(cx, length, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_broken(cx, (), AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unless_broken(cx, (), AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn last_words_are_heard_though_nothing_can_be_written_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut watched = Watched::new(Stream::Tcp(stream), Rc::default());
        // What isn't read when a socket is closed resets the connection.
        watched.write_all(b"not read").await.unwrap();
        peer.readable().await.unwrap();
        peer.write_all(b"goaway").await.unwrap();
        drop(peer);
        for _ in 0..3 {
            watched.write_all(b"late").await.unwrap();
            watched.flush().await.unwrap();
        }
        let mut said = Vec::new();
        let _ = watched.read_to_end(&mut said).await;
        assert_eq!(said, b"goaway");
    }
}
