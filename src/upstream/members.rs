//! Who belongs to an upstream: what is known of the addresses of each configured entry, and who has left.
//!
//! Behind a lock that no request takes: whoever changes it builds a new group from it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::endpoint::{Endpoint, Live};
use crate::config::{self, Address, EndpointSource};

/// An address that was found while the process runs, and what was said of it there; the rest is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Address,
    /// In place of the configured one.
    pub weight: Option<NonZeroU32>,
    pub max_conns: Option<NonZeroU32>,
    /// Comes after the others of its source, if those are primary ones; is left out if they are backups (nginx).
    pub backup: bool,
    pub down: bool,
    pub zone: Option<String>,
}

impl Found {
    /// An address of which nothing is said.
    pub fn at(address: impl Into<Address>) -> Self {
        Self { address: address.into(), weight: None, max_conns: None, backup: false, down: false, zone: None }
    }
}

/// What a new answer of a source changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub added: Vec<Address>,
    pub removed: Vec<Address>,
    /// Found in all.
    pub found: usize,
    /// Not used, because the upstream would have more than `max_endpoints`.
    pub left_out: usize,
}

/// The addresses of an upstream, by where they come from.
pub(super) struct Members {
    /// By index into the configured endpoints; behind them, if there is one, the file of endpoints. Without an address:
    /// not found yet.
    slots: Vec<Slot>,
    /// Who was here, with the state to come back to; the one that left first stands first.
    left: VecDeque<(Address, Arc<Live>)>,
}

/// A configured entry, or the file of endpoints.
#[derive(Clone)]
struct Slot {
    source: Option<EndpointSource>,
    found: Vec<Found>,
}

impl Members {
    /// Those of `config`: numeric addresses at once, others as far as `previous` (with its configuration) knows them.
    pub(super) fn new(config: &config::Upstream, previous: Option<(&config::Upstream, &Members)>) -> Self {
        let known = |entry: &config::Endpoint| {
            let (before, members) = previous?;
            let same = |old: &config::Endpoint| old.address == entry.address && old.source == entry.source;
            let at = before.endpoints.iter().position(same)?;
            members.slots.get(at).map(|slot| slot.found.clone())
        };
        let slot = |entry: &config::Endpoint| Slot {
            source: entry.source.clone(),
            found: match entry.address.parse::<Address>() {
                Ok(address) => vec![Found::at(address)],
                Err(_) => known(entry).unwrap_or_default(),
            },
        };
        let mut slots: Vec<Slot> = config.endpoints.iter().map(slot).collect();
        if let Some(path) = &config.endpoints_file {
            let source = Some(EndpointSource::File(path.clone()));
            let before = previous.and_then(|(_, members)| members.slots.iter().find(|slot| slot.source == source));
            slots.push(before.cloned().unwrap_or(Slot { source, found: Vec::new() }));
        }
        Self { slots, left: previous.map(|(_, members)| members.left.clone()).unwrap_or_default() }
    }

    /// Names that are resolved once and have no address yet, as written, each once.
    pub(super) fn unresolved<'a>(&self, config: &'a config::Upstream) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for (entry, slot) in config.endpoints.iter().zip(&self.slots) {
            if slot.source.is_none() && slot.found.is_empty() && !names.contains(&&*entry.address) {
                names.push(&entry.address);
            }
        }
        names
    }

    /// Gives a name that is resolved once its addresses. True if it had none.
    pub(super) fn resolve(&mut self, config: &config::Upstream, name: &str, addresses: &[SocketAddr]) -> bool {
        let mut first = false;
        for (entry, slot) in config.endpoints.iter().zip(&mut self.slots) {
            if slot.source.is_none() && entry.address == name {
                first |= slot.found.is_empty();
                slot.found = distinct(addresses.iter().copied().map(Found::at));
            }
        }
        first
    }

    /// Takes what a source found in the place of what it found before. `None` if that is the same; else the change, and
    /// whether nothing had been found before.
    pub(super) fn take(
        &mut self,
        config: &config::Upstream,
        source: &EndpointSource,
        found: &[Found],
    ) -> Option<(Change, bool)> {
        let found = distinct(found.iter().cloned());
        let mut before = None;
        for slot in self.slots.iter_mut().filter(|slot| slot.source.as_ref() == Some(source)) {
            before = Some(std::mem::replace(&mut slot.found, found.clone()));
        }
        let before = before.filter(|before| *before != found)?;
        let only_in = |list: &[Found], other: &[Found]| {
            let others: HashSet<&Address> = other.iter().map(|found| &found.address).collect();
            list.iter().map(|found| &found.address).filter(|address| !others.contains(address)).cloned().collect()
        };
        let change = Change {
            added: only_in(&found, &before),
            removed: only_in(&before, &found),
            found: found.len(),
            left_out: self.count_found(config).saturating_sub(config.max_endpoints),
        };
        Some((change, before.is_empty()))
    }

    /// Each address with all that holds for it, in the order of the configuration, and within `max_endpoints`.
    pub(super) fn entries(&self, config: &config::Upstream) -> Vec<(config::Endpoint, Address)> {
        let mut left = config.max_endpoints;
        let mut entries = Vec::new();
        for (at, slot) in self.slots.iter().enumerate() {
            let template = config.endpoints.get(at);
            for found in slot.found.iter().filter(|found| is_wanted(template, found)) {
                if slot.source.is_some() {
                    match left.checked_sub(1) {
                        Some(fewer) => left = fewer,
                        None => continue,
                    }
                }
                entries.push((merged(template, slot.source.as_ref(), found), found.address.clone()));
            }
        }
        entries
    }

    /// How many were found, over all sources.
    fn count_found(&self, config: &config::Upstream) -> usize {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.source.is_some());
        let wanted = |at, slot: &Slot| slot.found.iter().filter(|f| is_wanted(config.endpoints.get(at), f)).count();
        slots.map(|(at, slot)| wanted(at, slot)).sum()
    }

    /// The state of everyone who is here or was, by address: what stands there twice has two, in order.
    pub(super) fn states(&self, present: &[Arc<Endpoint>]) -> HashMap<Address, Vec<Arc<Live>>> {
        let mut states: HashMap<Address, Vec<Arc<Live>>> = HashMap::new();
        for (address, live) in &self.left {
            states.entry(address.clone()).or_default().push(Arc::clone(live));
        }
        // Taken from the end: those that are here come first.
        for endpoint in present.iter().rev() {
            states.entry(endpoint.address.clone()).or_default().push(Arc::clone(&endpoint.live));
        }
        states
    }

    /// Remembers who left, and forgets who came back.
    pub(super) fn note_leavers(&mut self, before: &[Arc<Endpoint>], after: &[Arc<Endpoint>]) {
        let here: HashSet<u32> = after.iter().map(|endpoint| endpoint.id()).collect();
        self.left.retain(|(_, live)| !here.contains(&live.id));
        let gone = before.iter().filter(|endpoint| !here.contains(&endpoint.id()));
        self.left.extend(gone.map(|endpoint| (endpoint.address.clone(), Arc::clone(&endpoint.live))));
        let surplus = self.left.len().saturating_sub(REMEMBERED);
        self.left.drain(..surplus);
    }
}

/// Tells the state of each endpoint whether it is in use from now on: workers close the idle connections of the others.
pub(super) fn mark(before: &[Arc<Endpoint>], after: &[Arc<Endpoint>]) {
    let here: HashSet<u32> = after.iter().map(|endpoint| endpoint.id()).collect();
    before.iter().filter(|endpoint| !here.contains(&endpoint.id())).for_each(|endpoint| endpoint.live.set_gone(true));
    after.iter().for_each(|endpoint| endpoint.live.set_gone(false));
}

/// nginx: of the servers that SRV records give to a backup, only those of the first priority are used.
fn is_wanted(template: Option<&config::Endpoint>, found: &Found) -> bool {
    !found.backup || template.is_none_or(|template| !template.backup)
}

fn merged(template: Option<&config::Endpoint>, source: Option<&EndpointSource>, found: &Found) -> config::Endpoint {
    let template = template.cloned().unwrap_or_else(|| config::Endpoint::at(found.address.to_string()));
    let address = match (source, template.address.rsplit_once(':')) {
        // The port is the record's.
        (Some(EndpointSource::Service { .. }), Some((host, _))) => {
            found.address.ip().map_or_else(|| template.address.clone(), |address| format!("{host}:{}", address.port()))
        }
        _ => template.address,
    };
    config::Endpoint {
        address,
        weight: found.weight.unwrap_or(template.weight),
        max_conns: found.max_conns.or(template.max_conns),
        backup: template.backup || found.backup,
        down: template.down || found.down,
        zone: found.zone.clone().or(template.zone),
        source: template.source,
    }
}

fn distinct(found: impl Iterator<Item = Found>) -> Vec<Found> {
    let mut seen = HashSet::new();
    found.filter(|found| seen.insert(found.address.clone())).collect()
}

/// States of an upstream's former endpoints that are kept: 128 bytes each.
const REMEMBERED: usize = 1024;
