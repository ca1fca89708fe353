//! A certificate with its key, as the store has it: one file, so that they can't be torn apart.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use instant_acme::CertificateIdentifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::Moment;
use super::due::Validity;
use super::store::{Key, Store, StoreError, replace};
use crate::tls::{CertificateError, LoadedCertificate, load_bundle};

/// A bundle that is whole.
#[derive(Clone)]
pub struct Bundle {
    pub certificate: LoadedCertificate,
    pub validity: Validity,
    /// Any hash of the certificate.
    pub fingerprint: u64,
    /// The key is in it.
    text: Zeroizing<String>,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Bundle {
    /// Puts together what a CA has issued and the key that it was issued for.
    ///
    /// # Errors
    /// They don't belong together, or one of them is damaged.
    pub fn of(id: &str, key_pem: &str, chain_pem: &str) -> Result<Self, CertificateError> {
        let key_pem = key_pem.trim_end();
        // A buffer that grew would leave the key behind.
        let mut text = Zeroizing::new(String::with_capacity(key_pem.len() + 1 + chain_pem.len()));
        text.push_str(key_pem);
        text.push('\n');
        text.push_str(chain_pem);
        Self::parse(Key::bundle(id).as_str(), text)
    }

    fn parse(origin: &str, text: Zeroizing<String>) -> Result<Self, CertificateError> {
        let certificate = load_bundle(Path::new(origin), &text)?;
        let validity = Validity {
            not_before: Moment::from_seconds(certificate.not_before),
            not_after: Moment::from_seconds(certificate.not_after),
        };
        let leaf = certificate.key.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
        let hash = digest(&SHA256, leaf);
        let fingerprint = hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Ok(Self { certificate, validity, fingerprint, text })
    }

    /// What the store has, or had before if that is damaged.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn load(store: &dyn Store, id: &str) -> Result<Option<Self>, StoreError> {
        for key in [Key::bundle(id), Key::previous(id)] {
            let Some(value) = store.get(&key).await? else { continue };
            let text = Zeroizing::new(String::from_utf8_lossy(&Zeroizing::new(value.bytes)).into_owned());
            match Self::parse(key.as_str(), text) {
                Ok(bundle) => return Ok(Some(bundle)),
                Err(error) => tracing::error!("{error}; the certificate before it is tried, then another is got"),
            }
        }
        Ok(None)
    }

    /// Puts it in the place of the one before, which is kept.
    ///
    /// # Errors
    /// The store is full or can't be written: what was there stays.
    pub async fn save(&self, store: &dyn Store, id: &str) -> Result<(), StoreError> {
        if let Some(before) = store.get(&Key::bundle(id)).await?
            && Self::parse("", Zeroizing::new(String::from_utf8_lossy(&before.bytes).into_owned())).is_ok()
        {
            replace(store, &Key::previous(id), &before.bytes).await?;
        }
        replace(store, &Key::bundle(id), self.text.as_bytes()).await
    }

    /// Whether it names all of these.
    pub fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.certificate.names.contains(name))
    }

    /// The certificate as RFC 9773 4.1 names it; `None` if its issuer's key has no identifier.
    pub fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = self.certificate.key.cert.first()?;
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        let authority = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        })?;
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes).into();
        let serial = encode(parsed.tbs_certificate.raw_serial());
        Some(CertificateIdentifier { authority_key_identifier: encode(authority), serial })
    }
}
