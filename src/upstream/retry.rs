//! Whether another endpoint is tried after a failure, and whether the failure counts.
//!
//! nginx's `ngx_http_upstream_next` and `ngx_http_upstream_test_next`, decided without doing anything. The
//! [`RetryBudget`] is asked afterwards, by the caller.

use std::time::Duration;

pub use super::budget::RetryBudget;
use crate::config;
use crate::http::head::Method;

/// How an attempt failed before anything of its response went to the client. What happens after that never counts and is
/// never retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection was refused or could not be made; nothing was sent.
    Connect,
    /// No connection within its timeout; nothing was sent.
    ConnectTimeout,
    /// The endpoint says that it has done nothing of the request (RFC 9113 8.7): the stream was refused.
    Refused,
    /// The same, because it is about to close the connection: a GOAWAY that left the request out (RFC 9113 6.8).
    Leaving,
    /// A transport error, or the connection closed, before the response head.
    Error,
    /// No response head in time.
    Timeout,
    /// A response head that can't be parsed.
    InvalidHeader,
    /// A whole response head with this status.
    Status(u16),
}

impl Failure {
    /// Whether it counts towards ejection. `retryable` is what [`may_retry`] said.
    ///
    /// Everything but a status always does. A status does only where nginx would go on to the next endpoint: it is
    /// listed and another try is left; the last attempt's is passed on uncounted. 403 and 404 never do
    /// (`NGX_PEER_NEXT`). A retry that only the budget forbids counts all the same: the endpoint did fail.
    pub fn counts_as_failure(self, retryable: bool) -> bool {
        match self {
            Failure::Status(403 | 404) | Failure::Leaving => false,
            Failure::Status(_) => retryable,
            Failure::Connect
            | Failure::ConnectTimeout
            | Failure::Refused
            | Failure::Error
            | Failure::Timeout
            | Failure::InvalidHeader => true,
        }
    }

    /// Whether the configuration names it (nginx `proxy_next_upstream`).
    fn is_listed(self, on: &config::RetryOn) -> bool {
        match self {
            // Nothing has reached an endpoint, so there is nothing that a retry could do twice.
            Failure::Connect | Failure::Refused | Failure::Leaving => true,
            Failure::Error => on.error,
            Failure::ConnectTimeout | Failure::Timeout => on.timeout,
            Failure::InvalidHeader => on.invalid_header,
            Failure::Status(status) => on.statuses.contains(&status),
        }
    }
}

/// Whether nginx's rules let another endpoint be tried.
///
/// - `method`: POST, LOCK and PATCH are not sent twice unless `non_idempotent` is on.
/// - `sent`: whether any byte of the request was written in *this* attempt; a failed connect leaves it false.
/// - `tries_left`: of [`Upstream::tries`](super::Upstream::tries), without this attempt. The error of a kept-alive
///   connection that had gone stale gives its try back: pass the number from before the attempt.
/// - `replayable`: whether the body can be sent from its start again (nginx `!request_body_no_buffering`).
/// - `elapsed`: since the first attempt of this request started.
///
/// The caller adds what no argument can say: nothing once a byte of a response went to the client, and nothing if the
/// client is gone.
pub fn may_retry(
    retry: &config::Retry,
    failure: Failure,
    method: Method,
    sent: bool,
    tries_left: u32,
    replayable: bool,
    elapsed: Duration,
) -> bool {
    tries_left > 0
        && failure.is_listed(&retry.on)
        && (!sent || method.is_retried() || retry.on.non_idempotent)
        && (!sent || replayable)
        && retry.timeout.is_none_or(|timeout| elapsed < timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> config::Retry {
        config::Retry {
            on: config::RetryOn {
                error: true,
                timeout: true,
                invalid_header: false,
                statuses: Vec::new(),
                non_idempotent: false,
            },
            tries: None,
            timeout: Some(Duration::from_secs(60)),
            budget: None,
            max_replay_bytes: 65_536,
        }
    }

    fn retries(retry: &config::Retry, failure: Failure, method: Method, sent: bool) -> bool {
        may_retry(retry, failure, method, sent, 1, true, Duration::ZERO)
    }

    #[test]
    fn by_default_errors_and_timeouts_are_retried_and_nothing_else() {
        for (failure, expected) in [
            (Failure::Connect, true),
            (Failure::ConnectTimeout, true),
            (Failure::Error, true),
            (Failure::Timeout, true),
            (Failure::InvalidHeader, false),
            (Failure::Status(502), false),
        ] {
            assert_eq!(retries(&retry(), failure, Method::Get, true), expected, "{failure:?}");
        }
    }

    #[test]
    fn each_kind_is_retried_only_if_listed() {
        let mut some = retry();
        some.on = config::RetryOn {
            error: false,
            timeout: false,
            invalid_header: true,
            statuses: vec![503, 404],
            non_idempotent: false,
        };
        for (failure, expected) in [
            (Failure::Connect, true),
            (Failure::ConnectTimeout, false),
            (Failure::Error, false),
            (Failure::Timeout, false),
            (Failure::InvalidHeader, true),
            (Failure::Status(503), true),
            (Failure::Status(404), true),
            (Failure::Status(502), false),
        ] {
            assert_eq!(retries(&some, failure, Method::Get, true), expected, "{failure:?}");
        }
    }

    #[test]
    fn post_lock_and_patch_are_not_retried_once_sent() {
        for method in [Method::Post, Method::Lock, Method::Patch] {
            assert!(!retries(&retry(), Failure::Error, method, true));
            assert!(retries(&retry(), Failure::Connect, method, false));
        }
        for method in [Method::Get, Method::Put, Method::Delete, Method::Other] {
            assert!(retries(&retry(), Failure::Error, method, true));
        }
    }

    #[test]
    fn non_idempotent_lets_a_sent_post_be_retried() {
        let mut all = retry();
        all.on.non_idempotent = true;
        assert!(retries(&all, Failure::Error, Method::Post, true));
    }

    #[test]
    fn the_last_try_is_the_last() {
        assert!(!may_retry(&retry(), Failure::Connect, Method::Get, false, 0, true, Duration::ZERO));
    }

    #[test]
    fn a_body_that_is_gone_is_not_sent_again_but_may_be_sent_first() {
        assert!(!may_retry(&retry(), Failure::Error, Method::Put, true, 1, false, Duration::ZERO));
        assert!(may_retry(&retry(), Failure::Connect, Method::Put, false, 1, false, Duration::ZERO));
    }

    #[test]
    fn no_retry_starts_when_the_time_is_over() {
        let elapsed = Duration::from_secs(60);
        assert!(!may_retry(&retry(), Failure::Error, Method::Get, true, 1, true, elapsed));
        let unbounded = config::Retry { timeout: None, ..retry() };
        assert!(may_retry(&unbounded, Failure::Error, Method::Get, true, 1, true, elapsed));
    }

    #[test]
    fn a_status_counts_only_if_it_is_retried_and_403_and_404_never() {
        for (status, retryable, expected) in
            [(502, true, true), (502, false, false), (403, true, false), (404, true, false), (429, true, true)]
        {
            assert_eq!(Failure::Status(status).counts_as_failure(retryable), expected, "{status}");
        }
    }

    #[test]
    fn errors_timeouts_and_invalid_heads_always_count() {
        for failure in
            [Failure::Connect, Failure::ConnectTimeout, Failure::Error, Failure::Timeout, Failure::InvalidHeader]
        {
            assert!(failure.counts_as_failure(false) && failure.counts_as_failure(true));
        }
    }
}
