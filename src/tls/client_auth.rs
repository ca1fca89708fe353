//! Certificates of clients (mTLS): whose are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::load::{CertificateError, read};
use super::pem::{Block, blocks};
use crate::config::ClientAuth;

/// Whose certificates are believed.
#[derive(Debug)]
pub struct ClientTrust {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// Tells one from another: all that the verifier is made of.
    pub(super) audience: Vec<u8>,
}

/// Reads the authorities and what they have revoked.
///
/// Revocation is looked at for the client's own certificate. One whose authority has no list, or a list that is out of
/// date, is refused: a list that silently checks nothing would be worse than none.
///
/// # Errors
/// Every fault of every file.
pub fn client_trust(settings: &ClientAuth) -> Result<ClientTrust, Vec<CertificateError>> {
    let mut errors = Vec::new();
    let mut audience = vec![u8::from(settings.required)];
    let mut part = |kind: u8, der: &[u8]| {
        audience.push(kind);
        audience.extend((der.len() as u64).to_be_bytes());
        audience.extend(der);
    };
    let mut roots = RootCertStore::empty();
    match sections(&settings.ca, SectionKind::Certificate) {
        Ok(found) => {
            for (line, der) in found {
                part(0, &der);
                if roots.add(CertificateDer::from(der)).is_err() {
                    errors.push(CertificateError::BadCertificate { path: settings.ca.clone(), line });
                }
            }
        }
        Err(error) => errors.push(error),
    }
    let mut lists = Vec::new();
    for path in &settings.crl {
        match sections(path, SectionKind::Crl) {
            Ok(found) => {
                for (line, der) in found {
                    part(1, &der);
                    let list = CertificateRevocationListDer::from(der);
                    // Built with it alone, so that the file at fault is known.
                    match build(&roots, vec![list.clone()], settings.required) {
                        Ok(_) => lists.push(list),
                        Err(_) => errors.push(CertificateError::BadList { path: path.clone(), line }),
                    }
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let verifier = build(&roots, lists, settings.required)
        .map_err(|_| vec![CertificateError::BadCertificate { path: settings.ca.clone(), line: 1 }])?;
    Ok(ClientTrust { verifier, audience })
}

fn build(
    roots: &RootCertStore,
    lists: Vec<CertificateRevocationListDer<'static>>,
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
    let roots = Arc::new(roots.clone());
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(default_provider()));
    if !lists.is_empty() {
        builder = builder.with_crls(lists).only_check_end_entity_revocation().enforce_revocation_expiration();
    }
    if required { builder.build() } else { builder.allow_unauthenticated().build() }
}

/// The blocks of a kind in a file, each with its line. There is at least one.
fn sections(path: &Path, wanted: SectionKind) -> Result<Vec<(usize, Vec<u8>)>, CertificateError> {
    let pem = |fault| CertificateError::Pem { path: path.into(), fault };
    let (text, _) = read(path)?;
    let blocks = blocks(&text).map_err(pem)?;
    let mut found = Vec::new();
    for block in &blocks {
        match block.decode().map_err(pem)? {
            Some((kind, der)) if kind == wanted => found.push((block.line, der)),
            _ => {}
        }
    }
    if found.is_empty() {
        let holds = Block::list(&blocks);
        let path = path.into();
        return Err(match wanted {
            SectionKind::Crl => CertificateError::NoList { path, holds },
            _ => CertificateError::NoCertificate { path, holds },
        });
    }
    Ok(found)
}
