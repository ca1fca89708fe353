//! Upstreams: endpoints, how one is chosen, when another is tried.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::TcpOptions;
use super::balance::{Locality, Policy, Sticky, Subset};
use super::discovery::EndpointSource;
use super::{CertificateFiles, TlsVersion};
use crate::proxy_protocol::Version;

/// A named group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub name: Arc<str>,
    pub policy: Policy,
    /// How long a returned or added endpoint takes to get its whole part of the requests. `None` is at once.
    pub slow_start: Option<Duration>,
    pub sticky: Option<Sticky>,
    /// Prefers endpoints of one zone.
    pub locality: Option<Locality>,
    pub subset: Option<Subset>,
    pub endpoints: Vec<Endpoint>,
    /// Lists further endpoints, and is read again when it changes.
    pub endpoints_file: Option<PathBuf>,
    /// Of those that are found while the process runs, so many are used. Default 1000.
    pub max_endpoints: usize,
    pub ejection: Ejection,
    pub retry: Retry,
    pub timeouts: UpstreamTimeouts,
    /// Default HTTP/1.1.
    pub protocol: UpstreamProtocol,
    /// `None` is plain text.
    pub tls: Option<UpstreamTls>,
    /// Idle connections kept for each endpoint by each worker. Default 256.
    pub idle_connections: usize,
    /// Long plain bodies pass through a pipe instead of the worker's buffers. Off by default.
    pub splice: bool,
    /// Where connections come from: at most one address of each family. Empty: as the system chooses.
    pub bind: Vec<IpAddr>,
    pub tcp: TcpOptions,
    /// Each connection begins with a PROXY header that names the client it was made for.
    pub proxy_protocol: Option<Version>,
    /// What the Host field says to the upstream.
    pub host: UpstreamHost,
    /// Response head bounds. Defaults 32 KiB and 100 fields.
    pub max_head_bytes: usize,
    pub max_fields: usize,
}

/// What is spoken to the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    Http1,
    /// By ALPN with TLS, with prior knowledge without.
    Http2(UpstreamHttp2),
}

/// How HTTP/2 connections to endpoints are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamHttp2 {
    /// Requests at once over one connection. Default 100.
    pub max_streams: usize,
    /// A connection takes no new request after this; `None` is no bound. Default 1 h.
    pub max_lifetime: Option<Duration>,
    /// A PING after so long a silence while requests are in flight; `None`, the default, is never.
    pub ping_interval: Option<Duration>,
    /// Default 10 s.
    pub ping_timeout: Duration,
}

impl Default for UpstreamHttp2 {
    fn default() -> Self {
        Self {
            max_streams: 100,
            max_lifetime: Some(Duration::from_secs(3600)),
            ping_interval: None,
            ping_timeout: Duration::from_secs(10),
        }
    }
}

/// TLS towards the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the authorities that are believed; `None` is the system's.
    pub ca: Option<PathBuf>,
    /// For SNI and verification; `None` is the host of each endpoint's address.
    pub server_name: Option<String>,
    pub certificate: Option<CertificateFiles>,
    /// Default true.
    pub verify: bool,
    /// Default 1.2.
    pub min_version: TlsVersion,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, server_name: None, certificate: None, verify: true, min_version: TlsVersion::Tls12 }
    }
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
    /// `host:port` or `unix:/path`, as written.
    pub address: String,
    /// Default 1.
    pub weight: NonZeroU32,
    /// Attempts in flight at once over all workers; `None` is no cap.
    pub max_conns: Option<NonZeroU32>,
    /// Used only when no primary qualifies.
    pub backup: bool,
    /// Never used.
    pub down: bool,
    /// Where it stands, for [`Upstream::locality`].
    pub zone: Option<String>,
    /// Where its addresses are looked for as long as the process runs. `None`: once, when it starts.
    pub source: Option<EndpointSource>,
}

impl Upstream {
    /// Everything that is looked at again while the process runs, each once, in the order of the configuration.
    pub fn sources(&self) -> Vec<EndpointSource> {
        let mut sources: Vec<_> = self.endpoints.iter().filter_map(|endpoint| endpoint.source.clone()).collect();
        sources.extend(self.endpoints_file.clone().map(EndpointSource::File));
        let mut seen = HashSet::new();
        sources.retain(|source| seen.insert(source.clone()));
        sources
    }
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

impl Default for Ejection {
    fn default() -> Self {
        Self { max_fails: 1, fail_timeout: Duration::from_secs(10), min_available: 0.5 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: RetryOn::default(),
            tries: None,
            timeout: Some(Duration::from_secs(60)),
            budget: Some(RetryBudget::default()),
            max_replay_bytes: 64 << 10,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { error: true, timeout: true, invalid_header: false, statuses: Vec::new(), non_idempotent: false }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 3 }
    }
}
