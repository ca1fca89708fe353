//! What a client may ask for that brings no request any further: bounds on floods of frames.
//!
//! A frame that carries neither a request nor a body costs, and what the connection is for pays: a window has to be opened
//! again for what was sent through it, a client that talks to us for hours may ping. So a client that works with the
//! protocol never comes near the bound, however fast it is, and one that floods is at it after [`START`] frames.

use std::time::Duration;

use tokio::time::Instant;

/// The account of one connection.
#[derive(Debug)]
pub(super) struct Ledger {
    credit: u32,
    /// Until when time has been paid for.
    paid: Instant,
    resets: Meter,
    errors: Meter,
}

/// The client has overdrawn it: RFC 9113 10.5 has ENHANCE_YOUR_CALM for that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overdrawn;

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: START, paid: now, resets: Meter::default(), errors: Meter::default() }
    }

    /// A frame that brings nothing.
    pub(super) fn charge(&mut self, cost: u32, now: Instant) -> Result<(), Overdrawn> {
        if self.credit < cost {
            let seconds = now.saturating_duration_since(self.paid).as_secs();
            self.paid += Duration::from_secs(seconds);
            self.earn(u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(A_SECOND));
        }
        self.credit = self.credit.checked_sub(cost).ok_or(Overdrawn)?;
        Ok(())
    }

    /// The connection has done what it is for.
    pub(super) fn earn(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit).min(MOST);
    }

    /// The client gave up a stream before it was answered: CVE-2023-44487.
    pub(super) fn reset(&mut self, now: Instant) -> Result<(), Overdrawn> {
        self.resets.note(now, MAX_RESETS)
    }

    /// The client made this side reset a stream: CVE-2025-8671.
    pub(super) fn error(&mut self, now: Instant) -> Result<(), Overdrawn> {
        self.errors.note(now, MAX_ERRORS)
    }
}

/// How often something happened in the current [`WINDOW`].
#[derive(Debug, Default)]
struct Meter {
    count: u32,
    since: Option<Instant>,
}

impl Meter {
    fn note(&mut self, now: Instant, most: u32) -> Result<(), Overdrawn> {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < WINDOW => self.count += 1,
            _ => (self.since, self.count) = (Some(now), 1),
        }
        if self.count > most { Err(Overdrawn) } else { Ok(()) }
    }
}

/// What a connection begins with, earns by a second of its life, and has at most.
pub(super) const START: u32 = 1000;
const A_SECOND: u32 = 100;
const MOST: u32 = 4000;

/// What a request earns, and a DATA frame that was sent.
pub(super) const BY_REQUEST: u32 = 8;
pub(super) const BY_DATA: u32 = 3;

/// What a SETTINGS frame costs: it may make every window move.
pub(super) const SETTINGS: u32 = 20;

/// Streams given up before they were answered, and streams that broke the rules, in a [`WINDOW`].
const MAX_RESETS: u32 = 200;
const MAX_ERRORS: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn frames_that_bring_nothing_are_bounded_and_time_pays_for_some() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        assert!((0..START).all(|_| ledger.charge(1, start).is_ok()));
        assert_eq!(ledger.charge(1, start), Err(Overdrawn));
        let later = start + Duration::from_millis(1500);
        assert!((0..A_SECOND).all(|_| ledger.charge(1, later).is_ok()));
        assert_eq!(ledger.charge(1, later), Err(Overdrawn));
        ledger.earn(BY_DATA);
        assert!((0..BY_DATA).all(|_| ledger.charge(1, later).is_ok()));
        assert_eq!(ledger.charge(1, later), Err(Overdrawn));
        assert!(ledger.charge(1, later + Duration::from_secs(1 << 40)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn resets_are_counted_in_windows() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        assert!((0..MAX_RESETS).all(|_| ledger.reset(start).is_ok()));
        assert_eq!(ledger.reset(start), Err(Overdrawn));
        assert!(ledger.reset(start + WINDOW).is_ok());
    }
}
