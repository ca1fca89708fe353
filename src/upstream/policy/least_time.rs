//! `least_time`: the lowest expected wait (Finagle's peak EWMA, but over all endpoints instead of two drawn ones).

use super::Peer;

/// The lowest response time × (in flight + 1) / weight; `share` is how much of its weight counts.
pub(super) fn choose<'a>(
    peers: impl Iterator<Item = &'a Peer>,
    milli: u64,
    share: impl Fn(&Peer) -> f32,
) -> Option<&'a Peer> {
    let cost = |peer: &Peer| {
        let load = peer.load();
        peer.live.pace.time.expected_wait(load.in_flight, milli) / (load.weight as f32 * share(peer))
    };
    // The first of equals.
    peers.map(|peer| (cost(peer), peer)).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, peer)| peer)
}
