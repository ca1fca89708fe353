//! Endpoints: one address each, with the live state that balancing reads.
//!
//! Owns the counters; chooses nothing. A policy reads them, an [`InFlight`] moves them. Never blocks on the way of a
//! request that goes well, never allocates after construction, never looks at a clock by itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;

use super::dial::Dial;
use super::ejection::{Failures, Verdict};
use super::group::{Balance, Group};
use super::pace::{Back, Pace};
use super::seconds::{millis, seconds};
use super::sticky::Token;
use crate::config::Address;

/// One address of an upstream: what is configured for it, and its live state, which a reload carries over by upstream
/// name and address.
pub struct Endpoint {
    pub(super) address: Address,
    pub(super) name: Box<str>,
    pub(super) configured: Arc<str>,
    pub(super) upstream: Arc<str>,
    pub(super) zone: Option<Arc<str>>,
    /// What a sticky cookie says of it.
    pub(super) token: Option<Token>,
    pub(super) dial: Arc<Dial>,
    /// `None`: plain text.
    pub(super) tls: Option<Box<EndpointTls>>,
    /// See [`Endpoint::connection_key`].
    pub(super) connection_key: u64,
    pub(super) rules: Rules,
    pub(super) live: Arc<Live>,
    pub(super) balance: Arc<Balance>,
    /// The endpoints that it stands among: the floor looks at them.
    pub(super) group: Weak<Group>,
}

impl Endpoint {
    /// Unique in the process, and stable as long as the live state is carried over.
    pub fn id(&self) -> u32 {
        self.live.id
    }

    /// Whether TLS is spoken to it.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Connections of the same key may stand in for each other.
    pub(super) fn connection_key(&self) -> u64 {
        self.connection_key
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address as metrics and logs name it: `10.0.0.1:8052`, `unix:/run/app.sock`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its upstream.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The address as written: `backend-1:8052`.
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// Used only when no primary qualifies.
    pub fn is_backup(&self) -> bool {
        self.rules.backup
    }

    /// Attempts at this endpoint now, over all workers.
    pub fn in_flight(&self) -> u32 {
        self.live.in_flight.load(Relaxed)
    }

    /// Whether failures keep it out at `now`. True while a probe is under way.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.live.failures.is_ejected(&self.rules, seconds(now))
    }

    /// Whether a new attempt may start at `now`.
    pub fn is_available(&self, now: Instant) -> bool {
        self.rules.admit(&self.live, seconds(now))
    }

    /// Attempts that failed, since the process started.
    pub fn failures_total(&self) -> u64 {
        self.live.failures.total()
    }

    /// Times that it was ejected, failed probes among them, since the process started.
    pub fn ejections_total(&self) -> u64 {
        self.live.failures.ejections()
    }

    /// Takes in the time from an attempt's start to its response's head, or to its failure. For `least_time` alone.
    pub fn note_time(&self, took: Duration, failed: bool, now: Instant) {
        self.live.pace.time.observe(took, failed, millis(now));
    }

    /// Tells the log when handshakes begin to fail, and when they succeed again.
    pub(super) fn note_handshake(&self, error: Option<&std::io::Error>) {
        let failed = error.is_some();
        let changed =
            |tls: &EndpointTls| tls.fails.load(Relaxed) != failed && tls.fails.swap(failed, Relaxed) != failed;
        if !self.tls.as_deref().is_some_and(changed) {
            return;
        }
        let (upstream, endpoint) = (&*self.upstream, self.name());
        match error {
            Some(error) => tracing::warn!(upstream, endpoint, %error, "TLS handshakes with this endpoint fail"),
            None => tracing::info!(upstream, endpoint, "TLS handshakes with this endpoint succeed again"),
        }
    }

    fn fail(&self, now: u64, probe: bool) {
        if self.rules.max_fails == 0 {
            return self.live.failures.count();
        }
        let verdict = {
            let _writing = self.balance.lock();
            self.live.failures.fail(&self.rules, now, probe, || self.can_be_spared())
        };
        let (upstream, endpoint) = (&*self.upstream, self.name());
        match verdict {
            Verdict::Counted => {}
            Verdict::Ejected => {
                tracing::warn!(upstream, endpoint, "endpoint ejected");
                self.balance.release_floor(upstream);
            }
            Verdict::StillEjected => tracing::warn!(upstream, endpoint, "endpoint failed again and stays ejected"),
            Verdict::Withheld => self.balance.withhold(upstream, endpoint),
        }
    }

    fn succeed(&self, now: Instant) {
        if !self.live.failures.can_clear() {
            return;
        }
        let returned = {
            let _writing = self.balance.lock();
            // A failure may have come in before the lock was ours.
            self.live.failures.can_clear() && self.live.failures.clear()
        };
        if returned {
            self.live.pace.back.begin(millis(now));
            self.balance.note_return(millis(now));
            let failed_ago = self.live.failures.age(seconds(now));
            let (upstream, endpoint) = (&*self.upstream, self.name());
            tracing::info!(upstream, endpoint, failed_ago_seconds = failed_ago, "endpoint returned");
            self.balance.release_floor(upstream);
        }
    }

    /// Whether enough primaries are left without this one. An endpoint whose group is gone (an attempt from before a
    /// reload) can't tell, and stays in.
    fn can_be_spared(&self) -> bool {
        self.rules.no_floor || self.group.upgrade().is_some_and(|group| group.can_spare(self))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}

/// What TLS needs to know of one endpoint.
pub(super) struct EndpointTls {
    /// Whom it has to prove to be; `None`: no certificate can name it.
    pub(super) name: Option<ServerName<'static>>,
    /// The last handshake failed.
    pub(super) fails: AtomicBool,
}

impl EndpointTls {
    pub(super) fn of(dial: &Dial, configured: &str) -> Option<Box<Self>> {
        let name = dial.tls.as_ref()?.server_name(configured);
        Some(Box::new(Self { name, fails: AtomicBool::new(false) }))
    }
}

/// Marks one attempt at an endpoint. Dropping it, on whatever way out, gives the place back.
///
/// At most one of [`succeed`](InFlight::succeed) and [`fail`](InFlight::fail) is called, once. Neither means that the
/// attempt told nothing about the endpoint: the client went away.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// The attempt that finds out whether an ejected endpoint works again.
    probe: bool,
}

impl InFlight {
    /// Takes a place at `endpoint` unless it is at `max_conns`.
    #[inline]
    pub(super) fn start(endpoint: &Arc<Endpoint>, probe: bool) -> Option<Self> {
        endpoint.live.enter(endpoint.rules.max_conns).then(|| Self { endpoint: Arc::clone(endpoint), probe })
    }

    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether this attempt probes an ejected endpoint.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// A response head came that does not count as a failure, whatever its status (nginx: `free` without
    /// `NGX_PEER_FAILED`). An atomic load if nothing has failed lately.
    #[inline]
    pub fn succeed(&self, now: Instant) {
        self.endpoint.succeed(now);
    }

    /// The attempt failed in a way that [counts](super::Failure::counts_as_failure). So does the error of a kept-alive
    /// connection that had gone stale, as in nginx.
    pub fn fail(&self, now: Instant) {
        self.endpoint.fail(seconds(now), self.probe);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.live.in_flight.fetch_sub(1, Relaxed);
    }
}

/// What is configured for an endpoint, as far as balancing looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) weight: u32,
    /// `u32::MAX` is no cap.
    pub(super) max_conns: u32,
    /// 0: never ejected.
    pub(super) max_fails: u32,
    /// Whole seconds.
    pub(super) fail_timeout: u64,
    pub(super) backup: bool,
    pub(super) down: bool,
    /// The last primary may be ejected too, as in nginx.
    pub(super) no_floor: bool,
}

impl Rules {
    /// The only place that knows what "available" means.
    #[inline]
    pub(super) fn admit(&self, live: &Live, now: u64) -> bool {
        !self.down && live.in_flight.load(Relaxed) < self.max_conns && !live.failures.is_ejected(self, now)
    }
}

/// The live state of one address. All that every policy reads is in the first cache line, so that a scan over many
/// endpoints touches one line each, and two endpoints never share one.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Live {
    pub(super) id: u32,
    pub(super) in_flight: AtomicU32,
    /// Smooth round robin's credit (nginx `current_weight`). Moved under the upstream's lock.
    pub(super) current_weight: AtomicI64,
    pub(super) failures: Failures,
    pub(super) pace: Pace,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            in_flight: AtomicU32::new(0),
            current_weight: AtomicI64::new(0),
            failures: Failures::default(),
            pace: Pace::default(),
        }
    }

    /// One that joins others which serve already.
    pub(super) fn added() -> Self {
        Self { pace: Pace { back: Back::added(), ..Pace::default() }, ..Self::new() }
    }

    pub(super) fn set_gone(&self, gone: bool) {
        self.pace.gone.store(gone, Relaxed);
    }

    /// Whether its upstream has it no longer.
    pub(super) fn is_gone(&self) -> bool {
        self.pace.gone.load(Relaxed)
    }

    /// One more in flight, unless `max_conns` are.
    #[inline]
    fn enter(&self, max_conns: u32) -> bool {
        if max_conns == u32::MAX {
            self.in_flight.fetch_add(1, Relaxed);
            return true;
        }
        self.in_flight.try_update(Relaxed, Relaxed, |n| (n < max_conns).then_some(n + 1)).is_ok()
    }
}

static NEXT_ID: AtomicU32 = AtomicU32::new(0);

const _: () = assert!(std::mem::offset_of!(Live, pace) == 64 && size_of::<Live>() == 128);
