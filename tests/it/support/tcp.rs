//! Plain TCP servers and clients, for what is passed on as it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use socket2::SockRef;

use super::PATIENCE;

/// Hands each connection to a function, on a thread of its own.
pub struct TcpServer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl TcpServer {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (accepted.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(PATIENCE * 6)).unwrap();
                let serve = serve.clone();
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, accepted }
    }

    /// Sends back what comes, and ends when the client does.
    pub fn echo() -> Self {
        Self::start(|mut stream| {
            let mut out = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut stream, &mut out);
        })
    }

    /// Says its name, then ends when the client does.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A connection that waits for [`PATIENCE`] at most.
#[track_caller]
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next `count` bytes as text.
#[track_caller]
pub fn hear(stream: &mut TcpStream, count: usize) -> String {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Everything up to the end, or the error that came instead of one.
pub fn hear_all(stream: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.kind())
}

/// Closes with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}
