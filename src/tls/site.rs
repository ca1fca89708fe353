//! A site with its certificates: what the store is filled with.

use std::sync::Arc;
use std::time::SystemTime;

use super::inspect::CertificateWarning;
use super::load::{CertificateError, LoadedCertificate, load};
use super::slot::Slot;
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
    /// Has its certificate while the process runs, and instead of the others.
    pub slot: Option<Arc<Slot>>,
    /// Each host gets its certificate when a client first asks for it.
    pub on_demand: bool,
}

impl SiteCertificates {
    /// Loads all certificates of a site.
    ///
    /// # Errors
    /// Every error, each with the certificate's index in [`Site::certificates`].
    pub fn load(site: &Site) -> Result<Self, Vec<(usize, CertificateError)>> {
        let mut certificates = Vec::with_capacity(site.certificates.len());
        let mut errors = Vec::new();
        for (index, files) in site.certificates.iter().enumerate() {
            match load(files) {
                Ok(certificate) => certificates.push(certificate),
                Err(faults) => errors.extend(faults.into_iter().map(|fault| (index, fault))),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (name, hosts) = (Arc::clone(&site.name), site.hosts.clone());
        Ok(Self { site: name, hosts, default: site.default, certificates, slot: None, on_demand: false })
    }

    /// What clients may dislike at `now`: a certificate's index, and why. A host that no certificate covers is charged
    /// to the first.
    pub fn warnings(&self, now: SystemTime) -> Vec<(usize, CertificateWarning)> {
        let certificates = self.certificates.iter().enumerate();
        let own = certificates.flat_map(|(index, c)| c.warnings(now).into_iter().map(move |w| (index, w)));
        let served = !self.certificates.is_empty();
        let bare = self.hosts.iter().filter(|host| served && !self.certificates.iter().any(|c| c.covers(host)));
        let uncovered = bare.map(|host| {
            let host = match host {
                HostPattern::Exact(host) => host.clone(),
                HostPattern::LeadingWildcard(suffix) => format!("*{suffix}"),
                HostPattern::TrailingWildcard(prefix) => format!("{prefix}*"),
            };
            (0, CertificateWarning::HostNotCovered { host })
        });
        own.chain(uncovered).collect()
    }
}
