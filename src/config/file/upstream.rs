//! `[upstream.NAME]`

use crate::config::model::Policy;
use crate::config::read::{Many, Switch};
use crate::config::table::table;
use crate::config::value::{ByteSize, EndpointAddress, Flag, HostHeader, Number, OffOr, RetryCause, Share, Timeout};

table! {
    /// A named group of endpoints. What it counts (requests in flight, failures) is exact over all workers.
    ///
    /// ```toml
    /// [upstream.backend]
    /// policy = "least_conn"
    /// max_fails = 3
    /// fail_timeout = "30s"
    /// endpoints = ["backend-1:8052", { address = "backend-2:8052", weight = 2 }]
    /// ```
    pub(crate) struct UpstreamFile {
        /// Where requests can go. A name that resolves to several addresses is several endpoints; one that doesn't resolve
        /// is tried again.
        endpoints: Many<EndpointFile> = required,
        /// `"least_conn"`: the one with the fewest requests in flight for its weight, in turn among equals.
        /// `"round_robin"`: all in turn, by weight.
        policy: Policy = "least_conn",
        /// Failures after which an endpoint gets no requests for `fail_timeout`. 0 is never.
        max_fails: Number<0, 1_000_000> = 1,
        /// How long an endpoint stays ejected; then one request tries it. Earlier failures are forgotten when a request
        /// succeeds this long after the last one.
        fail_timeout: Timeout = "10s",
        /// No endpoint is ejected if fewer than this share of the primary ones would be left. 0 is nginx's way.
        min_available: Share = "50%",
        /// When another endpoint is tried: `false` for never, or a table.
        retry: Switch<RetryFile> = true,
        /// Deadlines.
        timeouts: TimeoutsFile = {},
        /// Idle connections that each worker keeps to each endpoint.
        idle_connections: Number<0, 65_535> = 256,
        /// Passes long plain bodies from socket to socket without copying them through the process (Linux `splice`): a third
        /// less of Tidegate's CPU for them. Where clients or endpoints run on the same machine, they pay more than that.
        splice: Flag = false,
        /// What `Host` says to the endpoint: `"request"` the host asked for in lower case and without its port,
        /// `"endpoint"` the endpoint's address, else this text.
        host: HostHeader = "request",
        /// Status line and header of a response together: else 502.
        max_head_size: ByteSize = "32k",
        /// Header fields of a response: else 502.
        max_fields: Number<1, 1000> = 100,
    }
}

table! {
    /// One address of an upstream: the address alone, or a table.
    ///
    /// ```toml
    /// [[upstream.backend.endpoints]]
    /// address = "10.0.0.1:8080"
    /// weight = 3
    /// max_conns = 100
    ///
    /// [[upstream.backend.endpoints]]
    /// address = "10.0.9.1:8080"
    /// backup = true
    /// ```
    pub(crate) struct EndpointFile shorthand address {
        /// Host and port; without a port, 80.
        address: EndpointAddress = required,
        /// Its part of the requests, in proportion to the others'.
        weight: Number<1, 65_535> = 1,
        /// Requests in flight at once, over all workers. Without it there is no cap.
        max_conns: Number<1, 1_000_000>,
        /// Used only if no primary endpoint can be.
        backup: Flag = false,
        /// Never used: taken out by hand.
        down: Flag = false,
    }
}

table! {
    /// When a request is tried on another endpoint. A refused connection is always retried, since nothing was sent.
    /// Never after a byte of the response went to the client.
    ///
    /// ```toml
    /// [upstream.backend.retry]
    /// on = ["error", "timeout", "http_503"]
    /// tries = 2
    /// timeout = "10s"
    /// budget = "10%"
    /// ```
    pub(crate) struct RetryFile {
        /// nginx's `proxy_next_upstream`. `error`: the connection broke; `timeout`: no response in time; `invalid_header`:
        /// not HTTP; `http_…`: this status; `non_idempotent`: POST, LOCK and PATCH too, although they may then be done
        /// twice. Failures listed here count towards ejection.
        on: Many<RetryCause> = ["error", "timeout"],
        /// Attempts in all, the first one included. Without it: as many as there are endpoints.
        tries: Number<1, 1000>,
        /// No retry begins after this time; `"off"` is no bound.
        timeout: OffOr<Timeout> = "60s",
        /// Retries may be this share of all requests, so that they can't multiply an outage; `"off"` is no bound.
        budget: OffOr<Share> = "20%",
        /// Retries a second that the budget always grants.
        budget_min_per_second: Number<0, 1_000_000> = 3,
        /// A request body up to this size is kept, to be sent again; with a larger one there is no retry.
        max_replay_size: ByteSize = "64k",
    }
}

table! {
    /// Deadlines towards the endpoints.
    ///
    /// ```toml
    /// [upstream.backend.timeouts]
    /// connect = "1s"
    /// response = "5m"
    /// ```
    pub(crate) struct TimeoutsFile {
        /// To connect.
        connect: Timeout = "5s",
        /// From the request sent to the end of the response's head: else 504.
        response: Timeout = "60s",
        /// Between two pieces of the response's body, or two of the request's.
        between_bytes: Timeout = "60s",
        /// An idle connection is closed after this. Keep it below the backend's own idle time.
        idle: Timeout = "60s",
        /// A tunnel (WebSocket) is closed after this time without a byte either way.
        tunnel_idle: Timeout = "1h",
    }
}
