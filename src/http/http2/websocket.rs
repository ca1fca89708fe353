//! WebSocket over HTTP/2 (RFC 8441) as the upgrade of HTTP/1.1 that a backend knows (RFC 6455).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64;

use crate::http::head::{Fields, ResponseHead, Span};

/// Whether `:protocol` names it.
pub(super) fn is_named(protocol: &[u8]) -> bool {
    protocol == PROTOCOL
}

/// Makes the fields those of the handshake that HTTP/1.1 has for it, with a key of our own: HTTP/2 has none, and one that
/// came all the same means nothing. Returns the method.
pub(super) fn as_http1(fields: &mut Fields) -> Span {
    fields.retain(|_, name, _| name != KEY);
    fields.push(b"upgrade", PROTOCOL);
    // RFC 6455 4.1: 16 random bytes. It is no secret, but keeps caches from answering in the backend's place.
    let mut nonce = [0; 16];
    let _ = aws_lc_rs::rand::fill(&mut nonce);
    fields.push(KEY, BASE64.encode(&nonce).as_bytes());
    fields.store(b"GET")
}

/// Whether a backend's 101 answers the key that the request had: RFC 6455 4.1.
pub fn accepts(request: &Fields, response: &ResponseHead) -> bool {
    let (Some(key), Some(accept)) = (request.find(KEY), response.fields.find(ACCEPT)) else { return false };
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    BASE64.encode(hash.as_ref()).as_bytes() == accept
}

/// Whether a field of a handshake's answer has no place in HTTP/2: RFC 8441 5.
pub fn is_of_http1(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(ACCEPT)
}

const PROTOCOL: &[u8] = b"websocket";
const KEY: &[u8] = b"sec-websocket-key";
const ACCEPT: &[u8] = b"sec-websocket-accept";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Version;

    #[test]
    fn only_the_answer_to_its_own_key_is_accepted() {
        let mut request = Fields::default();
        // RFC 6455 1.3.
        request.push(KEY, b"dGhlIHNhbXBsZSBub25jZQ==");
        for (accept, accepted) in [("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", true), ("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=", false)] {
            let mut fields = Fields::default();
            fields.push(b"Sec-WebSocket-Accept", accept.as_bytes());
            let response = ResponseHead { status: 101, version: Version::Http11, fields };
            assert_eq!(accepts(&request, &response), accepted);
        }
    }

    #[test]
    fn a_key_that_came_is_replaced_by_a_new_one_each_time() {
        let mut keys = std::collections::HashSet::new();
        for _ in 0..2 {
            let mut fields = Fields::default();
            fields.push(KEY, b"from the client");
            let method = as_http1(&mut fields);
            assert_eq!((fields.slice(method), fields.len()), (&b"GET"[..], 2));
            keys.insert(fields.find(KEY).unwrap().to_vec());
        }
        assert!(keys.len() == 2 && !keys.contains(&b"from the client"[..]));
    }
}
