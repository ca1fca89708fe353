//! Heads from bytes: httparse's grammar, then the rules that it leaves open.

use std::mem::MaybeUninit;

use super::body::BadFraming;
use super::framing::{BodyLength, request_length, response_length};
use super::scan::{Found, Scan};
use super::target::{self, is_valid_host};
use crate::http::field::{FieldId, FieldSet};
use crate::http::head::{Field, Fields, RequestHead, ResponseHead, Span, Version};
use crate::reason::Reason;

/// Bounds on one head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub max_head_bytes: usize,
    pub max_fields: usize,
    pub max_target_bytes: usize,
}

/// A head that is still arriving.
#[derive(Debug, Default)]
pub struct HeadReader {
    scan: Scan,
}

impl HeadReader {
    /// A request's head and how many bytes it took, once it is whole.
    ///
    /// # Errors
    /// The reason to refuse it with, as early as the bytes tell.
    pub fn request(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<(RequestHead, BodyLength, usize)>, Reason> {
        if looks_foreign(bytes) {
            return Err(Reason::WrongProtocol);
        }
        if bytes.first().is_some_and(|first| is_no_start(*first)) && !bytes.starts_with(&[0x16]) {
            return Err(Reason::MalformedHead);
        }
        match self.scan.advance(bytes)? {
            Found::End(end) if end > limits.max_head_bytes => Err(too_large(bytes, limits)),
            Found::End(end) => {
                let (head, length) = parse_request(&bytes[..end], limits)?;
                Ok(Some((head, length, end)))
            }
            _ if bytes.len() >= limits.max_head_bytes => Err(too_large(bytes, limits)),
            Found::FirstLine => check_first_line(bytes, limits).map(|()| None),
            Found::More => Ok(None),
        }
    }

    /// A response's head and how many bytes it took, once it is whole. `head_only` for the answer to HEAD.
    ///
    /// # Errors
    /// [`Reason::BadUpstreamHead`], [`Reason::UpstreamHeadTooLarge`].
    pub fn response(
        &mut self,
        bytes: &[u8],
        head_only: bool,
        limits: &HeadLimits,
    ) -> Result<Option<(ResponseHead, BodyLength, usize)>, Reason> {
        match self.scan.advance(bytes).map_err(|_| Reason::BadUpstreamHead)? {
            Found::End(end) if end > limits.max_head_bytes => Err(Reason::UpstreamHeadTooLarge),
            // httparse passes over empty lines in front of it.
            Found::End(_) if !bytes.starts_with(b"HTTP/1.") => Err(Reason::BadUpstreamHead),
            Found::End(end) => {
                let (head, length) = parse_response(&bytes[..end], head_only, limits)?;
                Ok(Some((head, length, end)))
            }
            _ if bytes.len() >= limits.max_head_bytes => Err(Reason::UpstreamHeadTooLarge),
            Found::FirstLine if !bytes.starts_with(b"HTTP/1.") => Err(Reason::BadUpstreamHead),
            _ => Ok(None),
        }
    }
}

/// Trailer fields up to and with their empty line. `None`: not all there yet.
///
/// # Errors
/// Anything but well-formed fields, more than `max_bytes`, or a field that would change framing or routing.
pub fn trailers(bytes: &[u8], max_bytes: usize) -> Result<Option<(Fields, usize)>, BadFraming> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some((Fields::default(), 2)));
    }
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > max_bytes { Err(BadFraming) } else { Ok(None) };
    };
    let block = &bytes[..end];
    if end > max_bytes || has_bare_line_feed(block) {
        return Err(BadFraming);
    }
    let mut parsed = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let list = match httparse::parse_headers(block, &mut parsed) {
        Ok(httparse::Status::Complete((_, list))) => list,
        _ => return Err(BadFraming),
    };
    let mut fields = Fields::default();
    for header in list {
        let name = header.name.as_bytes();
        match FieldId::of(name) {
            id if FRAMING.contains(id) => return Err(BadFraming),
            id if may_trail(id) => fields.push(name, header.value.trim_ascii()),
            _ => {}
        }
    }
    Ok(Some((fields, end)))
}

/// Fields that would change where a message ends or goes, had they come in time: whoever sends them after the body tries
/// something.
const FRAMING: FieldSet = FieldSet::of(&[
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Host,
    FieldId::Connection,
    FieldId::Trailer,
    FieldId::Te,
    FieldId::Upgrade,
]);

/// Fields that say who a client is, or how a message is to be taken; a backend that merges trailers into the head must not
/// find them there.
const HEAD_ONLY: FieldSet = FieldSet::of(&[
    FieldId::Expect,
    FieldId::Range,
    FieldId::ContentType,
    FieldId::ContentEncoding,
    FieldId::Authorization,
    FieldId::ProxyAuthorization,
    FieldId::Cookie,
    FieldId::SetCookie,
    FieldId::Location,
    FieldId::RetryAfter,
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedProto,
    FieldId::XForwardedHost,
    FieldId::XRealIp,
    FieldId::XRequestId,
]);

/// Whether a field may come after the body: RFC 9110 6.5.1.
pub fn may_trail(id: FieldId) -> bool {
    !FRAMING.union(HEAD_ONLY).contains(id)
}

/// Fields a trailer section may have.
const MAX_TRAILERS: usize = 64;

/// Heads with more fields than this are parsed with a list on the heap.
const STACK_FIELDS: usize = 128;

fn parse_request(bytes: &[u8], limits: &HeadLimits) -> Result<(RequestHead, BodyLength), Reason> {
    let mut stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
    let mut heap = Vec::new();
    let room = room(&mut stack, &mut heap, limits.max_fields);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Reason::MalformedHead),
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(version_fault(bytes)),
        Err(_) => return Err(Reason::MalformedHead),
    }
    let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Reason::MalformedHead);
    };
    if path.len() > limits.max_target_bytes {
        return Err(Reason::TargetTooLong);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let target = target::parse(method.as_bytes(), path.as_bytes())?;
    let mut fields = copy_fields(bytes, request.headers);

    let method = span_of(bytes, method.as_bytes());
    let path_start = span_start(bytes, path.as_bytes());
    let at = |range: std::ops::Range<usize>| Span::new(path_start + range.start, path_start + range.end);
    let rest = if target.rest.is_empty() { fields.store(b"/") } else { at(target.rest) };
    let authority = host_of(&mut fields, version, target.authority.map(at))?;
    let length = request_length(version, &fields)?;
    let received = Span::new(path_start, path_start + path.len());
    Ok((RequestHead::new(fields, version, method, rest, authority).with_received_target(received), length))
}

/// RFC 9112 3.2: exactly one Host in HTTP/1.1, at most one in 1.0; the absolute-form's authority stands for it, and must
/// agree with it.
fn host_of(fields: &mut Fields, version: Version, absolute: Option<Span>) -> Result<Span, Reason> {
    let host = {
        let mut hosts = fields.get_all(FieldId::Host);
        let host = hosts.next().map(|value| span_of(fields.bytes(), value));
        if hosts.next().is_some() {
            return Err(Reason::BadHost);
        }
        host
    };
    if host.is_none() && version != Version::Http10 {
        return Err(Reason::BadHost);
    }
    let authority = match (absolute, host) {
        (Some(absolute), Some(host)) if !fields.slice(absolute).eq_ignore_ascii_case(fields.slice(host)) => {
            return Err(Reason::BadHost);
        }
        (Some(absolute), _) => absolute,
        (None, Some(host)) => host,
        (None, None) => return Ok(Span::default()),
    };
    if is_valid_host(fields.slice(authority)) { Ok(authority) } else { Err(Reason::BadHost) }
}

fn parse_response(bytes: &[u8], head_only: bool, limits: &HeadLimits) -> Result<(ResponseHead, BodyLength), Reason> {
    let mut stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
    let mut heap = Vec::new();
    let room = room(&mut stack, &mut heap, limits.max_fields);
    let mut response = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::UpstreamHeadTooLarge),
        _ => return Err(Reason::BadUpstreamHead),
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else { return Err(Reason::BadUpstreamHead) };
    if !(100..600).contains(&status) {
        return Err(Reason::BadUpstreamHead);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let fields = copy_fields(bytes, response.headers);
    let length = response_length(status, head_only, version, &fields)?;
    Ok((ResponseHead { status, version, fields }, length))
}

fn room<'a, 'b>(
    stack: &'a mut [MaybeUninit<httparse::Header<'b>>; STACK_FIELDS],
    heap: &'a mut Vec<MaybeUninit<httparse::Header<'b>>>,
    max_fields: usize,
) -> &'a mut [MaybeUninit<httparse::Header<'b>>] {
    if max_fields <= STACK_FIELDS {
        return &mut stack[..max_fields];
    }
    heap.resize_with(max_fields, MaybeUninit::uninit);
    heap
}

/// The head's bytes once, and where each field lies in them.
fn copy_fields(bytes: &[u8], headers: &[httparse::Header<'_>]) -> Fields {
    let mut list = Vec::with_capacity(headers.len() + 2);
    for header in headers {
        let name = header.name.as_bytes();
        list.push(Field {
            id: FieldId::of(name),
            name: span_of(bytes, name),
            value: span_of(bytes, trim_blanks(header.value)),
        });
    }
    let mut copy = Vec::with_capacity(bytes.len() + 1);
    copy.extend_from_slice(bytes);
    Fields::from_parts(copy, list)
}

/// RFC 9110 5.5: spaces and tabs around a value are no part of it.
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Where `part`, a slice of `whole`, starts in it. Anything else has no place and yields an empty span at the end.
fn span_start(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize).min(whole.len())
}

fn span_of(whole: &[u8], part: &[u8]) -> Span {
    let start = span_start(whole, part);
    Span::new(start, (start + part.len()).min(whole.len()))
}

/// A TLS record or an HTTP/2 preface where HTTP/1 was expected.
fn looks_foreign(bytes: &[u8]) -> bool {
    matches!(bytes, [0x16, 0x03, ..]) || bytes.starts_with(b"PRI * HTTP/2.0\r\n")
}

/// No request starts with this byte: what follows it needn't be waited for.
fn is_no_start(first: u8) -> bool {
    !first.is_ascii_graphic() && !matches!(first, b'\r' | b'\n')
}

/// Refuses a bad request line as soon as it is whole, without waiting for the fields.
fn check_first_line(bytes: &[u8], limits: &HeadLimits) -> Result<(), Reason> {
    let mut none = [];
    let mut request = httparse::Request::new(&mut none);
    match request.parse(bytes) {
        Err(httparse::Error::Version) => return Err(version_fault(bytes)),
        // What is wrong may stand in the fields, which are parsed when they are all there.
        Err(_) if request.version.is_none() => return Err(Reason::MalformedHead),
        _ => {}
    }
    match request.path {
        Some(path) if path.len() > limits.max_target_bytes => Err(Reason::TargetTooLong),
        _ => Ok(()),
    }
}

/// 505 for a well-formed version of another major number, 400 for anything else.
fn version_fault(bytes: &[u8]) -> Reason {
    let line = bytes.trim_ascii_start();
    let end = memchr::memchr(b'\r', line).unwrap_or(line.len());
    match line[..end].rsplit(|b| *b == b' ').next() {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && *major != b'1' && minor.is_ascii_digit() =>
        {
            Reason::UnsupportedVersion
        }
        _ => Reason::MalformedHead,
    }
}

/// 414 when it is the target that doesn't fit, else 431.
fn too_large(bytes: &[u8], limits: &HeadLimits) -> Reason {
    let line_end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    if line_end > limits.max_target_bytes { Reason::TargetTooLong } else { Reason::HeadTooLarge }
}

fn has_bare_line_feed(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r')
}
