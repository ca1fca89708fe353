//! Request ids: one for each request, the same in logs, replies and upstream.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use crate::http::field::FieldId;
use crate::http::head::Fields;

/// Longest id taken over from a trusted peer, in bytes.
const MAX_LENGTH: usize = 128;

/// An id made here: 32 lower-case hex digits, as nginx's `$request_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// An id that no other request has, and that nobody can tell from those before it: SipHash over a counter, with keys
    /// that each thread draws from the operating system.
    pub fn random() -> Self {
        let (high, low) = GENERATOR.with(|generator| {
            let count = generator.count.get();
            generator.count.set(count.wrapping_add(1));
            (generator.high.hash_one(count), generator.low.hash_one(count))
        });
        let mut digits = [0; 32];
        let (first, second) = digits.split_at_mut(16);
        first.copy_from_slice(&hex(high));
        second.copy_from_slice(&hex(low));
        Self(digits)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id that the message brings, if it is fit for logs and fields: one line of at most 128 bytes, all of them letters,
/// digits or `-._~+/=:@`. Only a trusted peer's counts.
pub fn received(fields: &Fields) -> Option<&[u8]> {
    let mut values = fields.get_all(FieldId::XRequestId);
    let id = values.next()?;
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte);
    (values.next().is_none() && (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(is_fit)).then_some(id)
}

/// The sixteen digits of a word, the highest first; all at once, as the bytes of one wide number.
fn hex(word: u64) -> [u8; 16] {
    let mut spread = u128::from(word);
    spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & (EACH * 0x0f);
    // 1 in each byte whose digit is a letter.
    let letter = (spread + EACH * 6) >> 4 & EACH;
    (spread + EACH * u128::from(b'0') + letter * u128::from(b'a' - b'9' - 1)).to_be_bytes()
}

/// 1 in each byte.
const EACH: u128 = u128::MAX / 0xff;

struct Generator {
    high: RandomState,
    low: RandomState,
    count: Cell<u64>,
}

thread_local! {
    static GENERATOR: Generator =
        Generator { high: RandomState::new(), low: RandomState::new(), count: Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for word in [0, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, 0x9a9a_9a9a_0f0f_f0f0] {
            assert_eq!(hex(word), format!("{word:016x}").as_bytes());
        }
    }

    #[test]
    fn ids_are_32_hex_digits_and_differ_over_threads() {
        let ids: HashSet<RequestId> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).map(|_| RequestId::random()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 4000);
        for id in &ids {
            assert_eq!(id.as_str().as_bytes(), id.as_bytes());
            assert!(id.as_str().bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        }
    }

    #[test]
    fn every_digit_of_an_id_varies() {
        let ids: Vec<_> = (0..200).map(|_| RequestId::random()).collect();
        for place in 0..32 {
            let seen: HashSet<_> = ids.iter().map(|id| id.as_bytes()[place]).collect();
            assert!(seen.len() > 8, "digit {place}: {seen:?}");
        }
    }

    #[test]
    fn only_one_short_plain_id_is_taken_over() {
        let fields = |values: &[&str]| {
            let mut fields = Fields::default();
            values.iter().for_each(|value| fields.push(b"X-Request-Id", value.as_bytes()));
            fields
        };
        let longest = "a".repeat(128);
        for id in ["a", "0f-9_Z.~+/=:@", longest.as_str()] {
            assert_eq!(received(&fields(&[id])), Some(id.as_bytes()));
        }
        for values in [&[][..], &[""], &["a b"], &["a\"b"], &["a,b"], &["\u{e9}"], &["a", "b"], &[&"a".repeat(129)]] {
            assert_eq!(received(&fields(values)), None, "{values:?}");
        }
    }
}
