//! A small HTTP/1.1 origin for the demo: says who answered and which headers arrived.
//!
//! Each backend is a thread with a runtime of its own, so that nothing it does shows in the proxy's timing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{cell::Cell, fmt::Write as _};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// How a backend answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behavior {
    Steady,
    /// Waits this long before each answer.
    Slow(Duration),
    /// Closes the connection instead of answering, every so many requests.
    Flaky {
        fails_every: u64,
    },
}

/// A running backend. Dropping it stops it.
pub(super) struct Backend {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Starts on a free loopback port.
    pub(super) fn start(name: &'static str, behavior: Behavior) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(format!("backend-{name}")).spawn(move || {
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = serve(name, behavior, listener) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { name, address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(name: &'static str, behavior: Behavior, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let requests = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::task::spawn_local(converse(name, behavior, stream, Rc::clone(&requests)));
            }
            // Out of descriptors, most likely: what is open goes on, and new connections wait a little.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One connection, request after request. Whatever is wrong with it ends it.
async fn converse(name: &str, behavior: Behavior, mut stream: TcpStream, requests: Rc<Cell<u64>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let number = requests.get() + 1;
        requests.set(number);
        match behavior {
            Behavior::Slow(time) => tokio::time::sleep(time).await,
            Behavior::Flaky { fails_every } if number.is_multiple_of(fails_every) => return,
            Behavior::Steady | Behavior::Flaky { .. } => {}
        }
        let body = request.describe(name, number);
        let connection = if request.last { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nx-backend: {name}\r\n\
             connection: {connection}\r\n\r\n",
            body.len()
        );
        let body = if request.method == "HEAD" { "" } else { body.as_str() };
        if stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await.is_err() || request.last {
            return;
        }
    }
}

struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    /// The connection closes after the answer.
    last: bool,
}

impl Request {
    /// One line on `/`, a line a header field on `/headers`.
    fn describe(&self, name: &str, number: u64) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        let mut text = format!("{name} answered {} {} (its request {number})", self.method, self.target);
        match path {
            "/health" => return format!("{name} is healthy\n"),
            "/headers" => {
                text.push('\n');
                for (field, value) in &self.fields {
                    let _ = writeln!(text, "  {field}: {value}");
                }
            }
            _ => {
                for field in ["x-forwarded-for", "x-forwarded-proto"] {
                    if let Some(value) = self.field(field) {
                        let _ = write!(text, " {field}={value}");
                    }
                }
                text.push('\n');
            }
        }
        text
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Reads one request and throws its body away. `None` ends the connection: closed, too large, or not HTTP.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let (head_length, mut request) = loop {
        if let Some(parsed) = parse_head(buffer)? {
            break parsed;
        }
        read_more(stream, buffer).await?;
    };
    buffer.drain(..head_length);
    let chunked = request.field("transfer-encoding").is_some();
    let length: usize = request.field("content-length").unwrap_or("0").parse().ok()?;
    if chunked {
        // The end of a chunked body is found well enough for a demo, but not so well that more could follow it.
        while !buffer.ends_with(b"0\r\n\r\n") {
            read_more(stream, buffer).await?;
        }
        buffer.clear();
        request.last = true;
    } else {
        while buffer.len() < length {
            read_more(stream, buffer).await?;
        }
        buffer.drain(..length);
    }
    Some(request)
}

/// `Some(None)` asks for more bytes; `None` says that no request can come of these.
fn parse_head(buffer: &[u8]) -> Option<Option<(usize, Request)>> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(buffer).ok()? else { return Some(None) };
    let fields: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()))
        .collect();
    let closes = |(name, value): &(String, String)| name.eq_ignore_ascii_case("connection") && value.contains("close");
    let last = head.version == Some(0) || fields.iter().any(closes);
    Some(Some((length, Request { method: head.method?.to_owned(), target: head.path?.to_owned(), fields, last })))
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let read = if buffer.len() < LARGEST_REQUEST { stream.read_buf(buffer).await.ok()? } else { 0 };
    (read > 0).then_some(())
}

/// Head and body together; Tidegate's own bound of a body is 1 MiB.
const LARGEST_REQUEST: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn exchange(backend: &Backend, request: &str) -> String {
        let mut stream = std::net::TcpStream::connect(backend.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const LAST: &str = "GET /headers HTTP/1.1\r\nhost: a\r\nX-Real-IP: 192.0.2.1\r\nconnection: close\r\n\r\n";

    #[test]
    fn says_who_answered_and_echoes_the_headers() {
        let backend = Backend::start("steady", Behavior::Steady).unwrap();
        let answer = exchange(&backend, LAST);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("steady answered GET /headers"), "{answer}");
        assert!(answer.contains("  X-Real-IP: 192.0.2.1\n"), "{answer}");
    }

    #[test]
    fn answers_several_requests_on_one_connection() {
        let backend = Backend::start("steady", Behavior::Steady).unwrap();
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
        let answer = exchange(&backend, &format!("{post}{LAST}"));
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    }

    #[test]
    fn a_flaky_backend_closes_every_third_request_unanswered() {
        let backend = Backend::start("flaky", Behavior::Flaky { fails_every: 3 }).unwrap();
        let answered: Vec<bool> = (0..6).map(|_| !exchange(&backend, LAST).is_empty()).collect();
        assert_eq!(answered, [true, true, false, true, true, false]);
    }
}
