//! Exactly once a request: metrics and the access log.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::context::RequestContext;
use crate::access_log::{Record, TlsRecord};
use crate::http::field::FieldId;
use crate::metrics::{AttemptOutcome, AttemptSample, RequestSample, RouteId};
use crate::reason::Reason;
use crate::snapshot::Target;
use crate::upstream::Endpoint;

/// Counts one attempt that has ended.
pub fn attempt(cx: &RequestContext, endpoint: &Arc<Endpoint>, outcome: AttemptOutcome) {
    let Some(upstream) = upstream_name(cx) else { return };
    let metrics = &cx.local.metrics;
    let id = cx.local.endpoint_metric(endpoint, upstream);
    metrics.attempt(id, AttemptSample { outcome, connect: cx.connect, first_byte: cx.first_byte });
}

/// Counts and logs a request that has ended.
pub fn finish(cx: &mut RequestContext) {
    if !cx.completed {
        let cause = match std::thread::panicking() {
            true => Reason::Panicked,
            false if cx.local.is_draining() => Reason::Stopped,
            false => Reason::ClientGone,
        };
        cx.reason.get_or_insert(cause);
    }
    if cx.status == 0 {
        cx.status = cx.reason.get_or_insert(Reason::ClientGone).status();
    }
    let now = Instant::now();
    cx.local.ended_at.set(now);
    let duration = now.saturating_duration_since(cx.started);
    let route = cx.compiled_route().map_or(RouteId::NONE, |route| route.metric);
    cx.local.metrics.request_finished(&RequestSample {
        route,
        method: cx.head.method,
        status: cx.status,
        duration,
        reason: cx.reason,
        bytes_in: cx.head_received + cx.body_received,
        bytes_out: cx.head_sent + cx.body_sent,
    });
    let mut log = cx.local.log.borrow_mut();
    let Some(log) = log.as_mut() else { return };
    let fields = &cx.head.fields;
    let site = cx.site.and_then(|site| cx.snapshot.site(site));
    let tls = cx.connection.tls.as_ref();
    let user = fields.get(FieldId::Authorization).and_then(basic_user);
    log.write(&Record {
        time: SystemTime::now(),
        client: cx.client,
        peer: cx.connection.peer,
        method: cx.head.method_bytes(),
        target: cx.head.received_target(),
        version: Some(cx.head.version),
        host: cx.head.authority(),
        status: cx.status,
        bytes_sent: cx.body_sent,
        bytes_received: cx.head_received + cx.body_received,
        referer: fields.get(FieldId::Referer),
        user_agent: fields.get(FieldId::UserAgent),
        user: user.as_deref(),
        duration,
        site: site.map_or("", |site| &site.name),
        route: cx.compiled_route().map_or("", |route| &route.name),
        upstream: upstream_name(cx),
        endpoint: cx.endpoint.as_ref().map(|endpoint| endpoint.name()),
        retried: &cx.retried,
        attempts: cx.attempts,
        connect: cx.connect,
        first_byte: cx.first_byte,
        reason: cx.reason,
        request_id: cx.request_id(),
        tls: tls.map(|tls| TlsRecord {
            version: tls.version.label(),
            cipher: tls.cipher,
            resumed: tls.resumed,
            client: tls.client_subject.as_deref(),
        }),
    });
}

fn upstream_name(cx: &RequestContext) -> Option<&str> {
    match &cx.compiled_route()?.terms.target {
        Target::Forward(upstream) => Some(upstream.name()),
        _ => None,
    }
}

/// The user of a Basic Authorization (RFC 7617), as nginx's `$remote_user`.
fn basic_user(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, credentials) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = data_encoding::BASE64.decode(credentials.trim_ascii()).ok()?;
    let end = memchr::memchr(b':', &user)?;
    user.truncate(end);
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_what_stands_before_the_colon() {
        assert_eq!(basic_user(b"Basic YWxpY2U6c2VjcmV0"), Some(b"alice".to_vec()));
        for other in [&b"Bearer abc"[..], b"Basic", b"Basic !!!", b"Basic YWxpY2U=", b""] {
            assert_eq!(basic_user(other), None);
        }
    }
}
