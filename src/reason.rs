//! Why Tidegate answered instead of an endpoint, or cut a response short.
//!
//! A leaf that every room may import. [`Reason::status`] is the only place where a cause becomes a status;
//! [`Reason::name`] is the `reason` of the access log and of `tidegate_replies_total`.

use std::time::Duration;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:expr;)+) => {
        /// A cause. The set is closed, so that it can be a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// Every reason, in declaration order.
            pub const ALL: &[Reason] = &[$(Reason::$variant),+];

            /// The access log's `reason` and the metric label.
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// The status the client gets. 499 (nginx's "client closed request") is only ever logged.
            pub fn status(self) -> u16 {
                match self { $(Reason::$variant => $status,)+ }
            }
        }
    };
}

reasons! {
    /// Bad syntax in a request's head: RFC 9112 3, RFC 9110 5.5.
    MalformedHead = "malformed_head", 400;
    /// Content-Length and Transfer-Encoding that could be read in two ways: RFC 9112 6.3.
    AmbiguousFraming = "ambiguous_framing", 400;
    /// Missing, duplicate or invalid Host: RFC 9112 3.2.
    BadHost = "bad_host", 400;
    /// A path that can't be normalized safely.
    BadPath = "bad_path", 400;
    /// Bad chunk framing or trailers in a request's body: RFC 9112 7.1.
    MalformedBody = "malformed_body", 400;
    /// A client spoke plain HTTP to a TLS listener, or TLS or HTTP/2 to a plain one.
    WrongProtocol = "wrong_protocol", 400;
    /// The listener's or the route's redirect.
    Redirected = "redirected", 301;
    /// The route's fixed reply.
    FixedReply = "fixed_reply", 200;
    /// A CA looked at a challenge, and saw its answer: RFC 8555 8.3.
    ChallengeAnswered = "acme_challenge", 200;
    NoSite = "no_site", 404;
    /// A CA's request for a challenge that nobody has ordered, for a site with `certificate = "acme"`.
    ChallengeUnknown = "acme_challenge_unknown", 404;
    NoRoute = "no_route", 404;
    /// CONNECT, and TRACE: a reverse proxy has no use for them.
    MethodRefused = "method_refused", 405;
    HeadTimedOut = "head_timed_out", 408;
    /// The request body missed its minimum rate.
    BodyTimedOut = "body_timed_out", 408;
    BodyTooLarge = "body_too_large", 413;
    TargetTooLong = "target_too_long", 414;
    /// An `Expect` other than 100-continue: RFC 9110 10.1.1.
    ExpectationFailed = "expectation_failed", 417;
    /// The host belongs to another certificate than the connection's: RFC 9110 15.5.20.
    Misdirected = "misdirected", 421;
    /// A TCP connection asks for a name that no route has, and there is no upstream for the rest.
    UnknownServerName = "unknown_server_name", 421;
    /// A TCP connection doesn't begin with a ClientHello where one has to be read.
    NotTls = "not_tls", 400;
    /// A ClientHello that has to be read didn't come in time.
    HelloTimedOut = "hello_timed_out", 408;
    /// A TCP connection was silent both ways for too long.
    IdleTimedOut = "idle_timed_out", 408;
    /// A rate limit; its own status may be configured.
    Limited = "limited", 429;
    HeadTooLarge = "head_too_large", 431;
    /// The client went away before the response was complete.
    ClientGone = "client_gone", 499;
    /// The client took no byte of the response for too long.
    SendTimedOut = "send_timed_out", 499;
    /// The request was cut by the end of the process: `drain_timeout` was over, or it was told to end at once.
    Stopped = "stopped", 503;
    /// A panic in this request's task.
    Panicked = "panicked", 500;
    UnknownTransferCoding = "unknown_transfer_coding", 501;
    /// An Extended CONNECT for another protocol than WebSocket: RFC 8441 4.
    UnknownProtocol = "unknown_protocol", 501;
    /// No endpoint is available: all down, ejected or at max_conns, or the name never resolved.
    NoEndpoint = "no_endpoint", 502;
    ConnectFailed = "connect_failed", 502;
    /// The TLS handshake with the endpoint failed: its certificate isn't believed, or the two don't agree.
    UpstreamTlsFailed = "upstream_tls_failed", 502;
    /// An endpoint that is to speak HTTP/2 doesn't.
    UpstreamNoHttp2 = "upstream_no_http2", 502;
    /// An upgrade (WebSocket) for an upstream that is spoken to in HTTP/2.
    UpstreamNoUpgrade = "upstream_no_upgrade", 502;
    /// The endpoint refused the HTTP/2 stream, or is leaving: it has done nothing of the request.
    UpstreamRefused = "upstream_refused", 502;
    /// The endpoint reset the HTTP/2 stream before a response head.
    UpstreamReset = "upstream_reset", 502;
    /// The endpoint closed or reset before a response head.
    UpstreamClosed = "upstream_closed", 502;
    /// The response head is not HTTP, or its framing is ambiguous.
    BadUpstreamHead = "bad_upstream_head", 502;
    UpstreamHeadTooLarge = "upstream_head_too_large", 502;
    /// More than ten 1xx, or a 101 nobody asked for.
    UpstreamInterim = "upstream_interim", 502;
    /// A WebSocket over HTTP/2 was asked for, and the endpoint didn't switch to it, or not in answer to this request.
    UpgradeDeclined = "upgrade_declined", 502;
    /// The response body broke off or its framing is bad; the client's response was cut short.
    UpstreamBodyBroken = "upstream_body_broken", 502;
    /// The response body stalled; the client's response was cut short.
    UpstreamBodyTimedOut = "upstream_body_timed_out", 504;
    ConnectTimedOut = "connect_timed_out", 504;
    UpstreamTimedOut = "upstream_timed_out", 504;
    UnsupportedVersion = "unsupported_version", 505;
}

impl Reason {
    pub const COUNT: usize = Reason::ALL.len();

    /// Whether an HTTP/1 client that was refused so is not listened to any further, as nginx does after a 400: what it
    /// pipelined behind may be no request, and is not answered.
    pub fn ends_connection(self) -> bool {
        self.status() == 400 || matches!(self, Reason::MethodRefused | Reason::ExpectationFailed)
    }
}

/// A refusal with what its reply needs beyond the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// The configured status of a limit or redirect, else [`Reason::status`].
    pub status: u16,
    /// `Retry-After`, for a limit.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, status: reason.status(), retry_after: None }
    }
}
