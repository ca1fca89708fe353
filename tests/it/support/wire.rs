//! A byte stream with deadlines: TCP, or TLS over it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use super::PATIENCE;
use super::message::Broken;

pub trait Wire: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;

    /// Tells the other side that nothing more will come.
    fn close_write(&mut self);
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn close_write(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }

    fn close_write(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

/// Reads from a wire with a total deadline, and keeps what was read too far.
pub struct Inbox<W> {
    pub wire: W,
    buffer: Vec<u8>,
    until: Instant,
}

impl<W: Wire> Inbox<W> {
    pub fn new(wire: W) -> Self {
        Self { wire, buffer: Vec::new(), until: Instant::now() + PATIENCE }
    }

    /// From now on, reads end with [`Broken::TimedOut`] after `time` in total.
    pub fn within(&mut self, time: Duration) -> &mut Self {
        self.until = Instant::now() + time;
        self
    }

    /// What was read and not yet taken.
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads once more; `Ok(0)` is the end of the stream.
    pub fn fill(&mut self) -> Result<usize, Broken> {
        let mut chunk = [0; 16 << 10];
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::TimedOut);
            }
            self.wire.tcp().set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(|_| Broken::Reset)?;
            match self.wire.read(&mut chunk) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(_) => return Err(Broken::Reset),
            }
        }
    }

    /// Takes what stands up to and with `end`.
    pub fn take_through(&mut self, end: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].windows(end.len()).position(|w| w == end) {
                return Ok(self.buffer.drain(..from + at + end.len()).collect());
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            self.more()?;
        }
    }

    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        while self.buffer.len() < count {
            self.more()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Everything up to the end of the stream.
    pub fn take_rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn more(&mut self) -> Result<(), Broken> {
        match self.fill() {
            Ok(0) if self.buffer.is_empty() => Err(Broken::Closed),
            Ok(0) => Err(Broken::Cut(std::mem::take(&mut self.buffer))),
            Ok(_) => Ok(()),
            Err(broken) => Err(broken),
        }
    }
}

impl Wire for Box<dyn Wire> {
    fn tcp(&self) -> &TcpStream {
        (**self).tcp()
    }

    fn close_write(&mut self) {
        (**self).close_write();
    }
}
