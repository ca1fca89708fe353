//! A scrape: every worker's cells and the live state, merged into families.
//!
//! Only reads. A worker that counts meanwhile is neither stopped nor slowed; the figures of one scrape may be an event
//! apart from each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus::proto::MetricFamily;

use super::cell::{Cell, Cells, Times, TimesTotal};
use super::family::Family;
use super::label::NONE;
use super::sample::{
    AttemptOutcome, ConnectionRefusal, Decision, EndpointSample, Http2Fault, TlsVersion, UpstreamHandshake,
};
use super::slots::Slots;
use super::worker::WorkerCells;
use super::{Metrics, lock, name, process, status};
use crate::http::head::Method;
use crate::reason::Reason;

impl Metrics {
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let workers = Workers(lock(&self.workers).clone());
        let mut families = Vec::new();
        self.requests(&workers, &mut families);
        self.limits(&workers, &mut families);
        self.attempts(&workers, &mut families);
        self.live(&mut families);
        self.discovery(&mut families);
        self.connections(&workers, &mut families);
        self.tcp_connections(&workers, &mut families);
        handshakes(&workers, &mut families);
        self.acme(&mut families);
        self.process_wide(&workers, &mut families);
        let mut families: Vec<_> = families.into_iter().filter_map(Family::finish).collect();
        families.extend(process::families(&self.process));
        families
    }

    fn requests(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut requests = Family::new(name::REQUESTS);
        let mut times = Family::new(name::REQUEST_TIMES);
        let mut received = Family::new(name::BYTES_RECEIVED);
        let mut sent = Family::new(name::BYTES_SENT);
        for (id, labels) in self.routes.list().iter().enumerate() {
            let cells = workers.cells(|w| &w.routes, id);
            if cells.is_empty() {
                continue;
            }
            let [site, route] = &**labels;
            for (method, label) in METHODS.map(|m| (m as usize, m.label())) {
                let rows = cells.iter().filter_map(|c| c.methods[method].get());
                for (slot, count) in totals(rows.map(Box::as_ref)).into_iter().enumerate() {
                    if count > 0 {
                        requests.count([site, route, label, &status::label(slot)], count);
                    }
                }
            }
            times.times([site, route], &merged(cells.iter().map(|c| &c.times)));
            received.count([site, route], sum(cells.iter().map(|c| &c.bytes_in)));
            sent.count([site, route], sum(cells.iter().map(|c| &c.bytes_out)));
        }

        // Finished before started, so that a request in between is not subtracted without having been added.
        let finished = workers.sum(|w| &w.requests_finished);
        let started = workers.sum(|w| &w.requests_started);
        let mut in_flight = Family::new(name::REQUESTS_IN_FLIGHT);
        in_flight.count([], started.saturating_sub(finished));

        let mut replies = Family::new(name::REPLIES);
        for (reason, count) in Reason::ALL.iter().zip(totals(workers.0.iter().map(|w| &w.replies))) {
            replies.count([reason.name()], count);
        }
        out.extend([requests, times, in_flight, received, sent, replies]);
    }

    fn limits(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut limited = Family::new(name::LIMITED);
        for (id, labels) in self.limits.list().iter().enumerate() {
            let cells = workers.cells(|w| &w.limits, id);
            if id >= RESERVED || !cells.is_empty() {
                for (decision, count) in Decision::LABELS.iter().zip(totals(cells)) {
                    limited.count([&labels[0], decision], count);
                }
            }
        }
        out.push(limited);
    }

    fn attempts(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut attempts = Family::new(name::ATTEMPTS);
        let mut connect = Family::new(name::CONNECT_TIMES);
        let mut response = Family::new(name::RESPONSE_TIMES);
        let mut connections = Family::new(name::UPSTREAM_CONNECTIONS);
        let mut handshakes = Family::new(name::UPSTREAM_HANDSHAKES);
        let mut handshake_times = Family::new(name::UPSTREAM_HANDSHAKE_TIMES);
        let mut retries = Family::new(name::RETRIES);
        let mut refused = Family::new(name::RETRIES_REFUSED);
        for (id, labels) in self.endpoints.list().iter().enumerate() {
            let cells = workers.cells(|w| &w.endpoints, id);
            if cells.is_empty() {
                continue;
            }
            let [upstream, endpoint] = &**labels;
            for (outcome, count) in AttemptOutcome::LABELS.iter().zip(totals(cells.iter().map(|c| &c.outcomes))) {
                attempts.count([upstream, endpoint, outcome], count);
            }
            connect.times([upstream, endpoint], &merged(cells.iter().map(|c| &c.connect_times)));
            response.times([upstream, endpoint], &merged(cells.iter().map(|c| &c.response_times)));
            connections.count([upstream, endpoint, "opened"], sum(cells.iter().map(|c| &c.opened)));
            connections.count([upstream, endpoint, "reused"], sum(cells.iter().map(|c| &c.reused)));
            let tls: Vec<_> = cells.iter().filter_map(|c| c.tls.get()).collect();
            if !tls.is_empty() {
                for (outcome, count) in UpstreamHandshake::LABELS.iter().zip(totals(tls.iter().map(|c| &c.outcomes))) {
                    handshakes.count([upstream, endpoint, outcome], count);
                }
                handshake_times.times([upstream, endpoint], &merged(tls.iter().map(|c| &c.times)));
            }
            retries.count([upstream, endpoint], sum(cells.iter().map(|c| &c.retries)));
            refused.count([upstream, endpoint], sum(cells.iter().map(|c| &c.retries_refused)));
        }
        out.extend([attempts, connect, response, connections, handshakes, handshake_times, retries, refused]);
    }

    fn live(&self, out: &mut Vec<Family>) {
        let samples = lock(&self.live).as_ref().map_or_else(Vec::new, |source| source());
        let mut in_flight = Family::new(name::ENDPOINT_IN_FLIGHT);
        let mut ejected = Family::new(name::ENDPOINT_EJECTED);
        let mut failures = Family::new(name::ENDPOINT_FAILURES);
        let mut ejections = Family::new(name::ENDPOINT_EJECTIONS);
        for sample in merge_samples(samples) {
            let labels = [&*sample.upstream, &*sample.endpoint];
            in_flight.count(labels, sample.in_flight);
            ejected.count(labels, sample.ejected.into());
            failures.count(labels, sample.failures);
            ejections.count(labels, sample.ejections);
        }
        out.extend([in_flight, ejected, failures, ejections]);
    }

    fn discovery(&self, out: &mut Vec<Family>) {
        let samples = lock(&self.discovery).as_ref().map_or_else(Vec::new, |source| source());
        let mut endpoints = Family::new(name::DISCOVERED);
        let mut changes = Family::new(name::DISCOVERY_CHANGES);
        let mut failures = Family::new(name::DISCOVERY_FAILURES);
        let mut failing = Family::new(name::DISCOVERY_FAILING);
        let mut success = Family::new(name::DISCOVERY_SUCCESS);
        for sample in samples {
            let source = [&*sample.source];
            endpoints.count(source, sample.endpoints);
            changes.count(source, sample.changes);
            failures.count(source, sample.failures);
            failing.count(source, sample.failing.into());
            success.count(source, sample.last_success);
        }
        out.extend([endpoints, changes, failures, failing, success]);
    }

    /// Of connections that are over: bytes and times of those that last are told when they end.
    fn tcp_connections(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut connections = Family::new(name::TCP_CONNECTIONS);
        let mut times = Family::new(name::TCP_TIMES);
        let mut received = Family::new(name::TCP_RECEIVED);
        let mut sent = Family::new(name::TCP_SENT);
        for (id, labels) in self.tcp.list().iter().enumerate() {
            let cells = workers.cells(|w| &w.tcp, id);
            if cells.is_empty() {
                continue;
            }
            let [upstream] = &**labels;
            let reasons = std::iter::once(NONE).chain(Reason::ALL.iter().map(|reason| reason.name()));
            for (reason, count) in reasons.zip(totals(cells.iter().map(|c| &c.ends))) {
                if count > 0 {
                    connections.count([upstream, reason], count);
                }
            }
            times.times([upstream], &merged(cells.iter().map(|c| &c.times)));
            received.count([upstream], sum(cells.iter().map(|c| &c.bytes_in)));
            sent.count([upstream], sum(cells.iter().map(|c| &c.bytes_out)));
        }
        out.extend([connections, times, received, sent]);
    }

    fn connections(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut connections = Family::new(name::CONNECTIONS);
        let mut open = Family::new(name::CONNECTIONS_OPEN);
        for (id, labels) in self.listeners.list().iter().enumerate() {
            let cells = workers.cells(|w| &w.listeners, id);
            if id >= RESERVED || !cells.is_empty() {
                let closed = sum(cells.iter().map(|c| &c.closed));
                let opened = sum(cells.iter().map(|c| &c.opened));
                connections.count([&labels[0]], opened);
                open.count([&labels[0]], opened.saturating_sub(closed));
            }
        }
        let mut refused = Family::new(name::CONNECTIONS_REFUSED);
        for (why, count) in ConnectionRefusal::LABELS.iter().zip(totals(workers.0.iter().map(|w| &w.refused))) {
            refused.count([why], count);
        }
        let mut faults = Family::new(name::HTTP2_FAULTS);
        for (error, count) in Http2Fault::LABELS.iter().zip(totals(workers.0.iter().map(|w| &w.http2_faults))) {
            faults.count([error], count);
        }
        out.extend([connections, open, refused, faults]);
    }

    fn acme(&self, out: &mut Vec<Family>) {
        let Some(sample) = lock(&self.acme).as_ref().map(|source| source()) else { return };
        let mut certificates = Family::new(name::ACME_CERTIFICATES);
        let mut next = Family::new(name::ACME_NEXT);
        let mut attempts = Family::new(name::ACME_ATTEMPTS);
        let mut standing = BTreeMap::<_, u64>::new();
        let mut soonest = BTreeMap::<_, i64>::new();
        for (site, state, at) in sample.certificates {
            *standing.entry((Arc::clone(&site), state)).or_default() += 1;
            soonest.entry(site).and_modify(|soonest| *soonest = at.min(*soonest)).or_insert(at);
        }
        for ((site, state), count) in standing {
            certificates.count([&site, state], count);
        }
        for (site, at) in soonest {
            next.value([&site], at as f64);
        }
        for (site, outcome, count) in sample.attempts {
            attempts.count([&site, outcome], count);
        }
        let mut errors = Family::new(name::ACME_STORE_ERRORS);
        errors.count([], sample.store_errors);
        out.extend([certificates, next, attempts, errors]);
    }

    fn process_wide(&self, workers: &Workers, out: &mut Vec<Family>) {
        let mut certificates = Family::new(name::CERTIFICATES);
        for (name, not_after) in lock(&self.certificates).iter() {
            certificates.value([name], *not_after as f64);
        }
        let mut reloads = Family::new(name::RELOADS);
        reloads.count(["succeeded"], self.reloads.succeeded.load(Relaxed));
        reloads.count(["failed"], self.reloads.failed.load(Relaxed));
        let dropped = lock(&self.log_drops).as_ref().map_or(0, |source| source());

        let mut worker_requests = Family::new(name::WORKER_REQUESTS);
        let mut by_worker = BTreeMap::<usize, u64>::new();
        for worker in &workers.0 {
            *by_worker.entry(worker.index).or_default() += worker.requests_started.get();
        }
        for (index, count) in by_worker {
            worker_requests.count([&index.to_string()], count);
        }

        let mut build = Family::new(name::BUILD);
        build.value([env!("CARGO_PKG_VERSION"), COMMIT.unwrap_or("unknown"), RUSTC.unwrap_or("unknown")], 1.0);

        out.extend([certificates, reloads]);
        for (spec, count) in [
            (name::RELOAD_SUCCEEDED, self.reloads.last_succeeded.load(Relaxed).into()),
            (name::CONFIG_LOADED, self.reloads.loaded_at.load(Relaxed)),
            (name::LOG_LINES_DROPPED, dropped),
            (name::SUSPICIOUS_FIELDS, workers.sum(|w| &w.suspicious_fields)),
            (name::PANICS, workers.sum(|w| &w.panics)),
        ] {
            let mut family = Family::new(spec);
            family.count([], count);
            out.push(family);
        }
        out.extend([worker_requests, build]);
    }
}

fn handshakes(workers: &Workers, out: &mut Vec<Family>) {
    let mut completed = Family::new(name::HANDSHAKES);
    let kinds = TlsVersion::LABELS.iter().flat_map(|version| ["false", "true"].map(|resumed| [*version, resumed]));
    for (labels, count) in kinds.zip(totals(workers.0.iter().map(|w| &w.handshakes))) {
        completed.count(labels, count);
    }
    let mut failed = Family::new(name::HANDSHAKES_FAILED);
    failed.count(["failed"], workers.sum(|w| &w.handshakes_failed));
    failed.count(["client_auth"], workers.sum(|w| &w.handshakes_unauthorized));
    failed.count(["timed_out"], workers.sum(|w| &w.handshakes_timed_out));
    let mut times = Family::new(name::HANDSHAKE_TIMES);
    times.times([], &merged(workers.0.iter().map(|w| &w.handshake_times)));
    out.extend([completed, failed, times]);
}

/// All workers' cells.
struct Workers(Vec<Arc<WorkerCells>>);

impl Workers {
    /// The cells of one id, of the workers that counted in them.
    fn cells<T: Default>(&self, slots: impl Fn(&WorkerCells) -> &Slots<T>, id: usize) -> Vec<&T> {
        self.0.iter().filter_map(|worker| slots(worker).get(id)).collect()
    }

    fn sum(&self, cell: impl Fn(&WorkerCells) -> &Cell) -> u64 {
        self.0.iter().map(|worker| cell(worker).get()).sum()
    }
}

fn sum<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> u64 {
    cells.into_iter().map(Cell::get).sum()
}

fn totals<'a, const N: usize>(rows: impl IntoIterator<Item = &'a Cells<N>>) -> [u64; N] {
    let mut totals = [0; N];
    for row in rows {
        for (total, count) in totals.iter_mut().zip(row.iter()) {
            *total += count;
        }
    }
    totals
}

fn merged<'a>(times: impl IntoIterator<Item = &'a Times>) -> TimesTotal {
    let mut total = TimesTotal::default();
    for times in times {
        total.merge(times);
    }
    total
}

/// One sample a pair of labels: an upstream may name an address twice, and a series may not.
fn merge_samples(samples: Vec<EndpointSample>) -> impl Iterator<Item = EndpointSample> {
    let mut merged = BTreeMap::<_, EndpointSample>::new();
    for sample in samples {
        merged
            .entry((Arc::clone(&sample.upstream), Arc::clone(&sample.endpoint)))
            .and_modify(|m| {
                m.in_flight += sample.in_flight;
                m.ejected |= sample.ejected;
                m.failures += sample.failures;
                m.ejections += sample.ejections;
            })
            .or_insert(sample);
    }
    merged.into_values()
}

/// Ids below this are those of `label::NONE` and `label::OTHER`, shown only once something counted there.
const RESERVED: usize = 2;

/// In the order of the discriminants.
const METHODS: [Method; Method::COUNT] = [
    Method::Get,
    Method::Head,
    Method::Post,
    Method::Put,
    Method::Delete,
    Method::Connect,
    Method::Options,
    Method::Trace,
    Method::Patch,
    Method::Lock,
    Method::Other,
];

/// Set by the build, where it knows.
const COMMIT: Option<&str> = option_env!("TIDEGATE_COMMIT");
const RUSTC: Option<&str> = option_env!("TIDEGATE_RUSTC");
