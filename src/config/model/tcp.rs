//! Listeners that pass TCP connections on.

use std::time::Duration;

use super::{Address, HostPattern, ProxyProtocol, TcpOptions, Tls};

/// A bound address whose connections are passed on as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpListener {
    pub address: Address,
    /// Permissions of a Unix socket's file. Default 0666, as in nginx.
    pub mode: u32,
    /// Connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS is terminated here with the certificates of the sites. [`Tls::http2`] means nothing.
    pub tls: Option<Tls>,
    /// Where the names that TLS clients ask for lead. Without `tls`, their ClientHello is read to find out.
    pub routes: Vec<TcpRoute>,
    /// Index into [`super::Config::upstreams`]: what no route names. `None`: it is closed.
    pub upstream: Option<usize>,
    /// `listen(2)` backlog. Default 4096.
    pub backlog: u32,
    pub tcp: TcpOptions,
    /// How long a ClientHello may take that is read for its name. Default 10 s.
    pub hello_timeout: Duration,
    /// A connection without a byte either way for this long is closed. Default 10 min.
    pub idle_timeout: Duration,
}

/// Names and where they lead.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRoute {
    pub hosts: Vec<HostPattern>,
    /// Index into [`super::Config::upstreams`].
    pub upstream: usize,
}
