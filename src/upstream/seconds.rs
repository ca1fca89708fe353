//! The clock of balancing: whole monotonic seconds.
//!
//! nginx compares `time_t` values here, so that "10 s" means "until the second counter has moved on by more than ten".
//! Counting from a start of our own keeps that granularity without wall-clock jumps.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Whole seconds at `now`. Never near zero: a time that was never set (0) lies further back than any timeout.
pub(super) fn seconds(now: Instant) -> u64 {
    LONG_AGO + now.saturating_duration_since(*EPOCH).as_secs()
}

/// Whole milliseconds at `now`, for what is finer than nginx's ejection. As [`seconds`], never near zero, and with low 32
/// bits that count from the epoch.
pub(super) fn millis(now: Instant) -> u64 {
    LONG_AGO + now.saturating_duration_since(*EPOCH).as_millis() as u64
}

/// A timeout in whole seconds, rounded up: nginx's own unit here is the second.
pub(super) fn whole(timeout: Duration) -> u64 {
    timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0))
}

/// The instant that second 0 starts at; fixed at the first call.
pub(super) fn epoch() -> Instant {
    *EPOCH
}

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What [`epoch`] reads as. Its low 32 bits are zero, so that they count from the epoch.
const LONG_AGO: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_passes_only_when_it_is_whole() {
        let start = epoch();
        assert_eq!(seconds(start + Duration::from_millis(999)), seconds(start));
        assert_eq!(seconds(start + Duration::from_millis(1000)), seconds(start) + 1);
    }

    #[test]
    fn a_fraction_of_a_timeout_counts_as_a_second() {
        assert_eq!([0, 250, 1000, 1001].map(|ms| whole(Duration::from_millis(ms))), [0, 1, 1, 2]);
    }
}
