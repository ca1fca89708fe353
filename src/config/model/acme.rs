//! Certificates that Tidegate gets by itself (ACME, RFC 8555).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;

/// What all sites with `certificate = "acme"` share.
#[derive(Clone, Debug, PartialEq)]
pub struct Acme {
    /// The directory of the certificate store. Default: `/var/lib/tidegate/acme`.
    pub store: PathBuf,
    /// `mailto:` URLs that CAs may write to.
    pub contacts: Vec<String>,
    /// Is asked whether a host may have a certificate before one is ordered in its handshake.
    pub ask: Option<Ask>,
}

/// How the certificate of one site is got.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteAcme {
    /// In the order in which they are tried. Never empty.
    pub issuers: Vec<Issuer>,
    pub key: KeyType,
    /// In the order in which they are tried. Never empty.
    pub challenges: Vec<ChallengeKind>,
    /// Who sets records, for [`ChallengeKind::Dns01`].
    pub dns: Option<Dns>,
    /// The hosts have no certificate before a client asks for them.
    pub on_demand: bool,
}

/// A CA.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// In logs, metrics and the store.
    pub name: Arc<str>,
    /// URL of its directory.
    pub directory: String,
    /// URL of a directory to try first after a failed validation, so that the CA's limits aren't used up.
    pub staging: Option<String>,
    /// The certificates that its directory's server is verified by; `None`: the system's.
    pub root: Option<PathBuf>,
    /// External account binding.
    pub eab: Option<Eab>,
    /// The certificate profile asked for; `None`: the CA's default.
    pub profile: Option<String>,
}

/// An account at the CA, which the ACME account is bound to (RFC 8555 7.3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Eab {
    pub key_id: String,
    /// Decoded.
    pub hmac_key: Secret,
}

/// A certificate's kind of key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    #[default]
    P256,
    P384,
    Rsa2048,
}

/// How a CA is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// A file below `/.well-known/acme-challenge/`, on port 80.
    Http01,
    /// A certificate of its own in a handshake, on port 443 (RFC 8737).
    TlsAlpn01,
    /// A TXT record.
    Dns01,
}

/// Who sets TXT records.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// Default name: that of the `[acme.dns]` table.
    pub name: Arc<str>,
    pub how: DnsHow,
    /// Who is asked for aliases and for a zone's servers; `None`: the system's resolvers.
    pub resolver: Option<SocketAddr>,
    /// The longest wait until a record can be seen. Default 2 min.
    pub propagation_timeout: Duration,
}

/// How TXT records are set.
#[derive(Clone, Debug, PartialEq)]
pub enum DnsHow {
    /// A program, run with `present` or `cleanup`, the record's name and its value.
    Exec { command: Vec<String> },
    /// Dynamic updates (RFC 2136), signed (RFC 8945).
    Update { server: SocketAddr, key_name: String, algorithm: TsigAlgorithm, secret: Secret },
}

/// How updates are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TsigAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// Where is asked whether a host may have a certificate: `GET URL?domain=HOST`, 200 is yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// http or https.
    pub url: String,
}

impl KeyType {
    pub fn name(self) -> &'static str {
        match self {
            KeyType::P256 => "p256",
            KeyType::P384 => "p384",
            KeyType::Rsa2048 => "rsa2048",
        }
    }
}

impl ChallengeKind {
    pub fn name(self) -> &'static str {
        match self {
            ChallengeKind::Http01 => "http-01",
            ChallengeKind::TlsAlpn01 => "tls-alpn-01",
            ChallengeKind::Dns01 => "dns-01",
        }
    }
}
