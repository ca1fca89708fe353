//! What listeners and upstreams say about sockets alike.

use crate::config::read::Many;
use crate::config::table::table;
use crate::config::value::{Network, Number, Timeout};

table! {
    /// TCP keep-alive: probes on silent connections, so that a peer that vanished is found out. What isn't said is the
    /// system's (`net.ipv4.tcp_keepalive_…`).
    ///
    /// ```toml
    /// [[listener]]
    /// address = ":80"
    /// tcp_keepalive = { idle = "60s", interval = "10s", count = 6 }
    /// ```
    pub(crate) struct KeepAliveFile {
        /// Silence before the first probe, in whole seconds.
        idle: Timeout,
        /// Between two probes, in whole seconds.
        interval: Timeout,
        /// Probes without an answer after which the connection ends.
        count: Number<1, 127>,
    }
}

table! {
    /// The PROXY protocol, versions 1 and 2: every connection begins with a header that tells whom it is for, before TLS
    /// and HTTP. What the header says is the client then: for limits, logs and `X-Forwarded-For`. A connection without a
    /// header, or from anybody else, is closed and counted.
    ///
    /// ```toml
    /// [[listener]]
    /// address = ":443"
    /// tls = true
    /// proxy_protocol = { from = ["10.0.0.0/8"], timeout = "2s" }
    /// ```
    pub(crate) struct ProxyProtocolFile {
        /// Who may send headers. Without it: the top-level `trusted_proxies`.
        from: Many<Network>,
        /// From accept to the end of the header.
        timeout: Timeout = "5s",
    }
}
