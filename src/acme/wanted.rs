//! The certificates that a configuration wants.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use instant_acme::Identifier;

use crate::config::{Ask, Config, HostPattern, Issuer, KeyType, Site, SiteAcme};

/// One certificate: a set of names and a kind of key, for one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// In the store: the first name, and a hash of all and the kind of key.
    pub id: String,
    pub site: Arc<str>,
    /// Sorted; wildcards as `*.example.com`.
    pub names: Vec<String>,
    pub how: SiteAcme,
    /// How it is to be got, as a hash.
    pub terms: String,
}

/// All that a configuration wants.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// Before anybody asks.
    pub certificates: Vec<Wanted>,
    /// The sites whose hosts get one when a client asks.
    pub on_demand: Vec<(Arc<str>, SiteAcme)>,
    /// Who says which of these may.
    pub ask: Option<Ask>,
}

impl Wants {
    pub fn of(config: &Config) -> Self {
        let on_demand = |site: &Site| {
            let how = site.acme.as_ref().filter(|how| how.on_demand)?;
            Some((Arc::clone(&site.name), how.clone()))
        };
        Self {
            certificates: Wanted::of(config),
            on_demand: config.sites.iter().filter_map(on_demand).collect(),
            ask: config.acme.as_ref().and_then(|acme| acme.ask.clone()),
        }
    }

    /// One host of a site whose certificates are got on demand.
    pub fn host(&self, site: &str, host: &str) -> Option<Wanted> {
        let (name, how) = self.on_demand.iter().find(|(name, _)| **name == *site)?;
        Some(Wanted::new(name, vec![host.to_owned()], how))
    }
}

impl Wanted {
    /// All that a configuration wants before anybody asks for it.
    pub fn of(config: &Config) -> Vec<Self> {
        config.sites.iter().filter_map(Self::of_site).collect()
    }

    /// What a site wants before anybody asks for it.
    pub fn of_site(site: &Site) -> Option<Self> {
        let how = site.acme.as_ref().filter(|how| !how.on_demand)?;
        let names = site.hosts.iter().filter_map(name_of).collect();
        Some(Self::new(&site.name, names, how))
    }

    fn new(site: &Arc<str>, mut names: Vec<String>, how: &SiteAcme) -> Self {
        names.sort();
        names.dedup();
        let first = names.first().cloned().unwrap_or_default().replace('*', "_");
        let id = format!("{first}-{}", hash(&format!("{names:?}{}", how.key.name())));
        let terms = hash(&terms(how));
        Self { id, site: Arc::clone(site), names, how: how.clone(), terms }
    }

    pub fn key(&self) -> KeyType {
        self.how.key
    }
}

/// What an order names.
pub fn identifier(name: &str) -> Identifier {
    match name.parse::<IpAddr>() {
        Ok(ip) => Identifier::Ip(ip),
        Err(_) => Identifier::Dns(name.to_owned()),
    }
}

/// A CA in the store: its host, and a hash of its directory and of the account that ours is bound to.
pub fn ca_of(issuer: &Issuer, directory: &str) -> String {
    let host = directory.split('/').nth(2).unwrap_or_default();
    let eab = issuer.eab.as_ref().map_or("", |eab| &eab.key_id);
    format!("{host}-{}", hash(&format!("{directory} {eab}")))
}

fn name_of(pattern: &HostPattern) -> Option<String> {
    match pattern {
        HostPattern::Exact(host) => Some(host.trim_start_matches('[').trim_end_matches(']').to_owned()),
        HostPattern::LeadingWildcard(tail) => Some(format!("*{tail}")),
        // The check of the configuration refuses them.
        HostPattern::TrailingWildcard(_) => None,
    }
}

/// All that a refusal may have been about. No secret: a hash of it would be one to try them by.
fn terms(how: &SiteAcme) -> String {
    let issuer = |issuer: &Issuer| {
        let eab = issuer.eab.as_ref().map(|eab| &eab.key_id);
        format!("{} {:?} {:?} {eab:?}", issuer.directory, issuer.staging, issuer.profile)
    };
    let issuers: Vec<String> = how.issuers.iter().map(issuer).collect();
    format!("{issuers:?} {:?} {:?}", how.challenges, how.dns.as_ref().map(|dns| &dns.name))
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ChallengeKind;

    fn how() -> SiteAcme {
        let issuer = Issuer {
            name: "ca".into(),
            directory: "https://ca:14000/dir".into(),
            staging: None,
            root: None,
            eab: None,
            profile: None,
        };
        SiteAcme {
            issuers: vec![issuer],
            key: KeyType::P256,
            challenges: vec![ChallengeKind::Http01],
            dns: None,
            on_demand: false,
        }
    }

    fn site(hosts: &[&HostPattern]) -> Site {
        Site { hosts: hosts.iter().copied().cloned().collect(), acme: Some(how()), ..Site::named("a.b") }
    }

    #[test]
    fn a_certificate_is_its_names_in_whatever_order_and_its_kind_of_key() {
        let [a, b] = ["a.b", "c.d"].map(|host| HostPattern::Exact(host.into()));
        let one = Wanted::of_site(&site(&[&a, &b])).unwrap();
        let other = Wanted::of_site(&site(&[&b, &a])).unwrap();
        assert_eq!((&one.id, &one.names), (&other.id, &vec!["a.b".to_owned(), "c.d".to_owned()]));
        assert_ne!(one.id, Wanted::of_site(&site(&[&a])).unwrap().id);
        let mut rsa = site(&[&a]);
        rsa.acme = Some(SiteAcme { key: KeyType::Rsa2048, ..how() });
        assert_ne!(Wanted::of_site(&rsa).unwrap().id, Wanted::of_site(&site(&[&a])).unwrap().id);
    }

    #[test]
    fn wildcards_and_addresses_are_written_as_certificates_do() {
        let hosts = [HostPattern::LeadingWildcard(".a.b".into()), HostPattern::Exact("[::1]".into())];
        let wanted = Wanted::of_site(&site(&[&hosts[0], &hosts[1]])).unwrap();
        assert_eq!(wanted.names, ["*.a.b", "::1"]);
        assert!(wanted.id.starts_with("_.a.b-"), "{}", wanted.id);
        assert!(matches!(identifier("::1"), Identifier::Ip(_)));
        assert!(matches!(identifier("*.a.b"), Identifier::Dns(_)));
    }

    #[test]
    fn files_and_on_demand_want_nothing_before_somebody_asks() {
        assert_eq!(Wanted::of_site(&Site::named("a.b")), None);
        let mut site = site(&[]);
        site.acme = Some(SiteAcme { on_demand: true, ..how() });
        assert_eq!(Wanted::of_site(&site), None);
        let wants = Wants::of(&Config { sites: vec![site], ..Config::empty() });
        assert_eq!(wants.host("a.b", "x.y").unwrap().names, ["x.y"]);
        assert!(wants.host("c.d", "x.y").is_none() && wants.certificates.is_empty());
    }
}
