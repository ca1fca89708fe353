//! Metrics: what happened, counted by each worker for itself and merged when somebody asks.
//!
//! Owns every metric's [name], labels and cells. Never blocks a request, never lets the number of series grow without
//! bound, never looks into another module: what is live elsewhere is handed in as a source that a scrape calls.
//!
//! A worker counts through its own [`WorkerMetrics`] with plain loads and stores. Labels become ids when a snapshot is
//! built ([`Metrics::route`] and the like), so that a request handles numbers only.

mod cell;
mod family;
mod label;
mod name;
mod process;
mod sample;
mod scrape;
mod slots;
mod status;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder, TextEncoder};

use label::Interner;
use worker::WorkerCells;

pub use label::{EndpointId, LimitId, ListenerId, RouteId, TcpId};
pub use sample::{
    AcmeSample, AttemptOutcome, AttemptSample, ConnectionRefusal, Decision, DiscoverySample, EndpointSample,
    HandshakeOutcome, Http2Fault, RequestSample, TcpSample, TlsVersion, UpstreamHandshake,
};
pub use worker::WorkerMetrics;

/// The process's metrics.
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerCells>>>,
    routes: Interner<2>,
    endpoints: Interner<2>,
    limits: Interner<1>,
    listeners: Interner<1>,
    tcp: Interner<1>,
    live: Mutex<Option<Source<Vec<EndpointSample>>>>,
    discovery: Mutex<Option<Source<Vec<DiscoverySample>>>>,
    log_drops: Mutex<Option<Source<u64>>>,
    certificates: Mutex<BTreeMap<String, i64>>,
    acme: Mutex<Option<Source<AcmeSample>>>,
    reloads: Reloads,
    process: ProcessCollector,
}

/// State that lives elsewhere, read at each scrape.
type Source<T> = Box<dyn Fn() -> T + Send + Sync>;

struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_succeeded: AtomicBool,
    /// Seconds since 1970.
    loaded_at: AtomicU64,
}

impl Metrics {
    /// The media type of [`Metrics::render`].
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Metrics for about this many workers. The configuration in force counts as loaded now.
    pub fn new(workers: usize) -> Arc<Metrics> {
        Arc::new(Self {
            workers: Mutex::new(Vec::with_capacity(workers)),
            routes: Interner::new(),
            endpoints: Interner::new(),
            limits: Interner::new(),
            listeners: Interner::new(),
            tcp: Interner::new(),
            live: Mutex::default(),
            discovery: Mutex::default(),
            log_drops: Mutex::default(),
            certificates: Mutex::default(),
            acme: Mutex::default(),
            reloads: Reloads {
                succeeded: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                last_succeeded: AtomicBool::new(true),
                loaded_at: AtomicU64::new(unix_seconds()),
            },
            process: ProcessCollector::for_self(),
        })
    }

    /// Cells of its own for a worker. Asked twice for the same worker (it was started again), the series go on: both
    /// sets of cells are added up.
    pub fn worker(self: &Arc<Self>, index: usize) -> WorkerMetrics {
        let cells = Arc::new(WorkerCells::new(index));
        lock(&self.workers).push(Arc::clone(&cells));
        WorkerMetrics::new(cells)
    }

    /// The id of a route: the same as ever for the same names. At most 20,000 in the life of the process, those of former
    /// configurations among them; later ones are counted under `other`. Takes a lock: for reloads, not for requests.
    pub fn route(&self, site: &str, route: &str) -> RouteId {
        self.routes.intern([site, route])
    }

    /// The id of an endpoint, as [`Metrics::route`]. At most 10,000.
    pub fn endpoint(&self, upstream: &str, address: &str) -> EndpointId {
        self.endpoints.intern([upstream, address])
    }

    /// The id of a rate limit, as [`Metrics::route`]. At most 1,000.
    pub fn limit(&self, name: &str) -> LimitId {
        self.limits.intern([name])
    }

    /// The id of a listener, as [`Metrics::route`]. At most 1,000.
    pub fn listener(&self, address: &str) -> ListenerId {
        self.listeners.intern([address])
    }

    /// The id of an upstream of TCP connections, as [`Metrics::route`]. At most 1,000.
    pub fn tcp(&self, upstream: &str) -> TcpId {
        self.tcp.intern([upstream])
    }

    /// Where a scrape reads the state of every live endpoint. It must not wait for anything.
    pub fn set_live(&self, source: Box<dyn Fn() -> Vec<EndpointSample> + Send + Sync>) {
        *lock(&self.live) = Some(source);
    }

    /// Where a scrape reads how the sources of endpoints fare. It must not wait for anything.
    pub fn set_discovery(&self, source: Box<dyn Fn() -> Vec<DiscoverySample> + Send + Sync>) {
        *lock(&self.discovery) = Some(source);
    }

    /// Where a scrape reads how many access log lines were dropped.
    pub fn set_access_log_drops(&self, source: Box<dyn Fn() -> u64 + Send + Sync>) {
        *lock(&self.log_drops) = Some(source);
    }

    /// The certificates in use: a name, and the end of validity in seconds since 1970. Replaces what was set before.
    pub fn set_certificates(&self, certificates: Vec<(String, i64)>) {
        let mut earliest = BTreeMap::new();
        for (name, not_after) in certificates {
            earliest.entry(name).and_modify(|at: &mut i64| *at = not_after.min(*at)).or_insert(not_after);
        }
        *lock(&self.certificates) = earliest;
    }

    /// Where a scrape reads how certificates by ACME stand.
    pub fn set_acme(&self, source: Box<dyn Fn() -> AcmeSample + Send + Sync>) {
        *lock(&self.acme) = Some(source);
    }

    pub fn reload_succeeded(&self) {
        self.reloads.succeeded.fetch_add(1, Relaxed);
        self.reloads.last_succeeded.store(true, Relaxed);
        self.reloads.loaded_at.store(unix_seconds(), Relaxed);
    }

    pub fn reload_failed(&self) {
        self.reloads.failed.fetch_add(1, Relaxed);
        self.reloads.last_succeeded.store(false, Relaxed);
    }

    /// Everything in the Prometheus text format ([`Metrics::CONTENT_TYPE`]). With many routes this takes milliseconds:
    /// call it where no request waits.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.families(), &mut text) {
            tracing::error!(%error, "metrics are incomplete");
        }
        text
    }
}

/// A panic in a source leaves what a mutex holds as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
