//! `ip_hash`: `ngx_http_upstream_get_ip_hash_peer`, number for number, so that clients stay where nginx sent them.

use std::net::IpAddr;

use super::{Peer, round_robin};
use crate::upstream::tried::Tried;

/// The peer of a client's network: of IPv4 the first three octets count, of IPv6 all. What doesn't qualify passes the
/// network on to where its number leads when it is hashed further; after 20 such steps round robin decides.
pub(super) fn choose<'a>(peers: &'a [Peer], client: IpAddr, tried: &Tried, second: u64) -> Option<&'a Peer> {
    let total = peers.iter().fold(0, |total: u32, peer| total.saturating_add(peer.rules.weight));
    let mut hash = 89;
    for _ in 0..TRIES {
        hash = match client.to_canonical() {
            IpAddr::V4(address) => step(hash, &address.octets()[..3]),
            IpAddr::V6(address) => step(hash, &address.octets()),
        };
        let peer = at(peers, hash.checked_rem(total)?);
        if let Some(peer) = peer.filter(|peer| peer.qualifies(tried, second)) {
            return Some(peer);
        }
    }
    round_robin(peers, tried, second)
}

fn step(hash: u32, octets: &[u8]) -> u32 {
    octets.iter().fold(hash, |hash, octet| (hash * 113 + u32::from(*octet)) % 6271)
}

/// The peer whose part of the weight holds `number`.
fn at(peers: &[Peer], mut number: u32) -> Option<&Peer> {
    peers.iter().find(|peer| match number.checked_sub(peer.rules.weight) {
        Some(rest) => {
            number = rest;
            false
        }
        None => true,
    })
}

/// As many as nginx makes.
const TRIES: usize = 21;
