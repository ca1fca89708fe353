//! What balancing asks of a request, and what it notes of the answer. Nothing, for most upstreams.

use tokio::time::Instant;

use super::attempt::{Answer, AttemptError};
use super::context::RequestContext;
use crate::upstream::{Endpoint, InFlight, Tried, Upstream};

/// Chooses an endpoint that wasn't tried.
#[inline]
pub fn pick(cx: &RequestContext, upstream: &Upstream, tried: &Tried, now: Instant) -> Option<InFlight> {
    let now = now.into_std();
    match upstream.asks() {
        None => upstream.pick(tried, now),
        Some(asks) => upstream.pick_for(&asks.read(&cx.head, cx.client), tried, now),
    }
}

/// Notes how long an attempt took to its response head, or to its failure. A status of 500 and more counts as one, so
/// that an endpoint that only fails quickly isn't preferred.
#[inline]
pub fn note_time(
    upstream: &Upstream,
    endpoint: &Endpoint,
    result: &Result<Answer, AttemptError>,
    started: Instant,
    now: Instant,
) {
    if upstream.asks().is_some_and(|asks| asks.wants_time()) {
        let took = now.saturating_duration_since(started);
        let failed = result.as_ref().map_or(true, |answer| answer.head.status >= 500);
        endpoint.note_time(took, failed, now.into_std());
    }
}

/// Gives the response a cookie that leads the client back to the endpoint, if the upstream is sticky and the client has
/// none that does.
#[inline]
pub fn set_cookie(cx: &RequestContext, upstream: &Upstream, endpoint: &Endpoint, answer: &mut Answer) {
    let Some(asks) = upstream.asks() else { return };
    if let Some(cookie) = asks.new_cookie(&cx.head, endpoint, cx.connection.tls.is_some()) {
        answer.head.fields.push(b"Set-Cookie", cookie.as_bytes());
    }
}
