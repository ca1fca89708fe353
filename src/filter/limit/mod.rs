//! Rate limits: nginx's `limit_req`, exact over all workers.
//!
//! A limit of rate R and burst B lets B + 1 requests of one key pass at once, then one every 1/R; a refused request costs
//! its key nothing. That is the generic cell rate algorithm, decided by [`governor`]; the memory behind it is our own and
//! of fixed size ([`store`]). Never sleeps and never looks at a clock.

mod standing;
mod store;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use crate::config::{Limit, LimitKey};
use crate::http::address::Client;
use crate::http::head::Fields;

pub use standing::Standing;
use store::{SharedStore, Store, Ticket};

/// The furthest that a key may be charged ahead, in nanoseconds (36 years): a longer burst is cut to it, so that times
/// can't overflow.
const MAX_AHEAD: u64 = 1 << 60;

/// One limit, compiled, with the keys that it has seen.
#[derive(Debug)]
pub struct Limiter {
    config: Limit,
    /// Time that one request costs, in nanoseconds.
    cost: u64,
    /// Requests beyond the rate that pass at once.
    burst: u32,
    gate: Gate,
    store: Arc<Store>,
}

type Gate = RateLimiter<Ticket, SharedStore, StandstillClock, NoOpMiddleware<Nanos>>;

impl Limiter {
    pub fn new(config: &Limit) -> Self {
        Self::with_store(config, Arc::new(Store::new(config.max_keys)))
    }

    /// The limit as configured now with the keys that its predecessor has seen, if they mean the same: name, key, rate
    /// and `max_keys` are unchanged. Burst, delay, status and dry run may differ.
    pub fn carry_over(config: &Limit, previous: &Limiter) -> Option<Self> {
        let old = &previous.config;
        let same = config.name == old.name
            && config.key == old.key
            && config.rate == old.rate
            && config.max_keys == old.max_keys;
        same.then(|| Self::with_store(config, previous.store.clone()))
    }

    pub fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    /// What the keys take, in bytes; fixed for the limiter's life.
    pub fn bytes(&self) -> usize {
        self.store.bytes()
    }

    fn with_store(config: &Limit, store: Arc<Store>) -> Self {
        let cost = config.rate.per / config.rate.requests.get();
        let cost = cost.clamp(Duration::from_nanos(1), Duration::from_nanos(MAX_AHEAD));
        let cost_nanos = cost.as_nanos() as u64;
        let burst = u64::from(config.burst).min(MAX_AHEAD / cost_nanos).min(u64::from(u32::MAX - 1)) as u32;
        let quota = Quota::with_period(cost)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::MIN.saturating_add(burst));
        let gate = RateLimiter::new(quota, SharedStore(store.clone()), StandstillClock);
        Self { config: config.clone(), cost: cost_nanos, burst, gate, store }
    }

    /// The hash of what this limit counts the request by; `None` if the request is not limited by it.
    fn key(&self, input: &LimitInput) -> Option<u64> {
        match &self.config.key {
            LimitKey::ClientIp => Some(self.store.hash(network(input.client))),
            LimitKey::Header(name) => {
                // nginx doesn't limit by an empty key.
                let value = input.fields.find(name.as_bytes()).filter(|value| !value.is_empty())?;
                Some(self.store.hash(value))
            }
            LimitKey::Site => Some(self.store.hash(input.site)),
        }
    }

    /// Whether the ticket's request passes: `Ok` the standing then, `Err` that of now and how long until one would.
    fn ask(&self, ticket: &Ticket) -> Result<Standing, (Standing, Duration)> {
        let answer = self.gate.check_key(ticket);
        let standing = Standing::new(ticket.ahead.get(), self.cost, self.burst);
        answer.map(|()| standing).map_err(|not_until| (standing, not_until.wait_time_from(Nanos::new(0))))
    }

    /// How long a passed request waits for its slot: nginx's `delay`.
    fn wait(&self, ticket: &Ticket) -> Duration {
        let Some(delay) = self.config.delay else { return Duration::ZERO };
        let free = self.cost.saturating_mul(u64::from(delay).saturating_add(1));
        Duration::from_nanos(ticket.ahead.get().saturating_sub(free))
    }
}

/// What a request is counted by.
#[derive(Clone, Copy, Debug)]
pub struct LimitInput<'a> {
    /// As [`super::client::TrustedProxies::client`] tells it.
    pub client: Client,
    /// The site's name, which keeps its meaning over a reload as its index does not.
    pub site: &'a str,
    pub fields: &'a Fields,
    /// Monotonic, since the process started.
    pub now: Duration,
}

/// What a route's limits say to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Pass {
        /// How long the request has to wait for its slot; zero without `delay`.
        wait: Duration,
        /// That of the limit with the least remaining; `None` if no limit applied.
        standing: Option<Standing>,
        /// The limits in dry run that would have refused it.
        dry_run: LimitSet,
    },
    Refused {
        /// The first limit that refused it, as an index into the route's limits.
        by: usize,
        /// The limit's configured status.
        status: u16,
        /// Until that limit would let one pass.
        retry_after: Duration,
        standing: Standing,
        dry_run: LimitSet,
    },
}

/// A set of a route's limits by index; those past the 64th are not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitSet(u64);

impl LimitSet {
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, index: usize) -> bool {
        index < 64 && self.0 >> index & 1 == 1
    }

    /// The indices, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |&index| self.contains(index))
    }

    fn insert(&mut self, index: usize) {
        if index < 64 {
            self.0 |= 1 << index;
        }
    }
}

/// Asks all of a route's limits in order, and charges the request to each of them only if all let it pass.
///
/// A limit in dry run is charged as if it counted, and its refusals are only told.
pub fn take(limits: &[Arc<Limiter>], input: &LimitInput) -> Verdict {
    let now = u64::try_from(input.now.as_nanos()).unwrap_or(u64::MAX);
    if limits.len() > 1
        && let Some(refused) = refusal(limits, input, now)
    {
        return refused;
    }
    let mut wait = Duration::ZERO;
    let mut standing: Option<Standing> = None;
    let mut dry_run = LimitSet::default();
    for (index, limit) in limits.iter().enumerate() {
        let Some(hash) = limit.key(input) else { continue };
        let ticket = Ticket::charge(hash, now);
        match limit.ask(&ticket) {
            Ok(_) if limit.config.dry_run => {}
            Ok(now_at) => {
                wait = wait.max(limit.wait(&ticket));
                standing = Some(standing.map_or(now_at, |other| other.tighter(now_at)));
            }
            Err(_) if limit.config.dry_run => dry_run.insert(index),
            Err((standing, retry_after)) => {
                // Another worker took the last place between the look and the charge.
                give_back(&limits[..index], input, dry_run);
                return Verdict::Refused { by: index, status: limit.config.status, retry_after, standing, dry_run };
            }
        }
    }
    Verdict::Pass { wait, standing, dry_run }
}

/// The refusal of the first limit that would refuse, without charging any.
fn refusal(limits: &[Arc<Limiter>], input: &LimitInput, now: u64) -> Option<Verdict> {
    let mut dry_run = LimitSet::default();
    for (index, limit) in limits.iter().enumerate() {
        let Some(hash) = limit.key(input) else { continue };
        let Err((standing, retry_after)) = limit.ask(&Ticket::peek(hash, now)) else { continue };
        if limit.config.dry_run {
            dry_run.insert(index);
            continue;
        }
        return Some(Verdict::Refused { by: index, status: limit.config.status, retry_after, standing, dry_run });
    }
    None
}

fn give_back(charged: &[Arc<Limiter>], input: &LimitInput, refused: LimitSet) {
    for (index, limit) in charged.iter().enumerate() {
        if !refused.contains(index)
            && let Some(hash) = limit.key(input)
        {
            limit.store.refund(hash, limit.cost);
        }
    }
}

/// What of an address counts as one client: all of IPv4, the /64 of IPv6 (RFC 4291 2.5.4: a host picks the rest itself).
/// Those without an address are one client, as nginx has it. One number, so that it is hashed in one step; the bits above the lower 64 tell the families apart.
fn network(client: Client) -> u128 {
    match client.to_canonical() {
        Client::Ip(IpAddr::V4(v4)) => 1 << 64 | u128::from(v4.to_bits()),
        Client::Ip(IpAddr::V6(v6)) => v6.to_bits() >> 64,
        Client::Unix => 1 << 65,
    }
}

/// A clock that stands still at zero: the store tells governor times relative to the request's own.
#[derive(Clone, Copy, Debug)]
struct StandstillClock;

impl Clock for StandstillClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}
