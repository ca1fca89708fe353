//! Request targets and hosts: RFC 9112 3.2.

use std::ops::Range;

use crate::reason::Reason;

/// A target taken apart; ranges are of the target's own bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Absolute-form only.
    pub(super) authority: Option<Range<usize>>,
    /// From the path on. Empty for an absolute-form without a path.
    pub(super) rest: Range<usize>,
}

/// Takes origin-form, absolute-form (http and https) and `*`.
///
/// # Errors
/// [`Reason::MethodRefused`] for CONNECT, [`Reason::MalformedHead`] for what is no target.
pub(super) fn parse(method: &[u8], target: &[u8]) -> Result<Target, Reason> {
    if method == b"CONNECT" {
        return Err(Reason::MethodRefused);
    }
    // A fragment is never sent (RFC 9110 4.2.5 leaves it to the client); who sends one hopes for two readings.
    if target.is_empty() || target.contains(&b'#') {
        return Err(Reason::MalformedHead);
    }
    if target[0] == b'/' || (target == b"*" && method == b"OPTIONS") {
        return Ok(Target { authority: None, rest: 0..target.len() });
    }
    let is_scheme = |s: &&str| target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s.as_bytes());
    let Some(start) = SCHEMES.iter().find(|s| is_scheme(s)).map(|s| s.len()) else {
        return Err(Reason::MalformedHead);
    };
    let end = target[start..].iter().position(|b| matches!(b, b'/' | b'?')).map_or(target.len(), |at| start + at);
    // A query without a path would have to be rewritten to be relayed.
    if target.get(end) == Some(&b'?') {
        return Err(Reason::MalformedHead);
    }
    Ok(Target { authority: Some(start..end), rest: end..target.len() })
}

/// Whether `host` is `uri-host [":" port]` (RFC 9110 7.2) without userinfo, and not empty.
pub(crate) fn is_valid_host(host: &[u8]) -> bool {
    let (name, port) = match host.first() {
        None => return false,
        Some(b'[') => match memchr::memchr(b']', host) {
            Some(end) if end > 2 && host[1..end].iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) => {
                (&host[..=end], &host[end + 1..])
            }
            _ => return false,
        },
        Some(_) => {
            let end = memchr::memchr(b':', host).unwrap_or(host.len());
            let name = &host[..end];
            if name.is_empty() || !name.iter().all(|b| HOST_BYTES[*b as usize]) {
                return false;
            }
            (name, &host[end..])
        }
    };
    name.len() <= 255 && is_valid_port(port)
}

const SCHEMES: [&str; 2] = ["http://", "https://"];

/// Nothing, or a colon and a number that TCP can have; RFC 3986 lets the number be missing.
fn is_valid_port(port: &[u8]) -> bool {
    match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

/// RFC 3986's reg-name: unreserved, sub-delims and `%`.
const HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b'%'
            );
        b += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_form_is_taken_apart() {
        assert_eq!(parse(b"GET", b"http://a.b:80/c?d"), Ok(Target { authority: Some(7..13), rest: 13..17 }));
        assert_eq!(parse(b"GET", b"HTTPS://a"), Ok(Target { authority: Some(8..9), rest: 9..9 }));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in ["a", "*", "ftp://a/", "http://", "/a#b", "", "http://a?b", "//", "\\"] {
            let expected =
                if target == "//" { Ok(Target { authority: None, rest: 0..2 }) } else { Err(Reason::MalformedHead) };
            assert_eq!(parse(b"GET", target.as_bytes()), expected, "{target}");
        }
        assert_eq!(parse(b"CONNECT", b"a:1"), Err(Reason::MethodRefused));
    }

    #[test]
    fn hosts_are_checked_byte_by_byte() {
        for host in ["a", "a.b:80", "[::1]", "[::1]:8080", "127.0.0.1", "a:", "x_y"] {
            assert!(is_valid_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "u@a", "a:b", "a:123456", "a:65536", "[::1", "[]", "[g]", "a\u{e9}", "a:80:80",
            "[::1]x",
        ] {
            assert!(!is_valid_host(host.as_bytes()), "{host}");
        }
    }
}
