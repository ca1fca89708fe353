//! The PROXY protocol: who a client is, told before its first byte (`proxy-protocol.txt` of HAProxy, versions 1 and 2).
//!
//! Owns the bytes: parses a header out of the start of a stream, and makes one. Pure: opens nothing, waits for nothing,
//! trusts nobody. Whether a peer may say such a thing at all is the listener's concern.

mod crc32c;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

/// No header is longer. What version 2 allows (64 KiB) is more than any sender has to tell; nginx's own bound.
pub const MAX_HEADER_BYTES: usize = 4096;

/// What a header says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// LOCAL, UNKNOWN and UNSPEC: the connection's own addresses count.
    Own,
    /// Made for a client at `source` that had connected to `destination`.
    Ip { source: SocketAddr, destination: SocketAddr },
    /// Made for a client at a Unix socket.
    Unix,
}

/// Which form of a header is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Neither version begins like this: a client that speaks at once, or speaks something else.
    #[error("the connection doesn't begin with a PROXY header")]
    Missing,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    /// The CRC32c that version 2 may carry.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Reads a header off the start of `bytes`: what it says and its length, or `None` while more is needed. As long as it
/// is `None`, all of `bytes` belongs to the header, so that a reader never takes what stands behind it.
///
/// # Errors
/// As early as no continuation can be a header.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    match bytes.first() {
        None => Ok(None),
        Some(&first) if first == v1::SIGNATURE[0] => v1::parse(bytes),
        Some(_) => v2::parse(bytes),
    }
}

/// Appends a header for a connection from `source` to `destination`, or one that names nobody.
pub fn encode(version: Version, ends: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    let ends = ends.map(|(source, destination)| of_one_family(source, destination));
    match version {
        Version::V1 => v1::encode(ends, out),
        Version::V2 => v2::encode(ends, out),
    }
}

/// Both as IPv4 if both are, else both as IPv6: a header has one family.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    match (canonical(source), canonical(destination)) {
        (a @ SocketAddr::V4(_), b @ SocketAddr::V4(_)) => (a, b),
        (a, b) => (as_v6(a), as_v6(b)),
    }
}

fn as_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        // Without the scope and the flow, which a header can't tell.
        SocketAddr::V6(v6) => SocketAddr::new((*v6.ip()).into(), v6.port()),
    }
}

/// Whether `bytes` begin with `signature`: `None` while that is still open.
fn begins(bytes: &[u8], signature: &[u8]) -> Result<Option<()>, Fault> {
    let shared = bytes.len().min(signature.len());
    match bytes.get(..shared) == signature.get(..shared) {
        true => Ok((shared == signature.len()).then_some(())),
        false => Err(Fault::Missing),
    }
}
