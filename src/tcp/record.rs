//! Exactly once a connection: metrics and the access log.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::TcpFacts;
use crate::access_log::{Record, TlsRecord};
use crate::metrics::{AttemptOutcome, AttemptSample, TcpId, TcpSample};
use crate::proxy::attempt::handshake_outcome;
use crate::proxy::local::Local;
use crate::reason::Reason;
use crate::snapshot::TcpTarget;
use crate::upstream::connect::{ConnectError, Opened};
use crate::upstream::{Endpoint, InFlight, Upstream};

/// A connection and what became of it so far. Counted and logged when it is dropped: on whatever way out.
pub(super) struct Session {
    local: Rc<Local>,
    facts: TcpFacts,
    server_name: Option<Box<str>>,
    upstream: Option<(Arc<Upstream>, TcpId)>,
    endpoint: Option<Arc<Endpoint>>,
    retried: Vec<Arc<str>>,
    attempts: u32,
    connect: Option<Duration>,
    /// Its place at the endpoint.
    in_flight: Option<InFlight>,
    early: u64,
    up: u64,
    down: u64,
    /// `None`: its task was dropped, or panicked.
    ended: Option<Option<Reason>>,
}

impl Session {
    pub(super) fn new(local: Rc<Local>, facts: TcpFacts) -> Self {
        Self {
            local,
            server_name: facts.tls.as_ref().and_then(|tls| tls.server_name.clone()),
            facts,
            upstream: None,
            endpoint: None,
            retried: Vec::new(),
            attempts: 0,
            connect: None,
            in_flight: None,
            early: 0,
            up: 0,
            down: 0,
            ended: None,
        }
    }

    pub(super) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    pub(super) fn facts(&self) -> &TcpFacts {
        &self.facts
    }

    /// What the client asks for, in lower case.
    pub(super) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(super) fn set_server_name(&mut self, name: Option<Box<str>>) {
        self.server_name = name;
    }

    pub(super) fn set_upstream(&mut self, target: &TcpTarget) {
        self.upstream = Some((Arc::clone(&target.upstream), target.metric));
    }

    /// An attempt at `endpoint` begins.
    pub(super) fn attempt(&mut self, endpoint: &Arc<Endpoint>) {
        self.attempts += 1;
        if let Some(before) = self.endpoint.replace(Arc::clone(endpoint)) {
            self.retried.push(Arc::from(before.name()));
        }
    }

    /// The attempt has succeeded.
    pub(super) fn connected(&mut self, in_flight: InFlight, took: Duration) {
        let endpoint = Arc::clone(in_flight.endpoint());
        self.connect = Some(took);
        self.in_flight = Some(in_flight);
        self.count_attempt(&endpoint, AttemptOutcome::Answered, Some(took));
        let id = self.local.endpoint_metric(&endpoint, endpoint.upstream());
        self.local.metrics.upstream_connection_opened(id);
    }

    pub(super) fn count_attempt(&self, endpoint: &Endpoint, outcome: AttemptOutcome, connect: Option<Duration>) {
        let id = self.local.endpoint_metric(endpoint, endpoint.upstream());
        self.local.metrics.attempt(id, AttemptSample { outcome, connect, first_byte: None });
    }

    pub(super) fn note_handshake(&self, endpoint: &Endpoint, opened: &Result<Opened, ConnectError>) {
        if let Some((outcome, took)) = handshake_outcome(opened.as_ref().map(|opened| opened.handshake)) {
            let id = self.local.endpoint_metric(endpoint, endpoint.upstream());
            self.local.metrics.upstream_handshake(id, outcome, took);
        }
    }

    /// Asks the budget for a retry after `endpoint` failed, and counts what it says.
    pub(super) fn retry_granted(&self, upstream: &Upstream, endpoint: &Endpoint, now: Instant) -> bool {
        let id = self.local.endpoint_metric(endpoint, upstream.name());
        let granted = upstream.budget().take(now.into_std());
        match granted {
            true => self.local.metrics.retry(id),
            false => self.local.metrics.retry_refused_by_budget(id),
        }
        granted
    }

    /// So much was read before there was an endpoint.
    pub(super) fn received(&mut self, early: usize) {
        self.early = early as u64;
    }

    /// So much has passed so far, either way.
    pub(super) fn relayed(&mut self, up: u64, down: u64) {
        (self.up, self.down) = (up, down);
    }

    pub(super) fn end(&mut self, reason: Option<Reason>) {
        self.ended = Some(reason);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let reason = self
            .ended
            .unwrap_or_else(|| Some(if std::thread::panicking() { Reason::Panicked } else { Reason::Stopped }));
        let received = self.up.max(self.early);
        let duration = self.facts.started.elapsed();
        self.local.metrics.tcp_finished(&TcpSample {
            upstream: self.upstream.as_ref().map_or(TcpId::NONE, |(_, id)| *id),
            reason,
            duration,
            bytes_in: received,
            bytes_out: self.down,
        });
        let mut log = self.local.log.borrow_mut();
        let Some(log) = log.as_mut() else { return };
        let tls = self.facts.tls.as_ref();
        log.write(&Record {
            time: SystemTime::now(),
            client: self.facts.peer.client(),
            peer: self.facts.peer,
            method: b"",
            target: b"",
            version: None,
            host: self.server_name.as_deref().unwrap_or_default().as_bytes(),
            // As nginx's stream has it.
            status: reason.map_or(200, Reason::status),
            bytes_sent: self.down,
            bytes_received: received,
            referer: None,
            user_agent: None,
            user: None,
            duration,
            site: "",
            route: "",
            upstream: self.upstream.as_ref().map(|(upstream, _)| &**upstream.name()),
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.name()),
            retried: &self.retried,
            attempts: self.attempts,
            connect: self.connect,
            first_byte: None,
            reason,
            request_id: b"",
            tls: tls.map(|tls| TlsRecord {
                version: tls.version.label(),
                cipher: tls.cipher,
                resumed: tls.resumed,
                client: tls.client_subject.as_deref(),
            }),
        });
    }
}
