//! The checked values. Whoever has a [`Config`] need not check again.

mod acme;
mod address;
mod balance;
mod discovery;
mod limit;
mod listener;
mod privileges;
mod site;
mod socket;
mod tcp;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

pub use acme::{Acme, Ask, ChallengeKind, Dns, DnsHow, Eab, Issuer, KeyType, SiteAcme, TsigAlgorithm};
pub use address::{Address, Network};
pub use balance::{Hash, HashKey, Locality, Policy, SameSite, Secret, Sticky, Subset};
pub use discovery::{EndpointSource, Resolver};
pub use limit::{Limit, LimitKey, Rate};
pub use listener::{HttpLimits, HttpsRedirect, Listener};
pub use privileges::{Confine, Privileges};
pub use site::{Action, CertificateFiles, CustomReply, HeaderMatch, HeaderRule, HostPattern, PathMatch, Route, Site};
pub use socket::{KeepAlive, ProxyProtocol, TcpOptions};
pub use tcp::{TcpListener, TcpRoute};
pub use tls::{CipherSuite, ClientAuth, SuiteOrder, Tls, TlsVersion};
pub use upstream::{
    Ejection, Endpoint, Retry, RetryBudget, RetryOn, Upstream, UpstreamHost, UpstreamHttp2, UpstreamProtocol,
    UpstreamTimeouts, UpstreamTls,
};

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
    pub trusted_proxies: Vec<Network>,
    /// Files with the keys of session tickets: the first encrypts, all decrypt. Empty: keys of this process's own.
    pub ticket_keys: Vec<PathBuf>,
    pub listeners: Vec<Listener>,
    pub tcp: Vec<TcpListener>,
    pub sites: Vec<Site>,
    pub upstreams: Vec<Upstream>,
    pub resolver: Resolver,
    pub limits: Vec<Limit>,
    /// `None` if no site gets its certificate by itself.
    pub acme: Option<Acme>,
    pub metrics: Option<Metrics>,
    pub access_log: Option<AccessLog>,
    pub log: Log,
    pub privileges: Privileges,
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
