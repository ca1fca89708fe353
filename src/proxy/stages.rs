//! THE ORDER in which a request passes the stages.
//!
//! Cheap refusals come before costly ones, and no request stage contacts an endpoint.

use std::ops::Range;
use std::time::Duration;

use super::context::RequestContext;
use crate::filter::limit::{self, LimitInput, Verdict};
use crate::http::field::FieldId;
use crate::http::head::{Method, Version};
use crate::metrics::Decision;
use crate::reason::{Reason, Refusal};
use crate::route::path::normalize;
use crate::snapshot::{CompiledRoute, Target};

/// Where an admitted request goes.
pub enum Admitted {
    /// A CA looks at a challenge: it gets this, or hears that there is none.
    Challenge { token: Range<usize> },
    /// The listener sends everything to https.
    Https,
    /// To its route's target, after `wait`: a limit's `delay`.
    Route { wait: Duration },
}

/// Request stages, in order.
///
/// # Errors
/// The refusal of the first stage that doesn't let the request pass.
pub fn admit(cx: &mut RequestContext) -> Result<Admitted, Refusal> {
    refuse_methods(cx)?;
    refuse_expectation(cx)?;
    if let Some(token) = challenge_token(cx) {
        return Ok(Admitted::Challenge { token });
    }
    admit_to_route(cx)
}

/// The stages for a request that looked like a CA's, but whose token nobody knows. It may be meant for another ACME client
/// behind a route; not where the site has its certificate from us.
///
/// # Errors
/// As [`admit`].
pub fn admit_unknown_challenge(cx: &mut RequestContext) -> Result<Admitted, Refusal> {
    let site = cx.snapshot.router.site(cx.head.host());
    match site.and_then(|site| cx.snapshot.site(site)) {
        Some(site) if site.by_acme => Err(Reason::ChallengeUnknown.into()),
        _ => admit_to_route(cx),
    }
}

fn admit_to_route(cx: &mut RequestContext) -> Result<Admitted, Refusal> {
    if cx.snapshot.listener(cx.listener).is_some_and(|listener| listener.redirect.is_some()) {
        return Ok(Admitted::Https);
    }
    find_site(cx)?;
    refuse_misdirected(cx)?;
    find_route(cx)?;
    // As in nginx: what `return` answers is never limited.
    if !cx.compiled_route().is_some_and(|route| matches!(route.terms.target, Target::Forward(_))) {
        return Ok(Admitted::Route { wait: Duration::ZERO });
    }
    refuse_large_body(cx)?;
    Ok(Admitted::Route { wait: take_limits(cx)? })
}

fn refuse_methods(cx: &RequestContext) -> Result<(), Refusal> {
    match cx.head.method {
        Method::Connect | Method::Trace => Err(Reason::MethodRefused.into()),
        _ => Ok(()),
    }
}

/// RFC 9110 10.1.1: an expectation that can't be met is refused; HTTP/1.0 has none.
fn refuse_expectation(cx: &RequestContext) -> Result<(), Refusal> {
    match cx.head.fields.get(FieldId::Expect) {
        Some(value) if cx.head.version != Version::Http10 && !value.eq_ignore_ascii_case(b"100-continue") => {
            Err(Reason::ExpectationFailed.into())
        }
        _ => Ok(()),
    }
}

/// Where the token stands in the path of a CA's request (RFC 8555 8.3).
fn challenge_token(cx: &RequestContext) -> Option<Range<usize>> {
    cx.snapshot.certificates.as_ref()?;
    let path = cx.head.path();
    path.starts_with(CHALLENGE_PATH).then_some(CHALLENGE_PATH.len()..path.len())
}

const CHALLENGE_PATH: &[u8] = b"/.well-known/acme-challenge/";

fn find_site(cx: &mut RequestContext) -> Result<(), Refusal> {
    cx.site = Some(cx.snapshot.router.site(cx.head.host()).ok_or(Reason::NoSite)?);
    Ok(())
}

/// RFC 9110 15.5.20. A client that named a host in its handshake gets that certificate's sites only.
fn refuse_misdirected(cx: &RequestContext) -> Result<(), Refusal> {
    let Some(sni) = cx.connection.tls.as_ref().and_then(|tls| tls.server_name.as_deref()) else { return Ok(()) };
    let snapshot = &cx.snapshot;
    let named = snapshot.router.site(sni.as_bytes());
    if named == cx.site || snapshot.share_certificate(named, cx.site) {
        return Ok(());
    }
    Err(Reason::Misdirected.into())
}

fn find_route(cx: &mut RequestContext) -> Result<(), Refusal> {
    let mut scratch = Vec::new();
    let path = normalize(cx.head.path(), &mut scratch).ok_or(Reason::BadPath)?;
    let site = cx.site.ok_or(Reason::NoSite)?;
    cx.route = Some(cx.snapshot.router.find(site, path, &cx.head)?);
    Ok(())
}

/// nginx's `client_max_body_size`, from what the head announces; the rest is counted as it comes.
fn refuse_large_body(cx: &RequestContext) -> Result<(), Refusal> {
    let announced = cx.head.fields.get(FieldId::ContentLength);
    let announced =
        announced.and_then(|value| std::str::from_utf8(value).ok()).and_then(|value| value.parse::<u64>().ok());
    match (announced, cx.compiled_route().and_then(|route| route.terms.max_body_size)) {
        (Some(length), Some(max)) if length > max => Err(Reason::BodyTooLarge.into()),
        _ => Ok(()),
    }
}

fn take_limits(cx: &mut RequestContext) -> Result<Duration, Refusal> {
    let Some(route) = cx.compiled_route().filter(|route| !route.terms.limits.is_empty()) else {
        return Ok(Duration::ZERO);
    };
    let Some(site) = cx.site else { return Ok(Duration::ZERO) };
    let now = cx.started.into_std().saturating_duration_since(cx.local.epoch);
    let site = cx.snapshot.site(site).map_or("", |site| &site.name);
    let verdict =
        limit::take(&route.terms.limits, &LimitInput { client: cx.client, site, fields: &cx.head.fields, now });
    count_decisions(cx, route, &verdict);
    match verdict {
        Verdict::Pass { wait, .. } => Ok(wait),
        Verdict::Refused { status, retry_after, standing, .. } => {
            cx.standing = Some(standing);
            Err(Refusal { reason: Reason::Limited, status, retry_after: Some(retry_after) })
        }
    }
}

fn count_decisions(cx: &RequestContext, route: &CompiledRoute, verdict: &Verdict) {
    let (dry_run, refused_by, delayed) = match verdict {
        Verdict::Pass { wait, dry_run, .. } => (dry_run, None, !wait.is_zero()),
        Verdict::Refused { by, dry_run, .. } => (dry_run, Some(*by), false),
    };
    for (index, metric) in route.terms.limit_metrics.iter().enumerate() {
        let decision = match refused_by {
            _ if dry_run.contains(index) => Decision::DryRun,
            Some(by) if by == index => Decision::Refused,
            Some(_) => continue,
            None if delayed => Decision::Delayed,
            None => Decision::Passed,
        };
        cx.local.metrics.limited(*metric, decision);
    }
}
