//! How connections to the endpoints of an upstream are made.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::socket::SocketOptions;
use crate::config::{self, Address};

/// What all connections of an upstream have in common. A connection made by one is never used for another: after a
/// reload that changed anything of it, the old connections serve no further request.
pub struct Dial {
    id: u32,
    pub(super) socket: SocketOptions,
    pub(super) tls: Option<TlsDial>,
}

/// TLS over them.
pub(super) struct TlsDial {
    pub(super) config: Arc<ClientConfig>,
    /// Tells one from another: of the settings, and of the files that they are made of.
    digest: [u8; 32],
    /// Replaces each endpoint's own.
    server_name: Option<ServerName<'static>>,
}

impl Dial {
    /// Plain text.
    pub fn plain(upstream: &config::Upstream) -> Arc<Self> {
        Self::new(upstream, None)
    }

    /// TLS. `server_name` replaces the host of each endpoint's address; `digest` has to differ where anything does.
    pub fn tls(
        upstream: &config::Upstream,
        config: Arc<ClientConfig>,
        digest: [u8; 32],
        server_name: Option<&str>,
    ) -> Arc<Self> {
        let server_name = server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        Self::new(upstream, Some(TlsDial { config, digest, server_name }))
    }

    fn new(upstream: &config::Upstream, tls: Option<TlsDial>) -> Arc<Self> {
        Arc::new(Self { id: NEXT_ID.fetch_add(1, Relaxed), socket: SocketOptions::of(upstream), tls })
    }

    /// Whether it makes connections as this upstream wants them, over TLS of this digest or, without one, in plain text.
    pub fn suits(&self, upstream: &config::Upstream, digest: Option<&[u8; 32]>) -> bool {
        self.tls.as_ref().map(|tls| &tls.digest) == digest && self.socket == SocketOptions::of(upstream)
    }

    /// What connections to an endpoint are kept under: two of the same key may stand in for each other.
    pub(super) fn connection_key(&self, endpoint: u32) -> u64 {
        u64::from(endpoint) << 32 | u64::from(self.id)
    }
}

impl TlsDial {
    /// Whom the endpoint of this address, as configured, has to prove to be; `None` if no certificate can name it.
    pub(super) fn server_name(&self, configured: &str) -> Option<ServerName<'static>> {
        if configured.starts_with(Address::UNIX) {
            return self.server_name.clone();
        }
        let host = configured.rsplit_once(':').map_or(configured, |(host, _)| host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        self.server_name.clone().or_else(|| ServerName::try_from(host.to_owned()).ok())
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial").field("id", &self.id).field("tls", &self.tls.is_some()).finish()
    }
}

static NEXT_ID: AtomicU32 = AtomicU32::new(0);
