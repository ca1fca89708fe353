//! Version 1: one line of text (section 2.1).

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Fault, Header, begins};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"
const MAX_LINE: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    if begins(bytes, SIGNATURE)?.is_none() {
        return Ok(None);
    }
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(feed) = memchr::memchr(b'\n', window) else {
        // A carriage return may only be the last byte so far.
        return match memchr::memchr(b'\r', window) {
            Some(at) if at + 1 < window.len() => Err(Fault::Malformed),
            _ if window.len() == MAX_LINE => Err(Fault::TooLong),
            _ => Ok(None),
        };
    };
    let line = bytes[..feed].strip_suffix(b"\r").ok_or(Fault::Malformed)?;
    let text = std::str::from_utf8(&line[SIGNATURE.len()..]).map_err(|_| Fault::Malformed)?;
    if text.contains('\r') {
        return Err(Fault::Malformed);
    }
    Ok(Some((read(text).ok_or(Fault::Malformed)?, feed + 1)))
}

/// What stands behind the signature; exactly one blank between two words.
fn read(text: &str) -> Option<Header> {
    let mut words = text.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        // "the receiver must ignore anything presented before the CRLF"
        "UNKNOWN" => return Some(Header::Own),
        _ => return None,
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Header::Ip { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) })
}

/// Digits without a leading zero, 0 to 65535.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    plain.then(|| word.parse().ok()).flatten()
}

pub(super) fn encode(ends: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    // A write to a Vec can't fail.
    let _ = match ends {
        None => write!(out, "PROXY UNKNOWN\r\n"),
        Some((source, destination)) => {
            let family = if source.is_ipv4() { 4 } else { 6 };
            let (from, to) = (source.port(), destination.port());
            write!(out, "PROXY TCP{family} {} {} {from} {to}\r\n", source.ip(), destination.ip())
        }
    };
}
