//! A second reader of HTTP/1: httparse for heads, and for bodies the least that RFC 9112 allows. It shares no code with
//! the server's own framing, and takes no message that could be read in two ways.

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// A request's method, a response's status.
    pub what: String,
    pub target: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Bytes that it took.
    pub used: usize,
}

/// Why there is no message at the front.
#[derive(Debug, PartialEq, Eq)]
pub enum Nothing {
    /// More bytes may make one.
    Unfinished,
    Wrong(&'static str),
}

/// A request at the front of `bytes`.
pub fn request(bytes: &[u8]) -> Result<Message, Nothing> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut fields);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Err(Nothing::Unfinished),
        Err(_) => return Err(Nothing::Wrong("head")),
    };
    let (what, target) = (parsed.method.unwrap_or_default().to_owned(), parsed.path.unwrap_or_default().to_owned());
    let version = parsed.version;
    let fields = owned(parsed.headers);
    let (body, used) = match (coding(&fields)?, length(&fields)?) {
        (true, Some(_)) => return Err(Nothing::Wrong("both framings")),
        (true, None) if version == Some(0) => return Err(Nothing::Wrong("a coding in HTTP/1.0")),
        (true, None) => chunked(&bytes[head..])?,
        (false, length) => counted(&bytes[head..], length.unwrap_or(0))?,
    };
    Ok(Message { what, target, fields, body, used: head + used })
}

/// A final response to a GET at the front of `bytes`, after which the connection ends.
pub fn response(bytes: &[u8]) -> Result<Message, Nothing> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Response::new(&mut fields);
    let head = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Err(Nothing::Unfinished),
        Err(_) => return Err(Nothing::Wrong("head")),
    };
    let status = parsed.code.unwrap_or(0);
    let fields = owned(parsed.headers);
    let (body, used) = match (coding(&fields)?, length(&fields)?) {
        _ if status == 204 || status == 304 => (Vec::new(), 0),
        (true, Some(_)) => return Err(Nothing::Wrong("both framings")),
        (true, None) => chunked(&bytes[head..])?,
        (false, Some(length)) => counted(&bytes[head..], length)?,
        (false, None) => (bytes[head..].to_vec(), bytes.len() - head),
    };
    Ok(Message { what: status.to_string(), target: String::new(), fields, body, used: head + used })
}

/// A chunked body at the front of `bytes`, without its trailers, and how many bytes it took with them.
pub fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, usize), Nothing> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let line = line(&bytes[at..])?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Nothing::Wrong("a chunk's size"));
        }
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or(Nothing::Wrong("a chunk's size"))?;
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size).ok_or(Nothing::Wrong("a chunk's size"))?;
        body.extend_from_slice(bytes.get(at..end).ok_or(Nothing::Unfinished)?);
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err(Nothing::Wrong("a chunk's end")),
            None => return Err(Nothing::Unfinished),
        }
    }
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        if line.is_empty() {
            return Ok((body, at));
        }
    }
}

fn counted(bytes: &[u8], length: usize) -> Result<(Vec<u8>, usize), Nothing> {
    bytes.get(..length).map(|body| (body.to_vec(), length)).ok_or(Nothing::Unfinished)
}

/// Up to CR LF; neither stands alone.
fn line(bytes: &[u8]) -> Result<&[u8], Nothing> {
    let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Err(Nothing::Unfinished);
    };
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Ok(&bytes[..at]),
        (b'\r', None) => Err(Nothing::Unfinished),
        _ => Err(Nothing::Wrong("a line's end")),
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec())).collect()
}

fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|field| field.0 == name).map(|field| field.1.trim_ascii()).collect()
}

/// Whether the body is chunked.
fn coding(fields: &[(String, Vec<u8>)]) -> Result<bool, Nothing> {
    match values(fields, "transfer-encoding")[..] {
        [] => Ok(false),
        [coding] if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Nothing::Wrong("a transfer coding")),
    }
}

fn length(fields: &[(String, Vec<u8>)]) -> Result<Option<usize>, Nothing> {
    let values = values(fields, "content-length");
    let Some(first) = values.first() else { return Ok(None) };
    if first.is_empty() || values.iter().any(|value| value != first) || !first.iter().all(u8::is_ascii_digit) {
        return Err(Nothing::Wrong("a length"));
    }
    let text = std::str::from_utf8(first).unwrap_or_default();
    text.parse().map(Some).map_err(|_| Nothing::Wrong("a length"))
}
