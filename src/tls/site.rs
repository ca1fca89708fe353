//! A site with its certificates: what the store is filled with.

use std::sync::Arc;
use std::time::SystemTime;

use super::inspect::CertificateWarning;
use super::load::{CertificateError, LoadedCertificate, load};
use crate::config::{HostPattern, Site};

/// The certificates of one site. Several may cover different hosts, or the same with different kinds of key.
#[derive(Clone, Debug)]
pub struct SiteCertificates {
    pub site: Arc<str>,
    pub hosts: Vec<HostPattern>,
    /// The site's certificates are for clients that ask for no known host. Without such a site the first is taken.
    pub default: bool,
    /// None: the site is served without TLS, or under another's certificate.
    pub certificates: Vec<LoadedCertificate>,
}

impl SiteCertificates {
    /// Loads all certificates of a site, or tells every error.
    pub fn load(site: &Site) -> Result<Self, Vec<CertificateError>> {
        let (loaded, errors): (Vec<_>, Vec<_>) = site.certificates.iter().map(load).partition(Result::is_ok);
        if !errors.is_empty() {
            return Err(errors.into_iter().filter_map(Result::err).collect());
        }
        Ok(Self {
            site: Arc::clone(&site.name),
            hosts: site.hosts.clone(),
            default: site.default,
            certificates: loaded.into_iter().flatten().collect(),
        })
    }

    /// What clients may dislike at `now`: the certificate's [origin](LoadedCertificate::origin), and why. A host that
    /// no certificate covers is charged to the first.
    pub fn warnings(&self, now: SystemTime) -> Vec<(Arc<str>, CertificateWarning)> {
        let own =
            self.certificates.iter().flat_map(|c| c.warnings(now).into_iter().map(|w| (Arc::clone(&c.origin), w)));
        let bare = self.hosts.iter().filter(|host| !self.certificates.iter().any(|c| c.covers(host)));
        let uncovered = self.certificates.first().into_iter().flat_map(|c| {
            bare.clone().map(|host| {
                let host = match host {
                    HostPattern::Exact(host) => host.clone(),
                    HostPattern::LeadingWildcard(suffix) => format!("*{suffix}"),
                    HostPattern::TrailingWildcard(prefix) => format!("{prefix}*"),
                };
                (Arc::clone(&c.origin), CertificateWarning::HostNotCovered { host })
            })
        });
        own.chain(uncovered).collect()
    }
}
