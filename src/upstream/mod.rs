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
pub mod http2;
mod members;
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

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;

use self::endpoint::Live;
use self::group::{Balance, Group};
use self::members::Members;
use crate::config::{self, EndpointSource};

pub use self::ask::{Ask, Asks, cookie};
pub use self::budget::RetryBudget;
pub use self::dial::Dial;
pub use self::endpoint::{Endpoint, InFlight};
pub use self::members::{Change, Found};
pub use self::retry::{Failure, may_retry};
pub use self::socket::Announced;
pub use self::tried::Tried;

/// A named group of endpoints with the state that all workers share.
pub struct Upstream {
    config: config::Upstream,
    group: ArcSwap<Group>,
    /// The lock makes changes of the group follow one another; no request takes it.
    members: Mutex<Members>,
    balance: Arc<Balance>,
    dial: Arc<Dial>,
    budget: Arc<RetryBudget>,
    asks: Option<Box<Asks>>,
    /// A reload put it in the place of one that served already.
    follows: bool,
}

impl Upstream {
    /// Compiles an upstream. Numeric addresses are there at once; names are [`unresolved`](Upstream::unresolved) until
    /// [`set_addresses`](Upstream::set_addresses), and sources empty until [`set_found`](Upstream::set_found), unless
    /// `previous` knows them. If `previous` has the same name, its live state is shared by address; nothing in it is
    /// changed before [`supersede`](Upstream::supersede), so that a reload may still be given up.
    pub fn new(config: &config::Upstream, previous: Option<&Upstream>) -> Self {
        Self::dialing(config, previous, Dial::plain(config))
    }

    /// [`new`](Upstream::new) with a way to connect of its own.
    pub fn dialing(config: &config::Upstream, previous: Option<&Upstream>, dial: Arc<Dial>) -> Self {
        seconds::epoch();
        let previous = previous.filter(|previous| previous.config.name == config.name);
        let mut members = match previous {
            Some(previous) => Members::new(config, Some((&previous.config, &previous.lock_members()))),
            None => Members::new(config, None),
        };
        let balance = previous.map(|previous| Arc::clone(&previous.balance)).unwrap_or_default();
        let budget = previous
            .filter(|previous| previous.config.retry.budget == config.retry.budget)
            .map(|previous| Arc::clone(&previous.budget))
            .unwrap_or_else(|| Arc::new(RetryBudget::new(config.retry.budget)));
        let asks = Asks::of(config).map(Box::new);
        let before = previous.map(|previous| previous.group.load_full());
        let follows = before.as_ref().is_some_and(|group| !group.endpoints.is_empty());
        let group = Build { config, balance: &balance, dial: &dial, asks: asks.as_deref() }.group(
            &members,
            before.as_deref(),
            follows,
        );
        members.note_leavers(before.as_ref().map_or(&[], |group| &group.endpoints), &group.endpoints);
        Self {
            config: config.clone(),
            group: ArcSwap::new(group),
            members: Mutex::new(members),
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

    /// The names without an address yet that are resolved once, as written, each once.
    pub fn unresolved(&self) -> impl Iterator<Item = &str> {
        self.lock_members().unresolved(&self.config).into_iter()
    }

    /// Gives the name `configured` (as written, with its port) its addresses, in the order of the answer; each becomes
    /// an endpoint with the weight and the caps of the entry, as in nginx. Live state is kept by address. An empty
    /// answer changes nothing: the last good one stays.
    pub fn set_addresses(&self, configured: &str, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        let mut members = self.lock_members();
        let first = members.resolve(&self.config, configured, addresses);
        self.regroup(&mut members, first);
    }

    /// Puts what a source found in the place of what it found before, and tells the difference; `None` if there is none
    /// or the source isn't this upstream's. Live state is kept by address. What is no longer there gets no new requests,
    /// finishes those that it has, and loses its idle connections. An empty answer changes nothing.
    pub fn set_found(&self, source: &EndpointSource, found: &[Found]) -> Option<Change> {
        if found.is_empty() {
            return None;
        }
        let mut members = self.lock_members();
        let (change, first) = members.take(&self.config, source, found)?;
        self.regroup(&mut members, first);
        Some(change)
    }

    /// It serves from now on, in the place of `previous`, which it was made from: whoever isn't in it has left.
    pub fn supersede(&self, previous: &Upstream) {
        members::mark(&previous.endpoints(), &self.endpoints());
    }

    /// It serves no longer, and nothing in its place.
    pub fn retire(&self) {
        members::mark(&self.endpoints(), &[]);
    }

    /// Makes a group of the members. What a name leads to when the process starts is not added to what serves already.
    fn regroup(&self, members: &mut Members, first: bool) {
        let before = self.group.load_full();
        let build = Build { config: &self.config, balance: &self.balance, dial: &self.dial, asks: self.asks() };
        let after = build.group(members, Some(&before), self.follows || !first);
        self.group.store(Arc::clone(&after));
        members::mark(&before.endpoints, &after.endpoints);
        members.note_leavers(&before.endpoints, &after.endpoints);
    }

    fn lock_members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a group is built from, but for its members.
struct Build<'a> {
    config: &'a config::Upstream,
    balance: &'a Arc<Balance>,
    dial: &'a Arc<Dial>,
    asks: Option<&'a Asks>,
}

impl Build<'_> {
    /// A group over `members` that shares the live state of `previous`, and of those that have left. An address that
    /// stands there twice has two states, as in nginx; they are matched in order. Those that are `added` start slowly.
    fn group(&self, members: &Members, previous: Option<&Group>, added: bool) -> Arc<Group> {
        let config = self.config;
        let mut present: HashSet<u32> = HashSet::new();
        let endpoints = previous.map_or(&[][..], |group| &group.endpoints);
        present.extend(endpoints.iter().map(|endpoint| endpoint.id()));
        let mut states = members.states(endpoints);
        let entries = members.entries(config);
        let mut entries: Vec<_> = entries.iter().map(|(entry, address)| (entry, address.clone())).collect();
        if let Some(subset) = &config.subset {
            subset::keep(subset, &mut entries);
        }
        let added = added && config.slow_start.is_some();
        let sticky = self.asks.and_then(Asks::sticky);
        Group::new(config, &entries, self.balance, self.dial, sticky, |address| {
            match states.get_mut(address).and_then(Vec::pop) {
                Some(live) => {
                    if added && !present.contains(&live.id) {
                        live.pace.back.begin_again();
                    }
                    live
                }
                None if added => Arc::new(Live::added()),
                None => Arc::new(Live::new()),
            }
        })
    }
}
