//! What a certificate says of itself, and what rustls doesn't look at: validity, names, usage, the chain's order.

use std::fmt;
use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use crate::config::HostPattern;

/// Something in a certificate that clients may refuse, though the server can use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateWarning {
    Expired,
    NotYetValid,
    /// It names no host; a common name alone has not counted since RFC 6125.
    NoNames,
    /// No name of the certificate covers this host of the site.
    HostNotCovered {
        host: String,
    },
    /// Its extended key usage leaves out TLS servers.
    NotForServers,
    /// The certificate at this place (from 1) was not issued by the next.
    ChainOrder {
        place: usize,
    },
    /// Issued by an intermediate authority whose certificate is not in the file.
    NoIntermediate,
    /// Users other than the owner and its group can read the key; the mode is given.
    KeyReadableByOthers {
        mode: u32,
    },
}

/// A parsed end-entity certificate.
pub(super) struct Facts {
    /// Lower-case DNS names, wildcards as `*.example.com`, and addresses.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// Bits of an RSA key.
    pub(super) rsa_bits: Option<usize>,
    for_servers: bool,
    from_intermediate: bool,
}

impl Facts {
    /// `None` if the bytes are no certificate.
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let rsa_bits = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        };
        let usage = certificate.extended_key_usage().ok().flatten();
        Some(Self {
            names: names(&certificate),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            rsa_bits,
            for_servers: usage.is_none_or(|usage| usage.value.server_auth || usage.value.any),
            from_intermediate: names_issuer_certificate(&certificate),
        })
    }

    /// Warnings about the certificate itself.
    pub(super) fn warnings(&self, chain: &[CertificateDer<'_>]) -> Vec<CertificateWarning> {
        let mut warnings = Vec::new();
        if self.names.is_empty() {
            warnings.push(CertificateWarning::NoNames);
        }
        if !self.for_servers {
            warnings.push(CertificateWarning::NotForServers);
        }
        if let Some(place) = misplaced(chain) {
            warnings.push(CertificateWarning::ChainOrder { place });
        }
        if chain.len() == 1 && self.from_intermediate {
            warnings.push(CertificateWarning::NoIntermediate);
        }
        warnings
    }
}

/// Whether a certificate's name covers a host (RFC 6125 6.4.3: `*` stands for the whole first label). Both lower case.
pub(super) fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix('*') {
        Some(parent) => host.find('.').is_some_and(|dot| dot > 0 && host[dot..] == *parent),
        None => name == host,
    }
}

/// Whether any of `names` covers all, or for a wildcard the usual part, of what a pattern matches. A trailing wildcard
/// is given the benefit of the doubt, since no certificate can name it.
pub(super) fn covers_pattern(names: &[String], pattern: &HostPattern) -> bool {
    match pattern {
        HostPattern::Exact(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            names.iter().any(|name| covers(name, host))
        }
        HostPattern::LeadingWildcard(suffix) => names.iter().any(|name| name.strip_prefix('*') == Some(suffix)),
        HostPattern::TrailingWildcard(_) => true,
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = alternative.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => ip(bytes).map(|ip| ip.to_string()),
            _ => None,
        })
        .collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// Whether the certificate says where its issuer's certificate can be fetched (RFC 5280 4.2.2.1), which those under a
/// public intermediate do.
fn names_issuer_certificate(certificate: &X509Certificate<'_>) -> bool {
    certificate.iter_extensions().any(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => {
            access.accessdescs.iter().any(|d| d.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS)
        }
        _ => false,
    })
}

/// The place of the first certificate that the next one didn't issue. One that can't be parsed is misplaced too.
fn misplaced(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let links = chain.iter().zip(chain.iter().skip(1)).zip(1..);
    links.filter(|((one, next), _)| !is_issued_by(one, next)).map(|(_, place)| place).next()
}

fn is_issued_by(one: &CertificateDer<'_>, next: &CertificateDer<'_>) -> bool {
    match (X509Certificate::from_der(one), X509Certificate::from_der(next)) {
        (Ok((_, one)), Ok((_, next))) => one.issuer().as_raw() == next.subject().as_raw(),
        _ => false,
    }
}

impl fmt::Display for CertificateWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("has expired: clients will refuse it; renew it"),
            Self::NotYetValid => f.write_str("is not valid yet: check the clock, or wait"),
            Self::NoNames => f.write_str("names no host (subjectAltName): clients will refuse it"),
            Self::HostNotCovered { host } => write!(f, "does not cover the host \"{host}\" of its site"),
            Self::NotForServers => f.write_str("is not meant for TLS servers (extendedKeyUsage)"),
            Self::ChainOrder { place } => {
                write!(f, "is out of order: certificate {place} was not issued by certificate {}", place + 1)
            }
            Self::NoIntermediate => {
                f.write_str("stands alone, but an intermediate authority issued it: use the full chain")
            }
            Self::KeyReadableByOthers { mode } => {
                write!(f, "has a key that any user can read (mode {mode:04o}): chmod it to 0600 or 0640")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        for (name, host, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "x.a.b", false),
            ("*.a.b", "x.a.b", true),
            ("*.a.b", "y.x.a.b", false),
            ("*.a.b", "a.b", false),
            ("*.a.b", ".a.b", false),
            ("*.a.b", "xa.b", false),
        ] {
            assert_eq!(covers(name, host), expected, "{name} {host}");
        }
    }

    #[test]
    fn patterns_are_covered_by_the_names_that_answer_for_them() {
        let names = ["*.a.b".to_string(), "::1".to_string()];
        for (pattern, expected) in [
            (HostPattern::Exact("x.a.b".into()), true),
            (HostPattern::Exact("[::1]".into()), true),
            (HostPattern::Exact("a.b".into()), false),
            (HostPattern::LeadingWildcard(".a.b".into()), true),
            (HostPattern::LeadingWildcard(".b".into()), false),
            (HostPattern::TrailingWildcard("a.".into()), true),
        ] {
            assert_eq!(covers_pattern(&names, &pattern), expected, "{pattern:?}");
        }
    }
}
