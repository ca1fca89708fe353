//! Bytes to and from a server, in the clear or through TLS. Never blocks.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;
use rustls_pki_types::ServerName;

/// A connection, from the first SYN on.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
    is_connected: bool,
}

/// A socket that knows when it is empty, so that no read is wasted on being told so: with edge-triggered epoll, a read
/// that was not filled has emptied it, and the next byte is told of by an event.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    is_drained: bool,
    /// The other side has sent its FIN: the read of zero bytes behind what is left has to be reached.
    ends: bool,
}

impl Transport {
    /// Begins to connect, and has the socket's events told to `token`.
    pub(super) fn connect(
        address: SocketAddr,
        tls: Option<(&Arc<rustls::ClientConfig>, &ServerName<'static>)>,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let tls = match tls {
            Some((config, name)) => {
                let session = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
                Some(Box::new(session))
            }
            None => None,
        };
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { socket: Socket { stream, is_drained: true, ends: false }, tls, is_connected: false })
    }

    /// Epoll says that there is something to read, and whether it is the last.
    pub(super) fn readable(&mut self, ends: bool) {
        self.socket.is_drained = false;
        self.socket.ends |= ends;
    }

    /// Goes on with connecting and the handshake. True once requests may be written.
    pub(super) fn open(&mut self) -> io::Result<bool> {
        if !self.is_connected {
            if let Some(error) = self.socket.stream.take_error()? {
                return Err(error);
            }
            match self.socket.stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
            self.socket.stream.set_nodelay(true)?;
            self.is_connected = true;
        }
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            if !self.flush_tls()? {
                return Ok(false);
            }
            if self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) && !self.read_tls()? {
                return Ok(false);
            }
        }
        // The client's last flight of the handshake.
        self.flush_tls()?;
        Ok(true)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The protocol that ALPN chose.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.alpn_protocol()
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, `UnexpectedEof` for a TLS stream that was cut off.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.socket.read(buffer);
        }
        loop {
            if let Some(tls) = &mut self.tls {
                match tls.reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
            if !self.read_tls()? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
    }

    /// Writes as much of `bytes` as is taken.
    ///
    /// # Errors
    /// `WouldBlock` if nothing was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.stream.write(bytes) };
        let taken = if bytes.is_empty() { 0 } else { tls.writer().write(bytes)? };
        self.flush_tls()?;
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Whether everything that was written is with the kernel.
    pub(super) fn flush_tls(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes in one portion of TLS records. False if none is there.
    fn read_tls(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        match tls.read_tls(&mut self.socket) {
            Ok(0) if tls.is_handshaking() => Err(io::ErrorKind::UnexpectedEof.into()),
            // The reader tells from now on whether the stream ended or was cut off.
            Ok(_) => tls.process_new_packets().map(|_| true).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.stream.read(buffer) {
            Ok(read) => {
                self.is_drained = read < buffer.len() && !self.ends;
                Ok(read)
            }
            Err(error) => {
                self.is_drained = error.kind() == io::ErrorKind::WouldBlock;
                Err(error)
            }
        }
    }
}
