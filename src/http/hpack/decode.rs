//! Reading a section, line by line: RFC 7541 3 and 6.

use super::kind::{Kind, is_name, is_value};
use super::table::{Entry, Table};
use super::text::{Text, read_integer};
use super::{BadSection, TABLE_BYTES};

/// One connection's table of what its peer has sent.
#[derive(Debug, Default)]
pub struct Decoder {
    table: Table,
    /// The last line, if it was larger than the whole table.
    oversized: Option<Entry>,
}

/// A line of a section. What is known of it from its entry needn't be found out again.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// `None`: the name was sent as a text.
    pub kind: Option<Kind>,
    pub name: Text<'a>,
    pub value: Text<'a>,
    /// Whether name and value are known to keep the grammar, and whether they do.
    pub is_valid: Option<bool>,
}

impl Line<'_> {
    /// Whether `name` and `value`, decoded, keep the grammar of RFC 9113 8.2.1.
    pub fn keeps_grammar(kind: Kind, name: &[u8], value: &[u8]) -> bool {
        (matches!(kind, Kind::Pseudo(_)) || is_name(name)) && is_value(value)
    }
}

impl Decoder {
    /// The next line of the section that `bytes` is the rest of; `None` at its end.
    ///
    /// # Errors
    /// Not HPACK's grammar. The table is of no further use then.
    pub fn next<'t, 'b: 't>(&'t mut self, bytes: &mut &'b [u8]) -> Result<Option<Line<'t>>, BadSection> {
        while let Some(&first) = bytes.first() {
            match first {
                0x80.. => {
                    let index = read_integer(bytes, 7)?;
                    return Ok(Some(of_entry(self.table.get(index).ok_or(BadSection)?)));
                }
                0x40.. => {
                    let entry = self.read_entry(bytes)?;
                    self.oversized = self.table.insert(entry);
                    let newest = super::STATIC_ENTRIES + 1;
                    let entry = self.oversized.as_ref().or_else(|| self.table.get(newest)).ok_or(BadSection)?;
                    return Ok(Some(of_entry(entry)));
                }
                0x20.. => {
                    let limit = read_integer(bytes, 5)?;
                    if limit > TABLE_BYTES {
                        return Err(BadSection);
                    }
                    self.table.resize(limit);
                }
                _ => return self.literal(bytes).map(Some),
            }
        }
        Ok(None)
    }

    /// A literal that enters the table: RFC 7541 6.2.1.
    fn read_entry(&self, bytes: &mut &[u8]) -> Result<Entry, BadSection> {
        let index = read_integer(bytes, 6)?;
        let mut text = Vec::new();
        let known = match index {
            0 => {
                Text::read(bytes)?.append_to(&mut text)?;
                None
            }
            _ => {
                let entry = self.table.get(index).ok_or(BadSection)?;
                text.extend_from_slice(entry.name());
                Some(entry.kind)
            }
        };
        let name_length = text.len();
        let kind = known.unwrap_or_else(|| Kind::of(&text));
        Text::read(bytes)?.append_to(&mut text)?;
        Ok(Entry::new(kind, name_length, text.into()))
    }

    /// A literal that enters no table: RFC 7541 6.2.2 and 6.2.3.
    fn literal<'t, 'b: 't>(&'t self, bytes: &mut &'b [u8]) -> Result<Line<'t>, BadSection> {
        let index = read_integer(bytes, 4)?;
        let (kind, name) = match index {
            0 => (None, Text::read(bytes)?),
            _ => {
                let entry = self.table.get(index).ok_or(BadSection)?;
                (Some(entry.kind), Text::plain(entry.name()))
            }
        };
        Ok(Line { kind, name, value: Text::read(bytes)?, is_valid: None })
    }

    #[cfg(test)]
    pub(super) fn with_table(bytes: usize) -> Self {
        let mut decoder = Self::default();
        decoder.table.resize(bytes);
        decoder
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.table.size()
    }
}

fn of_entry(entry: &Entry) -> Line<'_> {
    Line {
        kind: Some(entry.kind),
        name: Text::plain(entry.name()),
        value: Text::plain(entry.value()),
        is_valid: Some(entry.is_valid),
    }
}
