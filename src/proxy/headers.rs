//! Which fields pass, both ways, and the heads as HTTP/1 writes them.
//!
//! A field passes unless it is hop-by-hop (RFC 9110 7.6.1), is set by us, or a rule takes it away.

use itoa::Buffer;

use super::context::RequestContext;
use crate::config::UpstreamHost;
use crate::filter::forwarded::{self, Identity};
use crate::filter::headers::HeaderRules;
use crate::filter::hop_by_hop::{self, Named};
use crate::filter::limit::Standing;
use crate::http::date;
use crate::http::field::{FieldId, FieldSet};
use crate::http::head::{Fields, RequestHead, Version};
use crate::http::http1::BodyLength;
use crate::upstream::Endpoint;

/// A final response on its way downstream.
pub struct Response<'a> {
    pub status: u16,
    /// The upstream's fields, or our own reply's.
    pub fields: &'a Fields,
    /// What the upstream's Connection field names.
    pub named: Named<'a>,
    pub rules: &'a HeaderRules,
    pub standing: Option<&'a Standing>,
    pub length: BodyLength,
    /// The answer to HEAD, a 204 or a 304: fields only.
    pub head_only: bool,
    /// The protocol that a 101 switches to.
    pub upgrade: Option<&'a [u8]>,
}

impl Response<'_> {
    /// Whether one of the message's own fields goes out. Content-Length is the codec's.
    pub fn passes(&self, id: FieldId, name: &[u8]) -> bool {
        if id == FieldId::ContentLength {
            // RFC 9110 8.6: never in a 204.
            return self.head_only && self.status != 204;
        }
        !hop_by_hop::RESPONSE.contains(id) && !self.named.drops(id, name) && !self.rules.drops(id, name)
    }

    /// Whether we give the message its date: RFC 9110 6.6.1.
    pub fn lacks_date(&self) -> bool {
        !self.fields.contains(FieldId::Date) && !self.rules.sets(FieldId::Date)
    }
}

/// How an HTTP/1 response is framed, and what becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http1Framing {
    pub length: BodyLength,
    pub version: Version,
    pub keep_alive: bool,
}

/// Appends a response head as HTTP/1.1 writes it.
pub fn encode_response(response: &Response<'_>, framing: Http1Framing, out: &mut Vec<u8>) {
    push_status_line(response.status, out);
    for (id, name, value) in response.fields.iter() {
        if response.passes(id, name) {
            push_field(name, value, out);
        }
    }
    if response.lacks_date() {
        out.extend_from_slice(b"Date: ");
        date::append(out);
        out.extend_from_slice(b"\r\n");
    }
    response.rules.append_http1(response.fields, out);
    if let Some(standing) = response.standing {
        standing.append_http1(out);
    }
    if let Some(protocol) = response.upgrade {
        push_field(b"Connection", b"upgrade", out);
        push_field(b"Upgrade", protocol, out);
    } else if !framing.keep_alive {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if framing.version == Version::Http10 {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    if !response.head_only && response.upgrade.is_none() {
        push_length(framing.length, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim (1xx) response head.
pub fn encode_interim(status: u16, fields: &Fields, out: &mut Vec<u8>) {
    push_status_line(status, out);
    let named = Named::of(fields);
    for (id, name, value) in fields.iter() {
        if passes_interim(&named, id, name) {
            push_field(name, value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of an interim response passes; `named` is what its Connection field names.
pub fn passes_interim(named: &Named<'_>, id: FieldId, name: &[u8]) -> bool {
    !hop_by_hop::RESPONSE.contains(id) && id != FieldId::ContentLength && !named.drops(id, name)
}

/// Request fields that never pass as they came: framing is ours, Host and identity are set.
const OWN_REQUEST_FIELDS: FieldSet = FieldSet::of(&[FieldId::Host, FieldId::ContentLength, FieldId::Expect])
    .union(hop_by_hop::REQUEST)
    .union(forwarded::OWN_FIELDS);

/// Appends the request head for one attempt, as HTTP/1.1.
pub fn encode_request(cx: &RequestContext, endpoint: &Endpoint, length: BodyLength, upgrade: bool, out: &mut Vec<u8>) {
    let head = &cx.head;
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    push_lower_case(upstream_host(cx, endpoint), out);
    out.extend_from_slice(b"\r\n");
    encode_request_fields(cx, out);
    if upgrade {
        push_field(b"Connection", b"upgrade", out);
        push_field(b"Upgrade", head.fields.get(FieldId::Upgrade).unwrap_or_default(), out);
    }
    if length != BodyLength::Known(0) || head.fields.contains(FieldId::ContentLength) {
        push_length(length, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The host that an endpoint is told.
pub fn upstream_host<'a>(cx: &'a RequestContext, endpoint: &'a Endpoint) -> &'a [u8] {
    match cx.upstream_host() {
        UpstreamHost::Request => cx.head.host(),
        UpstreamHost::Endpoint if endpoint.address().ip().is_none() => b"localhost",
        UpstreamHost::Endpoint => endpoint.configured().as_bytes(),
        UpstreamHost::Fixed(host) => host.as_bytes(),
    }
}

/// Appends what passes of a request's fields, who asked, and what rules set; each a line. Neither host nor framing.
#[inline]
pub fn encode_request_fields(cx: &RequestContext, out: &mut Vec<u8>) {
    let head = &cx.head;
    let rules = cx.request_rules();
    let named = Named::of(&head.fields);
    for (id, name, value) in head.fields.iter() {
        if passes_upstream(id, name, rules) {
            if !named.drops(id, name) {
                push_field(name, value, out);
            }
        } else if id == FieldId::Other && forwarded::is_suspicious(name) {
            cx.local.metrics.suspicious_field();
        }
    }
    identity(cx).append_http1(&head.fields, out);
    rules.append_http1(&head.fields, out);
}

/// Whether a request's field or trailer may reach an endpoint: identity, framing and what a rule sets or removes is not
/// the client's to say, before the body or after it.
pub fn passes_upstream(id: FieldId, name: &[u8], rules: &HeaderRules) -> bool {
    let is_ours = OWN_REQUEST_FIELDS.contains(id) || rules.drops(id, name);
    !is_ours && (id != FieldId::Other || !forwarded::is_suspicious(name))
}

/// Appends trailer fields and the empty line that ends a chunked body.
pub fn encode_trailers(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    for (id, name, value) in trailers.into_iter().flat_map(Fields::iter) {
        if !hop_by_hop::RESPONSE.contains(id) {
            push_field(name, value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether the request asks for an upgrade that is passed on: any protocol but h2c, which would let a client speak past us.
/// HTTP/2 has no Upgrade field, so that one is there only where the codec made it of an Extended CONNECT.
pub fn wants_upgrade(head: &RequestHead, length: BodyLength) -> bool {
    let Some(protocol) = head.fields.get(FieldId::Upgrade) else { return false };
    if head.version == Version::Http2 {
        return true;
    }
    head.version == Version::Http11
        && length.is_empty()
        && names_token(&head.fields, b"upgrade")
        && !protocol.split(|b| *b == b',').any(|p| p.trim_ascii().to_ascii_lowercase().starts_with(b"h2"))
}

/// Whether a Connection field names `token`.
pub fn names_token(fields: &Fields, token: &[u8]) -> bool {
    fields
        .get_all(FieldId::Connection)
        .any(|value| value.split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token)))
}

/// nginx's `$host` is in lower case; host names are the same in any.
pub fn push_lower_case(host: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(host);
    out[start..].make_ascii_lowercase();
}

pub fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn identity(cx: &RequestContext) -> Identity<'_> {
    Identity {
        peer: cx.connection.peer.client(),
        client: cx.client,
        tls: cx.connection.tls.is_some(),
        host: cx.head.authority(),
        request_id: cx.request_id(),
        trusted: cx.trusted,
        subject: cx.client_subject(),
    }
}

fn push_length(length: BodyLength, out: &mut Vec<u8>) {
    match length {
        BodyLength::Known(n) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(Buffer::new().format(n).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyLength::UntilClose => {}
    }
}

fn push_status_line(status: u16, out: &mut Vec<u8>) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Buffer::new().format(status).as_bytes());
    out.push(b' ');
    let phrase = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    out.extend_from_slice(phrase.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}
