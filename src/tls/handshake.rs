//! What a handshake agreed on, for the access log and the metrics.

use rustls::{CipherSuite, Error, HandshakeKind, ProtocolVersion, ServerConnection};

use super::subject::subject;
use crate::metrics::{HandshakeOutcome, TlsVersion};

/// A completed handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub version: TlsVersion,
    /// As nginx's `$ssl_cipher`: OpenSSL's name.
    pub cipher: &'static str,
    /// ALPN agreed on `h2`. Otherwise HTTP/1 is spoken, whether by ALPN or without.
    pub http2: bool,
    /// The name the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// A ticket stood in for the certificate.
    pub resumed: bool,
    /// The subject of the client's certificate (RFC 4514), if it showed one.
    pub client_subject: Option<Box<str>>,
}

impl Handshake {
    /// Reads a connection whose handshake is complete.
    pub fn of(connection: &ServerConnection) -> Self {
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            cipher: suite.map_or("-", cipher_name),
            http2: connection.alpn_protocol() == Some(b"h2"),
            server_name: connection.server_name().map(Box::from),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client_subject: connection.peer_certificates().and_then(|chain| subject(chain.first()?)),
        }
    }

    /// For [`crate::metrics::WorkerMetrics::handshake`].
    pub fn outcome(&self) -> HandshakeOutcome {
        HandshakeOutcome::Completed { version: self.version, resumed: self.resumed }
    }
}

/// How a handshake that failed is counted.
pub fn failure(error: &std::io::Error) -> HandshakeOutcome {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => HandshakeOutcome::ClientAuth,
        _ => HandshakeOutcome::Failed,
    }
}

/// OpenSSL's name of each suite that rustls speaks.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other.as_str().unwrap_or("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_the_name_that_openssl_gives_it() {
        for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
            let name = cipher_name(suite.suite());
            assert!(name.starts_with(if suite.tls13().is_some() { "TLS_" } else { "ECDHE-" }), "{name}");
        }
    }
}
