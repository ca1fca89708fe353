//! Responses that Tidegate makes itself: small, in the form the client reads, with the request's id.

use std::future::poll_fn;

use tokio::time::Instant;

use super::context::RequestContext;
use super::exchange::Exchange;
use super::headers::{Response, push_lower_case};
use crate::config::CustomReply;
use crate::filter::hop_by_hop::Named;
use crate::http::field::FieldId;
use crate::http::head::{Fields, Method};
use crate::http::http1::BodyLength;
use crate::http::timer::Timer;
use crate::reason::{Reason, Refusal};
use crate::snapshot::{Redirect, RedirectPart};

/// Answers with a refusal's status and a body that names it.
pub async fn refuse<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, refusal: Refusal) {
    cx.reason = Some(refusal.reason);
    if matches!(refusal.reason, Reason::ClientGone | Reason::SendTimedOut) || exchange.has_started() {
        cx.status = if cx.status == 0 { refusal.status } else { cx.status };
        return exchange.abort();
    }
    if refusal.reason.ends_connection() {
        exchange.end_connection();
    }
    let mut fields = Fields::default();
    if let Some(wait) = refusal.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        fields.push(b"Retry-After", itoa::Buffer::new().format(seconds.max(1)).as_bytes());
    }
    if refusal.status == 405 {
        fields.push(b"Allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    }
    let body = error_body(cx, refusal.status, refusal.reason, &mut fields);
    send(cx, exchange, refusal.status, fields, &body).await;
}

/// Answers with a redirect.
pub async fn redirect<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, redirect: &Redirect) {
    cx.reason = Some(Reason::Redirected);
    if cx.head.host().is_empty() && redirect.parts.contains(&RedirectPart::Host) {
        return refuse(cx, exchange, Reason::BadHost.into()).await;
    }
    let location = location(cx, redirect);
    let mut fields = Fields::default();
    fields.push(b"Location", &location);
    let body = error_body(cx, redirect.status, Reason::Redirected, &mut fields);
    send(cx, exchange, redirect.status, fields, &body).await;
}

/// Answers with a route's fixed reply.
pub async fn fixed<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    status: u16,
    content_type: &str,
    body: &[u8],
) {
    cx.reason = Some(Reason::FixedReply);
    let mut fields = Fields::default();
    if !body.is_empty() {
        fields.push(b"Content-Type", content_type.as_bytes());
    }
    send(cx, exchange, status, fields, body).await;
}

/// Answers a CA that looks at a challenge (RFC 8555 8.3).
pub async fn challenge<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, key_authorization: &str) {
    cx.reason = Some(Reason::ChallengeAnswered);
    let mut fields = Fields::default();
    fields.push(b"Content-Type", b"application/octet-stream");
    send(cx, exchange, Reason::ChallengeAnswered.status(), fields, key_authorization.as_bytes()).await;
}

async fn send<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, status: u16, mut fields: Fields, body: &[u8]) {
    cx.status = status;
    fields.push(b"Server", b"tidegate");
    let head_only = cx.head.method == Method::Head || matches!(status, 204 | 304);
    if head_only && status != 204 {
        fields.push(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
    }
    let body = if head_only { &[] } else { body };
    let bytes = exchange.send_head(&Response {
        status,
        fields: &fields,
        named: Named::of(&fields),
        rules: cx.response_rules(),
        standing: cx.standing.as_ref(),
        length: BodyLength::Known(body.len() as u64),
        head_only,
        upgrade: None,
    });
    cx.head_sent = bytes as u64;
    let mut timer = Timer::new();
    timer.set_after(Instant::now(), cx.snapshot.http_limits(cx.listener).send_timeout);
    let mut sent = 0;
    let result = poll_fn(|task| {
        while sent < body.len() {
            match exchange.poll_send(task, &body[sent..])? {
                std::task::Poll::Ready(n) => sent += n,
                std::task::Poll::Pending => return timer.poll_expired(task).map(|()| Err(Reason::SendTimedOut)),
            }
        }
        match exchange.poll_finish(task, None) {
            std::task::Poll::Pending => timer.poll_expired(task).map(|()| Err(Reason::SendTimedOut)),
            ready => ready,
        }
    })
    .await;
    cx.body_sent = sent as u64;
    if let Err(reason) = result {
        cx.reason = Some(reason);
        exchange.abort();
    }
}

fn location(cx: &RequestContext, redirect: &Redirect) -> Vec<u8> {
    let head = &cx.head;
    let mut location = Vec::with_capacity(head.target().len() + 64);
    for part in &redirect.parts {
        match part {
            RedirectPart::Text(text) => location.extend_from_slice(text.as_bytes()),
            RedirectPart::Scheme => {
                location.extend_from_slice(if cx.connection.tls.is_some() { b"https" } else { b"http" });
            }
            RedirectPart::Host => push_lower_case(head.host(), &mut location),
            RedirectPart::Uri => location.extend_from_slice(head.target()),
            RedirectPart::Path => location.extend_from_slice(head.path()),
            RedirectPart::Query => location.extend_from_slice(head.query().unwrap_or_default()),
        }
    }
    location
}

/// The site's own body for this status, or ours in the form that Accept prefers.
fn error_body(cx: &RequestContext, status: u16, reason: Reason, fields: &mut Fields) -> Vec<u8> {
    let id = std::str::from_utf8(cx.request_id()).unwrap_or_default();
    if let Some(custom) = custom_reply(cx, status) {
        fields.push(b"Content-Type", custom.content_type.as_bytes());
        let status = status.to_string();
        let body =
            custom.body.replace("{status}", &status).replace("{reason}", reason.name()).replace("{request_id}", id);
        return body.into_bytes();
    }
    let phrase = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
    let name = reason.name();
    let (content_type, body) = match preferred_form(cx.head.fields.get(FieldId::Accept)) {
        Form::Json => (
            "application/json",
            format!("{{\"status\":{status},\"error\":\"{phrase}\",\"reason\":\"{name}\",\"request_id\":\"{id}\"}}\n"),
        ),
        Form::Html => (
            "text/html; charset=utf-8",
            format!(
                "<!doctype html><html lang=en><meta charset=utf-8><title>{status} {phrase}</title>\
                 <h1>{status} {phrase}</h1><p>{name}<p>Request id: <code>{id}</code></html>\n"
            ),
        ),
        Form::Text => ("text/plain; charset=utf-8", format!("{status} {phrase}: {name}\nrequest id: {id}\n")),
    };
    fields.push(b"Content-Type", content_type.as_bytes());
    body.into_bytes()
}

fn custom_reply(cx: &RequestContext, status: u16) -> Option<&CustomReply> {
    let site = cx.snapshot.site(cx.site?)?;
    site.replies.iter().find(|reply| reply.status == status)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

/// The first of our forms that Accept names; a wildcard or nothing is text. Weights order a list nobody writes for errors.
fn preferred_form(accept: Option<&[u8]>) -> Form {
    for range in accept.unwrap_or_default().split(|b| *b == b',') {
        let range = range.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let form = match range.to_ascii_lowercase().as_slice() {
            b"text/html" | b"application/xhtml+xml" => Form::Html,
            b"application/json" | b"application/problem+json" => Form::Json,
            b"text/plain" | b"text/*" => Form::Text,
            _ => continue,
        };
        return form;
    }
    Form::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_first_that_accept_names() {
        for (accept, form) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("image/png, Application/JSON;q=0.5"), Form::Json),
        ] {
            assert_eq!(preferred_form(accept.map(str::as_bytes)), form, "{accept:?}");
        }
    }
}
