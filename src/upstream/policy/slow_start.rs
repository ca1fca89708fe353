//! `slow_start`: an endpoint that is back gets its part of the requests little by little (nginx plus, HAProxy).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Dice, Peer, smooth};

/// How long the way to the whole part is.
pub(super) struct SlowStart {
    /// Milliseconds.
    length: u64,
    /// No endpoint of the group is new since then.
    over: AtomicU64,
    /// Endpoints that were added may not have been seen yet.
    unseen: AtomicBool,
}

impl SlowStart {
    pub(super) fn new(length: Duration) -> Self {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { length, over: AtomicU64::new(0), unseen: AtomicBool::new(true) }
    }

    /// Whether any endpoint is on its way: if not, the policy need not look.
    pub(super) fn is_running(&self, peers: &[Peer], latest: u64, milli: u64) -> bool {
        if self.unseen.swap(false, Relaxed) {
            peers.iter().for_each(|peer| peer.live.pace.back.begin_if_added(milli));
            let youngest = peers.iter().map(|peer| peer.live.pace.back.age(milli)).min().unwrap_or(u64::MAX);
            self.over.store(milli.saturating_add(self.length.saturating_sub(youngest)), Relaxed);
        }
        milli < self.over.load(Relaxed) || milli < latest.saturating_add(self.length)
    }

    /// The part of its weight that a peer has, above 0.0 to 1.0: in proportion to the time it has been back.
    pub(super) fn share(&self, peer: &Peer, milli: u64) -> f32 {
        let age = peer.live.pace.back.age(milli);
        if age >= self.length { 1.0 } else { (age as f32 / self.length as f32).max(SMALLEST) }
    }

    /// Whether a peer takes part in this decision: with the probability of its share. So the part of the requests that it
    /// gets grows in proportion, whichever policy decides, also while all are idle and no weight would count.
    pub(super) fn takes_part(&self, peer: &Peer, dice: &Dice, milli: u64) -> bool {
        let share = self.share(peer, milli);
        share >= 1.0 || dice.below(1 << 20) < (share * (1 << 20) as f32) as u64
    }
}

/// The lowest in_flight / weight, of which only a part counts; in turn among equals.
pub(super) fn least_conn<'a>(peers: &[&'a Peer], share: impl Fn(&Peer) -> f32) -> Option<&'a Peer> {
    let load = |peer: &Peer| {
        let load = peer.load();
        load.in_flight as f32 / (load.weight as f32 * share(peer))
    };
    let loads: Vec<f32> = peers.iter().map(|peer| load(peer)).collect();
    let least = loads.iter().copied().min_by(f32::total_cmp)?;
    smooth(peers.iter().zip(loads).filter(|(_, load)| *load == least).map(|(peer, _)| *peer))
}

/// At the start: one decision in a thousand.
const SMALLEST: f32 = 0.001;
