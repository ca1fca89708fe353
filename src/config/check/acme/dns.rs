//! `[acme.dns]` → [`Dns`], and the secrets that stand in a configuration or beside it.

use std::sync::Arc;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::super::Checker;
use super::Offered;
use crate::config::diagnostic::{Place, quote};
use crate::config::file::{DnsFile, SiteAcmeFile, UpdateFile};
use crate::config::model::{Dns, DnsHow, Secret};
use crate::config::read::At;
use crate::config::value::{FilePath, SecretText};

impl Checker<'_> {
    pub(super) fn dns(&mut self, name: &At<String>, file: &DnsFile) -> Option<Dns> {
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
    pub(super) fn secret_text(
        &mut self,
        text: Option<&At<SecretText>>,
        file: Option<&At<FilePath>>,
        key: &str,
        place: Place,
    ) -> Option<(Zeroizing<String>, Place)> {
        match (text, file) {
            (Some(text), None) => Some((text.0.clone(), text.place)),
            (None, Some(file)) => {
                let path = self.resolve(&file.0, file.place);
                let read = (self.outside.read_body)(&path).map(Zeroizing::new).and_then(|bytes| {
                    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text".to_owned())?;
                    Ok(Zeroizing::new(text.trim().to_owned()))
                });
                match read {
                    Ok(text) => Some((text, file.place)),
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

    pub(super) fn site_dns(&mut self, own: Option<&At<SiteAcmeFile>>, offered: &mut Offered) -> Option<Dns> {
        match own.and_then(|own| own.dns.as_ref()) {
            Some(name) => {
                offered.dns_names.find(name, self)?;
                offered.dns.get(&name.0).cloned()
            }
            None if offered.dns.len() == 1 => offered.dns.values().next().cloned(),
            None => None,
        }
    }
}
