//! The name that a client asks for, read from its first flight without answering it: RFC 8446 4.1.2 and 5.1, RFC 6066 3.
//!
//! Pure: takes what has come so far, and says what it holds, what it can't be, or that more is needed.

/// What has come of a ClientHello is never more than this, record headers included. Browsers send 2 KiB.
pub const MAX_HELLO_BYTES: usize = 32 << 10;
/// The message alone.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// Why bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFault {
    #[error("it isn't TLS")]
    NotTls,
    #[error("the ClientHello is malformed")]
    Malformed,
    #[error("the ClientHello is too long")]
    TooLong,
}

/// A whole ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// In lower case; `None`: the client asks for no name.
    pub server_name: Option<Box<str>>,
}

/// Reads a ClientHello off the start of `bytes`, in however many records it comes. `None` while more is needed.
///
/// # Errors
/// As early as no continuation can be one.
pub fn read_hello(bytes: &[u8]) -> Result<Option<ClientHello>, HelloFault> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        let Some((payload, more)) = record(rest)? else { return room_for_more(bytes) };
        message.extend_from_slice(payload.bytes);
        if let Some(length) = message_length(&message)?
            && let Some(body) = message.get(4..4 + length)
        {
            return hello(body).map(Some).ok_or(HelloFault::Malformed);
        }
        if !payload.whole {
            return room_for_more(bytes);
        }
        rest = more;
    }
}

fn room_for_more(bytes: &[u8]) -> Result<Option<ClientHello>, HelloFault> {
    if bytes.len() >= MAX_HELLO_BYTES { Err(HelloFault::TooLong) } else { Ok(None) }
}

/// What has come of a record's payload.
struct Payload<'a> {
    bytes: &'a [u8],
    whole: bool,
}

/// A record and what stands behind it; `None` while its header isn't whole. Each byte is judged when it is there.
fn record(bytes: &[u8]) -> Result<Option<(Payload<'_>, &[u8])>, HelloFault> {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE) || bytes.get(1).is_some_and(|major| *major != 3) {
        return Err(HelloFault::NotTls);
    }
    let Some((&[_, _, _, high, low], behind)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // RFC 8446 5.1: no record of a handshake is empty, none is longer than 2^14.
    if length == 0 || length > 1 << 14 {
        return Err(HelloFault::Malformed);
    }
    Ok(Some(match behind.split_at_checked(length) {
        Some((bytes, more)) => (Payload { bytes, whole: true }, more),
        None => (Payload { bytes: behind, whole: false }, &[]),
    }))
}

/// The length that a message's head tells; `None` while it isn't whole.
fn message_length(message: &[u8]) -> Result<Option<usize>, HelloFault> {
    if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(HelloFault::Malformed);
    }
    let Some(&[_, high, middle, low]) = message.get(..4) else { return Ok(None) };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if length > MAX_MESSAGE_BYTES { Err(HelloFault::TooLong) } else { Ok(Some(length)) }
}

fn hello(body: &[u8]) -> Option<ClientHello> {
    let mut body = Cursor(body);
    body.take(2 + 32)?;
    let session = body.vector8()?;
    let suites = body.vector16()?;
    let compression = body.vector8()?;
    if session.len() > 32 || suites.is_empty() || suites.len() % 2 != 0 || compression.is_empty() {
        return None;
    }
    // RFC 5246 7.4.1.2: what has no extensions ends here.
    let mut extensions = if body.0.is_empty() { Cursor(&[]) } else { Cursor(body.vector16()?) };
    if !body.0.is_empty() {
        return None;
    }
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let value = extensions.vector16()?;
        // RFC 8446 4.2: none stands twice.
        if kind == SERVER_NAME && name.replace(host_name(value)?).is_some() {
            return None;
        }
    }
    Some(ClientHello { server_name: name })
}

/// The only entry that a list of names can have: RFC 6066 3 knows one type, and forbids two of one type.
fn host_name(value: &[u8]) -> Option<Box<str>> {
    let mut value = Cursor(value);
    let mut list = Cursor(value.vector16()?);
    let kind = list.take(1)?;
    let name = list.vector16()?;
    if kind != [HOST_NAME] || !list.0.is_empty() || !value.0.is_empty() {
        return None;
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if name.is_empty() || name.len() > 253 || !name.iter().all(plain) {
        return None;
    }
    Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase().into())
}

/// What is left to read of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// As many bytes as the byte before them tells.
    fn vector8(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn vector16(&mut self) -> Option<&'a [u8]> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// An extension: RFC 6066 1.1.
const SERVER_NAME: u16 = 0;
/// A type of name.
const HOST_NAME: u8 = 0;
