//! The endpoints of an upstream at one moment, ready to be picked from.
//!
//! Immutable: another answer of name resolution, or a reload, makes another group over the same live state.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::ask::Ask;
use super::dial::Dial;
use super::endpoint::{Endpoint, EndpointTls, InFlight, Live, Rules};
use super::policy::{Choice, Dice, Peer, Request};
use super::seconds::{seconds, whole};
use super::sticky::Sticky;
use super::tried::Tried;
use crate::config::{self, Address};

/// The primaries and backups of an upstream.
pub(super) struct Group {
    pub(super) endpoints: Arc<[Arc<Endpoint>]>,
    primaries: Tier,
    backups: Tier,
    /// One address and no backup (nginx `peers->single`): chosen whatever failed, again and again, without the lock.
    single: bool,
    /// Addresses that are not down (nginx `ngx_http_upstream_tries`).
    pub(super) tries: u32,
    /// Primaries that must stay in.
    floor: usize,
}

impl Group {
    /// Builds the group of `addresses`: each with its configured entry, in the order of the configuration. `live`
    /// gives an address the state that it has already.
    pub(super) fn new(
        config: &config::Upstream,
        addresses: &[(&config::Endpoint, Address)],
        balance: &Arc<Balance>,
        dial: &Arc<Dial>,
        sticky: Option<&Sticky>,
        mut live: impl FnMut(&Address) -> Arc<Live>,
    ) -> Arc<Self> {
        let single = matches!(addresses, [(only, _)] if !only.backup);
        let usable = |backup: bool| addresses.iter().filter(|(e, _)| e.backup == backup && !e.down).count();
        let floor = floor(config.ejection.min_available, usable(false));
        let mut endpoint = |group: &Weak<Group>, (entry, address): &(&config::Endpoint, Address)| {
            let live = live(address);
            Endpoint {
                address: address.clone(),
                name: address.to_string().into(),
                configured: Arc::from(&*entry.address),
                upstream: Arc::clone(&config.name),
                zone: entry.zone.as_deref().map(Arc::from),
                token: sticky.map(|sticky| sticky.token(address)),
                dial: Arc::clone(dial),
                tls: EndpointTls::of(dial, &entry.address),
                connection_key: dial.connection_key(live.id),
                rules: rules(entry, &config.ejection, single, floor == 0),
                live,
                balance: Arc::clone(balance),
                group: Weak::clone(group),
            }
        };
        Arc::new_cyclic(|group| {
            let endpoints: Arc<[Arc<Endpoint>]> = addresses.iter().map(|a| Arc::new(endpoint(group, a))).collect();
            let tier = |backup| Tier::new(config, endpoints.iter().filter(|e| e.rules.backup == backup));
            Self {
                primaries: tier(false),
                backups: tier(true),
                single,
                tries: u32::try_from(usable(false) + usable(true)).unwrap_or(u32::MAX),
                floor,
                endpoints,
            }
        })
    }

    /// Chooses and marks in flight, as one decision over all workers.
    pub(super) fn pick(&self, ask: &Ask<'_>, balance: &Balance, tried: &Tried, now: Instant) -> Option<InFlight> {
        let second = seconds(now);
        if let (true, [only]) = (self.single, &*self.primaries.peers) {
            return if only.is_available(second) { InFlight::start(&only.endpoint, false) } else { None };
        }
        let request = Request { ask, tried, now, balance };
        let attempt = {
            let _deciding = balance.lock();
            // As in nginx, a request that has come down to the backups stays with them.
            let had_backup = !tried.is_empty() && self.backups.peers.iter().any(|peer| peer.is_tried(tried));
            let primary = if had_backup { None } else { self.primaries.choose(&request, second) };
            primary.or_else(|| self.backups.choose(&request, second))?
        };
        if attempt.is_probe() {
            let endpoint = attempt.endpoint();
            tracing::info!(upstream = &*endpoint.upstream, endpoint = endpoint.name(), "probing ejected endpoint");
        }
        Some(attempt)
    }

    /// Whether the floor holds without `endpoint`.
    pub(super) fn can_spare(&self, endpoint: &Endpoint) -> bool {
        let left = |peer: &&Peer| peer.endpoint.id() != endpoint.id() && peer.counts_as_left();
        self.primaries.peers.iter().filter(left).count() >= self.floor
    }
}

/// The primaries, or the backups.
struct Tier {
    peers: Box<[Peer]>,
    choice: Choice,
}

impl Tier {
    fn new<'a>(config: &config::Upstream, endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Self {
        let peers: Box<[Peer]> = endpoints.map(Peer::new).collect();
        Self { choice: Choice::new(config, &peers), peers }
    }

    #[inline]
    fn choose(&self, request: &Request<'_>, second: u64) -> Option<InFlight> {
        // Only the single endpoint of an older snapshot is entered without the lock, and may have filled up since: that
        // many times at most.
        for _ in 0..=self.peers.len() {
            let peer = self.choice.choose(&self.peers, request, second)?;
            let probe = peer.note_pick(second);
            if let Some(attempt) = InFlight::start(&peer.endpoint, probe) {
                return Some(attempt);
            }
        }
        None
    }
}

/// What all picks of an upstream share, over workers and reloads.
#[derive(Debug, Default)]
pub(super) struct Balance {
    lock: Mutex<()>,
    dice: Dice,
    /// The millisecond in which an ejected endpoint last came back.
    latest_return: AtomicU64,
    at_floor: AtomicBool,
    withheld: AtomicU64,
}

impl Balance {
    /// Held for one decision or one change of a failure record, never for logging. It guards no data of its own, so a panic under it
    /// leaves nothing half done that the next holder would have to know.
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For whoever holds the lock.
    pub(super) fn dice(&self) -> &Dice {
        &self.dice
    }

    pub(super) fn note_return(&self, milli: u64) {
        self.latest_return.fetch_max(milli, Relaxed);
    }

    pub(super) fn latest_return(&self) -> u64 {
        self.latest_return.load(Relaxed)
    }

    /// An ejection did not happen because of the floor.
    pub(super) fn withhold(&self, upstream: &str, endpoint: &str) {
        self.withheld.fetch_add(1, Relaxed);
        if !self.at_floor.swap(true, Relaxed) {
            tracing::warn!(
                upstream,
                endpoint,
                "endpoint fails but stays in: with one less, fewer than min_available would be left"
            );
        }
    }

    /// Endpoints are ejected or come back again, so the floor no longer decides.
    pub(super) fn release_floor(&self, upstream: &str) {
        if self.at_floor.load(Relaxed) && self.at_floor.swap(false, Relaxed) {
            tracing::info!(upstream, "enough endpoints are available for ejection to go on");
        }
    }

    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Relaxed)
    }
}

fn rules(entry: &config::Endpoint, ejection: &config::Ejection, single: bool, no_floor: bool) -> Rules {
    Rules {
        weight: entry.weight.get(),
        max_conns: entry.max_conns.map_or(u32::MAX, |max| max.get()),
        max_fails: if single { 0 } else { ejection.max_fails },
        fail_timeout: whole(ejection.fail_timeout),
        backup: entry.backup,
        down: entry.down,
        no_floor,
    }
}

/// How many of `primaries` a share is, rounded up. The small allowance keeps 0.55 of 100 from becoming 56.
fn floor(share: f64, primaries: usize) -> usize {
    (share.clamp(0.0, 1.0) * primaries as f64 - 1e-6).ceil() as usize
}
