//! Whom a CA's own server is verified by.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The settings of TLS towards CAs, read when they are first needed.
#[derive(Debug, Default)]
pub struct Roots {
    /// `None`: the system's.
    file: Option<PathBuf>,
    settings: OnceLock<Arc<ClientConfig>>,
}

/// Why no CA can be verified.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    #[error("can't read the system's authorities: {0}")]
    System(#[source] std::io::Error),
    #[error("the system has no authorities: install ca-certificates")]
    NoSystem,
    #[error("{}: {fault}", path.display())]
    File { path: PathBuf, fault: String },
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Roots {
    pub fn system() -> Self {
        Self::default()
    }

    /// The certificates of a PEM file, and no other.
    pub fn of_file(path: &Path) -> Self {
        Self { file: Some(path.to_owned()), settings: OnceLock::new() }
    }

    /// # Errors
    /// [`BadRoots`]; asked again, they are read again.
    pub fn settings(&self) -> Result<Arc<ClientConfig>, BadRoots> {
        if let Some(settings) = self.settings.get() {
            return Ok(Arc::clone(settings));
        }
        let roots = match &self.file {
            None => of_system()?,
            Some(path) => read(path)?,
        };
        let mut settings = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.settings.get_or_init(|| Arc::new(settings))))
    }
}

fn of_system() -> Result<RootCertStore, BadRoots> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().map_err(BadRoots::System)?);
    if roots.is_empty() { Err(BadRoots::NoSystem) } else { Ok(roots) }
}

fn read(path: &Path) -> Result<RootCertStore, BadRoots> {
    let bad = |fault: String| BadRoots::File { path: path.to_owned(), fault };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("it has no certificate".to_owned())) } else { Ok(roots) }
}
