//! Listeners and what they bound.

use std::time::Duration;

use super::{Address, HeaderRule, ProxyProtocol, TcpOptions, Tls};

/// A bound address and its protocol settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub address: Address,
    /// Permissions of a Unix socket's file. Default 0666, as in nginx.
    pub mode: u32,
    /// Connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS is terminated here with the certificates of the sites.
    pub tls: Option<Tls>,
    /// Prior-knowledge HTTP/2 on plaintext is served too. Default false.
    pub h2c: bool,
    /// Answer everything with a redirect to https on this port (443 is left out of the URL).
    pub redirect_https: Option<HttpsRedirect>,
    /// `listen(2)` backlog. Default 4096.
    pub backlog: u32,
    pub tcp: TcpOptions,
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

impl Default for HttpsRedirect {
    fn default() -> Self {
        Self { status: 301, port: 443 }
    }
}
