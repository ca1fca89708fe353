//! The configuration file as written: its tables, keys and defaults.
//!
//! Only here does a key stand: the reader, the schema and the reference are made from these declarations. What a key
//! means together with others is `check`'s concern.

mod acme;
mod limit;
mod listener;
mod privileges;
mod resolver;
mod site;
mod socket;
mod tcp;
mod tls;
mod upstream;

pub(crate) use acme::{AcmeFile, CertificateChoice, DnsFile, EabFile, IssuerFile, SiteAcmeFile, UpdateFile};
pub(crate) use limit::LimitFile;
pub(crate) use listener::{HttpFile, Https, ListenerFile};
pub(crate) use privileges::ConfineFile;
pub(crate) use resolver::{EndpointsFile, ResolverFile};
pub(crate) use site::{CertificateFile, Condition, CustomReplyFile, HeaderRulesFile, ReplyFile, RouteFile, SiteFile};
pub(crate) use socket::{KeepAliveFile, ProxyProtocolFile};
pub(crate) use tcp::TcpFile;
#[cfg(test)]
pub(crate) use tcp::TcpRouteFile;
pub(crate) use tls::{ClientAuthFile, TlsFile};
#[cfg(test)]
pub(crate) use upstream::HashFile;
pub(crate) use upstream::{EndpointFile, RetryFile, StickyFile, TimeoutsFile, UpstreamFile, UpstreamTlsFile};

use super::model::{LogFormat, LogLevel, LogOutput};
use super::read::{Many, Named, Switch};
use super::table::table;
use super::value::{
    AccountName, Delay, FilePath, InstanceName, IpListenAddress, LogFormatName, Name, Network, Number, Pattern, Workers,
};

table! {
    /// The keys outside of every table. They stand above the first `[table]` of the file.
    ///
    /// ```toml
    /// include = "conf.d/*.toml"
    /// workers = "auto"
    /// trusted_proxies = ["10.0.0.0/8"]
    /// ```
    pub(crate) struct ConfigFile {
        /// More files to read: paths relative to this file, whose last part may hold `*` and `?` (then in the order of
        /// their names). They may add listeners, `[[tcp]]`, sites, upstreams and limits, and include others.
        include: Many<Pattern> = [],
        /// Threads that serve requests. `"auto"` is one a usable core: CPU affinity and the container's quota count.
        workers: Workers = "auto",
        /// Who to become when started as root: a user's name or number. What root may do ends there, but for binding ports
        /// below 1024. All files are read as this user, from the first on, so that a reload can read what the start could:
        /// give keys to its group. Without it the process stays who started it.
        user: AccountName,
        /// The group to be in, in place of the user's own first one. Its other groups stay.
        group: AccountName,
        /// Closes all files to the process but those that the configuration leads to (Landlock): `false` for not at all, or
        /// a table.
        confine: Switch<ConfineFile> = true,
        /// Client connections over all listeners. Further ones are closed at once, and counted.
        max_connections: Number<1, 16_777_216> = 16384,
        /// Client connections from one address (IPv6: from one /64). Without it there is no such cap.
        max_connections_per_client: Number<1, 16_777_216>,
        /// After TERM: how long new connections are still accepted while `/readyz` already says 503, so that a load
        /// balancer in front can notice.
        lame_duck: Delay = "0s",
        /// After TERM: the longest wait for requests in flight. Then they are cut off.
        drain_timeout: Delay = "30s",
        /// Peers whose `X-Forwarded-For` and `X-Request-Id` are believed: the proxies in front of Tidegate. The client is
        /// the last address from the right that isn't one of them. `"unix:"` is whoever comes over a Unix socket.
        trusted_proxies: Many<Network> = [],
        /// Files with the keys of TLS session tickets, for instances behind one address: 48 or 80 random bytes each, as
        /// nginx's `ssl_session_ticket_key` has them (`openssl rand 80`). The first encrypts, all decrypt; to rotate, put a
        /// new file first and reload. Without any, this process makes keys of its own, and new ones every 6 hours.
        ticket_keys: Many<FilePath> = [],
        /// Where this process runs, for upstreams with `prefer = "same-zone"`: such as `"${ZONE}"`.
        zone: Name,
        /// Tells this process from its like, for upstreams with a `subset`. Without it: the host's name. If its only digits
        /// are a number at its end, as with the pods of a StatefulSet, the number alone counts, and the subsets are spread
        /// most evenly.
        instance: InstanceName,
        /// Addresses to listen on.
        listener: Many<ListenerFile> = [],
        /// Addresses whose connections are passed on as they are.
        tcp: Many<TcpFile> = [],
        /// Hosts and their routes.
        site: Many<SiteFile> = [],
        /// Groups of endpoints, by name.
        upstream: Named<UpstreamFile> = {},
        /// How names of endpoints are looked up while the process runs.
        resolver: ResolverFile = {},
        /// Rate limits, by name.
        limit: Named<LimitFile> = {},
        /// Certificates that Tidegate gets by itself.
        acme: AcmeFile,
        /// The metrics listener: `true`, or a table.
        metrics: Switch<MetricsFile> = false,
        /// The access log: `false` for none, or a table.
        access_log: Switch<AccessLogFile> = true,
        /// The event log on stderr.
        log: LogFile = {},
    }
}

impl ConfigFile {
    /// The keys that an included file may have.
    pub(crate) const INCLUDED_KEYS: &[&str] = &["include", "listener", "tcp", "site", "upstream", "limit"];
}

table! {
    /// Prometheus metrics on a listener of their own: `/metrics`, and `/livez` and `/readyz` for health checks.
    ///
    /// ```toml
    /// [metrics]
    /// address = "127.0.0.1:9900"
    /// ```
    pub(crate) struct MetricsFile {
        /// Where to listen. Keep it from the public.
        address: IpListenAddress = "127.0.0.1:9900",
    }
}

table! {
    /// One line a request.
    ///
    /// ```toml
    /// [access_log]
    /// output = "/var/log/tidegate/access.log"
    /// format = "combined"
    /// ```
    pub(crate) struct AccessLogFile {
        /// `"stdout"`, `"stderr"`, or a file, which USR1 opens anew.
        output: LogOutput = "stdout",
        /// `"json"`, `"combined"` (nginx's, byte for byte), or a template such as
        /// `"{client} {status} {duration}"`, whose fields are those of the JSON form.
        format: LogFormat = "json",
    }
}

table! {
    /// What happens to Tidegate itself: starts, reloads, ejections, errors. On stderr.
    ///
    /// ```toml
    /// [log]
    /// level = "warn"
    /// format = "json"
    /// ```
    pub(crate) struct LogFile {
        /// The least important events that are written.
        level: LogLevel = "info",
        /// `"text"` for people, `"json"` for machines.
        format: LogFormatName = "text",
    }
}
