//! Which endpoint a connection goes to: by the upstream's policy, and to the next one if it can't be reached.

use std::sync::Arc;

use tokio::time::Instant;

use super::record::Session;
use crate::http::head::Method;
use crate::http::stream::Stream;
use crate::metrics::AttemptOutcome;
use crate::reason::Reason;
use crate::upstream::connect::{ConnectError, connect as open};
use crate::upstream::{Announced, Ask, Endpoint, Failure, InFlight, Tried, Upstream, may_retry};

/// Connects to an endpoint; the session holds its place there.
///
/// # Errors
/// None is available, or the last one tried couldn't be reached.
pub(super) async fn connect(session: &mut Session, upstream: &Arc<Upstream>) -> Result<Stream, Reason> {
    let config = upstream.config();
    let client = config.proxy_protocol.map(|_| Announced::new(session.facts().peer, session.facts().destination));
    let mut tries_left = upstream.tries();
    let mut tried = Tried::new();
    let mut last = Reason::NoEndpoint;
    upstream.budget().note_request(session.facts().started.into_std());
    loop {
        let started = Instant::now();
        let Some(in_flight) = pick(session, upstream, &tried, started) else { return Err(last) };
        let endpoint = Arc::clone(in_flight.endpoint());
        session.attempt(&endpoint);
        let opened = open(&endpoint, client, config.timeouts.connect).await;
        let now = Instant::now();
        note_time(upstream, &endpoint, opened.is_err(), started, now);
        session.note_handshake(&endpoint, &opened);
        let error = match opened {
            Ok(opened) => {
                in_flight.succeed(now.into_std());
                session.connected(in_flight, now.saturating_duration_since(started));
                return Ok(opened.stream);
            }
            Err(error) => error,
        };
        tracing::debug!(upstream = %upstream.name(), endpoint = endpoint.name(), ?error, "no connection to the endpoint");
        let (failure, reason, outcome) = classify(&error);
        last = reason;
        session.count_attempt(&endpoint, outcome, None);
        // Nothing that an endpoint did, and the next one can't be reached either.
        let Some(failure) = failure else { return Err(last) };
        in_flight.fail(now.into_std());
        tries_left = tries_left.saturating_sub(1);
        let elapsed = now.saturating_duration_since(session.facts().started);
        let retryable = may_retry(&config.retry, failure, Method::Other, false, tries_left, true, elapsed);
        if !retryable || !session.retry_granted(upstream, &endpoint, now) {
            return Err(last);
        }
        tried.insert(endpoint.id());
    }
}

fn pick(session: &Session, upstream: &Upstream, tried: &Tried, now: Instant) -> Option<InFlight> {
    let client = session.facts().peer.client();
    match upstream.asks() {
        None => upstream.pick(tried, now.into_std()),
        Some(asks) => upstream.pick_for(&Ask::of_client(asks, client), tried, now.into_std()),
    }
}

/// For `least_time`, which has no response to go by here.
fn note_time(upstream: &Upstream, endpoint: &Endpoint, failed: bool, started: Instant, now: Instant) {
    if upstream.asks().is_some_and(|asks| asks.wants_time()) {
        endpoint.note_time(now.saturating_duration_since(started), failed, now.into_std());
    }
}

/// What a failure means to the retry rules (`None`: it is this side's), to the record, and to the metrics.
fn classify(error: &ConnectError) -> (Option<Failure>, Reason, AttemptOutcome) {
    use AttemptOutcome::{ConnectFailed, ConnectTimedOut};
    match error {
        ConnectError::TimedOut => (Some(Failure::ConnectTimeout), Reason::ConnectTimedOut, ConnectTimedOut),
        ConnectError::Failed(_) => (Some(Failure::Connect), Reason::ConnectFailed, ConnectFailed),
        ConnectError::HandshakeTimedOut => (Some(Failure::ConnectTimeout), Reason::ConnectTimedOut, ConnectTimedOut),
        ConnectError::NoHttp2 => (Some(Failure::Connect), Reason::UpstreamNoHttp2, ConnectFailed),
        ConnectError::HandshakeFailed(_) => (Some(Failure::Connect), Reason::UpstreamTlsFailed, ConnectFailed),
        ConnectError::Exhausted(_) => (None, Reason::ConnectFailed, ConnectFailed),
    }
}
