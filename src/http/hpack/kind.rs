//! What a line's name is: a pseudo-header of HTTP/2, or a field that some rule may know.

use crate::http::field::FieldId;

/// A name, known once for all the sections that name its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pseudo(Pseudo),
    Field(FieldId),
}

/// The pseudo-headers of RFC 9113 8.3 and RFC 8441 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
    /// One that nobody knows.
    Unknown,
}

impl Kind {
    pub fn of(name: &[u8]) -> Self {
        if name.first() != Some(&b':') {
            return Kind::Field(FieldId::of(name));
        }
        Kind::Pseudo(match name {
            b":method" => Pseudo::Method,
            b":scheme" => Pseudo::Scheme,
            b":authority" => Pseudo::Authority,
            b":path" => Pseudo::Path,
            b":protocol" => Pseudo::Protocol,
            b":status" => Pseudo::Status,
            _ => Pseudo::Unknown,
        })
    }
}

/// Whether every byte may stand in a field's name in HTTP/2: RFC 9113 8.2.1, a token (RFC 9110 5.6.2) in lower case.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| BYTES[usize::from(*byte)] & NAME != 0)
}

/// Whether it may be a field's value: RFC 9110 5.5, and no blank at its ends (RFC 9113 8.2.1). HTTP/1 would take such
/// blanks for its own, and read another value than was checked here.
pub(super) fn is_value(value: &[u8]) -> bool {
    !matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
        && value.iter().fold(VALUE, |all, byte| all & BYTES[usize::from(*byte)]) != 0
}

const NAME: u8 = 1;
const VALUE: u8 = 2;

static BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        if matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        {
            table[at] |= NAME;
        }
        if matches!(byte, b'\t' | b' '..=b'~' | 0x80..) {
            table[at] |= VALUE;
        }
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_those_of_http() {
        for byte in 0..=255u8 {
            let lower = !byte.is_ascii_uppercase();
            let name = http::HeaderName::from_bytes(&[byte]).is_ok() && lower;
            assert_eq!(is_name(&[byte]), name, "{byte:#x}");
            let value = http::HeaderValue::from_bytes(&[b'a', byte, b'a']).is_ok();
            assert_eq!(is_value(&[b'a', byte, b'a']), value, "{byte:#x}");
        }
        assert!(!is_name(b"") && is_value(b"") && !is_value(b" a") && !is_value(b"a\t") && !is_value(b" "));
    }
}
