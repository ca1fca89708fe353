//! Version 2: binary (section 2.2).

use std::net::{IpAddr, SocketAddr};

use super::crc32c::crc32c;
use super::{Fault, Header, MAX_HEADER_BYTES, begins};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and transport, length.
const FIXED: usize = 16;
/// Version 2 in the upper half, the command in the lower.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// `PP2_TYPE_CRC32C`
const CHECKSUM: u8 = 0x03;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    if begins(bytes, SIGNATURE)?.is_none() {
        return Ok(None);
    }
    // Each byte is judged as soon as it is there.
    let Some(&command) = bytes.get(12) else { return Ok(None) };
    if !matches!(command, LOCAL | PROXY) {
        return Err(Fault::Malformed);
    }
    let Some(&kind) = bytes.get(13) else { return Ok(None) };
    let (family, transport) = (kind >> 4, kind & 15);
    if family > 3 || transport > 2 {
        return Err(Fault::Malformed);
    }
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER_BYTES {
        return Err(Fault::TooLong);
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let block = &header[FIXED..];
    // LOCAL: "the receiver must accept this connection as valid and must discard the protocol block including the
    // family". Neither does UNSPEC say where its addresses end.
    let addresses = match (command, family, transport) {
        (LOCAL, ..) | (_, 0, _) | (_, _, 0) => return Ok(Some((Header::Own, length))),
        (_, 1, _) => 12,
        (_, 2, _) => 36,
        _ => 216,
    };
    let Some((addresses, vectors)) = block.split_at_checked(addresses) else { return Err(Fault::Malformed) };
    check_vectors(header, length - vectors.len())?;
    let said = match family {
        // A datagram's address says nothing of this connection: "automatically falls back to the UNSPEC mode".
        _ if transport == 2 => Header::Own,
        1 => ends::<4>(addresses),
        2 => ends::<16>(addresses),
        _ => Header::Unix,
    };
    Ok(Some((said, length)))
}

/// Source, destination, and the port of each; `N` octets are one address.
fn ends<const N: usize>(block: &[u8]) -> Header
where
    IpAddr: From<[u8; N]>,
{
    let address = |at: usize| {
        let mut octets = [0; N];
        octets.copy_from_slice(&block[at * N..(at + 1) * N]);
        IpAddr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([block[2 * N + 2 * at], block[2 * N + 2 * at + 1]]);
    Header::Ip { source: SocketAddr::new(address(0), port(0)), destination: SocketAddr::new(address(1), port(1)) }
}

/// Type-length-value vectors fill the rest of the header exactly. What they say is not asked for, but for a checksum.
fn check_vectors(header: &[u8], mut at: usize) -> Result<(), Fault> {
    let mut checked = false;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return Err(Fault::Malformed) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let Some(bytes) = header.get(value.clone()) else { return Err(Fault::Malformed) };
        if kind == CHECKSUM {
            let told = <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes).map_err(|_| Fault::Malformed)?;
            // A second one would be computed over the first, which no sender can mean.
            if std::mem::replace(&mut checked, true) {
                return Err(Fault::Malformed);
            }
            let mut blank = header.to_vec();
            blank[value.clone()].fill(0);
            if crc32c(&blank) != told {
                return Err(Fault::Checksum);
            }
        }
        at = value.end;
    }
    Ok(())
}

pub(super) fn encode(ends: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    let Some((source, destination)) = ends else { return out.extend_from_slice(&[PROXY, 0, 0, 0]) };
    let (kind, length) = if source.is_ipv4() { (0x11, 12) } else { (0x21, 36) };
    out.extend_from_slice(&[PROXY, kind, 0, length]);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
        }
    }
    for port in [source.port(), destination.port()] {
        out.extend_from_slice(&port.to_be_bytes());
    }
}
