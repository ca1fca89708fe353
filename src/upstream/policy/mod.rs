//! Policies: which peer gets the next attempt.
//!
//! nginx's algorithms, step by step, over state that all workers share. The caller holds the upstream's lock, so that
//! only decrements of in-flight counts happen meanwhile. Pure otherwise: the attempt is marked by the caller.
//!
//! What most upstreams use is here. Everything else stands behind [`Special`], so that it costs them nothing.

mod ip_hash;
mod least_time;
mod local;
mod random;
mod ring;
mod slow_start;
mod special;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::ask::Ask;
use super::endpoint::{Endpoint, Live, Rules};
use super::group::Balance;
use super::tried::Tried;
use crate::config;

pub(super) use self::random::Dice;
use self::special::Special;

/// Whom a choice is made for, and when.
pub(super) struct Request<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) tried: &'a Tried,
    pub(super) now: Instant,
    pub(super) balance: &'a Balance,
}

/// What decides among the peers of a group.
pub(super) enum Choice {
    LeastConn,
    RoundRobin,
    Special(Box<Special>),
}

impl Choice {
    pub(super) fn new(config: &config::Upstream, peers: &[Peer]) -> Self {
        let plain = config.slow_start.is_none() && config.locality.is_none() && config.sticky.is_none();
        match config.policy {
            config::Policy::LeastConn if plain => Self::LeastConn,
            config::Policy::RoundRobin if plain => Self::RoundRobin,
            _ => Self::Special(Box::new(Special::new(config, peers))),
        }
    }

    #[inline]
    pub(super) fn choose<'a>(&'a self, peers: &'a [Peer], request: &Request<'_>, second: u64) -> Option<&'a Peer> {
        match self {
            Self::LeastConn => least_conn(peers, request.tried, second),
            Self::RoundRobin => round_robin(peers, request.tried, second),
            Self::Special(special) => special.choose(peers, request, second),
        }
    }
}

/// What a scan reads of an endpoint, side by side with its neighbors.
pub(super) struct Peer {
    rules: Rules,
    live: Arc<Live>,
    pub(super) endpoint: Arc<Endpoint>,
}

impl Peer {
    pub(super) fn new(endpoint: &Arc<Endpoint>) -> Self {
        Self { rules: endpoint.rules, live: Arc::clone(&endpoint.live), endpoint: Arc::clone(endpoint) }
    }

    #[inline]
    pub(super) fn is_available(&self, now: u64) -> bool {
        self.rules.admit(&self.live, now)
    }

    /// Whether the floor may rely on it.
    pub(super) fn counts_as_left(&self) -> bool {
        !self.rules.down && !self.live.failures.is_unproven(&self.rules)
    }

    pub(super) fn is_tried(&self, tried: &Tried) -> bool {
        tried.contains(self.live.id)
    }

    /// Notes the choice; true if it is a probe.
    pub(super) fn note_pick(&self, now: u64) -> bool {
        self.live.failures.note_pick(&self.rules, now)
    }

    #[inline]
    fn qualifies(&self, tried: &Tried, now: u64) -> bool {
        !self.is_tried(tried) && self.is_available(now)
    }

    #[inline]
    fn load(&self) -> Load {
        Load { in_flight: self.live.in_flight.load(Relaxed), weight: self.rules.weight }
    }

    /// One step of smooth weighted round robin: credits the effective weight and lets it recover. Returns the new
    /// credit and what was added.
    fn credit(&self) -> (i64, i64) {
        let effective = i64::from(self.live.failures.effective_weight(&self.rules));
        let current = self.live.current_weight.load(Relaxed) + effective;
        self.live.current_weight.store(current, Relaxed);
        self.live.failures.recover();
        (current, effective)
    }

    /// What the chosen one pays: the sum of all credits of this pass.
    fn debit(&self, total: i64) {
        self.live.current_weight.store(self.live.current_weight.load(Relaxed) - total, Relaxed);
    }
}

/// `ngx_http_upstream_get_least_conn_peer`: the lowest in_flight / weight; among equals, smooth round robin over just
/// those. Without a tie no weight moves.
fn least_conn<'a>(peers: &'a [Peer], tried: &Tried, now: u64) -> Option<&'a Peer> {
    let mut best: Option<(usize, &Peer, Load)> = None;
    let mut tie = false;
    for (at, peer) in peers.iter().enumerate() {
        if !peer.qualifies(tried, now) {
            continue;
        }
        let load = peer.load();
        match best {
            Some((.., least)) if least.is_below(load) => {}
            Some((.., least)) if least.equals(load) => tie = true,
            _ => {
                best = Some((at, peer, load));
                tie = false;
            }
        }
    }
    let (first, best, least) = best?;
    if !tie {
        return Some(best);
    }
    // Nobody before the first of the tied can be tied with it.
    let tied = peers.iter().skip(first).filter(|peer| peer.load().equals(least) && peer.qualifies(tried, now));
    // Attempts that ended since the first scan may have broken every tie.
    smooth(tied).or(Some(best))
}

/// `ngx_http_upstream_get_peer`: smooth weighted round robin over all that qualify.
fn round_robin<'a>(peers: &'a [Peer], tried: &Tried, now: u64) -> Option<&'a Peer> {
    smooth(peers.iter().filter(|peer| peer.qualifies(tried, now)))
}

/// Credits every peer with its effective weight; the first with the highest credit wins and pays the sum.
fn smooth<'a>(peers: impl Iterator<Item = &'a Peer>) -> Option<&'a Peer> {
    let mut best: Option<(&Peer, i64)> = None;
    let mut total = 0;
    for peer in peers {
        let (current, effective) = peer.credit();
        total += effective;
        if best.is_none_or(|(_, highest)| current > highest) {
            best = Some((peer, current));
        }
    }
    let (best, _) = best?;
    best.debit(total);
    Some(best)
}

/// in_flight / weight, compared by cross-multiplication with the configured weight.
#[derive(Clone, Copy)]
struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    #[inline]
    fn is_below(self, other: Load) -> bool {
        self.cross(other) < other.cross(self)
    }

    #[inline]
    fn equals(self, other: Load) -> bool {
        self.cross(other) == other.cross(self)
    }

    #[inline]
    fn cross(self, other: Load) -> u64 {
        u64::from(self.in_flight) * u64::from(other.weight)
    }
}
