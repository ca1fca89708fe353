//! Integers and strings: RFC 7541 5.

use std::borrow::Cow;

use super::{BadSection, huffman};

/// A string as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    bytes: &'a [u8],
    is_coded: bool,
}

impl<'a> Text<'a> {
    pub(super) fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, is_coded: false }
    }

    /// A string literal: RFC 7541 5.2.
    pub(super) fn read(bytes: &mut &'a [u8]) -> Result<Self, BadSection> {
        let is_coded = bytes.first().is_some_and(|first| first & 0x80 != 0);
        let length = read_integer(bytes, 7)?;
        let (text, rest) = bytes.split_at_checked(length).ok_or(BadSection)?;
        *bytes = rest;
        Ok(Self { bytes: text, is_coded })
    }

    /// Bytes that [`Text::append_to`] adds at most.
    pub fn at_most(self) -> usize {
        if self.is_coded { self.bytes.len() * 8 / 5 } else { self.bytes.len() }
    }

    /// Decodes it behind what `out` holds.
    ///
    /// # Errors
    /// Not Huffman's grammar.
    pub fn append_to(self, out: &mut Vec<u8>) -> Result<(), BadSection> {
        if self.is_coded {
            return huffman::decode(self.bytes, out);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }

    /// What it says; copied only if it is coded.
    ///
    /// # Errors
    /// Not Huffman's grammar.
    pub fn decode(self) -> Result<Cow<'a, [u8]>, BadSection> {
        if !self.is_coded {
            return Ok(Cow::Borrowed(self.bytes));
        }
        let mut out = Vec::new();
        huffman::decode(self.bytes, &mut out)?;
        Ok(Cow::Owned(out))
    }

    /// Whether it says this; decoded only if its length allows it.
    pub fn is(self, text: &[u8]) -> bool {
        match self.is_coded {
            true => {
                self.bytes.len() == huffman::coded_bytes(text) && self.decode().is_ok_and(|decoded| *decoded == *text)
            }
            false => self.bytes == text,
        }
    }
}

/// An integer with a prefix of so many bits: RFC 7541 5.1. None is larger than 28 bits.
pub(super) fn read_integer(bytes: &mut &[u8], prefix: u32) -> Result<usize, BadSection> {
    let (&first, mut rest) = bytes.split_first().ok_or(BadSection)?;
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(first) & mask;
    if value == mask {
        for shift in (0..28).step_by(7) {
            let (&byte, after) = rest.split_first().ok_or(BadSection)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *bytes = rest;
                return Ok(value);
            }
        }
        return Err(BadSection);
    }
    *bytes = rest;
    Ok(value)
}

/// Appends an integer with a prefix of so many bits; `pattern` is what stands before the prefix.
pub fn write_integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string literal as it is, without Huffman's code.
pub fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Appends a string literal in the shorter of its two forms.
pub(super) fn write_short_text(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::coded_bytes(text);
    if coded >= text.len() {
        return write_text(out, text);
    }
    write_integer(out, 0x80, 7, coded);
    huffman::encode(text, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integers_of_the_rfc_read_and_write() {
        // RFC 7541 C.1.
        for (value, prefix, bytes) in
            [(10, 5, &[0b01010][..]), (1337, 5, &[0b11111, 0b1001_1010, 0b1010]), (42, 8, &[42]), (31, 5, &[31, 0])]
        {
            let mut out = Vec::new();
            write_integer(&mut out, 0, prefix, value);
            assert_eq!(out, bytes);
            let mut rest = bytes;
            assert_eq!((read_integer(&mut rest, prefix), rest), (Ok(value), &[][..]));
        }
    }

    #[test]
    fn integers_that_end_too_soon_or_never_are_refused() {
        for mut bytes in [&[][..], &[0x1f], &[0x1f, 0x80], &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x01]] {
            assert_eq!(read_integer(&mut bytes, 5), Err(BadSection));
        }
    }

    #[test]
    fn a_text_is_told_by_what_it_says_however_it_was_sent() {
        for write in [write_text, write_short_text] {
            let mut out = Vec::new();
            write(&mut out, b":status");
            let text = Text::read(&mut out.as_slice()).unwrap();
            assert!(text.is(b":status") && !text.is(b":statut") && !text.is(b":path"));
            assert_eq!(text.decode().as_deref(), Ok(&b":status"[..]));
        }
    }
}
