//! Header sections as a load generator has them.
//!
//! Requests are all alike, so the encoder knows one section in two forms: the first on a connection, which puts every
//! field into the server's table, and all later ones, which name the entries. Of answers only the status and the length
//! are looked at; of everything else no more is decoded than the table needs.

use crate::http::field::FieldId;
use crate::http::hpack::{
    BadSection, Decoder, ENTRY_OVERHEAD, Kind, Line, Pseudo, STATIC_ENTRIES, TABLE_BYTES, write_integer, write_text,
};

/// What an answer's header section says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// 0 without one: trailers.
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
}

/// Reads one whole section.
pub(super) fn decode(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Section, BadSection> {
    let mut section = Section::default();
    while let Some(line) = decoder.next(&mut bytes)? {
        match kind_of(&line) {
            Kind::Pseudo(Pseudo::Status) => {
                let status = number(&line.value.decode()?).and_then(|status| u16::try_from(status).ok());
                section.status = status.ok_or(BadSection)?;
            }
            Kind::Field(FieldId::ContentLength) => {
                section.content_length = Some(number(&line.value.decode()?).ok_or(BadSection)?);
            }
            _ => {}
        }
    }
    Ok(section)
}

/// Told without decoding the name: most of what a section costs.
fn kind_of(line: &Line<'_>) -> Kind {
    match line.kind {
        Some(kind) => kind,
        None if line.name.is(b":status") => Kind::Pseudo(Pseudo::Status),
        None if line.name.is(b"content-length") => Kind::Field(FieldId::ContentLength),
        None => Kind::Field(FieldId::Other),
    }
}

/// The request's header section, as it goes over one connection.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Every field as a literal that enters the server's table.
    first: Vec<u8>,
    /// Every field by its place in that table.
    later: Vec<u8>,
    /// Every field as a literal that enters no table.
    plain: Vec<u8>,
    /// Bytes that the fields take in a table.
    size: usize,
    state: Encoding,
    /// The server has reduced its table: RFC 7541 4.2 wants that answered at the start of the next section.
    reduced: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    First,
    Later,
    Plain,
}

impl Encoder {
    pub(super) fn new(fields: &[(String, Vec<u8>)]) -> Self {
        let (mut first, mut later, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let size = fields.iter().map(|(name, value)| name.len() + value.len() + ENTRY_OVERHEAD).sum();
        for (at, (name, value)) in fields.iter().enumerate() {
            write_literal(&mut first, 0x40, name.as_bytes(), value);
            write_literal(&mut plain, 0x00, name.as_bytes(), value);
            // The last one that entered is the first of the table.
            write_integer(&mut later, 0x80, 7, STATIC_ENTRIES + fields.len() - at);
        }
        let state = if size <= TABLE_BYTES { Encoding::First } else { Encoding::Plain };
        Self { first, later, plain, size, state, reduced: None }
    }

    /// The server's table has this many bytes from now on.
    pub(super) fn table_size(&mut self, bytes: usize) {
        if bytes >= TABLE_BYTES && self.reduced.is_none() {
            return;
        }
        self.reduced = Some(bytes.min(TABLE_BYTES));
        if bytes < self.size {
            self.state = Encoding::Plain;
        }
    }

    /// Appends the section.
    pub(super) fn encode(&mut self, out: &mut Vec<u8>) {
        if let Some(bytes) = self.reduced.take() {
            write_integer(out, 0x20, 5, bytes);
        }
        match self.state {
            Encoding::First => {
                out.extend_from_slice(&self.first);
                self.state = Encoding::Later;
            }
            Encoding::Later => out.extend_from_slice(&self.later),
            Encoding::Plain => out.extend_from_slice(&self.plain),
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// A literal with its name as it is.
fn write_literal(out: &mut Vec<u8>, pattern: u8, name: &[u8], value: &[u8]) {
    out.push(pattern);
    write_text(out, name);
    write_text(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(status: u16, content_length: Option<u64>) -> Result<Section, BadSection> {
        Ok(Section { status, content_length })
    }

    #[test]
    fn status_and_length_are_found_however_they_are_written() {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, &[0x88, 0x0f, 0x0d, 0x02, b'1', b'2']), section(200, Some(12)));
        assert_eq!(decode(&mut decoder, &[0x08, 0x03, b'4', b'2', b'9']), section(429, None));
        assert_eq!(decode(&mut decoder, b"\x00\x07:status\x03503\x00\x0econtent-length\x010"), section(503, Some(0)));
    }

    #[test]
    fn the_request_is_written_in_full_once_and_by_its_places_later() {
        let fields = [(":method".to_owned(), b"GET".to_vec()), ("a".to_owned(), b"b".to_vec())];
        let mut encoder = Encoder::new(&fields);
        let mut written = |size: Option<usize>| {
            let mut out = Vec::new();
            size.into_iter().for_each(|size| encoder.table_size(size));
            encoder.encode(&mut out);
            out
        };
        assert_eq!(written(None), b"\x40\x07:method\x03GET\x40\x01a\x01b");
        assert_eq!(written(None), [0xbf, 0xbe]);
        assert_eq!(written(Some(8192)), [0xbf, 0xbe]);
        assert_eq!(written(Some(0)), b"\x20\x00\x07:method\x03GET\x00\x01a\x01b");
        assert_eq!(written(None), b"\x00\x07:method\x03GET\x00\x01a\x01b");
    }
}
