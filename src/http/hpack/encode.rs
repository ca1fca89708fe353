//! Writing a section: RFC 7541 6.
//!
//! What a server says again and again (security headers, its name, the date of this second) enters the client's table once
//! and is a byte from then on. What differs from response to response is written as it is: Huffman's code would save a
//! fifth of its bytes, and cost more than all the rest of the section.

use super::kind::Kind;
use super::table::{Entry, Table, static_name};
use super::text::{write_integer, write_short_text, write_text};
use super::{ENTRY_OVERHEAD, TABLE_BYTES};
use crate::http::field::{FieldId, FieldSet};

/// Whether a field's value is likely to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    Often,
    /// As its name tells.
    Perhaps,
}

/// One connection's table of what its peer was sent.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// For each known name, and for some hashes of others, the entry that had it last.
    last: Box<[u32; SLOTS]>,
    /// What the peer has made of the table's size since the last section: the smallest, and the last.
    resized: Option<(usize, usize)>,
}

impl Default for Encoder {
    fn default() -> Self {
        // No entry is named by what the next one would be.
        Self { table: Table::default(), last: Box::new([1; SLOTS]), resized: None }
    }
}

impl Encoder {
    /// The peer's table may have this many bytes: SETTINGS_HEADER_TABLE_SIZE. More than [`TABLE_BYTES`] aren't used.
    pub fn resize(&mut self, bytes: usize) {
        let bytes = bytes.min(TABLE_BYTES);
        let smallest = self.resized.map_or(bytes, |(smallest, _)| smallest.min(bytes));
        if bytes != self.table.limit() || self.resized.is_some() {
            self.resized = Some((smallest, bytes));
        }
    }

    /// Begins a section: what has become of the table's size is said first (RFC 7541 4.2).
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, last)) = self.resized.take() else { return };
        self.table.resize(smallest);
        self.table.resize(last);
        if smallest != last {
            write_integer(out, 0x20, 5, smallest);
        }
        write_integer(out, 0x20, 5, last);
    }

    /// Appends `:status`.
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match STATUS.iter().position(|known| *known == status) {
            Some(place) => out.push(0x80 | (FIRST_STATUS + place as u8)),
            None => {
                out.push(FIRST_STATUS);
                write_text(out, itoa::Buffer::new().format(status).as_bytes());
            }
        }
    }

    /// Appends a field; its name may be in any case. `id` is [`FieldId::of`] the name.
    pub fn field(&mut self, id: FieldId, name: &[u8], value: &[u8], repeats: Repeats, out: &mut Vec<u8>) {
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        if (repeats == Repeats::Often || REPEATED.contains(id)) && size <= self.table.limit().min(MAX_ENTRY) {
            return self.indexed(id, name, value, out);
        }
        // RFC 7541 7.1.3: what is secret enters no table, of nobody on the way.
        let pattern = if SECRET.contains(id) { 0x10 } else { 0x00 };
        self.name(id, name, pattern, 4, out);
        write_text(out, value);
    }

    fn indexed(&mut self, id: FieldId, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let slot = slot(id, name);
        let is_it = |entry: &Entry| {
            entry.kind == Kind::Field(id)
                && entry.value() == value
                && (id != FieldId::Other || entry.name().eq_ignore_ascii_case(name))
        };
        let named = self.last[slot];
        if let Some(index) = self.table.index_of(named)
            && self.table.get(index).is_some_and(is_it)
        {
            return write_integer(out, 0x80, 7, index);
        }
        let found = self.table.iter().find(|(_, entry)| is_it(entry)).map(|(named, _)| named);
        if let Some((named, index)) = found.and_then(|named| Some((named, self.table.index_of(named)?))) {
            self.last[slot] = named;
            return write_integer(out, 0x80, 7, index);
        }
        self.name(id, name, 0x40, 6, out);
        write_short_text(out, value);
        let mut bytes = Vec::with_capacity(name.len() + value.len());
        bytes.extend_from_slice(name);
        bytes.make_ascii_lowercase();
        bytes.extend_from_slice(value);
        self.table.insert(Entry::new(Kind::Field(id), name.len(), bytes.into()));
        self.last[slot] = self.table.newest();
    }

    /// A literal's name: by its place in the static table, or as it is.
    fn name(&self, id: FieldId, name: &[u8], pattern: u8, prefix: u32, out: &mut Vec<u8>) {
        match static_name(id) {
            0 => {
                out.push(pattern);
                write_integer(out, 0, 7, name.len());
                let at = out.len();
                out.extend_from_slice(name);
                out[at..].make_ascii_lowercase();
            }
            index => write_integer(out, pattern, prefix, usize::from(index)),
        }
    }
}

/// Names whose values come again.
const REPEATED: FieldSet = FieldSet::of(&[
    FieldId::Date,
    FieldId::Server,
    FieldId::ContentType,
    FieldId::ContentEncoding,
    FieldId::CacheControl,
    FieldId::Vary,
    FieldId::XFrameOptions,
    FieldId::XContentTypeOptions,
    FieldId::XXssProtection,
    FieldId::ReferrerPolicy,
    FieldId::ContentSecurityPolicy,
    FieldId::StrictTransportSecurity,
    FieldId::PermissionsPolicy,
]);

const SECRET: FieldSet = FieldSet::of(&[FieldId::SetCookie, FieldId::Authorization]);

/// The largest entry, as RFC 7541 counts: a few of them must not put each other out.
const MAX_ENTRY: usize = 1024;

/// `:status` in the static table, from the first place on.
const STATUS: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
const FIRST_STATUS: u8 = 8;

/// A place for each known name, and some for the others.
const SLOTS: usize = FieldId::COUNT + 16;

fn slot(id: FieldId, name: &[u8]) -> usize {
    match id {
        FieldId::Other => {
            let ends = name.first().zip(name.last()).map_or(0, |(first, last)| (first & 0x1f) ^ (last & 0x1f) << 1);
            FieldId::COUNT + (usize::from(ends) + name.len()) % 16
        }
        id => id as usize,
    }
}
