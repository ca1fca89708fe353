//! rustls's settings for a listener.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedCipherSuite};

use super::client_auth::client_trust;
use super::load::CertificateError;
use super::store::{Resolver, Store};
use super::tickets::Tickets;
use crate::config::{CipherSuite, SuiteOrder, Tls, TlsVersion};

/// Why a listener can't have TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}", list(.0))]
    ClientAuth(Vec<CertificateError>),
    #[error("no TLS with these settings: {0}")]
    Settings(#[from] rustls::Error),
}

fn list(errors: &[CertificateError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a listener's handshakes are made with.
#[derive(Debug)]
pub struct Server {
    pub settings: Arc<ServerConfig>,
    /// Some sites get their certificates by ACME: a handshake may be a CA's that looks at a challenge. Without, no
    /// handshake pays for the look.
    pub acme: Option<Arc<Store>>,
}

/// The configuration of a listener: its versions and suites, ALPN `h2` and `http/1.1`, certificates from `store`.
///
/// Sessions are resumed by ticket only, so nothing is kept for a client that may never return. No early data: it can
/// be replayed (RFC 8446 8).
///
/// # Errors
/// The authorities of clients' certificates can't be used, or rustls refuses the settings.
pub fn server_config(listener: &Tls, store: Arc<Store>, tickets: &Arc<Tickets>) -> Result<Arc<ServerConfig>, TlsError> {
    make(listener, store, tickets).map(Arc::new)
}

/// [`server_config`] for what isn't HTTP: no protocol is offered.
///
/// # Errors
/// As there.
pub fn tcp_server_config(
    listener: &Tls,
    store: Arc<Store>,
    tickets: &Arc<Tickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = make(listener, store, tickets)?;
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

fn make(listener: &Tls, store: Arc<Store>, tickets: &Arc<Tickets>) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = match listener.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let suites = listener.suites.iter().map(|suite| supported(*suite)).collect();
    let provider = CryptoProvider { cipher_suites: suites, ..default_provider() };
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)?;
    let mut audience = Vec::new();
    let builder = match &listener.client_auth {
        None => builder.with_no_client_auth(),
        Some(settings) => {
            let trust = client_trust(settings).map_err(TlsError::ClientAuth)?;
            // What a ticket's holder was asked for when it got the ticket.
            audience = trust.audience;
            builder.with_client_cert_verifier(trust.verifier)
        }
    };
    let resolver = Resolver { store, strict_sni: listener.strict_sni };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    let protocols: &[&[u8]] = if listener.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.ignore_client_order = listener.suite_order == SuiteOrder::Server;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets.of(&audience);
    // A second ticket would only help a client that resumes twice before it gets the next one, and each costs an
    // encryption and about 250 bytes in every handshake.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn supported(suite: CipherSuite) -> SupportedCipherSuite {
    match suite {
        CipherSuite::Tls13Aes128Gcm => cipher_suite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::Tls13Aes256Gcm => cipher_suite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::Tls13ChaCha20 => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdsaAes128Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdsaAes256Gcm => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdsaChaCha20 => cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::RsaAes128Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::RsaAes256Gcm => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::RsaChaCha20 => cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}
