//! Configuration: text to checked values.
//!
//! Owns what a user may write ([`file`]), what it means ([`Config`] and its parts, below) and every complaint about it
//! ([`diagnostic`]). Never opens a socket, never looks at a clock, never imports pingora.
//!
//! [`Config`] holds checked values only: whoever has one need not check again. References between its parts are
//! indices into its own lists, and `PartialEq` tells a reload what changed.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// A whole checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Worker threads; `None` is one a usable core (cgroup quota and affinity honored).
    pub workers: Option<NonZeroUsize>,
    /// Downstream connections over all listeners and workers; further ones are closed at once and counted.
    pub max_connections: usize,
    /// Downstream connections from one client address (IPv6: one /64). `None` is no cap.
    pub max_connections_per_client: Option<NonZeroU32>,
    /// After TERM, how long to go on accepting while `/readyz` already says 503. Default 0.
    pub lame_duck: Duration,
    /// After TERM, the longest wait for requests in flight. Default 30 s.
    pub drain_timeout: Duration,
    /// Peers whose X-Forwarded-For and X-Request-Id are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    pub listeners: Vec<Listener>,
    pub sites: Vec<Site>,
    pub upstreams: Vec<Upstream>,
    pub limits: Vec<Limit>,
    pub metrics: Option<Metrics>,
    pub access_log: Option<AccessLog>,
    pub log: Log,
}

/// A bound address and its protocol settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub address: SocketAddr,
    /// TLS is terminated here with the certificates of the sites.
    pub tls: Option<Tls>,
    /// Prior-knowledge HTTP/2 on plaintext is served too. Default false.
    pub h2c: bool,
    /// Answer everything with a redirect to https on this port (443 is left out of the URL).
    pub redirect_https: Option<HttpsRedirect>,
    /// `listen(2)` backlog. Default 4096.
    pub backlog: u32,
    pub http: HttpLimits,
    /// Response headers for everything that leaves through this listener.
    pub response_headers: Vec<HeaderRule>,
}

/// `redirect = "https"` on a plain listener.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HttpsRedirect {
    /// 301, 302, 307 or 308. Default 301.
    pub status: u16,
    /// Port of the https listener. Default 443.
    pub port: u16,
}

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    pub min_version: TlsVersion,
    /// From accept to the end of the handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Offer `h2` by ALPN. Default true.
    pub http2: bool,
    /// What a client gets whose SNI names no site's certificate: `false` the default site's, `true` an alert.
    pub strict_sni: bool,
}

/// The oldest TLS version accepted. Default 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// Bounds on what a client may send, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpLimits {
    /// From the first byte of a request to the end of its head, in total. Default 10 s.
    pub head_timeout: Duration,
    /// Between two requests of a connection. Default 75 s.
    pub idle_timeout: Duration,
    /// Requests a connection. Default 10,000.
    pub max_requests: u64,
    /// Request line and header block. Default 32 KiB.
    pub max_head_bytes: usize,
    /// Header fields in one head. Default 100.
    pub max_fields: usize,
    /// Request target. Default 8 KiB.
    pub max_target_bytes: usize,
    /// A request body slower than this over [`HttpLimits::body_grace`] ends with 408. Bytes a second; default 1 KiB; 0 is off.
    pub min_body_rate: u64,
    /// How long a body may take before its rate is looked at. Default 10 s.
    pub body_grace: Duration,
    /// A client that takes no response byte for this long is cut off. Default 60 s.
    pub send_timeout: Duration,
    /// HTTP/2: concurrent streams. Default 128.
    pub max_streams: u32,
}

/// Host names that share routes and certificates.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Metric label and log field. Default: the first host.
    pub name: Arc<str>,
    pub hosts: Vec<HostPattern>,
    /// Serves what no other site names. At most one; without one, an unknown host is a 404 `no_site`.
    pub default: bool,
    pub certificates: Vec<CertificateFiles>,
    pub response_headers: Vec<HeaderRule>,
    pub replies: Vec<CustomReply>,
    pub routes: Vec<Route>,
}

/// A host as nginx's `server_name` writes it. Lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `example.com`
    Exact(String),
    /// `*.example.com`: holds `.example.com`; matches one or more labels before it.
    LeadingWildcard(String),
    /// `www.example.*`: holds `www.example.`; matches one or more labels after it.
    TrailingWildcard(String),
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    pub chain: PathBuf,
    pub key: PathBuf,
}

/// A match and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Metric label and log field. Default: the path as written.
    pub name: Arc<str>,
    pub path: PathMatch,
    /// Empty: any method. Otherwise upper-case tokens.
    pub methods: Vec<String>,
    /// All must hold.
    pub headers: Vec<HeaderMatch>,
    pub action: Action,
    /// Indices into [`Config::limits`], checked in this order, charged only if all pass. Empty: exempt.
    pub limits: Vec<usize>,
    /// Default 1 MiB; `None` is no bound.
    pub max_body_size: Option<u64>,
    pub request_headers: Vec<HeaderRule>,
    pub response_headers: Vec<HeaderRule>,
}

/// How a route's path is matched: on the decoded, normalized path, as nginx does.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// nginx `location = /path`.
    Exact(String),
    /// A prefix that ends on a segment border: `/api` matches `/api` and `/api/x`, not `/apix`. `/` matches all.
    Prefix {
        path: String,
        /// nginx `^~`: if this is the longest prefix, no regex is tried.
        before_regex: bool,
    },
    /// nginx `~`: searched for in the path, in file order, after prefixes; `(?i)` for `~*`.
    Regex(String),
}

/// One condition on a request header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// `None`: present with any value.
    pub value: Option<String>,
}

/// Where a route goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Forward {
        /// Index into [`Config::upstreams`].
        upstream: usize,
    },
    /// `to` may hold `{scheme}`, `{host}`, `{uri}` (raw path and query), `{path}`, `{query}`.
    Redirect {
        status: u16,
        to: String,
    },
    Reply {
        status: u16,
        content_type: String,
        body: Arc<[u8]>,
    },
}

/// One change to a message's header fields. Rules run in order; listener, then site, then route.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderRule {
    /// Replaces every field of this name.
    Set {
        name: String,
        value: String,
    },
    /// Appends one more field.
    Add {
        name: String,
        value: String,
    },
    /// Only when no field of this name is there.
    Default {
        name: String,
        value: String,
    },
    Remove {
        name: String,
    },
}

/// The body of a reply that Tidegate makes itself, by status.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomReply {
    pub status: u16,
    pub content_type: String,
    /// `{status}`, `{reason}` and `{request_id}` are filled in.
    pub body: String,
}

/// A named group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub name: Arc<str>,
    pub policy: Policy,
    pub endpoints: Vec<Endpoint>,
    pub ejection: Ejection,
    pub retry: Retry,
    pub timeouts: UpstreamTimeouts,
    /// Idle connections kept for each endpoint by each worker. Default 256.
    pub idle_connections: usize,
    /// What the Host field says to the upstream.
    pub host: UpstreamHost,
    /// Response head bounds. Defaults 32 KiB and 100 fields.
    pub max_head_bytes: usize,
    pub max_fields: usize,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// nginx `least_conn`, over all workers.
    LeastConn,
    /// nginx's smooth weighted round robin, over all workers.
    RoundRobin,
}

/// The Host field sent upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The request's host, as nginx's `Host $host` in the guide. Default.
    Request,
    /// The endpoint's address as configured (nginx's own default).
    Endpoint,
    Fixed(String),
}

/// One `endpoints = […]` entry. A name that resolves to several addresses becomes several live endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// `host:port` as written.
    pub address: String,
    /// Default 1.
    pub weight: NonZeroU32,
    /// Attempts in flight at once over all workers; `None` is no cap.
    pub max_conns: Option<NonZeroU32>,
    /// Used only when no primary qualifies.
    pub backup: bool,
    /// Never used.
    pub down: bool,
}

/// Passive ejection (nginx's max_fails and fail_timeout).
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// 0 is off. Default 1, as in nginx.
    pub max_fails: u32,
    /// Default 10 s, as in nginx.
    pub fail_timeout: Duration,
    /// Share of the primaries below which no further one is ejected, 0.0 to 1.0. Default 0.5; 0.0 is nginx's way.
    pub min_available: f64,
}

/// When another endpoint is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// nginx `proxy_next_upstream`. Connect errors are always retried unless `tries` is 1.
    pub on: RetryOn,
    /// Attempts in all; `None` is one for each endpoint that isn't down (nginx).
    pub tries: Option<NonZeroU32>,
    /// From the first attempt, no retry starts after this. `None` is no bound. Default 60 s.
    pub timeout: Option<Duration>,
    /// Retries may be this share of requests; `None` is no budget. Default 0.2 with at least 3 a second.
    pub budget: Option<RetryBudget>,
    /// How much of a request body is kept for a replay. Default 64 KiB.
    pub max_replay_bytes: usize,
}

/// Failures that let another endpoint be tried, and that count towards ejection.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryOn {
    /// Connect or transport error, connection closed before the head. Default true.
    pub error: bool,
    /// Connect or response timeout. Default true.
    pub timeout: bool,
    /// A response that can't be parsed. Default false (it counts as a failure all the same).
    pub invalid_header: bool,
    /// Of 500, 502, 503, 504, 403, 404, 429. Default none.
    pub statuses: Vec<u16>,
    /// POST, LOCK and PATCH too, after they were sent. Default false.
    pub non_idempotent: bool,
}

/// So that retries can't multiply an outage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    pub ratio: f64,
    pub min_per_second: u32,
}

/// Deadlines towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpstreamTimeouts {
    /// Default 5 s.
    pub connect: Duration,
    /// From the request sent to the end of the response head. Default 60 s.
    pub response: Duration,
    /// Between two reads of the response body, or two writes of the request. Default 60 s.
    pub between_bytes: Duration,
    /// An idle pooled connection is closed after this. Default 60 s.
    pub idle: Duration,
    /// After an upgrade (WebSocket), without a byte either way. Default 1 h.
    pub tunnel_idle: Duration,
}

/// A named rate limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub name: Arc<str>,
    pub key: LimitKey,
    pub rate: Rate,
    /// Requests beyond the rate that pass at once (nginx's burst): `burst + 1` in one instant. Default 0.
    pub burst: u32,
    /// Excess past this many requests waits for its slot instead of passing at once; `None` is nginx's `nodelay`.
    pub delay: Option<u32>,
    /// Keys held; the oldest are evicted. 16 bytes each. Default 1,048,576.
    pub max_keys: usize,
    /// Default 429.
    pub status: u16,
    /// Counted and logged, but let through.
    pub dry_run: bool,
}

/// What a limit counts by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address; IPv6 by /64.
    ClientIp,
    /// A request header's value, lower-case name; a request without it is not limited.
    Header(String),
    Site,
}

/// Requests in a time: "10/s", "300/m", "1000/h".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub requests: NonZeroU32,
    pub per: Duration,
}

/// The metrics listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    pub address: SocketAddr,
}

/// The access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    pub output: LogOutput,
    pub format: LogFormat,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    Stdout,
    Stderr,
    File(PathBuf),
}

/// How an access record is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    /// nginx's `combined`, byte for byte.
    Combined,
    /// Text with `{field}` places; the fields are those of the JSON form.
    Template(String),
}

/// The event log (state changes, warnings, errors) on stderr.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub level: LogLevel,
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_requests: 10_000,
            max_head_bytes: 32 << 10,
            max_fields: 100,
            max_target_bytes: 8 << 10,
            min_body_rate: 1 << 10,
            body_grace: Duration::from_secs(10),
            send_timeout: Duration::from_secs(60),
            max_streams: 128,
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
        }
    }
}
