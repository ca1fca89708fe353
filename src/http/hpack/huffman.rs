//! HPACK's Huffman code: RFC 7541 5.2 and Appendix B.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols, and each length starts
//! where the shorter ones ended. So the lengths alone define it.

use super::BadSection;

/// Decodes a string behind what `out` holds.
///
/// # Errors
/// Not the code's grammar; `out` may have grown all the same.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadSection> {
    out.reserve(bytes.len() * 8 / SHORTEST);
    let mut rest = bytes.iter();
    // Bits not yet decoded, the next one on top.
    let (mut bits, mut count) = (0u64, 0usize);
    loop {
        while count <= 56 {
            let Some(&byte) = rest.next() else { break };
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = match FAST[(bits >> (64 - FAST_BITS)) as usize] {
            (_, 0) => match long(bits) {
                Some(found) => found,
                None => break,
            },
            (symbol, length) => (symbol, usize::from(length)),
        };
        if length > count {
            break;
        }
        out.push(symbol);
        bits <<= length;
        count -= length;
    }
    // What is left is padding: fewer than eight bits, all ones.
    let is_padding = count < 8 && bits == !(u64::MAX >> count);
    if is_padding { Ok(()) } else { Err(BadSection) }
}

/// The symbol on top of `bits` whose word is longer than [`FAST_BITS`], and the word's length.
fn long(bits: u64) -> Option<(u8, usize)> {
    (FAST_BITS + 1..=LONGEST).find_map(|length| {
        let offset = ((bits >> (64 - length)) as u32).wrapping_sub(CODE.first[length]);
        let is_word = offset < u32::from(CODE.count[length]);
        is_word.then(|| (CODE.symbols[usize::from(CODE.start[length]) + offset as usize], length))
    })
}

/// Appends a string's code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0usize);
    for &symbol in text {
        let length = usize::from(LENGTHS[usize::from(symbol)]);
        bits |= u64::from(WORDS[usize::from(symbol)]) << (64 - count - length);
        count += length;
        while count >= 8 {
            out.push((bits >> 56) as u8);
            bits <<= 8;
            count -= 8;
        }
    }
    if count > 0 {
        out.push((bits >> 56) as u8 | 0xff >> count);
    }
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

/// Symbol and length of the word that begins with these bits; length 0 where it is a longer one.
static FAST: [(u8, u8); 1 << FAST_BITS] = {
    let mut fast = [(0, 0); 1 << FAST_BITS];
    let mut symbol = 0;
    while symbol < 256 {
        let length = LENGTHS[symbol] as usize;
        if length <= FAST_BITS {
            let spare = FAST_BITS - length;
            let mut at = (WORDS[symbol] as usize) << spare;
            let end = at + (1 << spare);
            while at < end {
                fast[at] = (symbol as u8, length as u8);
                at += 1;
            }
        }
        symbol += 1;
    }
    fast
};

/// Each symbol's word.
static WORDS: [u32; 256] = {
    let mut words = [0; 256];
    let mut length = SHORTEST;
    while length <= LONGEST {
        let mut rank = 0;
        while rank < CODE.count[length] {
            let symbol = CODE.symbols[(CODE.start[length] + rank) as usize];
            words[symbol as usize] = CODE.first[length] + rank as u32;
            rank += 1;
        }
        length += 1;
    }
    words
};

/// Words of up to so many bits are found by one look: all that texts are commonly made of.
const FAST_BITS: usize = 10;
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
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, BadSection> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn the_examples_of_the_rfc_decode_and_encode() {
        // RFC 7541 C.4 and C.6.
        for (bytes, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (
                &[0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3],
                "https://www.example.com",
            ),
            (&[], ""),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Ok(text.as_bytes()));
            let mut out = Vec::new();
            encode(text.as_bytes(), &mut out);
            assert_eq!((out.as_slice(), coded_bytes(text.as_bytes())), (bytes, bytes.len()));
        }
    }

    #[test]
    fn every_symbol_has_a_word_and_padding_is_ones() {
        for symbol in 0..=255u8 {
            let mut out = Vec::new();
            encode(&[symbol], &mut out);
            assert_eq!(decoded(&out).as_deref(), Ok(&[symbol][..]));
        }
        for (bytes, what) in [
            (&[0x00][..], "padding of zeros"),
            (&[0x1f, 0xff], "a byte of padding too much"),
            (&[0xff; 4], "the end-of-string symbol"),
            (&[0xff], "eight bits of padding"),
        ] {
            assert!(decoded(bytes).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            encode(&text, &mut out);
            prop_assert_eq!(out.len(), coded_bytes(&text));
            prop_assert_eq!(decoded(&out), Ok(text));
        }

        /// The code has one spelling for each text: what decodes at all encodes to the same bytes.
        #[test]
        fn whatever_decodes_was_the_only_way_to_say_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(text) = decoded(&bytes) {
                let mut out = Vec::new();
                encode(&text, &mut out);
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
