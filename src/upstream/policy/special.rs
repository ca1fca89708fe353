//! Every choice but the two plain ones: other policies, and what may stand before a policy.

use std::collections::HashMap;

use super::local::Local;
use super::random::Ranges;
use super::ring::Ring;
use super::slow_start::{self, SlowStart};
use super::{Peer, Request, ip_hash, least_conn, least_time, round_robin, smooth};
use crate::config;
use crate::upstream::seconds::millis;
use crate::upstream::sticky::Token;

/// In order: the endpoint that the client's cookie names, one of our own zone, one of all.
pub(in crate::upstream) struct Special {
    /// Peers by what a cookie says of them.
    named: HashMap<Token, usize>,
    slow_start: Option<SlowStart>,
    local: Option<Local>,
    method: Method,
}

impl Special {
    pub(super) fn new(config: &config::Upstream, peers: &[Peer]) -> Self {
        let mut named = HashMap::new();
        for (at, peer) in peers.iter().enumerate() {
            if let Some(token) = peer.endpoint.token {
                named.entry(token).or_insert(at);
            }
        }
        Self {
            named,
            slow_start: config.slow_start.map(SlowStart::new),
            local: Local::new(config, peers),
            method: Method::new(config, peers),
        }
    }

    pub(super) fn choose<'a>(&'a self, peers: &'a [Peer], request: &Request<'_>, second: u64) -> Option<&'a Peer> {
        let qualifies = |peer: &&Peer| peer.qualifies(request.tried, second);
        let named = request.ask.token.and_then(|token| peers.get(*self.named.get(&token)?));
        if let Some(peer) = named.filter(qualifies) {
            return Some(peer);
        }
        let milli = millis(request.now);
        let latest = request.balance.latest_return();
        let moment = Moment {
            second,
            milli,
            slow_start: self.slow_start.as_ref().filter(|start| start.is_running(peers, latest, milli)),
        };
        let local = self.local.as_ref().filter(|local| local.suffices(second));
        local
            .and_then(|local| local.method.choose(&local.peers, request, &moment))
            .or_else(|| self.method.choose(peers, request, &moment))
    }
}

/// When a choice is made.
pub(super) struct Moment<'a> {
    second: u64,
    milli: u64,
    /// While any endpoint is on its way back.
    slow_start: Option<&'a SlowStart>,
}

/// A policy, with what it has made ready for its peers.
pub(super) enum Method {
    LeastConn,
    RoundRobin,
    Random(Ranges),
    Hash(Ring),
    IpHash,
    LeastTime,
}

impl Method {
    pub(super) fn new(config: &config::Upstream, peers: &[Peer]) -> Self {
        match &config.policy {
            config::Policy::LeastConn => Self::LeastConn,
            config::Policy::RoundRobin => Self::RoundRobin,
            config::Policy::Random => Self::Random(Ranges::new(peers)),
            config::Policy::Hash(hash) => Self::Hash(Ring::new(peers, hash.balance_factor)),
            config::Policy::IpHash => Self::IpHash,
            config::Policy::LeastTime => Self::LeastTime,
        }
    }

    pub(super) fn choose<'a>(&self, peers: &'a [Peer], request: &Request<'_>, moment: &Moment<'_>) -> Option<&'a Peer> {
        let &Request { ask, tried, balance, .. } = request;
        let &Moment { second, milli, slow_start } = moment;
        if let Some(peer) = slow_start.and_then(|start| self.choose_slowly(start, peers, request, moment)) {
            return Some(peer);
        }
        match self {
            Self::LeastConn => least_conn(peers, tried, second),
            Self::RoundRobin => round_robin(peers, tried, second),
            Self::Random(ranges) => ranges.choose(peers, balance.dice(), tried, second),
            Self::Hash(ring) => match ask.key() {
                Some(key) => ring.choose(peers, key, tried, second),
                None => least_conn(peers, tried, second),
            },
            Self::IpHash => match ask.client {
                Some(client) => ip_hash::choose(peers, client, tried, second),
                None => least_conn(peers, tried, second),
            },
            Self::LeastTime => {
                least_time::choose(peers.iter().filter(|peer| peer.qualifies(tried, second)), milli, |_| 1.0)
            }
        }
    }

    /// While endpoints are on their way back. `None` with a policy that has no regard to it, and if all that qualify are
    /// on their way and none takes part.
    fn choose_slowly<'a>(
        &self,
        start: &SlowStart,
        peers: &'a [Peer],
        request: &Request<'_>,
        moment: &Moment<'_>,
    ) -> Option<&'a Peer> {
        if matches!(self, Self::Random(_) | Self::Hash(_) | Self::IpHash) {
            return None;
        }
        let (dice, milli) = (request.balance.dice(), moment.milli);
        let takes_part =
            |peer: &&Peer| peer.qualifies(request.tried, moment.second) && start.takes_part(peer, dice, milli);
        let part: Vec<&Peer> = peers.iter().filter(takes_part).collect();
        let share = |peer: &Peer| start.share(peer, milli);
        match self {
            Self::RoundRobin => smooth(part.into_iter()),
            Self::LeastTime => least_time::choose(part.into_iter(), milli, share),
            _ => slow_start::least_conn(&part, share),
        }
    }
}
