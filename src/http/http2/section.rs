//! What a header section means: requests and trailers as flat heads, RFC 9113 8 and RFC 8441.

use super::websocket;
use crate::http::field::{FieldId, FieldSet};
use crate::http::head::{Field, Fields, RequestHead, Span, Version};
use crate::http::hpack::{BadSection, Decoder, ENTRY_OVERHEAD, Kind, Line, Pseudo};
use crate::http::http1::parse::may_trail;
use crate::http::http1::target::is_valid_host;
use crate::http::http1::{BodyLength, HeadLimits};
use crate::reason::Reason;

/// A request, or why it can't be taken, with as much of its head as can be told of.
#[derive(Debug)]
pub struct Received {
    pub head: RequestHead,
    pub length: BodyLength,
    pub refused: Option<Reason>,
    /// RFC 8441: the stream becomes a tunnel once the request is answered with 2xx.
    pub tunnel: bool,
}

/// Reads a request's section. It is read to its end whatever it says: the table is the connection's.
pub(super) fn read_request(
    decoder: &mut Decoder,
    block: &[u8],
    ended: bool,
    limits: &HeadLimits,
) -> Result<Received, BadSection> {
    // A section that names its lines by their places says five times its bytes and more.
    let room = (block.len() * 2 + 512).min(limits.max_head_bytes);
    let mut section = Section::new(Fields::with_capacity(room, 16), limits.max_head_bytes);
    section.read(decoder, block)?;
    Ok(section.into_request(ended, limits))
}

/// Reads a trailer section: fields alone, of which those are kept that may come after a body. `None`: not RFC 9113's
/// grammar (8.1), or more than the bound.
pub(super) fn read_trailers(decoder: &mut Decoder, block: &[u8]) -> Result<Option<Fields>, BadSection> {
    let mut section = Section::new(Fields::default(), MAX_TRAILER_BYTES);
    section.read(decoder, block)?;
    if section.fault.is_some() || section.has_pseudo {
        return Ok(None);
    }
    section.fields.retain(|id, _, _| may_trail(id));
    Ok(Some(section.fields))
}

/// Reads a section that nobody wants any more.
pub(super) fn skip(decoder: &mut Decoder, block: &[u8]) -> Result<(), BadSection> {
    Section::new(Fields::default(), 0).read(decoder, block)
}

/// A section on its way to a flat head.
struct Section {
    fields: Fields,
    method: Option<Span>,
    scheme: Option<Span>,
    authority: Option<Span>,
    path: Option<Span>,
    protocol: Option<Span>,
    has_pseudo: bool,
    /// The first reason not to take it.
    fault: Option<Reason>,
    /// As SETTINGS_MAX_HEADER_LIST_SIZE counts: RFC 9113 6.5.2.
    size: usize,
    max_size: usize,
    cookies: usize,
}

impl Section {
    fn new(fields: Fields, max_size: usize) -> Self {
        Self {
            fields,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            has_pseudo: false,
            fault: None,
            size: 0,
            max_size,
            cookies: 0,
        }
    }

    fn read(&mut self, decoder: &mut Decoder, mut block: &[u8]) -> Result<(), BadSection> {
        while let Some(line) = decoder.next(&mut block)? {
            self.take(&line)?;
        }
        Ok(())
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), BadSection> {
        if self.size + line.name.at_most() + line.value.at_most() > self.max_size.saturating_mul(2) {
            // Over the bound, whatever it decodes to: nothing is kept of it.
            self.size = self.size.max(self.max_size + 1);
            self.fault.get_or_insert(Reason::HeadTooLarge);
            return Ok(());
        }
        let name = self.fields.try_store(|out| line.name.append_to(out))?;
        let value = self.fields.try_store(|out| line.value.append_to(out))?;
        self.size += name.len() + value.len() + ENTRY_OVERHEAD;
        if self.size > self.max_size {
            self.fault.get_or_insert(Reason::HeadTooLarge);
            self.fields.truncate(name);
            return Ok(());
        }
        let kind = line.kind.unwrap_or_else(|| Kind::of(self.fields.slice(name)));
        let is_valid = line
            .is_valid
            .unwrap_or_else(|| Line::keeps_grammar(kind, self.fields.slice(name), self.fields.slice(value)));
        let is_right = is_valid
            && match kind {
                Kind::Pseudo(pseudo) => self.take_pseudo(pseudo, value),
                Kind::Field(id) => self.take_field(id, name, value),
            };
        if !is_right {
            self.fault.get_or_insert(Reason::MalformedHead);
        }
        Ok(())
    }

    /// RFC 9113 8.3: before all fields, each once, none but those of a request.
    fn take_pseudo(&mut self, pseudo: Pseudo, value: Span) -> bool {
        self.has_pseudo = true;
        let place = match pseudo {
            Pseudo::Method => &mut self.method,
            Pseudo::Scheme => &mut self.scheme,
            Pseudo::Authority => &mut self.authority,
            Pseudo::Path => &mut self.path,
            Pseudo::Protocol => &mut self.protocol,
            Pseudo::Status | Pseudo::Unknown => return false,
        };
        place.replace(value).is_none() && self.fields.is_empty()
    }

    fn take_field(&mut self, id: FieldId, name: Span, value: Span) -> bool {
        self.cookies += usize::from(id == FieldId::Cookie);
        self.fields.push_stored(Field { id, name, value });
        // RFC 9113 8.2.2.
        !CONNECTION_FIELDS.contains(id) && (id != FieldId::Te || self.fields.slice(value) == b"trailers")
    }

    fn into_request(mut self, ended: bool, limits: &HeadLimits) -> Received {
        let tunnel = self.protocol.is_some();
        let checked = match self.fault {
            Some(fault) => Err(fault),
            None => self.check(ended, limits),
        };
        if self.cookies > 1 {
            self.join_cookies();
        }
        let root = |fields: &mut Fields| fields.store(b"/");
        let (authority, length, refused) = match checked {
            Ok((authority, length)) => (authority, length, None),
            Err(reason) => (self.authority.unwrap_or_default(), BodyLength::Known(0), Some(reason)),
        };
        let target = match self.path.filter(|path| !path.is_empty()) {
            Some(path) => path,
            None => root(&mut self.fields),
        };
        let mut method = self.method.unwrap_or_default();
        if tunnel && refused.is_none() {
            method = websocket::as_http1(&mut self.fields);
        }
        let head = RequestHead::new(self.fields, Version::Http2, method, target, authority);
        Received { head, length, refused, tunnel: tunnel && refused.is_none() }
    }

    /// What HTTP/1 would refuse is refused here too, or it would become a hole on the way upstream.
    fn check(&self, ended: bool, limits: &HeadLimits) -> Result<(Span, BodyLength), Reason> {
        if self.fields.len() - self.cookies.saturating_sub(1) > limits.max_fields {
            return Err(Reason::HeadTooLarge);
        }
        let method = self.fields.slice(self.method.ok_or(Reason::MalformedHead)?);
        if !is_token(method) {
            return Err(Reason::MalformedHead);
        }
        if method == b"CONNECT" && self.protocol.is_none() {
            // RFC 9113 8.5: it has neither scheme nor path.
            let is_whole = self.scheme.is_none() && self.path.is_none() && self.authority.is_some();
            return Err(if is_whole { Reason::MethodRefused } else { Reason::MalformedHead });
        }
        let scheme = self.fields.slice(self.scheme.ok_or(Reason::MalformedHead)?);
        let target = self.fields.slice(self.path.ok_or(Reason::MalformedHead)?);
        if !is_scheme(scheme) || !is_target(target, method) {
            return Err(Reason::MalformedHead);
        }
        if target.len() > limits.max_target_bytes {
            return Err(Reason::TargetTooLong);
        }
        let authority = self.host()?;
        if let Some(protocol) = self.protocol {
            if method != b"CONNECT" || self.authority.is_none() {
                return Err(Reason::MalformedHead);
            }
            // RFC 8441 5; a stream that has ended can't become a tunnel.
            if ended || self.fields.contains(FieldId::ContentLength) {
                return Err(Reason::MalformedHead);
            }
            return match websocket::is_named(self.fields.slice(protocol)) {
                true => Ok((authority, BodyLength::Known(0))),
                false => Err(Reason::UnknownProtocol),
            };
        }
        Ok((authority, self.length(ended)?))
    }

    /// `:authority`, else Host; if both are there they agree (RFC 9113 8.3.1).
    fn host(&self) -> Result<Span, Reason> {
        let mut hosts = self.fields.list().iter().filter(|field| field.id == FieldId::Host).map(|field| field.value);
        let host = hosts.next();
        let agree = |a: Span, b: Span| self.fields.slice(a).eq_ignore_ascii_case(self.fields.slice(b));
        let chosen = match (self.authority, host) {
            _ if hosts.next().is_some() => None,
            (Some(authority), Some(host)) if !agree(authority, host) => None,
            (authority, host) => authority.or(host),
        };
        chosen.filter(|chosen| is_valid_host(self.fields.slice(*chosen))).ok_or(Reason::BadHost)
    }

    fn length(&self, ended: bool) -> Result<BodyLength, Reason> {
        let mut announced = self.fields.get_all(FieldId::ContentLength);
        let Some(digits) = announced.next() else {
            return Ok(if ended { BodyLength::Known(0) } else { BodyLength::Chunked });
        };
        let valid = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(digits).ok().filter(|_| valid).and_then(|digits| digits.parse().ok());
        match length {
            Some(length) if announced.next().is_none() && (!ended || length == 0) => Ok(BodyLength::Known(length)),
            _ => Err(Reason::AmbiguousFraming),
        }
    }

    /// RFC 9113 8.2.3: crumbs become one field before they reach HTTP/1.
    fn join_cookies(&mut self) {
        let mut joined = Vec::new();
        for crumb in self.fields.get_all(FieldId::Cookie) {
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(crumb);
        }
        self.fields.retain(|id, _, _| id != FieldId::Cookie);
        self.fields.push(FieldId::Cookie.name().as_bytes(), &joined);
    }
}

/// RFC 9110 9.1.
fn is_token(method: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !method.is_empty() && method.iter().all(is_allowed)
}

/// RFC 3986 3.1. Which one it is tells nothing that the connection doesn't.
fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// What HTTP/1 takes in origin-form; a fragment is never sent (RFC 9110 4.2.5).
fn is_target(target: &[u8], method: &[u8]) -> bool {
    match target {
        [b'/', rest @ ..] => rest.iter().all(|byte| matches!(byte, b'!'..=b'~' | 0x80..) && *byte != b'#'),
        b"*" => method == b"OPTIONS",
        _ => false,
    }
}

/// Fields of a connection, which HTTP/2 has none of.
const CONNECTION_FIELDS: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
]);

/// Of a trailer section, as for HTTP/1's.
const MAX_TRAILER_BYTES: usize = 8 << 10;
