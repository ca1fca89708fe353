//! Attempts: choose an endpoint, try it, decide on another. nginx's `ngx_http_upstream_next`, with a budget.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::asks;
use super::attempt::{Answer, AttemptError, Carrier, Trial, attempt};
use super::context::RequestContext;
use super::exchange::Exchange;
use super::headers::{Response, wants_upgrade};
use super::record;
use super::relay::{finish, relay};
use super::tunnel::tunnel;
use super::upload::Upload;
use crate::config::UpstreamProtocol;
use crate::filter::hop_by_hop::Named;
use crate::http::field::FieldId;
use crate::http::head::{Method, Version};
use crate::http::http1::BodyLength;
use crate::http::timer::Timer;
use crate::metrics::AttemptOutcome;
use crate::reason::{Reason, Refusal};
use crate::upstream::connect::ConnectError;
use crate::upstream::{Endpoint, Failure, InFlight, Tried, Upstream, may_retry};

/// Forwards the request and relays the response.
///
/// # Errors
/// A refusal that still has to be answered. After the response has begun, faults end in `exchange.abort()` instead.
pub async fn forward<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    length: BodyLength,
    upstream: &Arc<Upstream>,
) -> Result<(), Refusal> {
    let mut timer = Timer::new();
    let mut upload = Upload::new(length, upstream.config().retry.max_replay_bytes, Rc::clone(&cx.snapshot), cx.route);
    let upgrade = wants_upgrade(&cx.head, length);
    if upgrade && upstream.config().protocol != UpstreamProtocol::Http1 {
        return Err(Reason::UpstreamNoUpgrade.into());
    }
    let (mut answer, in_flight) = obtain(cx, exchange, &mut upload, upstream, upgrade, &mut timer).await?;
    asks::set_cookie(cx, upstream, in_flight.endpoint(), &mut answer);
    send_head(cx, exchange, &answer);
    if answer.head.status == 101 {
        let idle = upstream.config().timeouts.tunnel_idle;
        if let Carrier::Http1(carrier) = answer.carrier {
            tunnel(cx, exchange, carrier.connection, idle, &mut timer).await;
        }
        return Ok(());
    }
    upload.forget_replay();
    let relayed = relay(cx, exchange, &mut upload, &mut answer, upstream.config(), &mut timer).await;
    let ended = match relayed {
        Ok(trailers) => {
            // Before the client sees the end: its next request finds this endpoint free, as nginx would have it.
            keep(cx, upstream, &in_flight, answer);
            drop(in_flight);
            finish(cx, exchange, trailers, &mut timer).await
        }
        Err(reason) => Err(reason),
    };
    if let Err(reason) = ended {
        cx.reason = Some(reason);
        exchange.abort();
    }
    Ok(())
}

/// Tries endpoints until one answers.
async fn obtain<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    upload: &mut Upload,
    upstream: &Arc<Upstream>,
    upgrade: bool,
    timer: &mut Timer,
) -> Result<(Answer, InFlight), Refusal> {
    let mut round = Round { tries_left: upstream.tries(), tried: Tried::new(), fresh: false };
    let mut last = Reason::NoEndpoint;
    upstream.budget().note_request(cx.started.into_std());
    loop {
        let started = Instant::now();
        let Some(in_flight) = round.pick(cx, upstream, started) else { return Err(last.into()) };
        let endpoint = in_flight.endpoint();
        cx.attempts += 1;
        cx.endpoint = Some(Arc::clone(endpoint));
        #[cfg(test)]
        super::tests::panic_if_asked(cx);
        cx.first_byte = None;
        let trial = Trial { upstream, endpoint, upgrade, fresh: round.fresh, started };
        let result = attempt(cx, exchange, upload, &trial, timer).await;
        let now = Instant::now();
        if result.is_ok() {
            cx.first_byte = Some(now.saturating_duration_since(started));
        }
        let (failure, outcome, stale) = match &result {
            Ok(answer) => (Failure::Status(answer.head.status), AttemptOutcome::BadStatus, false),
            Err(AttemptError::Downstream(reason)) => {
                record::attempt(cx, endpoint, AttemptOutcome::Canceled);
                return Err((*reason).into());
            }
            // Nothing that an endpoint did, and the next one can't be reached either. nginx: NGX_ERROR of
            // `ngx_event_connect_peer`.
            Err(AttemptError::Connect(ConnectError::Exhausted(error))) => {
                tracing::debug!(upstream = %upstream.name(), endpoint = endpoint.name(), %error, "no connection to be had");
                record::attempt(cx, endpoint, AttemptOutcome::ConnectFailed);
                return Err(Reason::ConnectFailed.into());
            }
            Err(error) => {
                let (failure, reason, outcome, stale) = classify(error);
                tracing::debug!(upstream = %upstream.name(), endpoint = endpoint.name(), ?error, "attempt failed");
                last = reason;
                (failure, outcome, stale)
            }
        };
        if !stale {
            asks::note_time(upstream, endpoint, &result, started, now);
        }
        // nginx gives a try back that only found a connection the endpoint had closed.
        let tries_left = if stale { round.tries_left } else { round.tries_left.saturating_sub(1) };
        let sent = match failure {
            Failure::Connect | Failure::ConnectTimeout => false,
            // As good as not sent, if all of it can be sent again.
            Failure::Refused | Failure::Leaving => !upload.can_replay(),
            _ => true,
        };
        let elapsed = now.saturating_duration_since(cx.started);
        let retry = &upstream.config().retry;
        let retryable = may_retry(retry, failure, cx.head.method, sent, tries_left, upload.can_replay(), elapsed);
        // A stale connection is no sign of an outage, and the one fresh attempt after it can't multiply one.
        let retried = retryable && (stale || granted(cx, upstream, endpoint, now));
        if let Ok(answer) = result {
            if !retried {
                settle(&in_flight, failure.counts_as_failure(retryable), now);
                record::attempt(cx, in_flight.endpoint(), AttemptOutcome::Answered);
                return Ok((answer, in_flight));
            }
        } else if !retried {
            record::attempt(cx, endpoint, outcome);
            settle_failure(&in_flight, failure, now);
            return Err(last.into());
        }
        record::attempt(cx, endpoint, outcome);
        cx.retried.push(Arc::from(endpoint.name()));
        cx.local.metrics.retry(cx.local.endpoint_metric(endpoint, upstream.name()));
        match failure {
            Failure::Status(_) => settle(&in_flight, failure.counts_as_failure(true), now),
            _ => settle_failure(&in_flight, failure, now),
        }
        round.tried.insert(endpoint.id());
        round = Round { tries_left, tried: round.tried, fresh: stale };
        upload.rewind();
    }
}

/// Where a request's attempts stand.
struct Round {
    /// The next one included.
    tries_left: u32,
    tried: Tried,
    /// Not over a pooled connection: one was stale, others may be.
    fresh: bool,
}

impl Round {
    /// An endpoint that wasn't tried. After a stale connection, which tells nothing of its endpoint, one that was: a
    /// fresh connection may well do, and nothing else is left.
    fn pick(&self, cx: &RequestContext, upstream: &Upstream, now: Instant) -> Option<InFlight> {
        let again = || if self.fresh { asks::pick(cx, upstream, &Tried::new(), now) } else { None };
        asks::pick(cx, upstream, &self.tried, now).or_else(again)
    }
}

/// Asks the budget; only a retry that is then made is paid for.
fn granted(cx: &RequestContext, upstream: &Upstream, endpoint: &Endpoint, now: Instant) -> bool {
    let granted = upstream.budget().take(now.into_std());
    if !granted {
        cx.local.metrics.retry_refused_by_budget(cx.local.endpoint_metric(endpoint, upstream.name()));
    }
    granted
}

/// Tells the endpoint how the attempt went.
fn settle(in_flight: &InFlight, failed: bool, now: Instant) {
    match failed {
        true => in_flight.fail(now.into_std()),
        false => in_flight.succeed(now.into_std()),
    }
}

/// Tells the endpoint that an attempt brought no head; nothing if that says nothing of the endpoint.
fn settle_failure(in_flight: &InFlight, failure: Failure, now: Instant) {
    if failure.counts_as_failure(true) {
        in_flight.fail(now.into_std());
    }
}

/// What a failed attempt means to the retry rules, to the client, and to the metrics; and whether it was stale.
fn classify(error: &AttemptError) -> (Failure, Reason, AttemptOutcome, bool) {
    match error {
        AttemptError::Connect(ConnectError::TimedOut | ConnectError::HandshakeTimedOut) => {
            (Failure::ConnectTimeout, Reason::ConnectTimedOut, AttemptOutcome::ConnectTimedOut, false)
        }
        AttemptError::Connect(ConnectError::HandshakeFailed(_)) => {
            (Failure::Connect, Reason::UpstreamTlsFailed, AttemptOutcome::TlsFailed, false)
        }
        AttemptError::Connect(ConnectError::Failed(_) | ConnectError::Exhausted(_)) => {
            (Failure::Connect, Reason::ConnectFailed, AttemptOutcome::ConnectFailed, false)
        }
        AttemptError::Connect(ConnectError::NoHttp2) => {
            (Failure::Connect, Reason::UpstreamNoHttp2, AttemptOutcome::TlsFailed, false)
        }
        AttemptError::Refused { leaving, stale } => {
            let failure = if *leaving { Failure::Leaving } else { Failure::Refused };
            (failure, Reason::UpstreamRefused, AttemptOutcome::Refused, *leaving && *stale)
        }
        AttemptError::Reset => (Failure::Error, Reason::UpstreamReset, AttemptOutcome::Reset, false),
        AttemptError::Closed { stale } => (Failure::Error, Reason::UpstreamClosed, AttemptOutcome::Closed, *stale),
        AttemptError::TimedOut => (Failure::Timeout, Reason::UpstreamTimedOut, AttemptOutcome::TimedOut, false),
        AttemptError::Invalid(reason) => (Failure::InvalidHeader, *reason, AttemptOutcome::BadHead, false),
        AttemptError::Downstream(reason) => (Failure::Error, *reason, AttemptOutcome::Canceled, false),
    }
}

fn send_head<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, answer: &Answer) {
    let head = &answer.head;
    cx.status = match head.status {
        // RFC 8441 4: HTTP/2 doesn't switch, its stream is open.
        101 if cx.head.version == Version::Http2 => 200,
        status => status,
    };
    let bytes = exchange.send_head(&Response {
        status: cx.status,
        fields: &head.fields,
        named: Named::of(&head.fields),
        rules: cx.response_rules(),
        standing: cx.standing.as_ref(),
        length: answer.length,
        head_only: cx.head.method == Method::Head || matches!(head.status, 204 | 304),
        upgrade: (head.status == 101).then(|| head.fields.get(FieldId::Upgrade).unwrap_or_default()),
    });
    cx.head_sent = bytes as u64;
}

/// Pools the connection if nothing more can come over it but another response.
fn keep(cx: &RequestContext, upstream: &Upstream, in_flight: &InFlight, answer: Answer) {
    let config = upstream.config();
    let connection = answer.into_reusable().filter(|connection| connection.input.is_empty());
    if let Some(connection) = connection.filter(|_| !cx.local.is_draining()) {
        let mut pool = cx.local.pool.borrow_mut();
        pool.put(in_flight.endpoint(), connection, config.idle_connections, config.timeouts.idle);
    }
}
