//! What the data plane reports: one value an event.

use std::sync::Arc;
use std::time::Duration;

use super::label::{RouteId, TcpId};
use crate::http::head::Method;
use crate::reason::Reason;

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub struct RequestSample {
    pub route: RouteId,
    pub method: Method,
    /// What the client got, or 499.
    pub status: u16,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Why Tidegate answered itself or cut the response short; `None` if an endpoint's response went through.
    pub reason: Option<Reason>,
    /// Bytes of the request's head and body.
    pub bytes_in: u64,
    /// Bytes of the response's head and body.
    pub bytes_out: u64,
}

/// A TCP connection that is over.
#[derive(Clone, Copy, Debug)]
pub struct TcpSample {
    pub upstream: TcpId,
    /// Why it ended; `None`: both sides had ended.
    pub reason: Option<Reason>,
    /// From accept to the end.
    pub duration: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// One attempt at an endpoint that is over.
#[derive(Clone, Copy, Debug)]
pub struct AttemptSample {
    pub outcome: AttemptOutcome,
    /// From the start of the connect to its end, for a connection opened for this attempt.
    pub connect: Option<Duration>,
    /// From the request sent to the first byte of the response head, if one came.
    pub first_byte: Option<Duration>,
}

/// How the certificates that are got by ACME stand.
#[derive(Clone, Debug, Default)]
pub struct AcmeSample {
    /// Each certificate's site, state, and when something is tried next, in seconds since 1970.
    pub certificates: Vec<(Arc<str>, &'static str, i64)>,
    /// By site and outcome.
    pub attempts: Vec<(Arc<str>, &'static str, u64)>,
    /// How often their store couldn't be read or written.
    pub store_errors: u64,
}

/// A closed set of names that is a metric label.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub(super) const LABELS: &[&str] = &[$($label),+];

            /// The metric label.
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)+ }
            }
        }
    };
}

labels! {
    /// How an attempt at an endpoint ended.
    AttemptOutcome {
        /// A response head came and was used.
        Answered = "answered",
        /// A response head came whose status lets another endpoint be tried.
        BadStatus = "bad_status",
        ConnectFailed = "connect_failed",
        ConnectTimedOut = "connect_timed_out",
        /// The TLS handshake failed.
        TlsFailed = "tls_failed",
        /// The endpoint closed or reset before a response head.
        Closed = "closed",
        /// The endpoint refused the HTTP/2 stream, or is leaving.
        Refused = "refused",
        /// The endpoint reset the HTTP/2 stream before a response head.
        Reset = "reset",
        /// No response head in time.
        TimedOut = "timed_out",
        /// The response head is not HTTP, too large, or ambiguously framed.
        BadHead = "bad_head",
        /// The client went away first.
        Canceled = "canceled",
    }
}

labels! {
    /// Why a downstream connection was not served.
    ConnectionRefusal {
        /// `max_connections` is reached.
        OverCap = "over_cap",
        /// `max_connections_per_client` is reached.
        OverClientCap = "over_client_cap",
        /// `accept(2)` failed; for want of descriptors, as a rule.
        AcceptFailed = "accept_failed",
        /// The listener wants PROXY headers, and the peer is none of those who may send them.
        ProxyUntrusted = "proxy_untrusted",
        /// The connection doesn't begin with a whole PROXY header.
        ProxyMalformed = "proxy_malformed",
        /// No whole PROXY header in time.
        ProxyTimedOut = "proxy_timed_out",
    }
}

labels! {
    /// The error of an HTTP/2 connection whose client broke the rules, or a bound: RFC 9113 7.
    Http2Fault {
        Protocol = "protocol_error",
        FlowControl = "flow_control_error",
        StreamClosed = "stream_closed",
        FrameSize = "frame_size_error",
        Compression = "compression_error",
        /// More of what brings nothing than the connection has credit for.
        Calm = "enhance_your_calm",
    }
}

labels! {
    /// What a rate limit decided on a request.
    Decision {
        Passed = "passed",
        /// Let through after a wait for its slot.
        Delayed = "delayed",
        Refused = "refused",
        /// Would have been delayed or refused, but the limit is on trial.
        DryRun = "dry_run",
    }
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    Completed {
        version: TlsVersion,
        resumed: bool,
    },
    Failed,
    /// A client's certificate is missing where it is required, or isn't believed.
    ClientAuth,
    TimedOut,
}

labels! {
    /// The version that a handshake agreed on.
    TlsVersion {
        Tls12 = "TLSv1.2",
        Tls13 = "TLSv1.3",
    }
}

labels! {
    /// How a TLS handshake with an endpoint ended.
    UpstreamHandshake {
        /// With the certificates.
        Full = "full",
        /// An earlier session stood in for them.
        Resumed = "resumed",
        Failed = "failed",
        TimedOut = "timed_out",
    }
}

/// How a source of endpoints fares, read at a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySample {
    pub source: String,
    /// What it last found.
    pub endpoints: u64,
    pub changes: u64,
    pub failures: u64,
    pub failing: bool,
    /// Seconds since 1970; 0 is never.
    pub last_success: u64,
}

/// Live state of one endpoint, read at a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSample {
    pub upstream: Arc<str>,
    pub endpoint: Arc<str>,
    /// Attempts now at the endpoint.
    pub in_flight: u64,
    pub ejected: bool,
    /// Failures counted towards ejection since the endpoint is known.
    pub failures: u64,
    /// Times it was ejected.
    pub ejections: u64,
}
