//! A byte stream, plain or TLS, and the worker's pool of read buffers.
//!
//! Polled directly: no boxing, no locks. A short read or write clears the readiness inside tokio, so that no call is
//! made only to hear `EAGAIN`.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

/// A connection's transport.
pub enum Stream {
    Tcp(TcpStream),
    /// The client's side of the proxy.
    Tls(Box<server::TlsStream<TcpStream>>),
    /// The endpoint's side.
    ClientTls(Box<client::TlsStream<TcpStream>>),
}

impl Stream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Tcp(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::ClientTls(tls) => tls.get_ref().0,
        }
    }

    /// The socket, if what passes over it is neither encrypted nor held back here.
    pub fn as_plain(&self) -> Option<&TcpStream> {
        match self {
            Stream::Tcp(tcp) => Some(tcp),
            Stream::Tls(_) | Stream::ClientTls(_) => None,
        }
    }

    /// Reads into `buf`; 0 is the end of the stream. A TLS stream cut without `close_notify` ends the same way:
    /// HTTP's own framing tells whether the message was whole.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let result = match self {
            Stream::Tcp(tcp) => ready!(Pin::new(tcp).poll_read(cx, &mut buf)),
            Stream::Tls(tls) => ready!(Pin::new(tls.as_mut()).poll_read(cx, &mut buf)),
            Stream::ClientTls(tls) => ready!(Pin::new(tls.as_mut()).poll_read(cx, &mut buf)),
        };
        match result {
            Ok(()) => Poll::Ready(Ok(buf.filled().len())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Writes some of `parts`; never 0 for non-empty input.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match (self, parts) {
            (Stream::Tcp(tcp), [one]) => ready!(Pin::new(tcp).poll_write(cx, one))?,
            (Stream::Tcp(tcp), many) => ready!(Pin::new(tcp).poll_write_vectored(cx, many))?,
            (Stream::Tls(tls), [one]) => ready!(Pin::new(tls.as_mut()).poll_write(cx, one))?,
            (Stream::Tls(tls), many) => ready!(Pin::new(tls.as_mut()).poll_write_vectored(cx, many))?,
            (Stream::ClientTls(tls), many) => ready!(Pin::new(tls.as_mut()).poll_write_vectored(cx, many))?,
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(written))
    }

    /// Makes a TLS record of `parts`, to leave with the next write; tells how much of them went in. 0 without TLS.
    pub fn seal(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(_) => Ok(0),
            Stream::Tls(tls) => tls.get_mut().1.writer().write_vectored(parts),
            Stream::ClientTls(tls) => tls.get_mut().1.writer().write_vectored(parts),
        }
    }

    /// Bounds what TLS holds encrypted while the peer doesn't take it.
    pub fn limit_buffer(&mut self, bytes: usize) {
        if let Stream::Tls(tls) = self {
            tls.get_mut().1.set_buffer_limit(Some(bytes));
        }
    }

    /// Says `close_notify` behind what is sealed, to leave with the next write. [`Stream::poll_shutdown`] won't say it again.
    pub fn seal_end(&mut self) {
        match self {
            Stream::Tcp(_) => {}
            Stream::Tls(tls) => tls.get_mut().1.send_close_notify(),
            Stream::ClientTls(tls) => tls.get_mut().1.send_close_notify(),
        }
    }

    /// Sends what TLS has encrypted but not yet written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(_) => Poll::Ready(Ok(())),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Stream::ClientTls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Ends the sending side: `close_notify` and FIN.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Stream::ClientTls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }

    /// Ready once the peer has sent or ended something; `true` if it has reset the connection. A mere FIN is no reset:
    /// who half-closes still waits for the answer.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let tcp = self.tcp();
        ready!(tcp.poll_read_ready(cx))
            .map_or(Poll::Ready(true), |()| Poll::Ready(!matches!(tcp.take_error(), Ok(None))))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            Stream::ClientTls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
            Stream::ClientTls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
            Stream::ClientTls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_flush(self.get_mut(), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(self.get_mut(), cx)
    }
}

/// How much one read may bring.
pub const READ_BUFFER_BYTES: usize = 32 << 10;

/// Free buffers a worker keeps: 8 MiB.
const POOLED_BUFFERS: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes read and not yet consumed. Holds a buffer only while there are such bytes, so that an idle connection has none.
#[derive(Default)]
pub struct Input {
    buffer: Option<Box<[u8]>>,
    filled: Range<usize>,
}

impl Input {
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|b| b.get(self.filled.clone())).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Whether nothing more can be read before something is consumed.
    pub fn is_full(&self) -> bool {
        self.buffer.as_ref().is_some_and(|b| self.filled.len() == b.len())
    }

    /// Drops `n` bytes from the front. The buffer goes back when none are left.
    pub fn consume(&mut self, n: usize) {
        self.filled.start = (self.filled.start + n).min(self.filled.end);
        if self.filled.is_empty() {
            self.release();
        }
    }

    /// One read behind what is there. 0 is the end of the stream, or a full buffer.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, stream: &mut Stream, at_most: usize) -> Poll<io::Result<usize>> {
        let mut buffer = self.buffer.take().unwrap_or_else(take_buffer);
        if self.filled.end == buffer.len() && self.filled.start > 0 {
            buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if self.filled.len() == buffer.len() && buffer.len() < at_most {
            let mut larger = vec![0; at_most].into_boxed_slice();
            larger[..buffer.len()].copy_from_slice(&buffer);
            buffer = larger;
        }
        let result = stream.poll_read(cx, &mut buffer[self.filled.end..]);
        self.buffer = Some(buffer);
        if let Poll::Ready(Ok(n)) = result {
            self.filled.end += n;
        }
        if self.filled.is_empty() {
            self.release();
        }
        result
    }

    fn release(&mut self) {
        self.filled = 0..0;
        if let Some(buffer) = self.buffer.take()
            && buffer.len() == READ_BUFFER_BYTES
        {
            // The pool may be gone already when a thread ends.
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < POOLED_BUFFERS {
                    free.push(buffer);
                }
            });
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.release();
    }
}

fn take_buffer() -> Box<[u8]> {
    let pooled = FREE.with_borrow_mut(Vec::pop);
    pooled.unwrap_or_else(|| vec![0; READ_BUFFER_BYTES].into_boxed_slice())
}
