//! IP addresses as text, as fields and log lines have them.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

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
