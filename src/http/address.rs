//! Who is at the other end, and addresses as text, as fields and log lines have them.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whom a request comes from: an address, or somebody on this machine who has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Ip(IpAddr),
    /// Came over a Unix socket. Written as nginx's `$remote_addr` has it: `unix:`.
    Unix,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    Ip(SocketAddr),
    Unix,
}

impl Client {
    /// An IPv4-mapped address becomes IPv4.
    #[must_use]
    pub fn to_canonical(self) -> Self {
        match self {
            Self::Ip(ip) => Self::Ip(ip.to_canonical()),
            Self::Unix => Self::Unix,
        }
    }

    /// Appends it as text.
    pub fn append(self, out: &mut Vec<u8>) {
        match self {
            Self::Ip(ip) => append(ip, out),
            Self::Unix => out.extend_from_slice(UNIX),
        }
    }
}

impl Peer {
    /// Without its port.
    pub fn client(self) -> Client {
        match self {
            Self::Ip(address) => Client::Ip(address.ip()),
            Self::Unix => Client::Unix,
        }
    }

    pub fn ip(self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(address),
            Self::Unix => None,
        }
    }
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

/// Appends an address as text: `192.0.2.7`, `2001:db8::7`.
pub fn append(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => append_v4(v4, out),
        // A write to a Vec can't fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Put together in place and appended once: every request writes a few.
fn append_v4(address: Ipv4Addr, out: &mut Vec<u8>) {
    let mut text = [0; "255.255.255.255.".len()];
    let mut end = 0;
    let mut push = |byte| {
        text[end] = byte;
        end += 1;
    };
    for octet in address.octets() {
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
        push(b'.');
    }
    out.extend_from_slice(&text[..end - 1]);
}

const UNIX: &[u8] = b"unix:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_reads_as_the_standard_library_writes_it() {
        for octet in 0..=255 {
            for address in [Ipv4Addr::new(octet, 0, 10, 255), Ipv4Addr::new(1, 99, 100, octet)] {
                let mut out = b"x".to_vec();
                append(address.into(), &mut out);
                assert_eq!(out, format!("x{address}").as_bytes());
            }
        }
    }

    #[test]
    fn ipv6_is_shortened() {
        let mut out = Vec::new();
        append("2001:db8:0:0::7".parse().unwrap(), &mut out);
        assert_eq!(out, b"2001:db8::7");
    }
}
