//! `hash`: a ketama ring with nginx's points, and bounded loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing
//! with Bounded Loads", 2018; HAProxy `hash-balance-factor`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use aws_lc_rs::digest;
use pingora_ketama::{Bucket, Continuum};

use super::Peer;
use crate::config::Address;
use crate::upstream::tried::Tried;

/// The points of a group's peers, made once.
pub(super) struct Ring {
    continuum: Continuum,
    /// The peer of each point, in the order of the ring.
    points: Box<[u32]>,
    /// In thousandths.
    balance_factor: Option<u64>,
}

impl Ring {
    pub(super) fn new(peers: &[Peer], balance_factor: Option<f64>) -> Self {
        let total: u64 = peers.iter().map(|peer| u64::from(peer.rules.weight)).sum();
        let weight = |peer: &Peer| match total <= MAX_WEIGHT {
            true => peer.rules.weight,
            false => ((u64::from(peer.rules.weight) * MAX_WEIGHT / total) as u32).max(1),
        };
        let mut number: HashMap<SocketAddr, u32> = HashMap::new();
        let mut buckets = Vec::with_capacity(peers.len());
        for (at, peer) in (0..).zip(peers) {
            number.entry(place(&peer.endpoint.address)).or_insert_with(|| {
                buckets.push(Bucket::new(place(&peer.endpoint.address), weight(peer)));
                at
            });
        }
        let continuum = Continuum::new(&buckets);
        let mut points = Vec::new();
        let mut next = 0;
        while let Some(address) = continuum.get_addr(&mut next) {
            points.push(number.get(address).copied().unwrap_or_default());
            if next == 0 {
                break;
            }
        }
        let balance_factor = balance_factor.map(|factor| (factor * 1000.0).round() as u64);
        Self { continuum, points: points.into(), balance_factor }
    }

    /// The peer of `key`, or the next one on the ring that qualifies and is within the bound.
    pub(super) fn choose<'a>(&self, peers: &'a [Peer], key: &[u8], tried: &Tried, second: u64) -> Option<&'a Peer> {
        let bound = self.balance_factor.map(|factor| Bound::new(factor, peers, tried, second));
        let takes =
            |peer: &&Peer| peer.qualifies(tried, second) && bound.as_ref().is_none_or(|bound| bound.admits(peer));
        let start = self.continuum.node_idx(key);
        let walk = self.points.iter().cycle().skip(start).take(self.points.len().min(WALK));
        if let Some(peer) = walk.filter_map(|point| peers.get(*point as usize)).find(takes) {
            return Some(peer);
        }
        // Nearly all are out: the rest of the ring would be long, and the order of the list is as fixed.
        let first = self.points.get(start).map_or(0, |point| *point as usize);
        peers.iter().cycle().skip(first).take(peers.len()).find(takes)
    }
}

/// What an endpoint's points are made of. A Unix socket stands where an address does that its path's hash makes up: not
/// where nginx has it, but for every instance and every version at the same place.
fn place(address: &Address) -> SocketAddr {
    match address {
        Address::Ip(address) => *address,
        Address::Unix(path) => {
            let digest = digest::digest(&digest::SHA256, path.as_os_str().as_bytes());
            let mut octets = [0; 16];
            octets.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
            SocketAddr::from((octets, 0))
        }
    }
}

/// How much each of those that qualify may have in flight: its part of all, this attempt included, times the factor,
/// rounded up. So there is always one below its bound.
struct Bound {
    /// Thousandths of all that is in flight, this attempt included, times the factor.
    in_flight: u64,
    weight: u64,
}

impl Bound {
    fn new(factor: u64, peers: &[Peer], tried: &Tried, second: u64) -> Self {
        let mut bound = Self { in_flight: 1, weight: 0 };
        for load in peers.iter().filter(|peer| peer.qualifies(tried, second)).map(Peer::load) {
            bound.in_flight += u64::from(load.in_flight);
            bound.weight += u64::from(load.weight);
        }
        bound.in_flight = bound.in_flight.saturating_mul(factor);
        bound
    }

    fn admits(&self, peer: &Peer) -> bool {
        let load = peer.load();
        let part = u128::from(self.in_flight) * u128::from(load.weight);
        u128::from(load.in_flight) < part.div_ceil(u128::from(self.weight.max(1)) * 1000)
    }
}

/// Points that are looked at one after the other: with nine of ten endpoints out, one key in 800 finds none there.
const WALK: usize = 64;

/// Weights in all, beyond which they are scaled down: at 160 points each of 8 bytes, 5 MiB.
const MAX_WEIGHT: u64 = 4096;
