//! A gate and an origin in this process, on real sockets. The origin reads with the second reader.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::server::Instance;

use super::model::{self, Message, Nothing};

/// What the origin does and has seen.
#[derive(Default)]
pub struct Seen {
    /// Instead of an answer of its own, after which it closes the connection.
    pub answer: Option<Vec<u8>>,
    /// Whole requests, in order.
    pub requests: Vec<Message>,
    /// What is no request at all.
    pub wrong: Vec<&'static str>,
}

/// The two of them. Whoever holds it has them alone.
pub struct World {
    gate: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    #[allow(dead_code, reason = "it runs as long as it is held")]
    instance: Arc<Instance>,
}

/// Waits for the one before.
pub fn world() -> MutexGuard<'static, World> {
    static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::start()));
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    fn start() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
        let origin = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
        let sees = Arc::clone(&seen);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let sees = Arc::clone(&sees);
                std::thread::spawn(move || serve(connection, &sees));
            }
        });
        let toml = format!(
            "workers = 1\naccess_log = false\n[log]\nlevel = \"error\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\n\
             [[site.route]]\npath = \"/\"\nupstream = \"a\"\n[upstream.a]\nendpoints = \"{origin}\"\nmax_fails = 0\n\
             retry.tries = 1\n"
        );
        let loaded =
            load_str("world.toml", &toml, &Nowhere).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let instance = Instance::start(loaded.config).unwrap_or_else(|error| panic!("{error}"));
        let gate = instance.listeners().first().and_then(|address| address.ip());
        Self { gate: gate.unwrap_or_else(|| panic!("no listener")), seen, instance }
    }

    /// Sends bytes on a connection of their own, closes this side of it, and reads to the end.
    pub fn exchange(&self, answer: Option<&[u8]>, request: &[u8]) -> (Vec<u8>, Seen) {
        *self.seen() = Seen { answer: answer.map(<[u8]>::to_vec), ..Seen::default() };
        let mut client = TcpStream::connect(self.gate).unwrap_or_else(|error| panic!("{error}"));
        let patience = Some(Duration::from_secs(20));
        client.set_read_timeout(patience).unwrap_or_else(|error| panic!("{error}"));
        // It may be refused before it is all sent.
        let _ = client.write_all(request).and_then(|()| client.shutdown(Shutdown::Write));
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match client.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => received.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the gate hangs after {}", received.escape_ascii())
                }
                Err(_) => break,
            }
        }
        let seen = std::mem::take(&mut *self.seen());
        (received, seen)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut connection: TcpStream, seen: &Mutex<Seen>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match model::request(&bytes) {
            Ok(message) => {
                bytes.drain(..message.used);
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.requests.push(message);
                let answer = seen.answer.clone();
                drop(seen);
                let sent = connection.write_all(answer.as_deref().unwrap_or(b"HTTP/1.1 204 No Content\r\n\r\n"));
                if answer.is_some() || sent.is_err() {
                    return;
                }
            }
            Err(Nothing::Unfinished) => match connection.read(&mut buffer) {
                Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
                _ => return,
            },
            Err(Nothing::Wrong(what)) => {
                seen.lock().unwrap_or_else(PoisonError::into_inner).wrong.push(what);
                return;
            }
        }
    }
}
