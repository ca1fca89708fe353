//! Pieces that all formats are made of: escaping, numbers, addresses.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::http::address::{self, Client, Peer};

/// Appends bytes as nginx's access log does (`ngx_http_log_escape`): `"`, `\`, control bytes and everything above
/// `~` become `\xHH`.
pub(super) fn nginx(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, is_plain_byte, out, |byte, out| {
        out.extend_from_slice(&[b'\\', b'x', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
    });
}

/// Appends bytes as the inside of a JSON string (RFC 8259 7). What is not UTF-8 becomes `\u00HH`, byte by byte;
/// control characters are escaped beyond what JSON asks, so that a terminal is safe from them.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some((at, control)) = rest.char_indices().find(|(_, c)| is_c1(*c)) {
            json_ascii(&rest.as_bytes()[..at], out);
            json_unit(control as u8, out);
            rest = &rest[at + control.len_utf8()..];
        }
        json_ascii(rest.as_bytes(), out);
        for &byte in chunk.invalid() {
            json_unit(byte, out);
        }
    }
}

/// Seconds with microseconds: `0.001234`.
pub(super) fn seconds(time: Duration, out: &mut Vec<u8>) {
    number(time.as_secs(), out);
    let mut micros = time.subsec_micros();
    let mut text = *b".000000";
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (micros % 10) as u8;
        micros /= 10;
    }
    out.extend_from_slice(&text);
}

pub(super) fn number(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

pub(super) fn peer(peer: Peer, out: &mut Vec<u8>) {
    match peer {
        Peer::Unix => Client::Unix.append(out),
        Peer::Ip(SocketAddr::V4(v4)) => {
            address::append(IpAddr::V4(*v4.ip()), out);
            out.push(b':');
            number(v4.port().into(), out);
        }
        Peer::Ip(SocketAddr::V6(v6)) => drop(write!(out, "[{}]:{}", v6.ip(), v6.port())),
    }
}

/// Appends `bytes`, clean stretches whole, the rest by `escaped`.
fn escape(bytes: &[u8], clean: impl Fn(u8) -> bool, out: &mut Vec<u8>, escaped: impl Fn(u8, &mut Vec<u8>)) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&byte| !clean(byte)) {
        out.extend_from_slice(&rest[..at]);
        escaped(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// JSON escapes for ASCII; bytes above it are taken for checked UTF-8.
fn json_ascii(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, is_clean_for_json, out, |byte, out| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => json_unit(byte, out),
    });
}

fn json_unit(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]]);
}

/// U+0080 to U+009F, which terminals obey.
fn is_c1(c: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&c)
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Whether no format has to escape any of it: ASCII without control characters, `"` and `\`. Nearly every value is such,
/// and is looked at eight bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<8>();
    // The highest bit of a byte tells. A subtraction borrows from the next byte only for one that isn't plain itself.
    let suspects = |block: u64| {
        let equals = |byte: u8| (block ^ every(byte)).wrapping_sub(every(1));
        block | block.wrapping_sub(every(b' ')) | equals(b'"') | equals(b'\\') | equals(0x7f)
    };
    let found = blocks.iter().fold(0, |found, block| found | suspects(u64::from_le_bytes(*block)));
    found & every(0x80) == 0 && rest.iter().all(|&byte| is_plain_byte(byte))
}

const fn every(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

fn is_plain_byte(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

fn is_clean_for_json(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nginx_escapes_quotes_backslashes_controls_and_high_bytes() {
        let escaped = text(|out| nginx(b"a \"b\\\x00\x1f\x7f\xc3\xa9~", out));
        assert_eq!(escaped, r"a \x22b\x5C\x00\x1F\x7F\xC3\xA9~");
    }

    #[test]
    fn json_keeps_text_and_escapes_the_rest() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            ("zur M\u{fc}hle \u{1f600}".as_bytes(), "zur M\u{fc}hle \u{1f600}"),
            (b"q\"b\\n\nr\rt\t", r#"q\"b\\n\nr\rt\t"#),
            (b"\x00\x1b\x7f", r"\u0000\u001b\u007f"),
            ("a\u{9b}31mb".as_bytes(), r"a\u009b31mb"),
            (b"\xff\"\xc3", r#"\u00ff\"\u00c3"#),
        ] {
            assert_eq!(text(|out| json(bytes, out)), expected);
        }
    }

    #[test]
    fn times_and_addresses_are_written_in_full() {
        assert_eq!(text(|out| seconds(Duration::new(12, 34_056_999), out)), "12.034056");
        for written in ["0.0.0.0", "192.168.1.255", "::1", "2001:db8::a", "::ffff:1.2.3.4"] {
            assert_eq!(text(|out| address::append(written.parse().unwrap(), out)), written);
        }
        for written in ["127.0.0.1:80", "[::1]:65535"] {
            assert_eq!(text(|out| peer(Peer::Ip(written.parse().unwrap()), out)), written);
        }
        assert_eq!(text(|out| peer(Peer::Unix, out)), "unix:");
    }

    proptest! {
        #[test]
        fn what_is_plain_has_nothing_to_escape(plain in "[ -~]{0,40}", at: prop::sample::Index, byte: u8) {
            let mut bytes = plain.into_bytes();
            bytes.retain(|&byte| is_plain_byte(byte));
            prop_assert!(is_plain(&bytes));
            bytes.insert(at.index(bytes.len() + 1), byte);
            prop_assert_eq!(is_plain(&bytes), is_plain_byte(byte));
        }

        #[test]
        fn any_bytes_make_one_valid_json_string(bytes: Vec<u8>) {
            let line = format!("\"{}\"", text(|out| json(&bytes, out)));
            prop_assert!(!line.chars().any(char::is_control));
            let parsed: String = serde_json::from_str(&line).unwrap();
            if let Ok(original) = std::str::from_utf8(&bytes) {
                prop_assert_eq!(parsed, original);
            }
        }

        #[test]
        fn valid_text_survives_json(original: String) {
            let line = format!("\"{}\"", text(|out| json(original.as_bytes(), out)));
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), original);
        }
    }
}
