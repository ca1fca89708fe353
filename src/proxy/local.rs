//! What a worker lends to the requests it handles. One a thread, reached through an `Rc`: nothing here is locked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::access_log::LogBuffer;
use crate::metrics::{EndpointId, ListenerId, Metrics, WorkerMetrics};
use crate::snapshot::Snapshot;
use crate::upstream::Endpoint;
use crate::upstream::http2::Sessions;
use crate::upstream::pool::Pool;

/// A worker's own state.
pub struct Local {
    snapshot: RefCell<Rc<Pinned>>,
    pub metrics: WorkerMetrics,
    /// Gives labels their ids.
    labels: Arc<Metrics>,
    /// Metric ids by endpoint id.
    endpoint_metrics: RefCell<HashMap<u32, EndpointId, foldhash::fast::RandomState>>,
    pub log: RefCell<Option<LogBuffer>>,
    pub pool: RefCell<Pool>,
    pub sessions: Sessions,
    draining: Cell<bool>,
    open: Cell<usize>,
    connections: RefCell<Connections>,
    /// When the last request ended: a reading of the clock for what its connection does next.
    pub ended_at: Cell<Instant>,
    /// Monotonic zero for limits: the same for all workers.
    pub epoch: std::time::Instant,
}

/// A snapshot as a worker's requests hold it: counted by the worker alone, so that no request touches a counter that
/// other workers touch.
pub struct Pinned(Arc<Snapshot>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// The tasks of open connections, to be woken when they should look at the drain flag.
#[derive(Default)]
struct Connections {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Local {
    pub fn new(
        snapshot: Arc<Snapshot>,
        metrics: WorkerMetrics,
        labels: Arc<Metrics>,
        log: Option<LogBuffer>,
        epoch: std::time::Instant,
    ) -> Rc<Self> {
        Rc::new(Self {
            snapshot: RefCell::new(Rc::new(Pinned(snapshot))),
            metrics,
            labels,
            endpoint_metrics: RefCell::default(),
            log: RefCell::new(log),
            pool: RefCell::default(),
            sessions: Sessions::default(),
            draining: Cell::new(false),
            open: Cell::new(0),
            connections: RefCell::default(),
            ended_at: Cell::new(Instant::now()),
            epoch,
        })
    }

    /// The metric id of an endpoint's series.
    pub fn endpoint_metric(&self, endpoint: &Endpoint, upstream: &str) -> EndpointId {
        let mut known = self.endpoint_metrics.borrow_mut();
        if let Some(metric) = known.get(&endpoint.id()) {
            return *metric;
        }
        // Endpoints come and go, and their ids don't come again.
        if known.len() >= ENDPOINT_METRICS {
            known.clear();
        }
        let metric = self.labels.endpoint(upstream, endpoint.name());
        known.insert(endpoint.id(), metric);
        metric
    }

    /// The current snapshot; a request takes it once and so sees one generation.
    pub fn snapshot(&self) -> Rc<Pinned> {
        Rc::clone(&self.snapshot.borrow())
    }

    /// Replaces the snapshot. Connections whose listener is gone are woken to finish.
    pub fn swap(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.borrow_mut() = Rc::new(Pinned(snapshot));
        self.wake_all();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// From now on connections end with the request they are in; idle ones end at once.
    pub fn drain(&self) {
        self.draining.set(true);
        self.wake_all();
    }

    /// Connections accepted and not yet closed, those in their handshake included.
    pub fn open_connections(&self) -> usize {
        self.open.get()
    }

    /// Counts a connection as open until the mark is dropped.
    pub fn open(self: &Rc<Self>, listener: ListenerId) -> Open {
        self.metrics.connection_opened(listener);
        self.open.set(self.open.get() + 1);
        Open { local: Rc::clone(self), listener }
    }

    fn wake_all(&self) {
        for waker in self.connections.borrow().wakers.iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Enters the current task's connection; it leaves when the mark is dropped.
    pub fn enter(self: &Rc<Self>, waker: Waker) -> Entered {
        let mut connections = self.connections.borrow_mut();
        let place = match connections.free.pop() {
            Some(place) => {
                connections.wakers[place] = Some(waker);
                place
            }
            None => {
                connections.wakers.push(Some(waker));
                connections.wakers.len() - 1
            }
        };
        Entered { local: Rc::clone(self), place }
    }
}

/// A connection counted as open.
pub struct Open {
    local: Rc<Local>,
    listener: ListenerId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.local.metrics.connection_closed(self.listener);
        self.local.open.set(self.local.open.get() - 1);
    }
}

/// A connection's place among those that are told of a drain.
pub struct Entered {
    local: Rc<Local>,
    place: usize,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut connections = self.local.connections.borrow_mut();
        connections.wakers[self.place] = None;
        connections.free.push(self.place);
    }
}

/// A listener as its connections see it: they outlive reloads, its place in the configuration may move or go.
pub struct ListenerSeat {
    /// Index into the current snapshot's listeners; `None` once it is gone.
    pub index: Cell<Option<usize>>,
    pub metric: ListenerId,
}

/// Ids of endpoints that a worker remembers at most: more than there are of them at once, as a rule.
const ENDPOINT_METRICS: usize = 16_384;
