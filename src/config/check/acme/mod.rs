//! `[acme]` and the sites with `certificate = "acme"` → [`Acme`], [`SiteAcme`].

mod dns;
mod issuer;

use std::collections::HashMap;

use super::{Checker, Names};
use crate::config::diagnostic::Place;
use crate::config::file::{AcmeFile, ConfigFile, SiteAcmeFile, SiteFile};
use crate::config::model::{Acme, Ask, ChallengeKind, Dns, HostPattern, Issuer, Site, SiteAcme};
use crate::config::read::At;

/// `[acme]`, checked once, for every site that refers to it.
pub(super) struct Offered {
    issuers: HashMap<String, Issuer>,
    dns: HashMap<String, Dns>,
    dns_names: Names,
    used: bool,
}

impl Checker<'_> {
    /// What `[acme]` offers to sites.
    pub(super) fn acme_offered(&mut self, file: &ConfigFile) -> Option<Offered> {
        let acme = file.acme.as_ref()?;
        let dns_names = Names::new("acme.dns", &acme.dns, self);
        Names::new("acme.issuer", &acme.issuer, self);
        let issuers = acme.issuer.0.iter().filter_map(|(name, issuer)| {
            let issuer = self.issuer(name, issuer.as_ref()?)?;
            Some((name.value.clone(), issuer))
        });
        let issuers = issuers.collect();
        let dns =
            acme.dns.0.iter().filter_map(|(name, dns)| Some((name.value.clone(), self.dns(name, dns.as_ref()?)?)));
        let dns = dns.collect();
        Some(Offered { issuers, dns, dns_names, used: false })
    }

    /// What all sites share; `None` if none of them wants it.
    pub(super) fn acme(&mut self, file: &ConfigFile, offered: Option<&Offered>) -> Option<Acme> {
        let acme = file.acme.as_ref()?;
        if !offered?.used {
            let complete = file.site.complete && file.site.items.iter().all(|site| site.certificate.complete);
            if complete {
                self.warn("no site gets its certificate by ACME", acme.place, "not used")
                    .help("write `certificate = \"acme\"` at a site");
            }
            return None;
        }
        if !acme.agree_terms.0 {
            self.error("the terms of the CAs must be agreed to", acme.agree_terms.place, "`agree_terms` isn't true")
                .help(
                    "read them at the CA, such as https://letsencrypt.org/repository/, then write `agree_terms = true`",
                );
        }
        Some(Acme {
            store: self.resolve(&acme.store.0, acme.store.place),
            contacts: acme.email.items.iter().map(|email| format!("mailto:{}", email.0)).collect(),
            ask: acme.ask.as_ref().map(|ask| Ask { url: ask.0.clone() }),
        })
    }

    /// How a site's certificate is got, if it isn't in files.
    pub(super) fn site_acme(
        &mut self,
        config: &ConfigFile,
        file: &SiteFile,
        site: &Site,
        offered: Option<&mut Offered>,
        by_acme: Option<Place>,
    ) -> Option<SiteAcme> {
        let Some(place) = by_acme else {
            if let Some(own) = &file.acme {
                self.error("this site's certificate isn't got by ACME", own.place, "changes nothing")
                    .help("write `certificate = \"acme\"`, or leave `acme` out");
            }
            return None;
        };
        let (Some(acme), Some(offered)) = (&config.acme, offered) else {
            // A table that is wrong has its complaint.
            if !self.complaints.iter().any(|c| c.title.contains("acme")) {
                self.error("there is no `[acme]`", place, "needs it")
                    .help("write `[acme]` with `email = \"you@example.com\"` and `agree_terms = true`");
            }
            return None;
        };
        offered.used = true;
        let own = file.acme.as_ref();
        let issuers = self.site_issuers(acme, own, offered)?;
        let dns = self.site_dns(own, offered);
        let challenges = self.site_challenges(config, acme, own, dns.is_some(), place)?;
        let on_demand = own.is_some_and(|own| own.on_demand.0);
        self.on_demand(acme, own, site, place);
        if !on_demand {
            self.names_to_certify(file, site, &challenges, place);
        }
        Some(SiteAcme {
            issuers,
            key: own.and_then(|own| own.key.as_ref()).map_or(acme.key.value, |key| key.value),
            challenges,
            dns,
            on_demand,
        })
    }

    fn site_challenges(
        &mut self,
        config: &ConfigFile,
        acme: &AcmeFile,
        own: Option<&At<SiteAcmeFile>>,
        has_dns: bool,
        place: Place,
    ) -> Option<Vec<ChallengeKind>> {
        use ChallengeKind::{Dns01, Http01, TlsAlpn01};
        let plain = config.listener.items.iter().any(|l| l.tls.0.is_none());
        let tls = config.listener.items.iter().any(|l| l.tls.0.is_some());
        let works = |kind: ChallengeKind| match kind {
            Http01 => plain,
            TlsAlpn01 => tls,
            Dns01 => has_dns,
        };
        let written = own.and_then(|own| own.challenges.as_ref()).or(acme.challenges.as_ref());
        let mut challenges = Vec::new();
        match written {
            None => challenges.extend([Http01, TlsAlpn01, Dns01].into_iter().filter(|kind| works(*kind))),
            Some(written) => {
                for kind in &written.items {
                    if challenges.contains(&kind.value) {
                        self.error(format!("{} stands here twice", kind.name()), kind.place, "again");
                    } else if works(kind.value) {
                        challenges.push(kind.value);
                    } else {
                        let help = match kind.value {
                            Http01 => "it needs a listener without TLS, which the CA reaches on port 80",
                            TlsAlpn01 => "it needs a listener with TLS, which the CA reaches on port 443",
                            Dns01 => {
                                "it needs an `[acme.dns.NAME]`; of several, a site's `acme = { dns = \"NAME\" }` says which"
                            }
                        };
                        self.error(format!("{} can't be answered", kind.name()), kind.place, "").help(help);
                    }
                }
            }
        }
        if challenges.is_empty() && written.is_none_or(|written| written.complete && written.items.is_empty()) {
            self.error("no challenge of a CA can be answered", place, "").help(
                "add a plain listener for http-01, one with TLS for tls-alpn-01, or an `[acme.dns.NAME]` for dns-01",
            );
        }
        (!challenges.is_empty()).then_some(challenges)
    }

    fn on_demand(&mut self, acme: &AcmeFile, own: Option<&At<SiteAcmeFile>>, site: &Site, place: Place) {
        let on_demand = own.filter(|own| own.on_demand.0);
        match (on_demand, &acme.ask) {
            (Some(own), None) => {
                self.error("nobody says for which hosts certificates may be got", own.on_demand.place, "needs `ask`")
                    .help("write `ask = \"http://…\"` in `[acme]`: a URL that answers 200 for those that may");
            }
            (None, _) if site.hosts.is_empty() => {
                self.error("a certificate needs names", place, "the site has no `hosts`")
                    .help("name the hosts, or write `acme = { on_demand = true }` and `ask` in `[acme]`");
            }
            _ => {}
        }
    }

    /// Every name must be one that a CA can certify by these challenges.
    fn names_to_certify(&mut self, file: &SiteFile, site: &Site, challenges: &[ChallengeKind], place: Place) {
        for host in &file.hosts.items {
            for pattern in &host.0 {
                match pattern {
                    HostPattern::LeadingWildcard(_) if !challenges.contains(&ChallengeKind::Dns01) => {
                        self.error("a wildcard can only be certified by dns-01", host.place, "a wildcard")
                            .also(place, "the certificate")
                            .help("write an `[acme.dns.NAME]` that sets TXT records, or name the hosts");
                    }
                    HostPattern::TrailingWildcard(_) => {
                        self.error("no certificate can name this", host.place, "ends in a wildcard")
                            .also(place, "the certificate")
                            .help("name the hosts, or use a certificate from a file");
                    }
                    _ => {}
                }
            }
        }
        if site.hosts.len() > MAX_NAMES {
            self.error(format!("{} names are too many for one certificate", site.hosts.len()), file.hosts.place, "")
                .help(format!("CAs take {MAX_NAMES} at most: make several sites of it"));
        }
    }
}

/// Let's Encrypt's bound, and most CAs'.
const MAX_NAMES: usize = 100;
