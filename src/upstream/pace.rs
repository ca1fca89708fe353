//! What an endpoint's live state holds that plain balancing never reads: how fast it answers, since when it has been back,
//! and whether it has left.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// On a cache line of its own, which no request of a plain upstream touches.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Pace {
    pub(super) time: PeakEwma,
    pub(super) back: Back,
    /// No upstream has it any more: its connections need not be kept.
    pub(super) gone: AtomicBool,
}

/// The time to a response's head, over all workers: rises at once to whatever is seen, and falls slowly (Finagle's peak
/// EWMA). Each of its steps is one exchange of 64 bits: the estimate in seconds, and the millisecond that it is of.
#[derive(Debug, Default)]
pub(super) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// Takes in a response that took this long. A failure may only raise the estimate, and keeps it from fading: an
    /// endpoint that refuses quickly isn't fast.
    pub(super) fn observe(&self, took: Duration, failed: bool, milli: u64) {
        let took = took.as_secs_f32().max(f32::MIN_POSITIVE);
        let step = |old: u64| {
            let (estimate, age) = Self::read(old, milli);
            // Whoever was a little earlier may write a little later.
            let kept = (-age / DECAY).exp();
            let decayed = estimate * kept;
            let new = match failed {
                true if estimate == 0.0 => took.max(FAILED),
                true => took.max(estimate),
                false if took > decayed => took,
                false => decayed + took * (1.0 - kept),
            };
            Some(u64::from(new.to_bits()) << 32 | u64::from(milli as u32))
        };
        let _ = self.0.try_update(Relaxed, Relaxed, step);
    }

    /// The estimate times what would then be in flight. What nobody has measured, or not for long, is tried by one
    /// request at a time: it comes first while idle, and last while that one is under way.
    pub(super) fn expected_wait(&self, in_flight: u32, milli: u64) -> f32 {
        let (estimate, age) = Self::read(self.0.load(Relaxed), milli);
        if (estimate == 0.0 || age > DECAY) && in_flight > 0 {
            return UNKNOWN + in_flight as f32;
        }
        estimate * (-age / DECAY).exp() * (in_flight as f32 + 1.0)
    }

    /// The estimate, and its age in seconds, which is right for 24 days.
    fn read(state: u64, milli: u64) -> (f32, f32) {
        let age = (milli as u32).wrapping_sub(state as u32) as i32;
        (f32::from_bits((state >> 32) as u32), age.max(0) as f32 / 1000.0)
    }
}

/// When an endpoint came back, or was added.
#[derive(Debug, Default)]
pub(super) struct Back(AtomicU64);

impl Back {
    /// It has been added; the first pick that sees it starts its time.
    pub(super) fn added() -> Self {
        Self(AtomicU64::new(ADDED))
    }

    /// It has been added once more.
    pub(super) fn begin_again(&self) {
        self.0.store(ADDED, Relaxed);
    }

    /// From now on it is back.
    pub(super) fn begin(&self, milli: u64) {
        self.0.store(milli, Relaxed);
    }

    /// Starts the time of one that was added.
    pub(super) fn begin_if_added(&self, milli: u64) {
        let _ = self.0.compare_exchange(ADDED, milli, Relaxed, Relaxed);
    }

    /// For how long it has been back, in milliseconds.
    pub(super) fn age(&self, milli: u64) -> u64 {
        match self.0.load(Relaxed) {
            ADDED => 0,
            since => milli.saturating_sub(since),
        }
    }
}

/// Time in which the weight of what was seen falls to 1/e, in seconds: Finagle's and Linkerd's default.
const DECAY: f32 = 10.0;

/// The estimate, in seconds, of an endpoint that has only failed so far.
const FAILED: f32 = 1.0;

/// More than any estimate times what may be in flight.
const UNKNOWN: f32 = 1e30;

const ADDED: u64 = u64::MAX;
