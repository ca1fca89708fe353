//! The time of a record as text, formatted once a second.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local, TimeZone, Utc};

/// The second last written, in both forms.
pub(super) struct Stamp {
    second: u64,
    local: [u8; LOCAL],
    utc: [u8; UTC],
}

impl Stamp {
    pub(super) fn new() -> Self {
        let mut stamp = Self { second: 0, local: [b' '; LOCAL], utc: [b' '; UTC] };
        stamp.format(0);
        stamp
    }

    /// nginx's `$time_local`: `28/Sep/2026:12:00:00 +0200`, in the zone of the process.
    pub(super) fn local(&mut self, time: SystemTime) -> &[u8] {
        self.advance(time);
        &self.local
    }

    /// RFC 3339 in UTC with milliseconds: `2026-09-28T10:00:00.123Z`.
    pub(super) fn append_utc(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let millis = self.advance(time).subsec_millis();
        out.extend_from_slice(&self.utc);
        let digit = |n: u32| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }

    /// A clock before 1970 reads as 1970.
    fn advance(&mut self, time: SystemTime) -> Duration {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.format(since.as_secs());
        }
        since
    }

    /// Both forms have the same length for every year up to 9999; past it the end is cut.
    fn format(&mut self, second: u64) {
        self.second = second;
        let utc = i64::try_from(second).ok().and_then(|s| DateTime::from_timestamp(s, 0)).unwrap_or_default();
        let local = Local.from_utc_datetime(&utc.naive_utc());
        // The slices end where the text does, so an error could only mean a year past 9999.
        let _ = write!(&mut self.local[..], "{}", local.format("%d/%b/%Y:%H:%M:%S %z"));
        let _ = write!(&mut self.utc[..], "{}", DateTime::<Utc>::format(&utc, "%Y-%m-%dT%H:%M:%S"));
    }
}

/// Length of `28/Sep/2026:12:00:00 +0200`.
const LOCAL: usize = 26;
/// Length of `2026-09-28T10:00:00`.
const UTC: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    #[test]
    fn utc_has_milliseconds_and_follows_the_clock_both_ways() {
        let mut stamp = Stamp::new();
        for (ms, text) in [
            (1_790_589_600_007, "2026-09-28T10:00:00.007Z"),
            (1_790_589_600_123, "2026-09-28T10:00:00.123Z"),
            (1_790_589_601_000, "2026-09-28T10:00:01.000Z"),
            (1_790_589_599_999, "2026-09-28T09:59:59.999Z"),
            (0, "1970-01-01T00:00:00.000Z"),
        ] {
            let mut out = Vec::new();
            stamp.append_utc(at(ms), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn local_time_is_that_of_the_zone() {
        let mut stamp = Stamp::new();
        let time = at(1_790_589_600_000);
        let expected = DateTime::<Local>::from(time).format("%d/%b/%Y:%H:%M:%S %z").to_string();
        assert_eq!(String::from_utf8_lossy(stamp.local(time)), expected);
    }

    #[test]
    fn a_year_past_9999_is_cut_but_harmless() {
        let mut stamp = Stamp::new();
        assert_eq!(stamp.local(at(253_402_300_800_000)).len(), LOCAL);
        assert_eq!(stamp.local(UNIX_EPOCH + Duration::from_secs(u64::MAX >> 2)).len(), LOCAL);
    }
}
