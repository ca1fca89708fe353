//! Heads towards and from an endpoint in HTTP/2: RFC 9113 8.3.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response};

use crate::config::Upstream;
use crate::http::field::FieldId;
use crate::http::head::{Fields, ResponseHead, Version};
use crate::http::http1::BodyLength;
use crate::http::http1::framing::response_length;
use crate::proxy::context::RequestContext;
use crate::proxy::headers::{encode_request_fields, upstream_host};
use crate::reason::Reason;
use crate::upstream::Endpoint;

/// The request head for one attempt.
///
/// # Errors
/// A target or host that HTTP/2 can't carry.
pub(super) fn request(cx: &RequestContext, endpoint: &Endpoint, length: BodyLength) -> Result<Request<()>, Reason> {
    let head = &cx.head;
    let mut request = Request::new(());
    *request.method_mut() = http::Method::from_bytes(head.method_bytes()).map_err(|_| Reason::MalformedHead)?;
    *request.version_mut() = http::Version::HTTP_2;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if endpoint.speaks_tls() { Scheme::HTTPS } else { Scheme::HTTP });
    let host = upstream_host(cx, endpoint).to_ascii_lowercase();
    uri.authority = Some(Authority::from_maybe_shared(Bytes::from(host)).map_err(|_| Reason::BadHost)?);
    let target = Bytes::copy_from_slice(head.target());
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(target).map_err(|_| Reason::BadPath)?);
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Reason::BadPath)?;
    let mut lines = Vec::with_capacity(head.fields.bytes().len() + 256);
    encode_request_fields(cx, &mut lines);
    *request.headers_mut() = map_of(lines, head.fields.len() + 8);
    // RFC 9113 8.2.2: the one value that TE may have, and what gRPC asks for.
    let wants_trailers =
        |value: &[u8]| value.split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    if head.fields.get_all(FieldId::Te).any(wants_trailers) {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    if let BodyLength::Known(n) = length
        && (n > 0 || head.fields.contains(FieldId::ContentLength))
    {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(n));
    }
    Ok(request)
}

/// A response's head, and the length of its body.
///
/// # Errors
/// Too large, or framing that could be read in two ways.
pub(super) fn response<T>(
    response: &Response<T>,
    head_only: bool,
    ended: bool,
    bounds: &Upstream,
) -> Result<(ResponseHead, BodyLength), Reason> {
    let head = interim(response);
    // The bound is that of HTTP/1, where each field has four bytes more.
    if head.fields.bytes().len() + 4 * head.fields.len() > bounds.max_head_bytes
        || head.fields.len() > bounds.max_fields
    {
        return Err(Reason::UpstreamHeadTooLarge);
    }
    let length = match response_length(head.status, head_only, Version::Http2, &head.fields)? {
        BodyLength::UntilClose if ended => BodyLength::Known(0),
        BodyLength::UntilClose => BodyLength::Chunked,
        // RFC 9113 8.2.2: there is no Transfer-Encoding.
        BodyLength::Chunked => return Err(Reason::BadUpstreamHead),
        BodyLength::Known(n) if ended && n > 0 => return Err(Reason::BadUpstreamHead),
        known => known,
    };
    Ok((head, length))
}

/// An interim response's head.
pub(super) fn interim<T>(response: &Response<T>) -> ResponseHead {
    let map = response.headers();
    let room = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut fields = Fields::with_capacity(room, map.len());
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    ResponseHead { status: response.status().as_u16(), version: Version::Http2, fields }
}

/// Field lines as we write them ourselves. Values share their bytes.
fn map_of(lines: Vec<u8>, room: usize) -> HeaderMap {
    let lines = Bytes::from(lines);
    let mut map = HeaderMap::with_capacity(room);
    let mut start = 0;
    while let Some(end) = memchr::memchr(b'\r', &lines[start..]).map(|at| start + at) {
        if let Some(colon) = memchr::memchr(b':', &lines[start..end]).map(|at| start + at) {
            let name = HeaderName::from_bytes(&lines[start..colon]);
            let value = HeaderValue::from_maybe_shared(lines.slice((colon + 2).min(end)..end));
            if let (Ok(name), Ok(value)) = (name, value)
                && !CONNECTION_FIELDS.contains(&name.as_str())
            {
                map.append(name, value);
            }
        }
        start = end + 2;
    }
    map
}

/// RFC 9113 8.2.2: what a rule may have set, and HTTP/2 has no place for.
const CONNECTION_FIELDS: &[&str] =
    &["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te", "host"];
