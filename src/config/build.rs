//! Configurations made by the program: the one-line proxy, the demo, tests.
//!
//! Each constructor has the defaults of the file, and fills in only what can't have one.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::model::{
    AccessLog, Action, CertificateFiles, Config, Ejection, Endpoint, HostPattern, HttpLimits, HttpsRedirect, Limit,
    LimitKey, Listener, Log, LogFormat, LogLevel, LogOutput, Metrics, PathMatch, Policy, Privileges, Rate, Resolver,
    Retry, Route, Site, TcpOptions, Tls, Upstream, UpstreamHost, UpstreamProtocol, UpstreamTimeouts,
};

impl Config {
    /// Listens nowhere and serves nothing; everything else has its default.
    pub fn empty() -> Self {
        Self {
            workers: None,
            max_connections: 16_384,
            max_connections_per_client: None,
            lame_duck: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            ticket_keys: Vec::new(),
            listeners: Vec::new(),
            tcp: Vec::new(),
            sites: Vec::new(),
            upstreams: Vec::new(),
            resolver: Resolver::default(),
            limits: Vec::new(),
            acme: None,
            metrics: None,
            access_log: Some(AccessLog::default()),
            log: Log::default(),
            privileges: Privileges::default(),
        }
    }

    /// One listener, one upstream, every host and path: `tidegate reverse-proxy`.
    pub fn reverse_proxy(from: Listener, to: Upstream) -> Self {
        Self { listeners: vec![from], upstreams: vec![to], sites: vec![Site::any().forward_to(0)], ..Self::empty() }
    }

    #[must_use]
    pub fn with_workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
        self
    }

    #[must_use]
    pub fn with_metrics(mut self, address: SocketAddr) -> Self {
        self.metrics = Some(Metrics { address });
        self
    }
}

impl Listener {
    /// HTTP/1 without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address: address.into(),
            mode: 0o666,
            proxy_protocol: None,
            tls: None,
            h2c: false,
            redirect_https: None,
            backlog: 4096,
            tcp: TcpOptions::default(),
            http: HttpLimits::default(),
            response_headers: Vec::new(),
        }
    }

    /// HTTP/1 and HTTP/2 over TLS, with the certificates of the sites.
    pub fn tls(address: SocketAddr) -> Self {
        Self { tls: Some(Tls::default()), ..Self::plain(address) }
    }

    /// Redirects everything to https on port 443.
    pub fn redirect(address: SocketAddr) -> Self {
        Self { redirect_https: Some(HttpsRedirect::default()), ..Self::plain(address) }
    }
}

impl Site {
    /// Serves every host that no other site names; has no routes yet.
    pub fn any() -> Self {
        Self {
            name: "default".into(),
            hosts: Vec::new(),
            default: true,
            certificates: Vec::new(),
            acme: None,
            response_headers: Vec::new(),
            replies: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// Whether it has a certificate of its own, however it gets it.
    pub fn has_certificate(&self) -> bool {
        !self.certificates.is_empty() || self.acme.is_some()
    }

    /// Serves one host, in lower case; has no routes yet.
    pub fn named(host: &str) -> Self {
        Self { name: host.into(), hosts: vec![HostPattern::Exact(host.to_owned())], default: false, ..Self::any() }
    }

    #[must_use]
    pub fn with_certificate(mut self, certificate: CertificateFiles) -> Self {
        self.certificates.push(certificate);
        self
    }

    #[must_use]
    pub fn with_route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a route for every path to the upstream of this index.
    #[must_use]
    pub fn forward_to(self, upstream: usize) -> Self {
        self.with_route(Route::prefix("/", Action::Forward { upstream }))
    }
}

impl Route {
    /// Takes every request below `path`, without a limit.
    pub fn prefix(path: &str, action: Action) -> Self {
        Self::matching(path, PathMatch::Prefix { path: path.to_owned(), before_regex: false }, action)
    }

    /// Takes every request for exactly `path`, without a limit.
    pub fn exact(path: &str, action: Action) -> Self {
        Self::matching(&format!("= {path}"), PathMatch::Exact(path.to_owned()), action)
    }

    /// Limits it by these entries of [`Config::limits`].
    #[must_use]
    pub fn with_limits(mut self, limits: impl Into<Vec<usize>>) -> Self {
        self.limits = limits.into();
        self
    }

    fn matching(name: &str, path: PathMatch, action: Action) -> Self {
        Self {
            name: name.into(),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            action,
            limits: Vec::new(),
            max_body_size: Some(1 << 20),
            request_headers: Vec::new(),
            response_headers: Vec::new(),
        }
    }
}

impl Upstream {
    /// Least connections over these `host:port` addresses.
    pub fn to<A: Into<String>>(name: &str, addresses: impl IntoIterator<Item = A>) -> Self {
        Self {
            name: name.into(),
            policy: Policy::LeastConn,
            slow_start: None,
            sticky: None,
            locality: None,
            subset: None,
            endpoints: addresses.into_iter().map(Endpoint::at).collect(),
            endpoints_file: None,
            max_endpoints: 1000,
            ejection: Ejection::default(),
            retry: Retry::default(),
            timeouts: UpstreamTimeouts::default(),
            protocol: UpstreamProtocol::Http1,
            tls: None,
            idle_connections: 256,
            splice: false,
            bind: Vec::new(),
            tcp: TcpOptions::default(),
            proxy_protocol: None,
            host: UpstreamHost::Request,
            max_head_bytes: 32 << 10,
            max_fields: 100,
        }
    }
}

impl Endpoint {
    /// A primary endpoint of weight 1.
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            weight: NonZeroU32::MIN,
            max_conns: None,
            backup: false,
            down: false,
            zone: None,
            source: None,
        }
    }
}

impl Limit {
    /// By client address; refuses at once what is beyond `rate` and `burst`.
    pub fn per_client(name: &str, rate: Rate, burst: u32) -> Self {
        Self {
            name: name.into(),
            key: LimitKey::ClientIp,
            rate,
            burst,
            delay: None,
            max_keys: 1 << 20,
            status: 429,
            dry_run: false,
        }
    }
}

impl Rate {
    pub fn per_second(requests: NonZeroU32) -> Self {
        Self { requests, per: Duration::from_secs(1) }
    }
}

impl Action {
    /// A fixed reply in plain text.
    pub fn reply(status: u16, body: &str) -> Self {
        let content_type = "text/plain; charset=utf-8".to_owned();
        Action::Reply { status, content_type, body: Arc::from(body.as_bytes()) }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { output: LogOutput::Stdout, format: LogFormat::Json }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, json: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::load_str;
    use super::super::machine::Nowhere;
    use super::*;

    #[test]
    fn what_is_built_equals_what_is_read_from_a_file_without_further_keys() {
        let text = r#"
            [[listener]]
            address = "127.0.0.1:80"
            [[listener]]
            address = "127.0.0.1:443"
            tls = true
            [[listener]]
            address = "127.0.0.1:81"
            redirect = "https"
            [[site]]
            [[site.route]]
            path = "/"
            upstream = "a"
            [[site.route]]
            path = "= /x"
            reply = "hello"
            limit = "l"
            [[site]]
            hosts = "b.c"
            certificate = { chain = "/c.pem", key = "/k.pem" }
            [[site.route]]
            path = "/"
            upstream = "a"
            [upstream.a]
            endpoints = ["1.2.3.4:80", "h:81"]
            [limit.l]
            rate = "10/s"
            burst = 20
            [metrics]
        "#;
        let loaded = load_str("t.toml", text, &Nowhere).unwrap_or_else(|e| panic!("{e}"));
        let certificate = CertificateFiles { chain: "/c.pem".into(), key: "/k.pem".into() };
        let hello = Route::exact("/x", Action::reply(200, "hello")).with_limits([0]);
        let built = Config {
            listeners: vec![
                Listener::plain(([127, 0, 0, 1], 80).into()),
                Listener::tls(([127, 0, 0, 1], 443).into()),
                Listener::redirect(([127, 0, 0, 1], 81).into()),
            ],
            sites: vec![
                Site::any().forward_to(0).with_route(hello),
                Site::named("b.c").with_certificate(certificate).forward_to(0),
            ],
            upstreams: vec![Upstream::to("a", ["1.2.3.4:80", "h:81"])],
            limits: vec![Limit::per_client("l", Rate::per_second(NonZeroU32::new(10).unwrap()), 20)],
            ..Config::empty().with_metrics(([127, 0, 0, 1], 9900).into())
        };
        assert_eq!(loaded.config, built);
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
}
