//! `prefer = "same-zone"`: the endpoints of one zone, while enough of them can be used.

use super::Peer;
use super::special::Method;
use crate::config;

/// The peers of the process's own zone, and how one of them is chosen.
pub(super) struct Local {
    pub(super) peers: Box<[Peer]>,
    pub(super) method: Method,
    /// As many must be able to serve, or all zones are used.
    needed: usize,
}

impl Local {
    /// `None` if the zone has no endpoint here, or every one: then there is nothing to prefer.
    pub(super) fn new(config: &config::Upstream, peers: &[Peer]) -> Option<Self> {
        let locality = config.locality.as_ref()?;
        let is_local = |peer: &&Peer| peer.endpoint.zone.as_deref() == Some(&locality.zone);
        let local: Box<[Peer]> = peers.iter().filter(is_local).map(|peer| Peer::new(&peer.endpoint)).collect();
        if local.is_empty() || local.len() == peers.len() {
            return None;
        }
        let usable = local.iter().filter(|peer| !peer.rules.down).count();
        let needed = ((locality.min_local * usable as f64 - 1e-6).ceil() as usize).max(1);
        Some(Self { method: Method::new(config, &local), peers: local, needed })
    }

    /// Whether enough of the zone is there. What is at max_conns is there; it only has no room.
    pub(super) fn suffices(&self, second: u64) -> bool {
        let there = |peer: &&Peer| !peer.rules.down && !peer.live.failures.is_ejected(&peer.rules, second);
        self.peers.iter().filter(there).count() >= self.needed
    }
}
