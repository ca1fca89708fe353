//! Upstreams: endpoints, how one is chosen, when one is ejected, whether another is tried.
//!
//! Owns the live state of endpoints, which is one for all workers and survives reloads. Never opens a socket to decide,
//! never looks at a clock by itself, never waits on anything but the short lock of one decision.

mod ask;
mod budget;
pub mod connect;
pub mod connection;
mod dial;
mod ejection;
mod endpoint;
mod group;
mod pace;
mod policy;
pub mod pool;
pub mod retry;
mod seconds;
mod socket;
mod sticky;
mod subset;
mod tried;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use self::endpoint::Live;
use self::group::{Balance, Group};
use crate::config::{self, Address};

pub use self::ask::{Ask, Asks};
pub use self::budget::RetryBudget;
pub use self::dial::Dial;
pub use self::endpoint::{Endpoint, InFlight};
pub use self::retry::{Failure, may_retry};
pub use self::socket::Announced;
pub use self::tried::Tried;

/// A named group of endpoints with the state that all workers share.
pub struct Upstream {
    config: config::Upstream,
    group: ArcSwap<Group>,
    /// By index into the configured endpoints; empty for a name that is not resolved yet. The lock makes changes of the
    /// group follow one another; no request takes it.
    addresses: Mutex<Vec<Vec<Address>>>,
    balance: Arc<Balance>,
    dial: Arc<Dial>,
    budget: Arc<RetryBudget>,
    asks: Option<Box<Asks>>,
    /// A reload put it in the place of one that served already.
    follows: bool,
}

impl Upstream {
    /// Compiles an upstream. Numeric addresses are there at once; names are [`unresolved`](Upstream::unresolved) until
    /// [`set_addresses`](Upstream::set_addresses), unless `previous` knows them. If `previous` has the same name, its
    /// live state is shared by address; nothing in it is changed, so that a reload may still be given up.
    pub fn new(config: &config::Upstream, previous: Option<&Upstream>) -> Self {
        Self::dialing(config, previous, Dial::plain())
    }

    /// [`new`](Upstream::new) with a way to connect of its own.
    pub fn dialing(config: &config::Upstream, previous: Option<&Upstream>, dial: Arc<Dial>) -> Self {
        seconds::epoch();
        let previous = previous.filter(|previous| previous.config.name == config.name);
        let addresses: Vec<_> = config.endpoints.iter().map(|entry| known_addresses(entry, previous)).collect();
        let balance = previous.map(|previous| Arc::clone(&previous.balance)).unwrap_or_default();
        let budget = previous
            .filter(|previous| previous.config.retry.budget == config.retry.budget)
            .map(|previous| Arc::clone(&previous.budget))
            .unwrap_or_else(|| Arc::new(RetryBudget::new(config.retry.budget)));
        let asks = Asks::of(config).map(Box::new);
        let before = previous.map(|previous| previous.group.load_full());
        let follows = before.as_ref().is_some_and(|group| !group.endpoints.is_empty());
        let group =
            Build { config, balance: &balance, dial: &dial, asks: asks.as_deref() }
                .group(&addresses, before, |_| follows);
        Self {
            config: config.clone(),
            group: ArcSwap::new(group),
            addresses: Mutex::new(addresses),
            balance,
            dial,
            budget,
            asks,
            follows,
        }
    }

    pub fn config(&self) -> &config::Upstream {
        &self.config
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// How its endpoints are connected to.
    pub fn dial(&self) -> &Arc<Dial> {
        &self.dial
    }

    /// Every endpoint that has an address, in the order of the configuration.
    pub fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        Arc::clone(&self.group.load().endpoints)
    }

    /// What it asks of each request; `None` if it balances without looking at any.
    #[inline]
    pub fn asks(&self) -> Option<&Asks> {
        self.asks.as_deref()
    }

    /// Chooses an endpoint by the policy and marks it in flight, as one decision over all workers: two never see the
    /// same "least". `None` if none is available: all down, ejected, at max_conns, tried, or unresolved.
    pub fn pick(&self, tried: &Tried, now: Instant) -> Option<InFlight> {
        self.pick_for(&Ask::NOTHING, tried, now)
    }

    /// [`pick`](Upstream::pick) with what [`asks`](Upstream::asks) found in the request.
    pub fn pick_for(&self, ask: &Ask<'_>, tried: &Tried, now: Instant) -> Option<InFlight> {
        self.group.load().pick(ask, &self.balance, tried, now)
    }

    /// Attempts that one request may make: the addresses that aren't down, backups included, or `retry.tries` if that
    /// is less (nginx `ngx_http_upstream_tries` and `proxy_next_upstream_tries`). At least 1.
    pub fn tries(&self) -> u32 {
        let addresses = self.group.load().tries.max(1);
        self.config.retry.tries.map_or(addresses, |tries| tries.get().min(addresses))
    }

    /// The budget that every retry beyond [`may_retry`] has to come out of.
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }

    /// Ejections that the floor (`min_available`) kept from happening, since the process started.
    pub fn ejections_withheld_total(&self) -> u64 {
        self.balance.withheld()
    }

    /// The names without an address yet, as written, each once.
    pub fn unresolved(&self) -> impl Iterator<Item = &str> {
        let addresses = self.lock_addresses();
        let mut names: Vec<&str> = Vec::new();
        for (entry, known) in self.config.endpoints.iter().zip(addresses.iter()) {
            if known.is_empty() && !names.contains(&&*entry.address) {
                names.push(&entry.address);
            }
        }
        names.into_iter()
    }

    /// Gives the name `configured` (as written, with its port) its addresses, in the order of the answer; each becomes
    /// an endpoint with the weight and the caps of the entry, as in nginx. Live state is kept by address. An empty
    /// answer changes nothing: the last good one stays.
    pub fn set_addresses(&self, configured: &str, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        let mut known = self.lock_addresses();
        let mut first = false;
        for (entry, known) in self.config.endpoints.iter().zip(known.iter_mut()) {
            if entry.address == configured {
                first |= known.is_empty();
                *known = distinct(addresses);
            }
        }
        let build = Build { config: &self.config, balance: &self.balance, dial: &self.dial, asks: self.asks() };
        // What a name leads to when the process starts is not added to what serves already.
        let is_added = |entry: &config::Endpoint| self.follows || !(first && entry.address == configured);
        self.group.store(build.group(&known, Some(self.group.load_full()), is_added));
    }

    fn lock_addresses(&self) -> MutexGuard<'_, Vec<Vec<Address>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of an entry that need no resolution.
fn known_addresses(entry: &config::Endpoint, previous: Option<&Upstream>) -> Vec<Address> {
    if let Ok(address) = entry.address.parse() {
        return vec![address];
    }
    let Some(previous) = previous else { return Vec::new() };
    let at = previous.config.endpoints.iter().position(|known| known.address == entry.address);
    at.and_then(|at| previous.lock_addresses().get(at).cloned()).unwrap_or_default()
}

fn distinct(addresses: &[SocketAddr]) -> Vec<Address> {
    let mut distinct = Vec::with_capacity(addresses.len());
    for address in addresses {
        let address = Address::Ip(*address);
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    distinct
}

/// What a group is built from, but for its addresses.
struct Build<'a> {
    config: &'a config::Upstream,
    balance: &'a Arc<Balance>,
    dial: &'a Arc<Dial>,
    asks: Option<&'a Asks>,
}

impl Build<'_> {
    /// A group over `addresses` that shares the live state of `previous`. An address that stands there twice has two
    /// states, as in nginx; they are matched in order. New ones that `is_added` names start slowly.
    fn group(
        &self,
        addresses: &[Vec<Address>],
        previous: Option<Arc<Group>>,
        is_added: impl Fn(&config::Endpoint) -> bool,
    ) -> Arc<Group> {
        let config = self.config;
        let mut live: HashMap<&Address, Vec<Arc<Live>>> = HashMap::new();
        for endpoint in previous.iter().flat_map(|group| group.endpoints.iter().rev()) {
            live.entry(&endpoint.address).or_default().push(Arc::clone(&endpoint.live));
        }
        let mut entries: Vec<_> = (config.endpoints.iter().zip(addresses))
            .flat_map(|(entry, known)| known.iter().map(move |address| (entry, address.clone())))
            .collect();
        if let Some(subset) = &config.subset {
            subset::keep(subset, &mut entries);
        }
        let sticky = self.asks.and_then(Asks::sticky);
        Group::new(config, &entries, self.balance, self.dial, sticky, |entry, address| {
            let carried = live.get_mut(address).and_then(Vec::pop);
            carried.unwrap_or_else(|| match config.slow_start.is_some() && is_added(entry) {
                true => Arc::new(Live::added()),
                false => Arc::new(Live::new()),
            })
        })
    }
}
