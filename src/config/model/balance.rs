//! How an endpoint is chosen, and out of which.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

/// How an endpoint is chosen. Whatever it counts, it counts over all workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// nginx `least_conn`.
    LeastConn,
    /// nginx's smooth weighted round robin.
    RoundRobin,
    /// nginx `random two least_conn`.
    Random,
    /// nginx `hash … consistent`, perhaps with bounded loads.
    Hash(Hash),
    /// nginx `ip_hash`.
    IpHash,
    /// Peak EWMA of the time to a response's head, as in Finagle.
    LeastTime,
}

/// Consistent hashing.
#[derive(Clone, Debug, PartialEq)]
pub struct Hash {
    pub key: HashKey,
    /// An endpoint takes at most this many times the average of its weight, at least 1.0; `None` is no bound (nginx).
    pub balance_factor: Option<f64>,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address, as text (nginx `$remote_addr`).
    ClientIp,
    /// As sent, without the query.
    Path,
    /// As sent, with the query (nginx `$request_uri`).
    Uri,
    /// The first field of this name, in lower case.
    Header(String),
    Cookie(String),
}

/// A cookie that leads a client back to its endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Sticky {
    pub cookie: String,
    /// Keys the cookie's value; `None` is a key that the process makes up.
    pub secret: Option<Secret>,
    /// Without it, until the browser is closed.
    pub ttl: Option<Duration>,
    /// `None`: if the request came over TLS.
    pub secure: Option<bool>,
    pub http_only: bool,
    pub same_site: SameSite,
}

/// The `SameSite` attribute of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// Something that is never printed, and whose memory is overwritten by the last who lets go of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Endpoints of the process's own zone come first.
#[derive(Clone, Debug, PartialEq)]
pub struct Locality {
    pub zone: String,
    /// Share of the zone's endpoints, 0.0 to 1.0, below which all zones are used. Default 0.5.
    pub min_local: f64,
}

/// Only some of the primary endpoints are used by this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    pub size: usize,
    /// Tells this process from others; `None` is the host's name.
    pub instance: Option<String>,
}
