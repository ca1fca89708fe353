//! HTTP/2 as single frames, for a client that breaks the rules (RFC 9113 section 4 and 6, RFC 7541).

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;
use super::message::Broken;
use super::wire::Inbox;

/// Frame types.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags.
pub mod flag {
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
}

/// Error codes.
pub mod error {
    pub const NO_ERROR: u32 = 0x0;
    pub const PROTOCOL_ERROR: u32 = 0x1;
    pub const STREAM_CLOSED: u32 = 0x5;
    pub const REFUSED_STREAM: u32 = 0x7;
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;

    /// As the RFC writes it.
    pub fn name(code: u32) -> &'static str {
        let names = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
        ];
        names.get(code as usize).copied().unwrap_or("an unknown error")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

impl Fate {
    /// What a frame tells about a stream's fate, or its connection's.
    #[track_caller]
    pub fn told_by(frame: &Frame, stream: u32) -> Option<Self> {
        match frame.kind {
            kind::HEADERS if frame.stream == stream => Some(Self::Status(status_of(&frame.payload))),
            kind::RST_STREAM if frame.stream == stream => Some(Self::Reset(code(&frame.payload[..4]))),
            kind::GOAWAY if code(&frame.payload[4..8]) != error::NO_ERROR => {
                Some(Self::GoAway(code(&frame.payload[4..8])))
            }
            _ => None,
        }
    }
}

pub struct RawH2 {
    inbox: Inbox<TcpStream>,
}

impl RawH2 {
    /// Connects, sends the preface and empty SETTINGS, and acknowledges the server's.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let mut raw = Self::silent(address);
        raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(kind::SETTINGS, 0, 0, b"");
        raw.send(kind::SETTINGS, flag::ACK, 0, b"");
        raw
    }

    /// The other end: reads the preface, sends nothing.
    #[track_caller]
    pub fn accept(stream: TcpStream) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { inbox: Inbox::new(stream) };
        let preface = raw.inbox.within(PATIENCE).take(24).unwrap_or_default();
        assert!(preface.is_empty() || preface == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw
    }

    /// Sends empty SETTINGS, acknowledges the other side's, and waits for a request: its stream.
    pub fn settle(&mut self) -> Option<u32> {
        self.send(kind::SETTINGS, 0, 0, b"");
        self.send(kind::SETTINGS, flag::ACK, 0, b"");
        self.request()
    }

    /// Reads up to the next request: its stream. PINGs are answered.
    pub fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.frame().ok()?;
            match frame.kind {
                kind::HEADERS => return Some(frame.stream),
                kind::PING if frame.flags & flag::ACK == 0 => {
                    self.send(kind::PING, flag::ACK, 0, &frame.payload);
                }
                _ => {}
            }
        }
    }

    /// 200 with this body.
    pub fn answer(&mut self, stream: u32, body: &str) {
        self.headers(stream, &[(":status", "200")], false);
        self.send(kind::DATA, flag::END_STREAM, stream, body.as_bytes());
    }

    /// Connects and sends nothing.
    #[track_caller]
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { inbox: Inbox::new(stream) }
    }

    /// Whether it could still be written.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.inbox.wire.write_all(bytes).is_ok()
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send_bytes(&frame(kind, flags, stream, payload))
    }

    /// A whole request head in one frame.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end_stream: bool) -> bool {
        let flags = flag::END_HEADERS | if end_stream { flag::END_STREAM } else { 0 };
        self.send(kind::HEADERS, flags, stream, &block(fields))
    }

    /// `GET /` for `test`.
    pub fn get(&mut self, stream: u32) -> bool {
        self.headers(stream, GET, true)
    }

    pub fn frame(&mut self) -> Result<Frame, Broken> {
        let head = self.inbox.within(PATIENCE).take(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.inbox.take(length)?;
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What the first final answer to this stream, or to the whole connection, is.
    #[track_caller]
    pub fn fate_of(&mut self, stream: u32) -> Fate {
        loop {
            let frame = match self.frame() {
                Ok(frame) => frame,
                Err(Broken::TimedOut) => panic!("nothing became of stream {stream}"),
                Err(_) => return Fate::Closed,
            };
            if let Some(fate) = Fate::told_by(&frame, stream) {
                return fate;
            }
        }
    }

    /// The error of the GOAWAY, or that it closed without one; everything else is read and dropped.
    #[track_caller]
    pub fn goaway(&mut self) -> Fate {
        self.fate_of(u32::MAX)
    }
}

pub const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals without indexing and without Huffman coding.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            push_length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of 7 bits (RFC 7541 section 5.1).
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return bytes.push(length as u8) };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// `:status` of a connection's first response: it comes first, from the static table or as a literal with its name
/// from there.
#[track_caller]
fn status_of(block: &[u8]) -> u16 {
    // A dynamic table size update may stand before it.
    let block = match block.first() {
        Some(0x20..=0x3f) => &block[1 + usize::from(block[0] == 0x3f) * 2..],
        _ => block,
    };
    match block[0] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e => {
            let length = usize::from(block[1] & 0x7f);
            let text = &block[2..2 + length];
            if block[1] & 0x80 == 0 { std::str::from_utf8(text).unwrap().parse().unwrap() } else { digits(text) }
        }
        other => panic!("no :status where it should be, but {other:#x}"),
    }
}

/// Decimal digits in HPACK's Huffman code: 0 to 2 have five bits, 3 to 9 have six.
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|b| (0..8).rev().map(move |i| b >> i & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0u16, |n, b| n << 1 | u16::from(*b));
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let short = number(&bits[at..at + 5]);
        let digit = if short <= 2 { short } else { number(&bits[at..at + 6]) - 0b011001 + 3 };
        at += if short <= 2 { 5 } else { 6 };
        value = value * 10 + digit;
    }
    value
}

fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
