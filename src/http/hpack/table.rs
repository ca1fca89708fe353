//! The tables of fields: RFC 7541 2.3 and Appendix A.

use std::collections::VecDeque;
use std::sync::LazyLock;

use super::kind::{Kind, is_name, is_value};
use super::{ENTRY_OVERHEAD, TABLE_BYTES};
use crate::http::field::FieldId;

/// A line that both sides know by its place. What can be told of it is told once, when it enters.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Name and value keep the grammar.
    pub(super) is_valid: bool,
    name_length: u32,
    /// The name, and the value behind it.
    bytes: Box<[u8]>,
}

impl Entry {
    pub(super) fn new(kind: Kind, name_length: usize, bytes: Box<[u8]>) -> Self {
        let (name, value) = bytes.split_at(name_length.min(bytes.len()));
        let is_valid = (matches!(kind, Kind::Pseudo(_)) || is_name(name)) && is_value(value);
        Self { kind, is_valid, name_length: name.len() as u32, bytes }
    }

    pub(super) fn name(&self) -> &[u8] {
        &self.bytes[..self.name_length as usize]
    }

    pub(super) fn value(&self) -> &[u8] {
        &self.bytes[self.name_length as usize..]
    }

    /// As RFC 7541 4.1 counts it.
    fn size(&self) -> usize {
        self.bytes.len() + ENTRY_OVERHEAD
    }
}

/// The dynamic table of one direction of a connection.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
    /// Entries that have ever entered.
    inserted: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: TABLE_BYTES, inserted: 0 }
    }
}

impl Table {
    /// The entry of an index, which counts the static table first; 0 is none.
    pub(super) fn get(&self, index: usize) -> Option<&Entry> {
        match index.checked_sub(STATIC_ENTRIES + 1) {
            Some(place) => self.entries.get(place),
            None => STATIC.get(index.checked_sub(1)?),
        }
    }

    /// Puts an entry in front. One that is larger than the table empties it, and comes back: RFC 7541 4.4.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        self.inserted = self.inserted.wrapping_add(1);
        self.evict(entry.size());
        if entry.size() > self.limit {
            return Some(entry);
        }
        self.size += entry.size();
        self.entries.push_front(entry);
        None
    }

    /// Changes how many bytes it may have.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict(0);
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A name for the newest entry that stays the same while others enter; see [`Table::place`].
    pub(super) fn newest(&self) -> u32 {
        self.inserted
    }

    /// The index of the entry that [`Table::newest`] named once, if it is still there.
    pub(super) fn index_of(&self, named: u32) -> Option<usize> {
        let place = self.inserted.wrapping_sub(named) as usize;
        (place < self.entries.len()).then_some(STATIC_ENTRIES + 1 + place)
    }

    /// Names of the entries with their lines, newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().enumerate().map(|(place, entry)| (self.inserted.wrapping_sub(place as u32), entry))
    }

    fn evict(&mut self, coming: usize) {
        while self.size + coming > self.limit {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size();
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// Entries of the static table; the dynamic one's indices follow them.
pub const STATIC_ENTRIES: usize = LINES.len();

static STATIC: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let entry = |(name, value): &(&str, &str)| {
        Entry::new(Kind::of(name.as_bytes()), name.len(), format!("{name}{value}").into_bytes().into())
    };
    LINES.iter().map(entry).collect()
});

/// The index of a name in the static table, 0 if it isn't there.
pub(super) fn static_name(id: FieldId) -> u8 {
    STATIC_NAMES[id as usize]
}

static STATIC_NAMES: LazyLock<[u8; FieldId::COUNT]> = LazyLock::new(|| {
    let mut names = [0; FieldId::COUNT];
    for (place, entry) in STATIC.iter().enumerate() {
        if let Kind::Field(id) = entry.kind
            && id != FieldId::Other
        {
            names[id as usize] = place as u8 + 1;
        }
    }
    names
});

/// RFC 7541 Appendix A.
const LINES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
