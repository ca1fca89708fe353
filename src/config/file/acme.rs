//! `[acme]`, and what a site says of it.

use serde_json::{Value as Json, json};
use toml::de::DeValue;

use super::CertificateFile;
use crate::config::model::{ChallengeKind, KeyType, TsigAlgorithm};
use crate::config::read::{Many, Named, Read, Reader, Value};
use crate::config::schema::Definitions;
use crate::config::table::table;
use crate::config::value::{
    AskUrl, ByAcme, DirectoryUrl, Email, FilePath, Flag, IpListenAddress, IssuerText, Name, SecretText, Timeout, Words,
};

table! {
    /// Certificates that Tidegate gets and renews by itself, for the sites with `certificate = "acme"`. See
    /// [certificates.md](certificates.md).
    ///
    /// ```toml
    /// [acme]
    /// email = "ops@example.com"
    /// agree_terms = true
    ///
    /// [[site]]
    /// hosts = ["example.com", "www.example.com"]
    /// certificate = "acme"
    /// ```
    pub(crate) struct AcmeFile {
        /// Where CAs may write to: one address or several.
        email: Many<Email> = [],
        /// The terms of service of every CA that is asked are agreed to. They want this said before they give an account.
        agree_terms: Flag = false,
        /// The CAs, in the order in which they are tried: `letsencrypt`, `letsencrypt-staging`, `zerossl`, `google`, the
        /// name of an `[acme.issuer]`, or the https URL of an ACME directory.
        issuers: Many<IssuerText> = "letsencrypt",
        /// How CAs are shown that a name is ours, in the order in which it is tried. Without it: `http-01` if there is a
        /// plain listener, `tls-alpn-01` if there is one with TLS, `dns-01` if an `[acme.dns]` can set records.
        challenges: Many<ChallengeKind>,
        /// The kind of key: `p256` (ECDSA), `p384` or `rsa2048`.
        key: KeyType = "p256",
        /// The certificate profile asked for, such as Let's Encrypt's `tlsserver` or `shortlived`.
        profile: Name,
        /// Where accounts, keys, certificates and orders are kept. Several instances may share it. Only this user may read
        /// it.
        store: FilePath = "/var/lib/tidegate/acme",
        /// Get certificates while clients wait in their handshakes, for the sites with `on_demand`: `GET URL?domain=HOST`
        /// must answer 200 first.
        ask: AskUrl,
        /// More about CAs, by name.
        issuer: Named<IssuerFile> = {},
        /// Who sets TXT records for `dns-01`, by name.
        dns: Named<DnsFile> = {},
    }
}

table! {
    /// A CA of your own, or more about one that is known by name.
    ///
    /// ```toml
    /// [acme.issuer.zerossl]
    /// eab = { key_id = "GxBFDQqjFAbqgxcG6v4KCQ", hmac_key_file = "/etc/tidegate/zerossl-key" }
    ///
    /// [acme.issuer.internal]
    /// directory = "https://ca.internal/acme/directory"
    /// root = "tls/internal-root.pem"
    /// ```
    pub(crate) struct IssuerFile {
        /// URL of its ACME directory. Not for those that are known by name.
        directory: DirectoryUrl,
        /// URL of a directory to try first after a failed validation, so that the limits of the real one aren't used up.
        /// Let's Encrypt's is known.
        staging: DirectoryUrl,
        /// PEM file with the certificates that its own server is verified by, in place of the system's.
        root: FilePath,
        /// External account binding: an account at the CA that the one Tidegate makes belongs to.
        eab: EabFile,
        /// The certificate profile asked for, in place of `[acme]`'s.
        profile: Name,
    }
}

table! {
    /// External account binding (RFC 8555 7.3.4): the CA gives both.
    ///
    /// ```toml
    /// [acme.issuer.google]
    /// eab = { key_id = "f2c8b01d9a6e", hmac_key_file = "/etc/tidegate/google-key" }
    /// ```
    pub(crate) struct EabFile {
        /// The key's name.
        key_id: Words = required,
        /// The key, as the CA gives it: base64url.
        hmac_key: SecretText,
        /// The key, from a file.
        hmac_key_file: FilePath,
    }
}

table! {
    /// Sets the TXT records of `dns-01`: exactly one of `exec` and `update`. A name whose `_acme-challenge` is a CNAME is
    /// validated by the record that this leads to.
    ///
    /// ```toml
    /// [acme.dns.hook]
    /// exec = "/usr/local/bin/dns-hook"
    ///
    /// [acme.dns.bind]
    /// update = { server = "192.0.2.53:53", key_name = "tidegate", secret_file = "/etc/tidegate/tsig" }
    /// ```
    pub(crate) struct DnsFile {
        /// A program and its arguments. It is run with three more: `present` or `cleanup`, the record's name, and the text.
        /// It has 60 seconds, and ends with 0 once the record is set.
        exec: Many<Words>,
        /// Dynamic updates (RFC 2136), signed with TSIG.
        update: UpdateFile,
        /// Who is asked where a CNAME leads and which servers a zone has: an IP address and a port. Without it: the
        /// system's resolvers.
        resolver: IpListenAddress,
        /// The longest wait until every server of the zone that answers has the record.
        propagation_timeout: Timeout = "2m",
    }
}

table! {
    /// A name server that takes dynamic updates.
    ///
    /// ```toml
    /// [acme.dns.knot.update]
    /// server = "[2001:db8::53]:53"
    /// key_name = "tidegate"
    /// algorithm = "hmac-sha512"
    /// secret_file = "/etc/tidegate/tsig"
    /// ```
    pub(crate) struct UpdateFile {
        /// The primary server of the zone: an IP address and a port.
        server: IpListenAddress = required,
        /// The TSIG key's name.
        key_name: Words = required,
        /// How updates are signed: `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
        algorithm: TsigAlgorithm = "hmac-sha256",
        /// The TSIG key: base64.
        secret: SecretText,
        /// The TSIG key, from a file.
        secret_file: FilePath,
    }
}

table! {
    /// How one site's certificate is got, in place of what `[acme]` says.
    ///
    /// ```toml
    /// [[site]]
    /// hosts = "*.example.com"
    /// certificate = "acme"
    /// acme = { challenges = "dns-01", dns = "bind" }
    /// ```
    pub(crate) struct SiteAcmeFile {
        /// The CAs, in the order in which they are tried.
        issuers: Many<IssuerText>,
        /// The challenges, in the order in which they are tried.
        challenges: Many<ChallengeKind>,
        /// The kind of key.
        key: KeyType,
        /// The certificate profile.
        profile: Name,
        /// Which `[acme.dns]` sets the records. Without it: the only one there is.
        dns: Name,
        /// Get a certificate for a host when a client first asks for it, if `ask` allows it.
        on_demand: Flag = false,
    }
}

/// `certificate = …`: in files, or got by Tidegate.
#[derive(Clone, Debug)]
pub(crate) enum CertificateChoice {
    Files(CertificateFile),
    Acme,
}

impl Read for CertificateChoice {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(_) => CertificateFile::read(value, reader).map(Self::Files),
            _ => ByAcme::read(value, reader).map(|ByAcme| Self::Acme),
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({ "anyOf": [CertificateFile::schema(definitions), ByAcme::schema(definitions)] })
    }
}
