//! Endpoints that are found while the process runs.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where endpoints are looked for. Equal ones share what is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointSource {
    /// The A and AAAA records of a name, each with this port.
    Addresses { host: String, port: u16 },
    /// SRV records, under this name.
    Service { name: String },
    /// A file that lists them.
    File(PathBuf),
}

/// As logs and metrics name it.
impl fmt::Display for EndpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { host, port } => write!(f, "dns:{host}:{port}"),
            Self::Service { name } => write!(f, "srv:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// How names are looked up again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolver {
    /// Asked in this order. Empty: those of `/etc/resolv.conf`, with its search domains. Default: empty.
    pub servers: Vec<SocketAddr>,
    /// For one lookup, over all servers and repetitions. Default 5 s.
    pub timeout: Duration,
    /// Names that stand there are not asked for. Default `/etc/hosts`.
    pub hosts_file: Option<PathBuf>,
    /// An answer counts at least so long, whatever its TTL. Default 1 s.
    pub min_refresh: Duration,
    /// And at most so long. Default 5 min.
    pub max_refresh: Duration,
    /// Whether A records are asked for. Default true.
    pub ipv4: bool,
    /// Whether AAAA records are asked for. Default true.
    pub ipv6: bool,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            hosts_file: Some(PathBuf::from("/etc/hosts")),
            min_refresh: Duration::from_secs(1),
            max_refresh: Duration::from_secs(300),
            ipv4: true,
            ipv6: true,
        }
    }
}
