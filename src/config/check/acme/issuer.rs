//! CAs: those that are known by name, and `[acme.issuer]` → [`Issuer`].

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::super::Checker;
use super::Offered;
use crate::config::diagnostic::{nearest, quote};
use crate::config::file::{AcmeFile, EabFile, IssuerFile, SiteAcmeFile};
use crate::config::model::{Eab, Issuer, Secret};
use crate::config::read::At;
use crate::config::value::IssuerText;

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
    pub(super) fn site_issuers(
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

    pub(super) fn issuer(&mut self, name: &At<String>, file: &IssuerFile) -> Option<Issuer> {
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
        let plain = Zeroizing::new(key.trim_end_matches('=').replace('+', "-"));
        let plain = Zeroizing::new(plain.replace('/', "_"));
        match BASE64URL_NOPAD.decode(plain.as_bytes()) {
            Ok(bytes) => Some(Eab { key_id, hmac_key: Secret::new(bytes) }),
            Err(_) => {
                self.error("this key is not base64url", place, "").help("write it as the CA gives it");
                None
            }
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
