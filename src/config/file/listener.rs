//! `[[listener]]`

use serde_json::{Value as Json, json};

use super::{HeaderRulesFile, KeepAliveFile, ProxyProtocolFile, TlsFile};
use crate::config::read::{Many, Switch};
use crate::config::table::table;
use crate::config::value::{
    ByteSize, Complaint, Delay, FileMode, Flag, ListenAddress, Number, OffOr, RedirectStatus, SecurityHeaders, Text,
    Timeout,
};

table! {
    /// An address to listen on. Every listener serves every site.
    ///
    /// ```toml
    /// [[listener]]
    /// address = ["0.0.0.0:80", "[::]:80"]
    /// redirect = "https"
    ///
    /// [[listener]]
    /// address = "0.0.0.0:443"
    /// tls = true
    /// ```
    pub(crate) struct ListenerFile {
        /// One address or several. An IPv6 address takes IPv6 only: list both for both. `"unix:/run/tidegate.sock"` is a
        /// Unix socket: what a process that died left of it is removed, and so is the socket at the end. Its clients have
        /// no address: they are `unix:` to logs and `X-Forwarded-For`, one client to limits, and not counted by
        /// `max_connections_per_client`.
        address: Many<ListenAddress> = required,
        /// The permissions of a Unix socket's file. Without it: `"0666"`, as in nginx.
        mode: FileMode,
        /// Connections begin with a PROXY header that tells their client: `true`, or a table.
        proxy_protocol: Switch<ProxyProtocolFile> = false,
        /// TLS with the sites' certificates: `true`, or a table.
        tls: Switch<TlsFile> = false,
        /// On a plain listener: HTTP/2 from clients that begin with it, besides HTTP/1.
        h2c: Flag = false,
        /// `"https"`: answer every request with a redirect to the same host and raw URI under https.
        redirect: HttpsRedirectFile,
        /// Connections that the kernel holds until they are accepted (`listen(2)`); it has its own bound in
        /// `net.core.somaxconn`.
        backlog: Number<1, 65_535> = 4096,
        /// Probes on silent connections: `true`, or a table.
        tcp_keepalive: Switch<KeepAliveFile> = false,
        /// A connection ends when what was sent over it stays unacknowledged for this long (`TCP_USER_TIMEOUT`). Without
        /// it: some 15 minutes, by the system's retries.
        tcp_user_timeout: Timeout,
        /// What clients may send, and for how long.
        http: HttpFile = {},
        /// A set of fields for every response that leaves here; see [security headers](#security-headers).
        security_headers: SecurityHeaders,
        /// Changes to the header of every response that leaves here.
        response_headers: HeaderRulesFile = {},
    }
}

table! {
    /// A redirect to https: `"https"`, or a table.
    ///
    /// ```toml
    /// [[listener]]
    /// address = ":8080"
    /// redirect = { to = "https", port = 8443, status = 308 }
    /// ```
    pub(crate) struct HttpsRedirectFile shorthand to {
        /// `"https"`: there is nothing else.
        to: Https = "https",
        /// 308 keeps the method, 301 lets clients turn a POST into a GET.
        status: RedirectStatus = 301,
        /// The port that clients reach the TLS listener on; 443 is left out of the URL.
        port: Number<1, 65_535> = 443,
    }
}

table! {
    /// Bounds on what a client may send, and for how long. All deadlines are total ones.
    ///
    /// ```toml
    /// [[listener]]
    /// address = ":80"
    /// http = { idle_timeout = "30s", max_head_size = "16k" }
    /// ```
    pub(crate) struct HttpFile {
        /// From the first byte of a request to the end of its head: else 408.
        head_timeout: Timeout = "10s",
        /// A connection without a request is closed after this. Keep it above the idle time of a balancer in front.
        idle_timeout: Timeout = "75s",
        /// Requests on one connection; then it is closed.
        max_requests: Number<1, 4_294_967_295> = 10000,
        /// Request line and header together: else 431.
        max_head_size: ByteSize = "32k",
        /// Header fields of a request: else 431.
        max_fields: Number<1, 1000> = 100,
        /// Path and query of a request: else 414.
        max_target_size: ByteSize = "8k",
        /// A request body that comes in slower than this many bytes a second ends with 408. `"off"` waits for ever.
        min_body_rate: OffOr<ByteSize> = "1k",
        /// How long a body may take before its rate is looked at.
        body_grace: Delay = "10s",
        /// A client that takes no byte of a response for this long is cut off.
        send_timeout: Timeout = "60s",
        /// HTTP/2: requests at once on one connection.
        max_streams: Number<1, 1000> = 128,
    }
}

/// The only place a listener can redirect to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Https;

impl Text for Https {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"https\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "https" => Ok(Self),
            _ => Err(Complaint::is_not(text, "where a listener can redirect to")
                .label("only \"https\"")
                .help("for another place, give a site's route a `redirect`")),
        }
    }

    fn json() -> Json {
        json!({ "const": "https" })
    }
}
