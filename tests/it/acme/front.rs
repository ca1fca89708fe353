//! Stands between a client and a CA: counts what is asked, and answers in the CA's place when it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::Certificate;

/// What happens to a request instead of its being forwarded.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It waits until the fault is taken away. The CA doesn't see it before.
    Hold,
    /// The CA sees it, but its answer waits until the fault is taken away.
    HoldAnswer,
    /// This is the answer: a whole HTTP response.
    Answer(String),
    /// The connection ends.
    HangUp,
}

pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behind: SocketAddr,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    seen: Mutex<Vec<(String, Vec<u8>)>>,
    /// By the start of the path.
    faults: Mutex<Vec<(String, Fault)>>,
    changed: Condvar,
}

impl Front {
    pub fn start(certificate: &Certificate, behind: SocketAddr) -> Self {
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der()], PrivateKeyDer::from_pem_file(&certificate.key).unwrap())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let shared = Arc::new(Shared {
            behind,
            server: Arc::new(server),
            client: Arc::new(client),
            seen: Mutex::default(),
            faults: Mutex::default(),
            changed: Condvar::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let weak = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(shared) = weak.upgrade() else { return };
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests were made for paths with this start, whatever became of them.
    pub fn requests(&self, start: &str) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|(path, _)| path.starts_with(start)).count()
    }

    /// The payloads of the signed requests for paths with this start.
    pub fn payloads(&self, start: &str) -> Vec<serde_json::Value> {
        let seen = self.shared.seen.lock().unwrap();
        let payload = |request: &[u8]| {
            let body = &request[find(request, b"\r\n\r\n")? + 4..];
            let signed: serde_json::Value = serde_json::from_slice(body).ok()?;
            let payload = data_encoding::BASE64URL_NOPAD.decode(signed["payload"].as_str()?.as_bytes()).ok()?;
            serde_json::from_slice(&payload).ok()
        };
        seen.iter().filter(|(path, _)| path.starts_with(start)).filter_map(|(_, request)| payload(request)).collect()
    }

    /// All requests.
    pub fn total(&self) -> usize {
        self.shared.seen.lock().unwrap().len()
    }

    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// From now on this happens to requests for paths with this start.
    pub fn set(&self, start: &str, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults.retain(|(other, _)| other != start);
        faults.push((start.to_string(), fault));
        self.shared.changed.notify_all();
    }

    /// Everything is forwarded again.
    pub fn clear(&self) {
        self.shared.faults.lock().unwrap().clear();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn serve(&self, tcp: TcpStream) -> std::io::Result<()> {
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let connection = ServerConnection::new(self.server.clone()).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        let request = read_message(&mut stream)?;
        let text = String::from_utf8_lossy(&request);
        let path = text.split(' ').nth(1).unwrap_or_default().to_string();
        self.seen.lock().unwrap().push((path.clone(), request.clone()));
        let mut answer = None;
        loop {
            match self.fault(&path) {
                Some(Fault::HangUp) => return Ok(()),
                Some(Fault::Answer(text)) => answer = Some(text.into_bytes()),
                Some(Fault::HoldAnswer) if answer.is_none() => {
                    answer = Some(self.forward(&request)?);
                    continue;
                }
                Some(Fault::Hold | Fault::HoldAnswer) => {
                    self.wait();
                    if has_left(&stream.sock) {
                        return Ok(());
                    }
                    continue;
                }
                None => {}
            }
            break;
        }
        let answer = match answer {
            Some(answer) => answer,
            None => self.forward(&request)?,
        };
        stream.write_all(&answer)?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let faults = self.faults.lock().unwrap();
        faults.iter().find(|(start, _)| path.starts_with(start)).map(|(_, fault)| fault.clone())
    }

    fn wait(&self) {
        let faults = self.faults.lock().unwrap();
        drop(self.changed.wait_timeout(faults, Duration::from_millis(200)).unwrap());
    }

    /// The CA's answer, with the connection closed after it.
    fn forward(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let tcp = TcpStream::connect(self.behind)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(self.client.clone(), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        let head_end = find(request, b"\r\n\r\n").unwrap();
        let (head, rest) = request.split_at(head_end);
        stream.write_all(head)?;
        stream.write_all(b"\r\nconnection: close")?;
        stream.write_all(rest)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if answer.is_empty() => Err(error),
            _ => Ok(answer),
        }
    }
}

/// Whether the client has closed its connection: then the CA isn't told what it wanted.
fn has_left(tcp: &TcpStream) -> bool {
    let _ = tcp.set_nonblocking(true);
    let left = tcp.peek(&mut [0]).is_ok_and(|n| n == 0);
    let _ = tcp.set_nonblocking(false);
    left
}

/// A request with the body that its Content-Length announces.
fn read_message(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(bytes);
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
