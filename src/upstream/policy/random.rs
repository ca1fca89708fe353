//! `random`: of two drawn by weight, the one with the lower load (nginx `random two least_conn`; Mitzenmacher, "The
//! Power of Two Choices in Randomized Load Balancing", 2001).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Peer, least_conn};
use crate::upstream::tried::Tried;

/// Where each peer's part of the weight ends.
pub(super) struct Ranges(Box<[u64]>);

impl Ranges {
    pub(super) fn new(peers: &[Peer]) -> Self {
        let mut end = 0;
        Self(peers.iter().map(|peer| sum(&mut end, peer.rules.weight)).collect())
    }

    fn draw<'a>(&self, peers: &'a [Peer], dice: &Dice) -> Option<&'a Peer> {
        let number = dice.below(*self.0.last()?);
        peers.get(self.0.partition_point(|end| *end <= number))
    }

    pub(super) fn choose<'a>(&self, peers: &'a [Peer], dice: &Dice, tried: &Tried, second: u64) -> Option<&'a Peer> {
        let mut first: Option<&Peer> = None;
        for _ in 0..DRAWS {
            let Some(peer) = self.draw(peers, dice).filter(|peer| peer.qualifies(tried, second)) else { continue };
            match first {
                Some(first) if std::ptr::eq(first, peer) => {}
                Some(first) => return Some(if peer.load().is_below(first.load()) { peer } else { first }),
                None => first = Some(peer),
            }
        }
        first.or_else(|| least_conn(peers, tried, second))
    }
}

fn sum(end: &mut u64, weight: u32) -> u64 {
    *end += u64::from(weight);
    *end
}

/// Random numbers for decisions, not for secrets: SplitMix64. Drawn under the upstream's lock.
#[derive(Debug)]
pub(in crate::upstream) struct Dice(AtomicU64);

impl Dice {
    pub(in crate::upstream) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    #[cfg(test)]
    pub(in crate::upstream) fn reseed(&self, seed: u64) {
        self.0.store(seed, Relaxed);
    }

    /// Uniform in `0..end`, but for a bias of less than end / 2^64; 0 if `end` is 0.
    pub(super) fn below(&self, end: u64) -> u64 {
        let state = self.0.load(Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.store(state, Relaxed);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(end)) >> 64) as u64
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::seeded(RandomState::new().hash_one(0))
    }
}

/// As many draws as nginx makes before it takes another way.
const DRAWS: usize = 20;
