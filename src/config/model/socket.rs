//! What is asked of the kernel for a connection.

use std::time::Duration;

/// How the kernel finds out that the other end is gone. Without effect on Unix sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Probes on a connection over which nothing passes (`SO_KEEPALIVE`); `None` is off.
    pub keepalive: Option<KeepAlive>,
    /// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`); `None` is the system's.
    pub user_timeout: Option<Duration>,
}

/// TCP keep-alive probes. `None` is the system's own value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Silence before the first probe, in whole seconds (`TCP_KEEPIDLE`).
    pub idle: Option<Duration>,
    /// Between two probes, in whole seconds (`TCP_KEEPINTVL`).
    pub interval: Option<Duration>,
    /// Unanswered probes that end the connection (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

/// PROXY headers from those in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Who may send one. Whoever else connects is turned away.
    pub from: Vec<super::Network>,
    /// From accept to the end of the header. Default 5 s.
    pub timeout: Duration,
}
