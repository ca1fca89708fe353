//! HPACK: what is decoded can be encoded and decoded to the same, over a connection's whole life.

use tidegate::http::field::FieldId;
use tidegate::http::hpack::{Decoder, Encoder, Repeats};

/// Sections one behind the other, each with its length in front.
pub fn run(data: &[u8]) {
    let (mut decoder, mut encoder, mut second) = (Decoder::default(), Encoder::default(), Decoder::default());
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (section, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        let Some(lines) = decode(&mut decoder, section) else { return };
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.0.is_empty() && !line.0.starts_with(b":")).collect();
        let mut written = Vec::new();
        encoder.begin(&mut written);
        for (name, value) in &lines {
            let repeats = if value.len().is_multiple_of(2) { Repeats::Often } else { Repeats::Perhaps };
            encoder.field(FieldId::of(name), name, value, repeats, &mut written);
        }
        let again = decode(&mut second, &written).unwrap_or_else(|| panic!("{lines:?} can't be read again"));
        let lower = lines.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        assert!(lower.eq(again));
    }
}

fn decode(decoder: &mut Decoder, section: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (mut rest, mut lines) = (section, Vec::new());
    while let Some(line) = decoder.next(&mut rest).ok()? {
        lines.push((line.name.decode().ok()?.into_owned(), line.value.decode().ok()?.into_owned()));
    }
    Some(lines)
}
