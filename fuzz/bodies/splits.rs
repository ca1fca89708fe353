//! The same bytes in pieces, as a network may bring them.

/// Ends of pieces of `data`: one byte at a time near the front, and cuts that the bytes themselves choose behind it. The
/// last end is the length.
pub fn ends(data: &[u8]) -> Vec<usize> {
    let mut ends: Vec<usize> = (1..data.len().min(24)).collect();
    let mut at = ends.last().copied().unwrap_or(0);
    for byte in data.iter().rev() {
        at += usize::from(*byte) % 61 + 1;
        if at >= data.len() {
            break;
        }
        ends.push(at);
    }
    ends.push(data.len());
    ends
}
