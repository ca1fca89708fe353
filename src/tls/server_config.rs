//! rustls's settings for a listener, and the tickets that all listeners and workers share.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};

use super::store::{Resolver, Store};
use crate::config::{Tls, TlsVersion};

/// The keys of session tickets (RFC 5077), made at random and replaced every 6 hours; a ticket is good for 6 to 12.
///
/// One for the whole process: a client may come back to any worker and any listener. That is safe because no listener
/// asks clients for certificates, and because rustls resumes only under the server name that the ticket was given for.
pub struct Tickets(Arc<dyn ProducesTickets>);

impl Tickets {
    /// Fails without a source of randomness.
    pub fn new() -> Result<Arc<Tickets>, rustls::Error> {
        Ok(Arc::new(Self(Ticketer::new()?)))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

/// The configuration of a listener: TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`, certificates from `store`.
///
/// Sessions are resumed by ticket only, so nothing is kept for a client that may never return. No early data: it can
/// be replayed (RFC 8446 8).
pub fn server_config(
    listener: &Tls,
    store: Arc<Store>,
    tickets: Arc<Tickets>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[_] = match listener.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let resolver = Resolver { store, strict_sni: listener.strict_sni };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let protocols: &[&[u8]] = if listener.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(&tickets.0);
    // A second ticket would only help a client that resumes twice before it gets the next one, and each costs an
    // encryption and about 250 bytes in every handshake.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
