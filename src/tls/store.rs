//! The certificates in use, by the host they serve, and which of them a client gets.
//!
//! One immutable map behind an `ArcSwap`: a handshake reads it without a lock, a reload or renewal swaps it whole. A
//! host is looked up the way `route` looks up a site, so that the certificate is that of the site that will answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::challenge::Challenges;
use super::demand::{Demand, Missing};
use super::inspect::covers;
use super::load::LoadedCertificate;
use super::site::SiteCertificates;
use super::slot::Slot;
use crate::config::HostPattern;

/// The process's certificates.
#[derive(Debug, Default)]
pub struct Store {
    map: ArcSwap<Map>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    challenges: Challenges,
    demand: Demand,
}

impl Store {
    /// An empty store: every handshake fails until [`Store::replace`].
    pub fn new() -> Arc<Store> {
        Arc::default()
    }

    /// Puts these in place of all certificates so far. Handshakes under way finish with what they have.
    pub fn replace(&self, sites: Vec<SiteCertificates>) {
        self.map.store(Arc::new(Map::new(sites)));
    }

    /// The slot of this id; a reload finds it as it was.
    pub fn slot(&self, id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(id.to_owned()).or_default())
    }

    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The host of this name, if it gets its certificate on demand and hasn't got one.
    pub fn missing(&self, name: &str) -> Option<Missing> {
        let map = self.map.load();
        let site = map.find(name).or(map.default.as_ref()).filter(|site| site.on_demand)?;
        let host = name.strip_suffix('.').unwrap_or(name);
        let missing = || Missing { site: Arc::clone(&site.name), host: host.to_ascii_lowercase() };
        self.demand.certificate(host).is_none().then(missing)
    }

    /// Waits until somebody has got a certificate for a host, or won't.
    pub async fn wait_for(&self, missing: Missing) {
        self.demand.wish(missing).await;
    }

    /// Each site's name and when the first of its certificates ends, in seconds since 1970: for
    /// [`crate::metrics::Metrics::set_certificates`].
    pub fn expiries(&self) -> Vec<(String, i64)> {
        let earliest = |site: &Arc<SiteKeys>| match &site.slot {
            Some(slot) => slot.issued().map(|certificate| certificate.not_after),
            None => site.certificates.iter().map(|c| c.not_after).min(),
        };
        self.map.load().sites.iter().filter_map(|site| Some((site.name.to_string(), earliest(site)?))).collect()
    }

    fn resolve(&self, hello: &ClientHello<'_>, strict_sni: bool) -> Option<Arc<CertifiedKey>> {
        let map = self.map.load();
        let name = hello.server_name();
        let site = name.and_then(|name| map.find(name)).or(if strict_sni { None } else { map.default.as_ref() })?;
        if site.on_demand {
            let host = name.map(|name| name.strip_suffix('.').unwrap_or(name))?;
            let certificate = self.demand.certificate(host)?;
            return is_usable(&certificate.key, hello).then(|| Arc::clone(&certificate.key));
        }
        match &site.slot {
            Some(slot) => slot.certificate().filter(|c| is_usable(&c.key, hello)).map(|c| Arc::clone(&c.key)),
            None => site.choose(name, hello).map(|certificate| Arc::clone(&certificate.key)),
        }
    }
}

/// A store as one listener asks it.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) store: Arc<Store>,
    /// Refuse clients that ask for no known host, or for none.
    pub(super) strict_sni: bool,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.store.resolve(&hello, self.strict_sni)
    }
}

#[derive(Debug, Default)]
struct Map {
    exact: HashMap<String, Arc<SiteKeys>>,
    /// By `.example.com`.
    leading: HashMap<String, Arc<SiteKeys>>,
    /// By `www.example.`.
    trailing: HashMap<String, Arc<SiteKeys>>,
    default: Option<Arc<SiteKeys>>,
    sites: Vec<Arc<SiteKeys>>,
}

impl Map {
    /// The first site that names a pattern has it.
    fn new(sites: Vec<SiteCertificates>) -> Self {
        let mut map = Map::default();
        let mut default = None;
        for site in
            sites.into_iter().filter(|site| !site.certificates.is_empty() || site.slot.is_some() || site.on_demand)
        {
            let keys = Arc::new(SiteKeys::new(site.site, site.certificates, site.slot, site.on_demand));
            for host in site.hosts {
                let (table, key) = match host {
                    HostPattern::Exact(key) => (&mut map.exact, key),
                    HostPattern::LeadingWildcard(key) => (&mut map.leading, key),
                    HostPattern::TrailingWildcard(key) => (&mut map.trailing, key),
                };
                table.entry(key).or_insert_with(|| Arc::clone(&keys));
            }
            if site.default {
                default.get_or_insert_with(|| Arc::clone(&keys));
            }
            map.sites.push(keys);
        }
        map.default = default.or_else(|| map.sites.first().cloned());
        map
    }

    /// nginx's order: exact, longest leading wildcard, longest trailing wildcard. `name` is in lower case.
    fn find(&self, name: &str) -> Option<&Arc<SiteKeys>> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let dots = || name.match_indices('.').map(|(at, _)| at);
        let leading = || dots().filter(|&at| at > 0).find_map(|at| self.leading.get(&name[at..]));
        let trailing = || {
            let inner = dots().rev().filter(|&at| at + 1 < name.len());
            inner.map(|at| &name[..=at]).find_map(|prefix| self.trailing.get(prefix))
        };
        self.exact.get(name).or_else(leading).or_else(trailing)
    }
}

#[derive(Debug)]
struct SiteKeys {
    name: Arc<str>,
    /// RSA last: any other signs several times faster.
    certificates: Vec<LoadedCertificate>,
    slot: Option<Arc<Slot>>,
    on_demand: bool,
}

impl SiteKeys {
    fn new(name: Arc<str>, mut certificates: Vec<LoadedCertificate>, slot: Option<Arc<Slot>>, on_demand: bool) -> Self {
        certificates.sort_by_key(|certificate| certificate.key.key.algorithm() == SignatureAlgorithm::RSA);
        Self { name, certificates, slot, on_demand }
    }

    /// The first certificate that the client can use and that covers the name, else the first that it can use.
    fn choose(&self, name: Option<&str>, hello: &ClientHello<'_>) -> Option<&LoadedCertificate> {
        let usable = || self.certificates.iter().filter(|certificate| is_usable(&certificate.key, hello));
        let covers = |c: &&LoadedCertificate| name.is_some_and(|name| c.names.iter().any(|n| covers(n, name)));
        usable().find(covers).or_else(|| usable().next())
    }
}

/// Whether the client can verify the key's signatures. rustls has already struck out the schemes for which the client
/// offers no cipher suite (in TLS 1.2 the suite names the kind of key).
fn is_usable(key: &CertifiedKey, hello: &ClientHello<'_>) -> bool {
    key.key.choose_scheme(hello.signature_schemes()).is_some()
}
