//! Passive ejection: what failed attempts do to an endpoint.
//!
//! nginx's `max_fails` and `fail_timeout` (`ngx_http_upstream_free_round_robin_peer`), with one record for all workers.
//! Whoever writes holds the upstream's lock; whoever reads needs none. Times are whole [`seconds`](super::seconds).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::endpoint::Rules;

/// The failure record of one address.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// When an attempt last failed (nginx `accessed`).
    accessed: AtomicU64,
    /// When it last failed, or was picked after more than fail_timeout (nginx `checked`).
    checked: AtomicU64,
    /// Failures since the record was last cleared (nginx `fails`).
    fails: AtomicU32,
    /// What failures took off the weight (nginx: `weight - effective_weight`).
    penalty: AtomicU32,
    /// `fails` reached max_fails and the floor let it count. In nginx this is `fails >= max_fails`; as a flag, a reload
    /// that lowers max_fails ejects nobody.
    ejected: AtomicBool,
    total: AtomicU64,
    ejections: AtomicU64,
}

/// What a failure led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts; the endpoint stays in.
    Counted,
    /// The endpoint is out from now on.
    Ejected,
    /// It failed again after its time: out for another fail_timeout.
    StillEjected,
    /// It would be out, but too few others would be left.
    Withheld,
}

impl Failures {
    /// nginx: `fails >= max_fails && now - checked <= fail_timeout`.
    #[inline]
    pub(super) fn is_ejected(&self, rules: &Rules, now: u64) -> bool {
        self.ejected.load(Relaxed)
            && rules.max_fails != 0
            && now.saturating_sub(self.checked.load(Relaxed)) <= rules.fail_timeout
    }

    /// Whether it was ejected and has not answered since, be its time over or not. The floor goes by this: what waits
    /// for its probe is nothing to rely on.
    pub(super) fn is_unproven(&self, rules: &Rules) -> bool {
        rules.max_fails != 0 && self.ejected.load(Relaxed)
    }

    /// Notes that an attempt starts. True if it is the probe of an ejected endpoint whose time is over: moving `checked`
    /// keeps everyone else away until the probe has told.
    #[inline]
    pub(super) fn note_pick(&self, rules: &Rules, now: u64) -> bool {
        if now.saturating_sub(self.checked.load(Relaxed)) <= rules.fail_timeout {
            return false;
        }
        self.checked.store(now, Relaxed);
        self.is_unproven(rules)
    }

    /// Counts a failed attempt that decides nothing: ejection is off, or there is nobody else.
    pub(super) fn count(&self) {
        self.total.fetch_add(1, Relaxed);
    }

    /// Counts a failed attempt. `may_eject` is asked only if this one would put the endpoint out.
    pub(super) fn fail(&self, rules: &Rules, now: u64, probe: bool, may_eject: impl FnOnce() -> bool) -> Verdict {
        self.count();
        let was_out = self.is_ejected(rules, now);
        let fails = self.fails.load(Relaxed).saturating_add(1);
        self.fails.store(fails, Relaxed);
        self.accessed.store(now, Relaxed);
        self.checked.store(now, Relaxed);
        let Some(cost) = rules.weight.checked_div(rules.max_fails) else { return Verdict::Counted };
        self.penalty.store(self.penalty.load(Relaxed).saturating_add(cost).min(rules.weight), Relaxed);

        if self.ejected.load(Relaxed) {
            // Attempts that were under way when it was ejected put the probe off, as in nginx, and are no news.
            if was_out && !probe {
                return Verdict::Counted;
            }
            self.ejections.fetch_add(1, Relaxed);
            return Verdict::StillEjected;
        }
        if fails < rules.max_fails {
            return Verdict::Counted;
        }
        if !may_eject() {
            return Verdict::Withheld;
        }
        self.ejected.store(true, Relaxed);
        self.ejections.fetch_add(1, Relaxed);
        Verdict::Ejected
    }

    /// Whether a success would clear the record: it holds a failure, and the attempt that came after more than
    /// fail_timeout has been picked since (nginx: `accessed < checked`). One load if nothing has failed.
    #[inline]
    pub(super) fn can_clear(&self) -> bool {
        self.fails.load(Relaxed) != 0 && self.accessed.load(Relaxed) < self.checked.load(Relaxed)
    }

    /// Clears the record after a success. True if the endpoint was ejected.
    pub(super) fn clear(&self) -> bool {
        self.fails.store(0, Relaxed);
        self.ejected.swap(false, Relaxed)
    }

    /// The weight that smooth round robin goes by (nginx `effective_weight`).
    pub(super) fn effective_weight(&self, rules: &Rules) -> u32 {
        rules.weight.saturating_sub(self.penalty.load(Relaxed))
    }

    /// Gives one of the weight back, as every pass of round robin does.
    pub(super) fn recover(&self) {
        let penalty = self.penalty.load(Relaxed);
        if penalty != 0 {
            self.penalty.store(penalty - 1, Relaxed);
        }
    }

    /// Seconds since the last failure.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.accessed.load(Relaxed))
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    pub(super) fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }
}
