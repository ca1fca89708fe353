//! The certificates that a configuration wants.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use instant_acme::Identifier;

use crate::config::{Ask, Config, DnsHow, HostPattern, Issuer, KeyType, Secret, Site, SiteAcme};
use crate::route::Names;

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
    on_demand: Vec<OnDemand>,
    /// Whose a host is: the place of a site.
    hosts: Option<Arc<Names>>,
    /// The site that has all other hosts.
    default: Option<usize>,
    /// Who says which hosts may.
    pub ask: Option<Ask>,
    /// Whom CAs may write to: `mailto:` URLs.
    pub contacts: Vec<String>,
}

#[derive(Clone, Debug)]
struct OnDemand {
    site: Arc<str>,
    /// Among all sites.
    place: usize,
    how: SiteAcme,
}

impl Wants {
    pub fn of(config: &Config) -> Self {
        let sites = || config.sites.iter().enumerate();
        let on_demand = |(place, site): (usize, &Site)| {
            let how = site.acme.as_ref().filter(|how| how.on_demand)?.clone();
            Some(OnDemand { site: Arc::clone(&site.name), place, how })
        };
        let has_certificate = |site: &Site| site.acme.is_some() || !site.certificates.is_empty();
        // As a handshake finds them.
        let hosts = config.sites.iter().map(|site| if has_certificate(site) { &*site.hosts } else { &[] });
        let default = sites().find(|(_, site)| site.default && has_certificate(site));
        Self {
            certificates: Wanted::of(config),
            on_demand: sites().filter_map(on_demand).collect(),
            hosts: Some(Arc::new(Names::new(hosts))),
            default: default.or_else(|| sites().find(|(_, site)| has_certificate(site))).map(|(place, _)| place),
            ask: config.acme.as_ref().and_then(|acme| acme.ask.clone()),
            contacts: contacts_of(config).to_vec(),
        }
    }

    /// One host of a site whose certificates are got on demand.
    pub fn host(&self, site: &str, host: &str) -> Option<Wanted> {
        self.on_demand.iter().find(|on_demand| *on_demand.site == *site).map(|on_demand| self.one(on_demand, host))
    }

    /// What a client gets that asks for a host, if its site's certificates are got on demand.
    pub fn on_demand(&self, host: &str) -> Option<Wanted> {
        let place = self.hosts.as_ref()?.find(host).or(self.default)?;
        let on_demand = self.on_demand.iter().find(|on_demand| on_demand.place == place)?;
        Some(self.one(on_demand, host))
    }

    /// A certificate with this id and these names, if it is one that was got on demand and would be again.
    pub fn got_on_demand(&self, id: &str, names: &[String]) -> Option<Wanted> {
        let [host] = names else { return None };
        self.on_demand(host).filter(|wanted| wanted.id == id)
    }

    /// The CAs that are asked for certificates.
    pub fn issuers(&self) -> Vec<&Issuer> {
        let hows = self.certificates.iter().map(|wanted| &wanted.how).chain(self.on_demand.iter().map(|on| &on.how));
        let mut issuers: Vec<&Issuer> = Vec::new();
        for issuer in hows.flat_map(|how| &how.issuers) {
            if !issuers.iter().any(|other| other.directory == issuer.directory && other.eab == issuer.eab) {
                issuers.push(issuer);
            }
        }
        issuers
    }

    fn one(&self, on_demand: &OnDemand, host: &str) -> Wanted {
        Wanted::new(&on_demand.site, vec![host.to_owned()], &on_demand.how, &self.contacts)
    }
}

impl Wanted {
    /// All that a configuration wants before anybody asks for it.
    pub fn of(config: &Config) -> Vec<Self> {
        config.sites.iter().filter_map(|site| Self::of_site(site, contacts_of(config))).collect()
    }

    /// What a site wants before anybody asks for it.
    pub fn of_site(site: &Site, contacts: &[String]) -> Option<Self> {
        let how = site.acme.as_ref().filter(|how| !how.on_demand)?;
        let names = site.hosts.iter().filter_map(name_of).collect();
        Some(Self::new(&site.name, names, how, contacts))
    }

    fn new(site: &Arc<str>, mut names: Vec<String>, how: &SiteAcme, contacts: &[String]) -> Self {
        names.sort();
        names.dedup();
        let first = names.first().cloned().unwrap_or_default().replace('*', "_");
        let id = format!("{first}-{}", hash(&format!("{names:?}{}", how.key.name())));
        let terms = hash(&terms(how, contacts));
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

fn contacts_of(config: &Config) -> &[String] {
    config.acme.as_ref().map_or(&[], |acme| &acme.contacts)
}

/// All that a refusal may have been about. Of secrets only that they are others than before: the few bits that are kept of
/// everything together, beside the keys themselves, let nobody try them.
fn terms(how: &SiteAcme, contacts: &[String]) -> String {
    let secret = |secret: &Secret| HEXLOWER.encode(digest(&SHA256, secret.bytes()).as_ref());
    let issuer = |issuer: &Issuer| {
        let Issuer { directory, staging, root, profile, .. } = issuer;
        let eab = issuer.eab.as_ref().map(|eab| (&eab.key_id, secret(&eab.hmac_key)));
        format!("{directory} {staging:?} {root:?} {profile:?} {eab:?}")
    };
    let issuers: Vec<String> = how.issuers.iter().map(issuer).collect();
    let dns = how.dns.as_ref().map(|dns| match &dns.how {
        DnsHow::Exec { command } => format!("{} {command:?}", dns.name),
        DnsHow::Update { server, key_name, algorithm, secret: key } => {
            format!("{} {server} {key_name} {algorithm:?} {}", dns.name, secret(key))
        }
    });
    format!("{issuers:?} {:?} {dns:?} {contacts:?}", how.challenges)
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChallengeKind, Eab};

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
        let one = Wanted::of_site(&site(&[&a, &b]), &[]).unwrap();
        let other = Wanted::of_site(&site(&[&b, &a]), &[]).unwrap();
        assert_eq!((&one.id, &one.names), (&other.id, &vec!["a.b".to_owned(), "c.d".to_owned()]));
        assert_ne!(one.id, Wanted::of_site(&site(&[&a]), &[]).unwrap().id);
        let mut rsa = site(&[&a]);
        rsa.acme = Some(SiteAcme { key: KeyType::Rsa2048, ..how() });
        assert_ne!(Wanted::of_site(&rsa, &[]).unwrap().id, Wanted::of_site(&site(&[&a]), &[]).unwrap().id);
    }

    #[test]
    fn wildcards_and_addresses_are_written_as_certificates_do() {
        let hosts = [HostPattern::LeadingWildcard(".a.b".into()), HostPattern::Exact("[::1]".into())];
        let wanted = Wanted::of_site(&site(&[&hosts[0], &hosts[1]]), &[]).unwrap();
        assert_eq!(wanted.names, ["*.a.b", "::1"]);
        assert!(wanted.id.starts_with("_.a.b-"), "{}", wanted.id);
        assert!(matches!(identifier("::1"), Identifier::Ip(_)));
        assert!(matches!(identifier("*.a.b"), Identifier::Dns(_)));
    }

    #[test]
    fn files_and_on_demand_want_nothing_before_somebody_asks() {
        assert_eq!(Wanted::of_site(&Site::named("a.b"), &[]), None);
        let mut site = site(&[]);
        site.acme = Some(SiteAcme { on_demand: true, ..how() });
        assert_eq!(Wanted::of_site(&site, &[]), None);
        let wants = Wants::of(&Config { sites: vec![site], ..Config::empty() });
        assert_eq!(wants.host("a.b", "x.y").unwrap().names, ["x.y"]);
        assert!(wants.host("c.d", "x.y").is_none() && wants.certificates.is_empty());
    }

    #[test]
    fn what_was_got_on_demand_is_known_by_its_id_while_its_host_is_its_sites() {
        let on_demand = |hosts: &[&HostPattern], name: &str| Site {
            name: name.into(),
            acme: Some(SiteAcme { on_demand: true, ..how() }),
            ..site(hosts)
        };
        let (all, some) = (on_demand(&[], "all"), HostPattern::LeadingWildcard(".some".into()));
        let taken = HostPattern::Exact("taken.some".into());
        let sites = vec![all, on_demand(&[&some], "some"), site(&[&taken])];
        let wants = Wants::of(&Config { sites, ..Config::empty() });
        let site_of = |host: &str| {
            let id = wants.host("all", host).unwrap().id;
            wants.got_on_demand(&id, &[host.to_owned()]).map(|wanted| wanted.site.to_string())
        };
        assert_eq!(site_of("x.y").as_deref(), Some("all"));
        assert_eq!(site_of("x.some").as_deref(), Some("some"));
        assert_eq!(site_of("taken.some"), None, "that site has a certificate of its own");
        let id = wants.host("all", "x.y").unwrap().id;
        assert!(wants.got_on_demand(&id, &["z.y".into()]).is_none() && wants.got_on_demand(&id, &[]).is_none());
    }

    #[test]
    fn whatever_is_corrected_makes_other_terms() {
        let terms_with = |change: fn(&mut SiteAcme), contacts: &[String]| {
            let mut how = how();
            how.issuers[0].eab = Some(Eab { key_id: "kid".into(), hmac_key: Secret::new(vec![1]) });
            change(&mut how);
            terms(&how, contacts)
        };
        let before = terms_with(|_| {}, &[]);
        assert_eq!(before, terms_with(|_| {}, &[]));
        assert_ne!(before, terms_with(|_| {}, &["mailto:a@b.c".to_owned()]));
        let changes: [fn(&mut SiteAcme); 3] = [
            |how| how.issuers[0].eab = Some(Eab { key_id: "kid".into(), hmac_key: Secret::new(vec![2]) }),
            |how| how.issuers[0].root = Some("root.pem".into()),
            |how| how.issuers[0].profile = Some("short".into()),
        ];
        for change in changes {
            assert_ne!(before, terms_with(change, &[]));
        }
        assert!(!before.contains("[1]"));
    }
}
