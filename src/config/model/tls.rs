//! TLS of a listener.

use std::path::PathBuf;
use std::time::Duration;

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    pub min_version: TlsVersion,
    /// What may be agreed on, in the server's order. Default: all.
    pub suites: Vec<CipherSuite>,
    /// Whose order decides on the suite. Default: the server's.
    pub suite_order: SuiteOrder,
    /// From accept to the end of the handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Offer `h2` by ALPN. Default true.
    pub http2: bool,
    /// What a client gets whose SNI names no site's certificate: `false` the default site's, `true` an alert.
    pub strict_sni: bool,
    /// Clients are asked for certificates of their own. Default: they aren't.
    pub client_auth: Option<ClientAuth>,
}

/// The oldest TLS version accepted. Default 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// Whose order of suites decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteOrder {
    /// nginx's `ssl_prefer_server_ciphers on`.
    Server,
    Client,
}

/// The suites that there are: forward secret and authenticated, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CipherSuite {
    Tls13Aes128Gcm,
    Tls13Aes256Gcm,
    Tls13ChaCha20,
    EcdsaAes128Gcm,
    EcdsaAes256Gcm,
    EcdsaChaCha20,
    RsaAes128Gcm,
    RsaAes256Gcm,
    RsaChaCha20,
}

impl CipherSuite {
    /// In the server's order: AES with 128 bits is as safe as any, and the fastest where the processor helps.
    pub const ALL: [Self; 9] = [
        Self::Tls13Aes128Gcm,
        Self::Tls13Aes256Gcm,
        Self::Tls13ChaCha20,
        Self::EcdsaAes128Gcm,
        Self::RsaAes128Gcm,
        Self::EcdsaAes256Gcm,
        Self::RsaAes256Gcm,
        Self::EcdsaChaCha20,
        Self::RsaChaCha20,
    ];

    /// OpenSSL's name, which is nginx's `$ssl_cipher`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls13Aes128Gcm => "TLS_AES_128_GCM_SHA256",
            Self::Tls13Aes256Gcm => "TLS_AES_256_GCM_SHA384",
            Self::Tls13ChaCha20 => "TLS_CHACHA20_POLY1305_SHA256",
            Self::EcdsaAes128Gcm => "ECDHE-ECDSA-AES128-GCM-SHA256",
            Self::EcdsaAes256Gcm => "ECDHE-ECDSA-AES256-GCM-SHA384",
            Self::EcdsaChaCha20 => "ECDHE-ECDSA-CHACHA20-POLY1305",
            Self::RsaAes128Gcm => "ECDHE-RSA-AES128-GCM-SHA256",
            Self::RsaAes256Gcm => "ECDHE-RSA-AES256-GCM-SHA384",
            Self::RsaChaCha20 => "ECDHE-RSA-CHACHA20-POLY1305",
        }
    }

    /// Of TLS 1.3; the others are of TLS 1.2.
    pub fn is_tls13(self) -> bool {
        matches!(self, Self::Tls13Aes128Gcm | Self::Tls13Aes256Gcm | Self::Tls13ChaCha20)
    }
}

/// Certificates of clients (mTLS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// PEM: the authorities that clients' certificates must lead to.
    pub ca: PathBuf,
    /// PEM: certificates that these authorities have revoked. Empty: none is looked for.
    pub crl: Vec<PathBuf>,
    /// Whether a client without a certificate is refused. One with a wrong certificate always is. Default true.
    pub required: bool,
    /// The request field that tells the upstream the certificate's subject (RFC 4514). Clients can't set it themselves,
    /// on whatever listener. Default: none.
    pub subject_header: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            min_version: TlsVersion::Tls12,
            suites: CipherSuite::ALL.to_vec(),
            suite_order: SuiteOrder::Server,
            handshake_timeout: Duration::from_secs(10),
            http2: true,
            strict_sni: false,
            client_auth: None,
        }
    }
}
