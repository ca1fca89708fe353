//! The data plane: the only place where a request is handled.
//!
//! Everything here runs on one worker's thread and touches no other. Never reads a configuration file, never imports
//! `control`: what reloads and health checks change arrives through the snapshot and the endpoints' own state.

pub mod asks;
pub mod attempt;
pub mod context;
pub mod downstream;
pub mod exchange;
pub mod forward;
pub mod headers;
pub mod http2;
pub mod local;
pub mod record;
pub mod relay;
pub mod reply;
pub mod stages;
pub mod stall;
pub mod tunnel;
pub mod upload;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use self::context::RequestContext;
use self::exchange::Exchange;
use self::stages::{Admitted, admit, admit_unknown_challenge};
use crate::http::http1::BodyLength;
use crate::reason::Reason;
use crate::snapshot::Target;

/// Handles one request: admits it, then forwards it or answers it. What happened is recorded when `cx` is dropped.
pub async fn serve<E: Exchange>(cx: &mut RequestContext, exchange: &mut E, length: BodyLength) {
    let snapshot = Rc::clone(&cx.snapshot);
    let mut admitted = admit(cx);
    if let Ok(Admitted::Challenge { token }) = admitted {
        admitted = match Box::pin(challenge_answer(cx, token)).await {
            Some(answer) => return Box::pin(reply::challenge(cx, exchange, &answer)).await,
            None => admit_unknown_challenge(cx),
        };
    }
    let wait = match admitted {
        Ok(Admitted::Route { wait }) => wait,
        Ok(Admitted::Challenge { .. }) => return,
        Ok(Admitted::Https) => match snapshot.listener(cx.listener).and_then(|listener| listener.redirect.as_ref()) {
            Some(redirect) => return reply::redirect(cx, exchange, redirect).await,
            None => return,
        },
        Err(refusal) => return reply::refuse(cx, exchange, refusal).await,
    };
    let Some(route) = cx.route.and_then(|route| snapshot.route(route)) else { return };
    match &route.terms.target {
        Target::Forward(upstream) => {
            if wait > Duration::ZERO && !waited(exchange, wait).await {
                return reply::refuse(cx, exchange, Reason::ClientGone.into()).await;
            }
            exchange.limit_body(route.terms.max_body_size);
            if let Err(refusal) = forward::forward(cx, exchange, length, upstream).await {
                reply::refuse(cx, exchange, refusal).await;
            }
        }
        Target::Redirect(redirect) => reply::redirect(cx, exchange, redirect).await,
        Target::Reply { status, content_type, body } => reply::fixed(cx, exchange, *status, content_type, body).await,
    }
}

/// What a CA that looks at a challenge is to see, whichever instance has ordered.
async fn challenge_answer(cx: &RequestContext, token: Range<usize>) -> Option<Arc<str>> {
    let certificates = Arc::clone(cx.snapshot.certificates.as_ref()?);
    certificates.challenges().http01(&cx.head.path()[token]).await
}

/// Waits for the slot that a limit has given; `false` if the client has left the queue.
async fn waited<E: Exchange>(exchange: &mut E, wait: Duration) -> bool {
    let mut slot = std::pin::pin!(tokio::time::sleep(wait));
    poll_fn(|cx| match exchange.poll_gone(cx) {
        Poll::Ready(()) => Poll::Ready(false),
        Poll::Pending => slot.as_mut().poll(cx).map(|()| true),
    })
    .await
}
