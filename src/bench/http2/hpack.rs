//! Header sections of HTTP/2: RFC 7541. What a load generator needs of it.
//!
//! Requests are all alike, so the encoder knows one section in two forms: the first on a connection, which puts every
//! field into the server's table, and all later ones, which name the entries. Of answers only the status and the length
//! are looked at; everything else is decoded as far as the table needs it.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::huffman;

/// What an answer's header section says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// 0 without one: trailers.
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
}

/// The section isn't HPACK's grammar, or isn't a response's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadSection;

/// One connection's table of the fields that the server has sent.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Newest first.
    entries: VecDeque<Entry>,
    size: usize,
    /// What the server has reduced the table to, if it did.
    limit: Option<usize>,
}

/// A field of the table. Of the values only the two that matter are kept; the others have a size only.
#[derive(Clone, Debug)]
struct Entry {
    field: Field,
    name_size: usize,
    size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Status(u16),
    ContentLength(Option<u64>),
    Other,
}

/// Bytes of the table that this side offers: the default, RFC 9113 6.5.2.
const TABLE_SIZE: usize = 4096;

impl Decoder {
    /// Reads one whole section.
    pub(super) fn decode(&mut self, mut bytes: &[u8]) -> Result<Section, BadSection> {
        let mut section = Section::default();
        while let Some(&first) = bytes.first() {
            let field = match first {
                0x80.. => self.indexed(integer(&mut bytes, 7)?)?,
                0x40.. => {
                    let entry = self.literal(&mut bytes, 6, true)?;
                    let field = entry.field;
                    self.insert(entry);
                    field
                }
                0x20.. => {
                    let limit = integer(&mut bytes, 5)?;
                    if limit > TABLE_SIZE {
                        return Err(BadSection);
                    }
                    self.limit = Some(limit);
                    self.evict(0);
                    continue;
                }
                _ => self.literal(&mut bytes, 4, false)?.field,
            };
            match field {
                Field::Status(status) => section.status = status,
                Field::ContentLength(length) => section.content_length = Some(length.ok_or(BadSection)?),
                Field::Other => {}
            }
        }
        Ok(section)
    }

    fn indexed(&self, index: usize) -> Result<Field, BadSection> {
        match index {
            0 => Err(BadSection),
            8..=14 => Ok(Field::Status(STATIC_STATUS[index - 8])),
            CONTENT_LENGTH => Ok(Field::ContentLength(None)),
            1..=STATIC_ENTRIES => Ok(Field::Other),
            _ => self.entries.get(index - STATIC_ENTRIES - 1).map(|entry| entry.field).ok_or(BadSection),
        }
    }

    /// A literal, whose name is either one of a table's or follows. Only one that enters the table is `measured`: what
    /// needn't be decoded isn't, for that is most of what a section costs.
    fn literal(&self, bytes: &mut &[u8], prefix: u32, measured: bool) -> Result<Entry, BadSection> {
        let index = integer(bytes, prefix)?;
        let (kind, name_size) = match index {
            0 => {
                let name = Text::read(bytes)?;
                let kind = match () {
                    () if name.is(b":status") => Field::Status(0),
                    () if name.is(b"content-length") => Field::ContentLength(None),
                    () => Field::Other,
                };
                (kind, if measured { name.decode()?.len() } else { 0 })
            }
            1..=STATIC_ENTRIES => (self.indexed(index)?, usize::from(STATIC_NAME_BYTES[index - 1])),
            _ => {
                let entry = self.entries.get(index - STATIC_ENTRIES - 1).ok_or(BadSection)?;
                (entry.field, entry.name_size)
            }
        };
        let text = Text::read(bytes)?;
        if kind == Field::Other && !measured {
            return Ok(Entry { field: kind, name_size, size: 0 });
        }
        let value = text.decode()?;
        let field = match kind {
            Field::Status(_) => Field::Status(number(&value).and_then(|n| u16::try_from(n).ok()).ok_or(BadSection)?),
            Field::ContentLength(_) => Field::ContentLength(number(&value)),
            Field::Other => Field::Other,
        };
        Ok(Entry { field, name_size, size: name_size + value.len() + 32 })
    }

    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size);
        if entry.size <= self.limit() {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Makes room for an entry: RFC 7541 4.3 and 4.4.
    fn evict(&mut self, coming: usize) {
        while self.size + coming > self.limit() {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size;
        }
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(TABLE_SIZE)
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
        let size = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        for (at, (name, value)) in fields.iter().enumerate() {
            write_literal(&mut first, 0x40, name.as_bytes(), value);
            write_literal(&mut plain, 0x00, name.as_bytes(), value);
            // The last one that entered is the first of the table.
            write_integer(&mut later, 0x80, 7, STATIC_ENTRIES + fields.len() - at);
        }
        let state = if size <= TABLE_SIZE { Encoding::First } else { Encoding::Plain };
        Self { first, later, plain, size, state, reduced: None }
    }

    /// The server's table has this many bytes from now on.
    pub(super) fn table_size(&mut self, bytes: usize) {
        if bytes >= TABLE_SIZE && self.reduced.is_none() {
            return;
        }
        self.reduced = Some(bytes.min(TABLE_SIZE));
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

/// An integer with a prefix of so many bits: RFC 7541 5.1.
fn integer(bytes: &mut &[u8], prefix: u32) -> Result<usize, BadSection> {
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

/// A string as it was sent: RFC 7541 5.2.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    is_coded: bool,
}

impl<'a> Text<'a> {
    fn read(bytes: &mut &'a [u8]) -> Result<Self, BadSection> {
        let is_coded = bytes.first().is_some_and(|first| first & 0x80 != 0);
        let length = integer(bytes, 7)?;
        let (text, rest) = bytes.split_at_checked(length).ok_or(BadSection)?;
        *bytes = rest;
        Ok(Self { bytes: text, is_coded })
    }

    fn decode(self) -> Result<Cow<'a, [u8]>, BadSection> {
        if self.is_coded {
            huffman::decode(self.bytes).map(Cow::Owned).ok_or(BadSection)
        } else {
            Ok(Cow::Borrowed(self.bytes))
        }
    }

    /// Whether it says this; decoded only if its length allows it.
    fn is(self, name: &[u8]) -> bool {
        if self.is_coded {
            self.bytes.len() == huffman::coded_bytes(name)
                && huffman::decode(self.bytes).is_some_and(|decoded| decoded == name)
        } else {
            self.bytes == name
        }
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn write_integer(out: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
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

fn write_literal(out: &mut Vec<u8>, pattern: u8, name: &[u8], value: &[u8]) {
    out.push(pattern);
    write_integer(out, 0, 7, name.len());
    out.extend_from_slice(name);
    write_integer(out, 0, 7, value.len());
    out.extend_from_slice(value);
}

/// RFC 7541 Appendix A: entries 8 to 14 are `:status`, 28 is `content-length`.
const STATIC_STATUS: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
const CONTENT_LENGTH: usize = 28;
const STATIC_ENTRIES: usize = 61;

/// Bytes of the names of Appendix A, which count for the size of an entry that takes its name from there.
const STATIC_NAME_BYTES: [u8; STATIC_ENTRIES] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
    4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn section(status: u16, content_length: Option<u64>) -> Result<Section, BadSection> {
        Ok(Section { status, content_length })
    }

    #[test]
    fn the_responses_of_the_rfc_decode_with_its_small_table() {
        // RFC 7541 C.6, whose table has 256 bytes: the third section evicts, the second and third name entries.
        let mut decoder = Decoder { limit: Some(256), ..Decoder::default() };
        let first = [
            0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0, 0x7a, 0xbe, 0x94, 0x10,
            0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff, 0x6e,
            0x91, 0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3,
        ];
        assert_eq!(decoder.decode(&first), section(302, None));
        assert_eq!(decoder.size, 222);
        assert_eq!(decoder.decode(&[0x48, 0x83, 0x64, 0x0e, 0xff, 0xc1, 0xc0, 0xbf]), section(307, None));
        assert_eq!((decoder.size, decoder.entries.len()), (222, 4));
    }

    #[test]
    fn status_and_length_are_found_however_they_are_written() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&[0x88, 0x0f, 0x0d, 0x02, b'1', b'2']), section(200, Some(12)));
        assert_eq!(decoder.decode(&[0x08, 0x03, b'4', b'2', b'9']), section(429, None));
        assert_eq!(decoder.decode(b"\x00\x07:status\x03503\x00\x0econtent-length\x010"), section(503, Some(0)));
    }

    #[test]
    fn what_is_outside_the_grammar_is_refused() {
        for bytes in
            [&[0x80][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01], &[0xbe], &[0x08, 0x03, b'4'], &[0x3f, 0xff, 0x7f]]
        {
            assert_eq!(Decoder::default().decode(bytes), Err(BadSection), "{bytes:02x?}");
        }
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
