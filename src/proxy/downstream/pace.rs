//! How fast a request body comes, counting only the time spent waiting for the client.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::HttpLimits;

/// nginx's `client_body_timeout`.
const SILENCE: Duration = Duration::from_secs(60);

pub(super) struct Pace {
    grace: Duration,
    /// 0 is off: then only silence counts.
    bytes_per_second: u64,
    /// The longest wait for a byte where there is no rate; `None` for ever.
    silence: Option<Duration>,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        Self {
            grace: limits.body_grace,
            bytes_per_second: limits.min_body_rate,
            silence: Some(SILENCE),
            waited: Duration::ZERO,
            since: None,
        }
    }

    /// No minimum rate, and no bound on silence: a tunnel has its own.
    pub(super) fn any() -> Self {
        Self { grace: Duration::ZERO, bytes_per_second: 0, silence: None, waited: Duration::ZERO, since: None }
    }

    /// A wait begins, or goes on.
    pub(super) fn wait(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn resume(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// When the current wait will have made the whole too slow.
    pub(super) fn deadline(&self, received: u64) -> Option<Instant> {
        let since = self.since?;
        let Some(earned) = received.saturating_mul(1000).checked_div(self.bytes_per_second) else {
            return since.checked_add(self.silence?);
        };
        let earned = Duration::from_millis(earned);
        since.checked_add(self.grace.saturating_add(earned).saturating_sub(self.waited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_silence_still_ends() {
        let mut pace = Pace::new(&HttpLimits { min_body_rate: 0, ..HttpLimits::default() });
        pace.wait();
        assert_eq!(pace.deadline(0), Some(Instant::now() + SILENCE));
        assert_eq!(Pace::any().deadline(0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_earns_time_by_its_bytes_and_only_waiting_spends_it() {
        let limits = HttpLimits { min_body_rate: 1000, body_grace: Duration::from_secs(10), ..HttpLimits::default() };
        let mut pace = Pace::new(&limits);
        let start = Instant::now();
        pace.wait();
        assert_eq!(pace.deadline(0), Some(start + Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(4)).await;
        pace.resume();
        tokio::time::advance(Duration::from_secs(100)).await;
        pace.wait();
        assert_eq!(pace.deadline(2000), Some(Instant::now() + Duration::from_secs(8)));
    }
}
