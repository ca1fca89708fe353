//! HTTP/1 messages as bytes on the wire, read strictly: whoever sends anything else fails the test.

use std::fmt;

use super::wire::{Inbox, Wire};

/// Why there is no (complete) message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Closed before a byte.
    Closed,
    /// Closed in the middle; what had come of the unfinished part.
    Cut(Vec<u8>),
    Reset,
    TimedOut,
    /// Not HTTP/1 as RFC 9112 has it.
    Malformed(String),
}

/// How a body's length was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    /// Until the connection closed.
    Close,
}

/// A head with its body.
#[derive(Clone)]
pub struct Message {
    /// The head as it stood on the wire, with the empty line.
    pub head: Vec<u8>,
    /// The first line, without CRLF.
    pub start: String,
    /// As received, in order.
    pub fields: Vec<(String, String)>,
    pub framing: Framing,
    /// Decoded.
    pub body: Vec<u8>,
    /// The sizes of the chunks, if chunked.
    pub chunks: Vec<usize>,
    pub trailers: Vec<(String, String)>,
}

impl Message {
    fn parse(head: Vec<u8>) -> Result<Self, Broken> {
        let text: String = head.iter().map(|&b| b as char).collect();
        let mut lines = text.strip_suffix("\r\n\r\n").unwrap_or(&text).split("\r\n");
        let start = lines.next().unwrap_or_default().to_string();
        let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
        if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            return Err(malformed("a bare CR, LF or NUL in", &text));
        }
        Ok(Self { head, start, fields, framing: Framing::None, body: vec![], chunks: vec![], trailers: vec![] })
    }

    /// The value of a field that may stand at most once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands {} times: {:?}", all.len(), self.fields);
        all.first().copied()
    }

    /// All values of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads a request's head.
    pub fn read_request_head<W: Wire>(inbox: &mut Inbox<W>) -> Result<Self, Broken> {
        let mut message = Self::parse(inbox.take_through(b"\r\n\r\n")?)?;
        message.framing = message.told_framing()?.unwrap_or(Framing::None);
        Ok(message)
    }

    /// Reads the body that the head tells of.
    pub fn read_body<W: Wire>(&mut self, inbox: &mut Inbox<W>) -> Result<(), Broken> {
        match self.framing {
            Framing::None => {}
            Framing::Length(length) => self.body = inbox.take(length as usize)?,
            Framing::Close => self.body = inbox.take_rest()?,
            Framing::Chunked => self.read_chunks(inbox)?,
        }
        Ok(())
    }

    fn told_framing(&self) -> Result<Option<Framing>, Broken> {
        let coding = self.all("transfer-encoding");
        let length = self.all("content-length");
        match (coding.as_slice(), length.as_slice()) {
            ([], []) => Ok(None),
            (["chunked"], []) => Ok(Some(Framing::Chunked)),
            ([], [one]) if !one.is_empty() && one.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Some(Framing::Length(one.parse().map_err(|_| malformed("Content-Length", one))?)))
            }
            _ => Err(malformed("framing", &format!("{:?}", self.fields))),
        }
    }

    fn read_chunks<W: Wire>(&mut self, inbox: &mut Inbox<W>) -> Result<(), Broken> {
        loop {
            let line = inbox.take_through(b"\r\n").map_err(|b| self.cut(b))?;
            let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(malformed("chunk size", &format!("{:?}", line.escape_ascii().to_string())));
            }
            let size = usize::from_str_radix(digits, 16).map_err(|_| malformed("chunk size", digits))?;
            if size == 0 {
                break;
            }
            self.chunks.push(size);
            let data = inbox.take(size).map_err(|b| self.cut(b))?;
            self.body.extend(data);
            if inbox.take(2).map_err(|b| self.cut(b))? != b"\r\n" {
                return Err(malformed("chunk end", ""));
            }
        }
        loop {
            let line = inbox.take_through(b"\r\n").map_err(|b| self.cut(b))?;
            if line == b"\r\n" {
                return Ok(());
            }
            self.trailers.push(parse_field(&String::from_utf8_lossy(&line[..line.len() - 2]))?);
        }
    }

    /// A close in the middle of chunks, with all of the body that had come.
    fn cut(&self, broken: Broken) -> Broken {
        match broken {
            Broken::Closed => Broken::Cut(self.body.clone()),
            Broken::Cut(rest) => Broken::Cut([self.body.clone(), rest].concat()),
            other => other,
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.head.escape_ascii())?;
        write!(f, " + {:?} body of {}: ", self.framing, self.body.len())?;
        write!(f, "{}", self.body[..self.body.len().min(400)].escape_ascii())?;
        write!(f, " {:?}", self.trailers)
    }
}

/// A final response, and the interim ones before it.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub interim: Vec<Response>,
    pub message: Message,
}

impl Response {
    /// Reads the response to a request of this method.
    pub fn read<W: Wire>(inbox: &mut Inbox<W>, method: &str) -> Result<Self, Broken> {
        let mut interim = Vec::new();
        loop {
            let mut response = Self::read_head(inbox, method)?;
            if response.status >= 200 || response.status == 101 {
                response.interim = interim;
                response.message.read_body(inbox)?;
                return Ok(response);
            }
            interim.push(response);
        }
    }

    /// Reads one head only; the body is left on the wire.
    pub fn read_head<W: Wire>(inbox: &mut Inbox<W>, method: &str) -> Result<Self, Broken> {
        let mut message = Message::parse(inbox.take_through(b"\r\n\r\n")?)?;
        let status = parse_status(&message.start)?;
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let told = message.told_framing()?;
        message.framing = if bodiless { Framing::None } else { told.unwrap_or(Framing::Close) };
        if matches!(status, 100..=199 | 204) && told.is_some() {
            return Err(malformed("framing fields where none may stand", &message.start));
        }
        Ok(Self { status, interim: Vec::new(), message })
    }
}

impl std::ops::Deref for Response {
    type Target = Message;
    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

/// `HTTP/1.1 200 OK`: version, three digits, a space and perhaps a phrase.
fn parse_status(line: &str) -> Result<u16, Broken> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
    let (digits, phrase) = rest.and_then(|r| r.split_at_checked(3)).ok_or_else(|| malformed("status line", line))?;
    if !phrase.starts_with(' ') || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed("status line", line));
    }
    digits.parse().map_err(|_| malformed("status line", line))
}

fn parse_field(line: &str) -> Result<(String, String), Broken> {
    let (name, value) = line.split_once(':').ok_or_else(|| malformed("field", line))?;
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
        return Err(malformed("field name", line));
    }
    Ok((name.to_string(), value.trim_matches([' ', '\t']).to_string()))
}

fn malformed(what: &str, text: &str) -> Broken {
    Broken::Malformed(format!("{what} {text:?}"))
}
