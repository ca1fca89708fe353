//! The one request of a run, encoded once.

use super::target::Target;

/// A request's method, fields and body, and its bytes on an HTTP/1.1 connection.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    /// Lower-case names, in order; without those that frame the message.
    fields: Vec<(String, Vec<u8>)>,
    authority: String,
    body: Vec<u8>,
    http1: Vec<u8>,
}

/// Why a field can't be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    #[error("{0:?} is no field: write it as 'name: value'")]
    NoColon(String),
    #[error("{0:?} is no field's name")]
    Name(String),
    #[error("the value of {0:?} has a character that may not stand in a field")]
    Value(String),
    #[error("the fields take {0} bytes together, which is more than {MAX_FIELD_BYTES}")]
    TooLong(usize),
    #[error("{0} frames the message or the connection, and is set by the load generator itself")]
    Reserved(String),
}

impl Request {
    /// Encodes a request. `fields` are lines as `name: value`; Host may be one of them. Without a method it is GET, or
    /// POST if there is a body.
    ///
    /// # Errors
    /// The first field that can't be sent.
    pub fn new(
        target: &Target,
        method: Option<&str>,
        fields: &[String],
        body: Vec<u8>,
        keepalive: bool,
    ) -> Result<Self, BadField> {
        let method = method.map_or(if body.is_empty() { "GET" } else { "POST" }, |method| method).to_owned();
        let mut authority = target.authority().to_owned();
        let mut own = Vec::with_capacity(fields.len() + 1);
        for line in fields {
            let (name, value) = parse_field(line)?;
            match name.as_str() {
                "host" => authority = String::from_utf8(value).map_err(|_| BadField::Value(name))?,
                _ => own.push((name, value)),
            }
        }
        if !own.iter().any(|(name, _)| name == "user-agent") {
            own.insert(0, ("user-agent".to_owned(), USER_AGENT.as_bytes().to_vec()));
        }
        let bytes = own.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + target.path().len();
        if bytes > MAX_FIELD_BYTES {
            return Err(BadField::TooLong(bytes));
        }
        let mut http1 = format!("{method} {} HTTP/1.1\r\nhost: {authority}\r\n", target.path()).into_bytes();
        for (name, value) in &own {
            http1.extend_from_slice(name.as_bytes());
            http1.extend_from_slice(b": ");
            http1.extend_from_slice(value);
            http1.extend_from_slice(b"\r\n");
        }
        if has_length(&method, &body) {
            http1.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        if !keepalive {
            http1.extend_from_slice(b"connection: close\r\n");
        }
        http1.extend_from_slice(b"\r\n");
        http1.extend_from_slice(&body);
        Ok(Self { method, fields: own, authority, body, http1 })
    }

    /// The whole message for HTTP/1.1.
    pub(super) fn http1(&self) -> &[u8] {
        &self.http1
    }

    /// Whether the answer has no body, whatever it says of one.
    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The fields of an HTTP/2 header section, pseudo fields first.
    pub(super) fn http2(&self, target: &Target) -> Vec<(String, Vec<u8>)> {
        let scheme = if target.is_tls() { "https" } else { "http" };
        let mut list: Vec<(String, Vec<u8>)> = [
            (":method", self.method.as_str()),
            (":scheme", scheme),
            (":authority", self.authority.as_str()),
            (":path", target.path()),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into();
        list.extend(self.fields.iter().cloned());
        if has_length(&self.method, &self.body) {
            list.push(("content-length".to_owned(), self.body.len().to_string().into_bytes()));
        }
        list
    }

    #[cfg(test)]
    pub(super) fn get_for_tests() -> Self {
        let target = Target::parse("http://127.0.0.1/", super::plan::Protocol::Http1).unwrap();
        Self::new(&target, None, &[], Vec::new(), true).unwrap()
    }
}

/// RFC 9110 8.6: a method that has a meaning for a body says its length, even if it is none.
fn has_length(method: &str, body: &[u8]) -> bool {
    !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")
}

fn parse_field(line: &str) -> Result<(String, Vec<u8>), BadField> {
    let (name, value) = line.split_once(':').ok_or_else(|| BadField::NoColon(line.to_owned()))?;
    let name = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(BadField::Name(name));
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(BadField::Reserved(name));
    }
    let value = value.trim().as_bytes().to_vec();
    if http::HeaderValue::from_bytes(&value).is_err() {
        return Err(BadField::Value(name));
    }
    Ok((name, value))
}

/// What an answer's end, or the connection's use, depends on; and what HTTP/2 forbids.
const RESERVED: [&str; 7] =
    ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "expect"];

/// What fits into one frame of HTTP/2, with room for the framing of each field; few servers take more anyway.
const MAX_FIELD_BYTES: usize = 12 << 10;

const USER_AGENT: &str = concat!("tidegate-bench/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::super::plan::Protocol;
    use super::*;

    fn encode(method: Option<&str>, fields: &[&str], body: &[u8], keepalive: bool) -> Result<String, BadField> {
        let target = Target::parse("http://127.0.0.1:8080/a?b", Protocol::Http1).unwrap();
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = Request::new(&target, method, &fields, body.to_vec(), keepalive)?;
        Ok(String::from_utf8(request.http1).unwrap())
    }

    #[test]
    fn a_request_is_encoded_as_asked_for() {
        assert_eq!(
            encode(None, &["User-Agent: me", "X-A:  1 "], b"", true).unwrap(),
            "GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: me\r\nx-a: 1\r\n\r\n"
        );
        assert_eq!(
            encode(None, &["Host: other", "user-agent: me"], b"hi", false).unwrap(),
            "POST /a?b HTTP/1.1\r\nhost: other\r\nuser-agent: me\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"
        );
        assert!(encode(Some("PUT"), &[], b"", true).unwrap().contains("content-length: 0\r\n"));
    }

    #[test]
    fn what_could_break_the_message_is_refused() {
        let fault = |field: &str| encode(None, &[field], b"", true).unwrap_err();
        assert_eq!(fault("nothing"), BadField::NoColon("nothing".to_owned()));
        assert_eq!(fault("a b: 1"), BadField::Name("a b".to_owned()));
        assert_eq!(fault("a: b\r\nc: d"), BadField::Value("a".to_owned()));
        assert_eq!(fault("Content-Length: 5"), BadField::Reserved("content-length".to_owned()));
    }
}
