//! One worker's cells, and the handle through which it counts.

use std::cell::Cell as Unsync;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::cell::{Cell, Cells, Times};
use super::label::{EndpointId, Id, LimitId, ListenerId, RouteId, TcpId};
use super::sample::{
    AttemptOutcome, AttemptSample, ConnectionRefusal, Decision, HandshakeOutcome, Http2Fault, RequestSample, TcpSample,
    TlsVersion, UpstreamHandshake,
};
use super::slots::Slots;
use super::status;
use crate::http::head::Method;
use crate::reason::Reason;

/// A worker's own end of the metrics. It may move to the worker's thread but not be shared: each cell has one writer.
/// No method blocks, and none allocates but at the first event of its kind.
pub struct WorkerMetrics {
    cells: Arc<WorkerCells>,
    not_shared: PhantomData<Unsync<()>>,
}

impl WorkerMetrics {
    pub(super) fn new(cells: Arc<WorkerCells>) -> Self {
        Self { cells, not_shared: PhantomData }
    }

    pub fn connection_opened(&self, listener: ListenerId) {
        if let Some(cells) = self.cells.listeners.cell(listener.index()) {
            cells.opened.increment();
        }
    }

    pub fn connection_closed(&self, listener: ListenerId) {
        if let Some(cells) = self.cells.listeners.cell(listener.index()) {
            cells.closed.increment();
        }
    }

    pub fn connection_refused(&self, why: ConnectionRefusal) {
        self.cells.refused.at(why as usize).increment();
    }

    /// An HTTP/2 connection was ended for an error of its client's.
    pub fn http2_fault(&self, error: Http2Fault) {
        self.cells.http2_faults.at(error as usize).increment();
    }

    /// `duration` is from accept to the handshake's end.
    pub fn handshake(&self, outcome: HandshakeOutcome, duration: Duration) {
        match outcome {
            HandshakeOutcome::Completed { version, resumed } => {
                self.cells.handshakes.at(version as usize * 2 + usize::from(resumed)).increment();
                self.cells.handshake_times.observe(duration);
            }
            HandshakeOutcome::Failed => self.cells.handshakes_failed.increment(),
            HandshakeOutcome::ClientAuth => self.cells.handshakes_unauthorized.increment(),
            HandshakeOutcome::TimedOut => self.cells.handshakes_timed_out.increment(),
        }
    }

    /// Every call is followed by one of [`WorkerMetrics::request_finished`].
    pub fn request_started(&self) {
        self.cells.requests_started.increment();
    }

    pub fn request_finished(&self, sample: &RequestSample) {
        self.cells.requests_finished.increment();
        if let Some(reason) = sample.reason {
            self.cells.replies.at(reason as usize).increment();
        }
        if let Some(route) = self.cells.routes.cell(sample.route.index()) {
            let statuses = route.methods[sample.method as usize].get_or_init(Box::default);
            statuses.at(status::slot(sample.status)).increment();
            route.times.observe(sample.duration);
            route.bytes_in.add(sample.bytes_in);
            route.bytes_out.add(sample.bytes_out);
        }
    }

    pub fn attempt(&self, endpoint: EndpointId, sample: AttemptSample) {
        if let Some(cells) = self.cells.endpoints.cell(endpoint.index()) {
            cells.outcomes.at(sample.outcome as usize).increment();
            if let Some(connect) = sample.connect {
                cells.connect_times.observe(connect);
            }
            if let Some(first_byte) = sample.first_byte {
                cells.response_times.observe(first_byte);
            }
        }
    }

    /// Another attempt follows one that failed at `failed`.
    pub fn retry(&self, failed: EndpointId) {
        if let Some(cells) = self.cells.endpoints.cell(failed.index()) {
            cells.retries.increment();
        }
    }

    /// The retry budget kept an attempt that failed at `failed` from being retried.
    pub fn retry_refused_by_budget(&self, failed: EndpointId) {
        if let Some(cells) = self.cells.endpoints.cell(failed.index()) {
            cells.retries_refused.increment();
        }
    }

    pub fn upstream_connection_opened(&self, endpoint: EndpointId) {
        if let Some(cells) = self.cells.endpoints.cell(endpoint.index()) {
            cells.opened.increment();
        }
    }

    /// A pooled connection serves another request.
    pub fn upstream_connection_reused(&self, endpoint: EndpointId) {
        if let Some(cells) = self.cells.endpoints.cell(endpoint.index()) {
            cells.reused.increment();
        }
    }

    /// `took` is the handshake's own time, if it was completed.
    pub fn upstream_handshake(&self, endpoint: EndpointId, outcome: UpstreamHandshake, took: Option<Duration>) {
        if let Some(cells) = self.cells.endpoints.cell(endpoint.index()) {
            let cells = cells.tls.get_or_init(Box::default);
            cells.outcomes.at(outcome as usize).increment();
            if let Some(took) = took {
                cells.times.observe(took);
            }
        }
    }

    pub fn limited(&self, limit: LimitId, decision: Decision) {
        if let Some(cells) = self.cells.limits.cell(limit.index()) {
            cells.at(decision as usize).increment();
        }
    }

    /// A TCP connection is over.
    pub fn tcp_finished(&self, sample: &TcpSample) {
        if let Some(cells) = self.cells.tcp.cell(sample.upstream.index()) {
            cells.ends.at(sample.reason.map_or(0, |reason| reason as usize + 1)).increment();
            cells.times.observe(sample.duration);
            cells.bytes_in.add(sample.bytes_in);
            cells.bytes_out.add(sample.bytes_out);
        }
    }

    /// A request ended in a panic.
    pub fn panic(&self) {
        self.cells.panics.increment();
    }

    /// A request field was dropped because its name could pass for another's (`X_Real_IP`).
    pub fn suspicious_field(&self) {
        self.cells.suspicious_fields.increment();
    }
}

/// Everything one worker counts. Aligned so that no two workers' cells share a cache line or a prefetched pair.
#[repr(align(128))]
pub(super) struct WorkerCells {
    /// The worker's number.
    pub(super) index: usize,
    pub(super) requests_started: Cell,
    pub(super) requests_finished: Cell,
    pub(super) replies: Cells<{ Reason::COUNT }>,
    pub(super) routes: Slots<RouteCells>,
    pub(super) endpoints: Slots<EndpointCells>,
    pub(super) limits: Slots<Cells<{ Decision::LABELS.len() }>>,
    pub(super) listeners: Slots<ListenerCells>,
    pub(super) tcp: Slots<TcpCells>,
    pub(super) refused: Cells<{ ConnectionRefusal::LABELS.len() }>,
    /// By version, then by resumed.
    pub(super) handshakes: Cells<{ TlsVersion::LABELS.len() * 2 }>,
    pub(super) handshakes_failed: Cell,
    pub(super) handshakes_unauthorized: Cell,
    pub(super) handshakes_timed_out: Cell,
    pub(super) handshake_times: Times,
    pub(super) panics: Cell,
    pub(super) suspicious_fields: Cell,
    pub(super) http2_faults: Cells<{ Http2Fault::LABELS.len() }>,
}

impl WorkerCells {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            requests_started: Cell::default(),
            requests_finished: Cell::default(),
            replies: Cells::default(),
            routes: Slots::new(RouteId::BOUND),
            endpoints: Slots::new(EndpointId::BOUND),
            limits: Slots::new(LimitId::BOUND),
            listeners: Slots::new(ListenerId::BOUND),
            tcp: Slots::new(TcpId::BOUND),
            refused: Cells::default(),
            handshakes: Cells::default(),
            handshakes_failed: Cell::default(),
            handshakes_unauthorized: Cell::default(),
            handshakes_timed_out: Cell::default(),
            handshake_times: Times::default(),
            panics: Cell::default(),
            suspicious_fields: Cell::default(),
            http2_faults: Cells::default(),
        }
    }
}

#[derive(Default)]
pub(super) struct RouteCells {
    pub(super) times: Times,
    pub(super) bytes_in: Cell,
    pub(super) bytes_out: Cell,
    /// Statuses by method, so that a route pays for the methods that it saw.
    pub(super) methods: [OnceLock<Box<Statuses>>; Method::COUNT],
}

pub(super) type Statuses = Cells<{ status::SLOTS }>;

#[derive(Default)]
pub(super) struct TcpCells {
    /// The first is a proper end; then by reason.
    pub(super) ends: Cells<{ Reason::COUNT + 1 }>,
    pub(super) times: Times,
    pub(super) bytes_in: Cell,
    pub(super) bytes_out: Cell,
}

#[derive(Default)]
pub(super) struct EndpointCells {
    pub(super) outcomes: Cells<{ AttemptOutcome::LABELS.len() }>,
    pub(super) connect_times: Times,
    pub(super) response_times: Times,
    pub(super) retries: Cell,
    pub(super) retries_refused: Cell,
    pub(super) opened: Cell,
    pub(super) reused: Cell,
    /// Only endpoints with TLS pay for it.
    pub(super) tls: OnceLock<Box<EndpointTlsCells>>,
}

#[derive(Default)]
pub(super) struct EndpointTlsCells {
    pub(super) outcomes: Cells<{ UpstreamHandshake::LABELS.len() }>,
    pub(super) times: Times,
}

#[derive(Default)]
pub(super) struct ListenerCells {
    pub(super) opened: Cell,
    pub(super) closed: Cell,
}
