//! `[acme]` and the sites with `certificate = "acme"` → [`Acme`], [`SiteAcme`].

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};

use super::{Checker, Names};
use crate::config::diagnostic::{Place, nearest, quote};
use crate::config::file::{AcmeFile, ConfigFile, DnsFile, EabFile, IssuerFile, SiteAcmeFile, SiteFile, UpdateFile};
use crate::config::model::{Acme, Ask, ChallengeKind, Dns, DnsHow, Eab, HostPattern, Issuer, Secret, Site, SiteAcme};
use crate::config::read::At;
use crate::config::value::{FilePath, IssuerText, SecretText};

/// `[acme]`, checked once, for every site that refers to it.
pub(super) struct Offered {
    issuers: HashMap<String, Issuer>,
    dns: HashMap<String, Dns>,
    dns_names: Names,
    used: bool,
}

/// A CA that is known by its name.
struct Known {
    name: &'static str,
    directory: &'static str,
    staging: Option<&'static str>,
    needs_eab: bool,
}

const KNOWN: &[Known] = &[
    Known {
        name: "letsencrypt",
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        staging: Some(LETS_ENCRYPT_STAGING),
        needs_eab: false,
    },
    Known { name: "letsencrypt-staging", directory: LETS_ENCRYPT_STAGING, staging: None, needs_eab: false },
    Known { name: "zerossl", directory: "https://acme.zerossl.com/v2/DV90", staging: None, needs_eab: true },
    Known {
        name: "google",
        directory: "https://dv.acme-v02.api.pki.goog/directory",
        staging: Some("https://dv.acme-v02.test-api.pki.goog/directory"),
        needs_eab: true,
    },
];

const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

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

    fn site_issuers(
        &mut self,
        acme: &AcmeFile,
        own: Option<&At<SiteAcmeFile>>,
        offered: &Offered,
    ) -> Option<Vec<Issuer>> {
        let written = own.and_then(|own| own.issuers.as_ref()).unwrap_or(&acme.issuers);
        let own_profile = own.and_then(|own| own.profile.as_ref()).map(|profile| profile.0.clone());
        let mut issuers: Vec<Issuer> = Vec::new();
        for text in &written.items {
            let Some(mut issuer) = self.find_issuer(text, acme, offered) else { continue };
            issuer.profile = own_profile
                .clone()
                .or(issuer.profile)
                .or_else(|| acme.profile.as_ref().map(|profile| profile.0.clone()));
            if issuers.iter().any(|other| other.directory == issuer.directory) {
                self.error(format!("the CA {} stands here twice", quote(&issuer.name)), text.place, "again");
            } else {
                issuers.push(issuer);
            }
        }
        if written.items.is_empty() && written.complete {
            self.error("no CA is named", written.place, "empty").help("write `issuers = \"letsencrypt\"`");
        }
        (!issuers.is_empty()).then_some(issuers)
    }

    fn find_issuer(&mut self, text: &At<IssuerText>, acme: &AcmeFile, offered: &Offered) -> Option<Issuer> {
        let name = match &text.value {
            IssuerText::At(url) => {
                // Its host is what people know it by.
                let host = url.split('/').nth(2).unwrap_or_default();
                return Some(Issuer {
                    name: host.into(),
                    directory: url.clone(),
                    staging: None,
                    root: None,
                    eab: None,
                    profile: None,
                });
            }
            IssuerText::Named(name) => name,
        };
        if let Some(issuer) = offered.issuers.get(name) {
            return Some(issuer.clone());
        }
        if acme.issuer.0.iter().any(|(written, _)| written.value == *name) {
            // It has its complaint.
            return None;
        }
        if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
            if known.needs_eab {
                self.error(format!("{name} gives no account without external account binding"), text.place, "needs it")
                    .help(format!(
                        "get both at the CA: `[acme.issuer.{name}]` with `eab = {{ key_id = \"…\", hmac_key = \"…\" }}`"
                    ));
                return None;
            }
            return Some(known.issuer());
        }
        let defined = acme.issuer.0.iter().map(|(name, _)| name.as_str());
        let names: Vec<&str> = KNOWN.iter().map(|known| known.name).chain(defined).collect();
        let near = nearest(name, names.iter().copied()).map(str::to_owned);
        let told = self.error(
            format!("no CA is named {}", quote(name)),
            text.place,
            format!("known are: {}", names.join(", ")),
        );
        match near {
            Some(near) => told.help(format!("did you mean \"{near}\"?")),
            None => told.help(format!("define it: `[acme.issuer.{name}]` with `directory = \"https://…\"`")),
        };
        None
    }

    fn issuer(&mut self, name: &At<String>, file: &IssuerFile) -> Option<Issuer> {
        let known = KNOWN.iter().find(|known| known.name == name.value);
        let directory = match (&file.directory, known) {
            (None, Some(known)) => known.directory.to_owned(),
            (Some(url), None) => url.0.clone(),
            (Some(url), Some(_)) => {
                self.error(format!("{} is known: its directory can't be another", quote(name)), url.place, "")
                    .help("leave `directory` out, or give your CA another name");
                return None;
            }
            (None, None) => {
                self.error(format!("the CA {} has no directory", quote(name)), name.place, "")
                    .help("write `directory = \"https://…\"`");
                return None;
            }
        };
        let eab = match &file.eab {
            Some(eab) => Some(self.eab(eab)?),
            None if known.is_some_and(|known| known.needs_eab) => {
                self.error(format!("{} gives no account without external account binding", name.value), name.place, "")
                    .help("write `eab = { key_id = \"…\", hmac_key = \"…\" }` with what the CA gives");
                return None;
            }
            None => None,
        };
        let root = file.root.as_ref().map(|root| self.resolve(&root.0, root.place));
        let staging = file.staging.as_ref().map(|url| url.0.clone());
        Some(Issuer {
            name: Arc::from(name.as_str()),
            directory,
            staging: staging.or_else(|| known.and_then(|known| known.staging).map(str::to_owned)),
            root,
            eab,
            profile: file.profile.as_ref().map(|profile| profile.0.clone()),
        })
    }

    fn eab(&mut self, file: &At<EabFile>) -> Option<Eab> {
        let (key, place) =
            self.secret_text(file.hmac_key.as_ref(), file.hmac_key_file.as_ref(), "hmac_key", file.place)?;
        let key_id = file.key_id.as_ref()?.0.clone();
        // CAs give it with and without padding, and some in the other alphabet.
        let plain = key.trim_end_matches('=').replace('+', "-").replace('/', "_");
        match BASE64URL_NOPAD.decode(plain.as_bytes()) {
            Ok(bytes) => Some(Eab { key_id, hmac_key: Secret::new(bytes) }),
            Err(_) => {
                self.error("this key is not base64url", place, "").help("write it as the CA gives it");
                None
            }
        }
    }

    fn dns(&mut self, name: &At<String>, file: &DnsFile) -> Option<Dns> {
        let how = match (&file.exec, &file.update) {
            (Some(exec), None) => {
                let command: Vec<String> = exec.items.iter().map(|word| word.0.clone()).collect();
                if command.first().is_none_or(String::is_empty) {
                    self.error("there is no program to run", exec.place, "");
                    return None;
                }
                DnsHow::Exec { command }
            }
            (None, Some(update)) => self.update(update)?,
            (Some(_), Some(update)) => {
                self.error("records are set in two ways", update.place, "and here").help("keep `exec` or `update`");
                return None;
            }
            (None, None) => {
                self.error(format!("nothing says how {} sets records", quote(name)), name.place, "")
                    .help("write `exec` or `update`");
                return None;
            }
        };
        let resolver = file.resolver.as_ref().map(|resolver| resolver.0);
        Some(Dns { name: Arc::from(name.as_str()), how, resolver, propagation_timeout: file.propagation_timeout.0 })
    }

    fn update(&mut self, file: &At<UpdateFile>) -> Option<DnsHow> {
        let (secret, place) =
            self.secret_text(file.secret.as_ref(), file.secret_file.as_ref(), "secret", file.place)?;
        let Ok(secret) = BASE64.decode(secret.as_bytes()) else {
            self.error("this key is not base64", place, "").help("write it as `tsig-keygen` prints it");
            return None;
        };
        let (server, key_name) = (file.server.as_ref()?, file.key_name.as_ref()?);
        Some(DnsHow::Update {
            server: server.0,
            key_name: key_name.0.clone(),
            algorithm: file.algorithm.value,
            secret: Secret::new(secret),
        })
    }

    /// A secret in the file or beside it, and where it stands. No complaint quotes it.
    fn secret_text(
        &mut self,
        text: Option<&At<SecretText>>,
        file: Option<&At<FilePath>>,
        key: &str,
        place: Place,
    ) -> Option<(String, Place)> {
        match (text, file) {
            (Some(text), None) => Some((text.0.clone(), text.place)),
            (None, Some(file)) => {
                let path = self.resolve(&file.0, file.place);
                let read = (self.outside.read_body)(&path)
                    .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not text".to_owned()));
                match read {
                    Ok(text) => Some((text.trim().to_owned(), file.place)),
                    Err(why) => {
                        self.error(format!("can't read {}", quote(&path.to_string_lossy())), file.place, why);
                        None
                    }
                }
            }
            (Some(text), Some(file)) => {
                self.error("there are two keys", file.place, "and here").also(text.place, "here");
                None
            }
            (None, None) => {
                self.error("the key is missing", place, "").help(format!("write `{key}` or `{key}_file`"));
                None
            }
        }
    }

    fn site_dns(&mut self, own: Option<&At<SiteAcmeFile>>, offered: &mut Offered) -> Option<Dns> {
        match own.and_then(|own| own.dns.as_ref()) {
            Some(name) => {
                offered.dns_names.find(name, self)?;
                offered.dns.get(&name.0).cloned()
            }
            None if offered.dns.len() == 1 => offered.dns.values().next().cloned(),
            None => None,
        }
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

impl Known {
    fn issuer(&self) -> Issuer {
        Issuer {
            name: self.name.into(),
            directory: self.directory.to_owned(),
            staging: self.staging.map(str::to_owned),
            root: None,
            eab: None,
            profile: None,
        }
    }
}

/// Let's Encrypt's bound, and most CAs'.
const MAX_NAMES: usize = 100;
