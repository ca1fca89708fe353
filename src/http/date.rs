//! The `Date` field's value (RFC 9110 5.6.7, IMF-fixdate), formatted once a second and thread.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;
use rustix::time::{ClockId, clock_gettime};

/// Length of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const LENGTH: usize = 29;

/// Calls `f` with the present `Date`. Reads the coarse clock, which lags the real one by one kernel tick (1 to 10 ms).
pub fn with_date<R>(f: impl FnOnce(&[u8; LENGTH]) -> R) -> R {
    let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
    // Copied out, so that an `f` that asks for the date again finds the cell free.
    let text = CACHE.with_borrow_mut(|cache| *cache.at(second));
    f(&text)
}

/// Appends the present `Date`.
pub fn append(out: &mut Vec<u8>) {
    with_date(|date| out.extend_from_slice(date));
}

struct Cache {
    second: i64,
    text: [u8; LENGTH],
}

impl Cache {
    fn at(&mut self, second: i64) -> &[u8; LENGTH] {
        if second != self.second {
            self.text = format(second);
            self.second = second;
        }
        &self.text
    }
}

/// Seconds since 1970, held within the years that the format can say (1970 to 9999).
fn format(second: i64) -> [u8; LENGTH] {
    let second = second.clamp(0, LAST_SECOND).unsigned_abs();
    let mut text = [b' '; LENGTH];
    // Exactly `LENGTH` bytes for every year in range, so the slice takes them all.
    let _ = write!(&mut text[..], "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(second)));
    text
}

/// 9999-12-31T23:59:59Z; `httpdate` panics beyond it.
const LAST_SECOND: i64 = 253_402_300_799;

thread_local! {
    static CACHE: RefCell<Cache> = const { RefCell::new(Cache { second: i64::MIN, text: [b' '; LENGTH] }) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_the_example_of_the_rfc() {
        assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_outside_the_format_is_held_at_its_ends() {
        assert_eq!(&format(-5), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(&format(i64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn the_cache_follows_the_second_forwards_and_backwards() {
        let mut cache = Cache { second: 0, text: format(0) };
        for second in [784_111_777, 784_111_778, 784_111_777] {
            assert_eq!(cache.at(second), &format(second));
        }
    }

    #[test]
    fn the_present_date_is_the_real_clocks() {
        let before = std::time::SystemTime::now() - Duration::from_secs(2);
        let mut out = Vec::new();
        append(&mut out);
        let said = httpdate::parse_http_date(std::str::from_utf8(&out).unwrap()).unwrap();
        assert!(said >= before && said <= std::time::SystemTime::now());
    }
}
