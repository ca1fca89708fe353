//! HPACK's Huffman code: RFC 7541 5.2 and Appendix B, decoding only.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and each length starts
//! where the shorter ones ended. So the lengths alone define it.

/// Decodes a string. `None`: not the code's grammar.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() * 8 / SHORTEST);
    let (mut code, mut length) = (0u32, 0usize);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        if length > LONGEST {
            return None;
        }
        let offset = code.wrapping_sub(CODE.first[length]);
        if offset < u32::from(CODE.count[length]) {
            out.push(CODE.symbols[usize::from(CODE.start[length]) + offset as usize]);
            (code, length) = (0, 0);
        }
    }
    // What is left is padding: fewer than eight bits, all ones.
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

/// How many bytes a string takes when it is coded.
pub(super) fn coded_bytes(text: &[u8]) -> usize {
    text.iter().map(|symbol| usize::from(LENGTHS[usize::from(*symbol)])).sum::<usize>().div_ceil(8)
}

/// The code, by length of its words.
struct Code {
    /// The first word of a length.
    first: [u32; LONGEST + 1],
    /// How many words a length has.
    count: [u16; LONGEST + 1],
    /// Where a length's symbols begin in `symbols`.
    start: [u16; LONGEST + 1],
    symbols: [u8; 256],
}

const CODE: Code = build();

const fn build() -> Code {
    let mut code =
        Code { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], symbols: [0; 256] };
    let mut filled = 0;
    let mut next = 0u32;
    let mut length = SHORTEST;
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.start[length] = filled as u16;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                code.symbols[filled] = symbol as u8;
                filled += 1;
                next += 1;
            }
            symbol += 1;
        }
        code.count[length] = filled as u16 - code.start[length];
        length += 1;
    }
    code
}

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// Bits of each symbol's word. The end-of-string symbol, the last of the longest, has no place here: it must not occur.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_decode() {
        // RFC 7541 C.4 and C.6.
        for (bytes, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (
                &[0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
                "https://www.example.com",
            ),
        ] {
            assert_eq!(decode(bytes).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(decode(b"").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn every_symbol_has_a_word_and_padding_is_ones() {
        for symbol in 0..=255u8 {
            let length = usize::from(LENGTHS[usize::from(symbol)]);
            let rank = LENGTHS[..usize::from(symbol)].iter().filter(|l| usize::from(**l) == length).count();
            let word = u64::from(CODE.first[length]) + rank as u64;
            // The word, then ones up to the next byte.
            let padding = (8 - length % 8) % 8;
            let bits = (word << padding | ((1 << padding) - 1)).to_be_bytes();
            let bytes = &bits[8 - (length + padding) / 8..];
            assert_eq!(decode(bytes).as_deref(), Some(&[symbol][..]));
        }
        assert_eq!(decode(&[0x00]), None, "padding of zeros");
        assert_eq!(decode(&[0xff; 4]), None, "the end-of-string symbol");
    }
}
