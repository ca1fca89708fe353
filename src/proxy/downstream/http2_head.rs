//! HTTP/2 heads as flat heads: RFC 9113 8.3.

use http::request::Parts;

use crate::config::HttpLimits;
use crate::http::field::FieldId;
use crate::http::head::{Fields, RequestHead, Version};
use crate::http::http1::BodyLength;
use crate::http::http1::target::is_valid_host;
use crate::reason::Reason;

/// A request's head from its header block, which h2 has checked for order, case and connection fields.
///
/// # Errors
/// What HTTP/1 would refuse is refused here too, or it would become a hole on the way upstream; but a fragment, which
/// `http::Uri` has cut off before we see it.
pub(super) fn read_head(parts: &Parts, ended: bool, limits: &HttpLimits) -> Result<(RequestHead, BodyLength), Reason> {
    if parts.headers.len() > limits.max_fields {
        return Err(Reason::HeadTooLarge);
    }
    // RFC 9113 8.2.1. HTTP/1 would take the blanks for its own, and read another value than was checked here.
    if parts.headers.values().any(|value| has_outer_blanks(value.as_bytes())) {
        return Err(Reason::MalformedHead);
    }
    let target = target(parts)?;
    if target.len() > limits.max_target_bytes {
        return Err(Reason::TargetTooLong);
    }
    let authority = authority(parts)?;
    let length = length(parts, ended)?;
    Ok((flat_head(parts, target, authority), length))
}

/// Stands for a head that is refused, so that its refusal is recorded with what it asked for.
pub(super) fn refused_head(parts: &Parts) -> (RequestHead, BodyLength) {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    (flat_head(parts, target, b""), BodyLength::Known(0))
}

fn has_outer_blanks(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

fn target(parts: &Parts) -> Result<&str, Reason> {
    if parts.method == http::Method::CONNECT {
        return Err(Reason::MethodRefused);
    }
    match parts.uri.path_and_query().map(|target| target.as_str()) {
        Some(target) if target.starts_with('/') => Ok(target),
        Some("*") if parts.method == http::Method::OPTIONS => Ok("*"),
        _ => Err(Reason::MalformedHead),
    }
}

/// `:authority`, else Host; if both are there they agree.
fn authority(parts: &Parts) -> Result<&[u8], Reason> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host = hosts.next().map(http::HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let chosen = match (authority, host) {
        _ if hosts.next().is_some() => None,
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => None,
        (authority, host) => authority.or(host),
    };
    chosen.filter(|chosen| is_valid_host(chosen)).ok_or(Reason::BadHost)
}

fn length(parts: &Parts, ended: bool) -> Result<BodyLength, Reason> {
    let mut announced = parts.headers.get_all(http::header::CONTENT_LENGTH).iter();
    let Some(value) = announced.next() else {
        return Ok(if ended { BodyLength::Known(0) } else { BodyLength::Chunked });
    };
    let digits = value.as_bytes();
    let valid = !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(digits).ok().filter(|_| valid).and_then(|digits| digits.parse().ok());
    match length {
        Some(length) if announced.next().is_none() && (!ended || length == 0) => Ok(BodyLength::Known(length)),
        _ => Err(Reason::AmbiguousFraming),
    }
}

fn flat_head(parts: &Parts, target: &str, authority: &[u8]) -> RequestHead {
    let room = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    let mut fields = Fields::with_capacity(room + target.len() + authority.len() + 16, parts.headers.len());
    let method = fields.store(parts.method.as_str().as_bytes());
    let target = fields.store(target.as_bytes());
    let authority = fields.store(authority);
    let mut cookies = Vec::new();
    for (name, value) in &parts.headers {
        if name == http::header::COOKIE {
            // RFC 9113 8.2.3: crumbs become one field before they reach HTTP/1.
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(value.as_bytes());
        } else {
            fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if !cookies.is_empty() {
        fields.push(FieldId::Cookie.name().as_bytes(), &cookies);
    }
    RequestHead::new(fields, Version::Http2, method, target, authority)
}
