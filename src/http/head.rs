//! Message heads: one flat buffer and a small list of fields.
//!
//! HTTP/1 parses into a head without copying, HTTP/2 fills it from its header block. Order, case and duplicates survive.
//! No hash map: a head has few fields, and the ones that stages ask for carry a [`FieldId`].

use std::fmt;

use super::field::FieldId;

/// A range of a head's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header field: where its name and value stand, and which known field it is.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub id: FieldId,
    pub name: Span,
    pub value: Span,
}

/// The fields of a message and the buffer that all its parts lie in.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    list: Vec<Field>,
}

impl Fields {
    /// Fields over a buffer that a codec has parsed.
    pub fn from_parts(bytes: Vec<u8>, list: Vec<Field>) -> Self {
        Self { bytes, list }
    }

    /// No fields, with room for them.
    pub fn with_capacity(bytes: usize, fields: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), list: Vec::with_capacity(fields) }
    }

    /// Gives the allocations back for reuse.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Field>) {
        (self.bytes, self.list)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn slice(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// The fields by their places in [`Fields::bytes`].
    pub fn list(&self) -> &[Field] {
        &self.list
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Id, name as received, value without surrounding blanks; in message order.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &[u8], &[u8])> + Clone {
        self.list.iter().map(|f| (f.id, self.slice(f.name), self.slice(f.value)))
    }

    /// The first value of a known field.
    pub fn get(&self, id: FieldId) -> Option<&[u8]> {
        debug_assert_ne!(id, FieldId::Other);
        self.list.iter().find(|f| f.id == id).map(|f| self.slice(f.value))
    }

    /// All values of a known field, in order.
    pub fn get_all(&self, id: FieldId) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.list.iter().filter(move |f| f.id == id).map(|f| self.slice(f.value))
    }

    pub fn contains(&self, id: FieldId) -> bool {
        self.list.iter().any(|f| f.id == id)
    }

    /// The first value of a field by name, whatever its case.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        match FieldId::of(name) {
            FieldId::Other => {
                self.iter().find(|(id, n, _)| *id == FieldId::Other && n.eq_ignore_ascii_case(name)).map(|(_, _, v)| v)
            }
            id => self.get(id),
        }
    }

    /// Appends bytes that a span will name (a target, a reason phrase).
    pub fn store(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// Appends what `write` appends, for a span to name.
    ///
    /// # Errors
    /// Those of `write`; what it has appended until then stays in the buffer.
    pub fn try_store<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Span, E> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        Ok(Span::new(start, self.bytes.len()))
    }

    /// Gives up the bytes from where `span` starts: nothing that is still named may lie there.
    pub fn truncate(&mut self, span: Span) {
        self.bytes.truncate(span.start as usize);
    }

    /// Appends a field whose name and value are stored already. The caller has checked them.
    pub fn push_stored(&mut self, field: Field) {
        self.list.push(field);
    }

    /// Appends a field. The caller has checked name and value.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let id = FieldId::of(name);
        let name = self.store(name);
        let value = self.store(value);
        self.list.push(Field { id, name, value });
    }

    /// Keeps the fields for which `keep(id, name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(FieldId, &[u8], &[u8]) -> bool) {
        let bytes = &self.bytes;
        self.list.retain(|f| keep(f.id, f.name.of(bytes), f.value.of(bytes)));
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(_, n, v)| (n.escape_ascii().to_string(), v.escape_ascii().to_string())))
            .finish()
    }
}

/// The version a message was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As the access log and `$server_protocol` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// The methods that some rule knows; [`RequestHead::method_bytes`] has any as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Lock,
    /// Any other token. In metrics it is `OTHER`.
    Other,
}

impl Method {
    pub const COUNT: usize = Method::Other as usize + 1;

    pub fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            b"LOCK" => Method::Lock,
            _ => Method::Other,
        }
    }

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Lock => "LOCK",
            Method::Other => "OTHER",
        }
    }

    /// Whether nginx retries it after it was sent (`proxy_next_upstream` without `non_idempotent`).
    pub fn is_retried(self) -> bool {
        !matches!(self, Method::Post | Method::Lock | Method::Patch)
    }
}

/// A request's head. The target is origin-form or `*`: the codecs take an absolute-form's authority out.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub method: Method,
    pub version: Version,
    method_span: Span,
    target: Span,
    received_target: Span,
    authority: Span,
    pub fields: Fields,
}

impl RequestHead {
    /// `authority` is what names the host: the absolute-form's or HTTP/2's `:authority`, else the Host field's value.
    pub fn new(fields: Fields, version: Version, method: Span, target: Span, authority: Span) -> Self {
        let token = Method::of(fields.slice(method));
        Self { method: token, version, method_span: method, target, received_target: target, authority, fields }
    }

    pub fn method_bytes(&self) -> &[u8] {
        self.fields.slice(self.method_span)
    }

    /// Raw path and query, as received.
    pub fn target(&self) -> &[u8] {
        self.fields.slice(self.target)
    }

    /// Notes the target as it stood in an absolute-form request.
    pub fn with_received_target(mut self, received: Span) -> Self {
        self.received_target = received;
        self
    }

    /// The target as the client wrote it: an absolute-form with its scheme and authority. For the access log.
    pub fn received_target(&self) -> &[u8] {
        self.fields.slice(self.received_target)
    }

    /// The target up to `?`.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        match memchr::memchr(b'?', target) {
            Some(at) => &target[..at],
            None => target,
        }
    }

    /// What follows `?`, if anything stands there.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        memchr::memchr(b'?', target).map(|at| &target[at + 1..])
    }

    /// Host and perhaps port as received; empty only for an HTTP/1.0 request without Host.
    pub fn authority(&self) -> &[u8] {
        self.fields.slice(self.authority)
    }

    /// The authority without its port; an IPv6 literal keeps its brackets. Case as received.
    pub fn host(&self) -> &[u8] {
        let authority = self.authority();
        let port = match memchr::memrchr(b':', authority) {
            Some(at) if authority[at + 1..].iter().all(u8::is_ascii_digit) => at,
            _ => authority.len(),
        };
        &authority[..port]
    }

    /// Replaces the target; what was there stays in the buffer.
    pub fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
    }
}

/// A response's head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    pub status: u16,
    pub version: Version,
    pub fields: Fields,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(authority: &[u8]) -> RequestHead {
        let mut fields = Fields::default();
        let method = fields.store(b"GET");
        let target = fields.store(b"/a?b?c");
        let authority = fields.store(authority);
        fields.push(b"X-One", b"1");
        fields.push(b"x-one", b"2");
        RequestHead::new(fields, Version::Http11, method, target, authority)
    }

    #[test]
    fn host_is_the_authority_without_its_port() {
        for (authority, host) in
            [("a.b:80", "a.b"), ("a.b", "a.b"), ("[::1]:443", "[::1]"), ("[::1]", "[::1]"), ("", "")]
        {
            assert_eq!(head(authority.as_bytes()).host(), host.as_bytes());
        }
    }

    #[test]
    fn path_and_query_split_at_the_first_question_mark() {
        let head = head(b"h");
        assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b?c"[..])));
    }

    #[test]
    fn fields_keep_order_case_and_duplicates() {
        let head = head(b"h");
        let names: Vec<_> = head.fields.iter().map(|(_, n, v)| (n.to_vec(), v.to_vec())).collect();
        assert_eq!(names, [(b"X-One".to_vec(), b"1".to_vec()), (b"x-one".to_vec(), b"2".to_vec())]);
        assert_eq!(head.fields.find(b"X-ONE"), Some(&b"1"[..]));
    }
}
