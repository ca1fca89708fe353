//! A DNS server whose answers a test changes: over UDP and TCP, as the wire has it (RFC 1035).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::PATIENCE;

/// Answers until dropped. A name that it doesn't know does not exist.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What becomes of a question about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    NoSuchName,
    ServerFailure,
    Silence,
    /// Records of neither kind.
    Empty,
    Garbage,
    /// The right answer to another question.
    WrongId,
    /// Cut short over UDP, as every long answer; whole over TCP.
    Truncated,
    /// Only for AAAA.
    Ipv6Fails,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    records: Mutex<HashMap<String, Vec<(u32, Data)>>>,
    faults: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<(String, Transport)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Debug)]
enum Data {
    Address(IpAddr),
    Alias(String),
    Service { priority: u16, weight: u16, port: u16, target: String },
}

impl DnsServer {
    pub fn start() -> Self {
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
                let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
                Some((udp, tcp))
            })
            .expect("a port that is free for both");
        let server = Self { address: udp.local_addr().unwrap(), shared: Arc::default() };
        udp.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let shared = Arc::clone(&server.shared);
        thread::spawn(move || serve_udp(&udp, &shared));
        let shared = Arc::clone(&server.shared);
        thread::spawn(move || serve_tcp(&tcp, &shared));
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `[resolver]` that asks this server, and again within a tenth of a second.
    pub fn resolver(&self) -> String {
        format!(
            "[resolver]\nservers = \"{}\"\ntimeout = \"1s\"\nhosts_file = \"off\"\n\
             min_refresh = \"50ms\"\nmax_refresh = \"90ms\"",
            self.address
        )
    }

    /// The A and AAAA records of a name from now on.
    pub fn addresses<A: Into<IpAddr> + Copy>(&self, name: &str, addresses: &[A]) {
        let records = addresses.iter().map(|address| (TTL, Data::Address((*address).into())));
        self.set(name, records.collect());
    }

    /// Another name that stands for this one.
    pub fn alias(&self, name: &str, target: &str) {
        self.set(name, vec![(TTL, Data::Alias(target.to_owned()))]);
    }

    /// SRV records: priority, weight, port, target.
    pub fn services(&self, name: &str, services: &[(u16, u16, u16, &str)]) {
        let records = services.iter().map(|&(priority, weight, port, target)| {
            (TTL, Data::Service { priority, weight, port, target: target.to_owned() })
        });
        self.set(name, records.collect());
    }

    pub fn fail(&self, name: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().insert(name.to_owned(), fault);
    }

    pub fn heal(&self, name: &str) {
        self.shared.faults.lock().unwrap().remove(name);
    }

    /// Questions about a name so far.
    pub fn asked(&self, name: &str) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|(asked, _)| asked == name).count()
    }

    pub fn asked_over_tcp(&self, name: &str) -> bool {
        self.shared.asked.lock().unwrap().contains(&(name.to_owned(), Transport::Tcp))
    }

    fn set(&self, name: &str, records: Vec<(u32, Data)>) {
        self.shared.records.lock().unwrap().insert(name.to_owned(), records);
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn serve_udp(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 4096];
    while !shared.stopped.load(Ordering::SeqCst) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = shared.answer(&buffer[..length], Transport::Udp) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((mut stream, _)) = listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut length = [0; 2];
            while stream.read_exact(&mut length).is_ok() {
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                if stream.read_exact(&mut question).is_err() {
                    return;
                }
                let Some(answer) = shared.answer(&question, Transport::Tcp) else { continue };
                let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
                if stream.write_all(&framed).is_err() {
                    return;
                }
            }
        });
    }
}

impl Shared {
    fn answer(&self, message: &[u8], over: Transport) -> Option<Vec<u8>> {
        let (name, kind, question) = question(message)?;
        self.asked.lock().unwrap().push((name.clone(), over));
        let fault = self.faults.lock().unwrap().get(&name).copied();
        let mut id = u16::from_be_bytes([message[0], message[1]]);
        let mut answers = Vec::new();
        let mut code = if self.collect(&name, kind, &mut answers) { 0 } else { NXDOMAIN };
        let mut truncated = false;
        match fault {
            None => {}
            Some(Fault::Silence) => return None,
            Some(Fault::Garbage) => return Some(b"no DNS at all, and shorter than it says".to_vec()),
            Some(Fault::WrongId) => id ^= 0x5555,
            Some(Fault::NoSuchName) => (code, answers) = (NXDOMAIN, Vec::new()),
            Some(Fault::ServerFailure) => (code, answers) = (SERVFAIL, Vec::new()),
            Some(Fault::Empty) => (code, answers) = (0, Vec::new()),
            Some(Fault::Ipv6Fails) if kind == AAAA => (code, answers) = (SERVFAIL, Vec::new()),
            Some(Fault::Ipv6Fails) => {}
            Some(Fault::Truncated) if over == Transport::Udp => (truncated, answers) = (true, Vec::new()),
            Some(Fault::Truncated) => {}
        }
        if over == Transport::Udp && answers.concat().len() > PACKET {
            (truncated, answers) = (true, Vec::new());
        }
        let flags = 0x8180 | code | if truncated { 0x0200 } else { 0 };
        let mut out = Vec::new();
        for word in [id, flags, 1, answers.len() as u16, 0, 0] {
            out.extend(word.to_be_bytes());
        }
        out.extend(question);
        out.extend(answers.concat());
        Some(out)
    }

    /// Adds the records of a kind, and those that lead to them. False if there is no such name.
    fn collect(&self, name: &str, kind: u16, out: &mut Vec<Vec<u8>>) -> bool {
        let Some(records) = self.records.lock().unwrap().get(name).cloned() else { return false };
        for (ttl, data) in records {
            let (own_kind, bytes) = match &data {
                Data::Address(IpAddr::V4(ip)) => (A, ip.octets().to_vec()),
                Data::Address(IpAddr::V6(ip)) => (AAAA, ip.octets().to_vec()),
                Data::Alias(target) => (CNAME, encoded(target)),
                Data::Service { priority, weight, port, target } => {
                    let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                    (SRV, [numbers, encoded(target)].concat())
                }
            };
            if own_kind != kind && own_kind != CNAME {
                continue;
            }
            let mut record = encoded(name);
            record.extend([own_kind.to_be_bytes(), [0, 1]].concat());
            record.extend(ttl.to_be_bytes());
            record.extend((bytes.len() as u16).to_be_bytes());
            record.extend(bytes);
            out.push(record);
            if let Data::Alias(target) = &data {
                self.collect(target, kind, out);
            }
        }
        true
    }
}

/// The first question: its name in lower case, its type, and its bytes.
fn question(message: &[u8]) -> Option<(String, u16, Vec<u8>)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    Some((labels.join("."), kind, message.get(12..at + 4)?.to_vec()))
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    out.push(0);
    out
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// Bytes of records that fit into a packet: what clients take since 2020, less the rest of the message.
const PACKET: usize = 1100;

const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;

const TTL: u32 = 1;
