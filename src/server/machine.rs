//! This machine, as a configuration finds it.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::config::diagnostic::Severity;
use crate::config::machine::{CertificateFault, FileFault, Machine};
use crate::config::{CertificateFiles, ClientAuth, Site, UpstreamTls};
use crate::privileges::User;
use crate::tls::{self, CertificateError, CertificateWarning, SiteCertificates, SystemRoots};

/// The machine that Tidegate runs on, asked as the user that it runs as.
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn user(&self, user: &str, group: Option<&str>) -> Result<(), String> {
        User::find(user, group).map(drop).map_err(|error| error.to_string())
    }

    fn certificates(&self, site: &Site) -> Vec<CertificateFault> {
        match SiteCertificates::load(site) {
            Ok(certificates) => warnings(site, &certificates),
            Err(errors) => errors
                .into_iter()
                .map(|(certificate, error)| CertificateFault {
                    certificate,
                    path: error.path().to_owned(),
                    severity: Severity::Error,
                    message: error.to_string(),
                })
                .collect(),
        }
    }

    fn upstream_tls(&self, settings: &UpstreamTls) -> Vec<FileFault> {
        match tls::client(settings, b"", &mut SystemRoots::default()) {
            Ok(client) => client.warnings.iter().filter_map(|warning| client_warning(settings, warning)).collect(),
            Err(errors) => errors
                .into_iter()
                .map(|error| FileFault {
                    path: error.path().map(Path::to_owned),
                    severity: Severity::Error,
                    message: error.to_string(),
                })
                .collect(),
        }
    }

    fn client_auth(&self, settings: &ClientAuth) -> Vec<FileFault> {
        let errors = tls::client_trust(settings).err().unwrap_or_default();
        let fault = |error: CertificateError| FileFault {
            path: Some(error.path().to_owned()),
            severity: Severity::Error,
            message: error.to_string(),
        };
        errors.into_iter().map(fault).collect()
    }

    fn ticket_key(&self, path: &Path) -> Result<(), String> {
        tls::ticket_key(path).map(drop)
    }

    fn log_file(&self, path: &Path) -> Result<(), String> {
        let tried = match path.metadata() {
            Ok(found) if found.is_dir() => return Err("it is a directory".to_owned()),
            Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop),
            // A pipe or a device: opening it is not without effect.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                tempfile::tempfile_in(directory.unwrap_or(Path::new("."))).map(drop)
            }
            Err(error) => Err(error),
        };
        tried.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "its directory doesn't exist".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied: this user may not write it".to_owned(),
            _ => error.to_string(),
        })
    }
}

/// What endpoints may dislike.
fn client_warning(settings: &UpstreamTls, warning: &CertificateWarning) -> Option<FileFault> {
    let CertificateFiles { chain, key } = settings.certificate.as_ref()?;
    let path = if matches!(warning, CertificateWarning::KeyReadableByOthers { .. }) { key } else { chain };
    let what = match warning {
        CertificateWarning::Expired => "has expired: endpoints will refuse it; renew it".to_owned(),
        other => other.to_string(),
    };
    let message = format!("{} {what}", path.display());
    Some(FileFault { path: Some(path.clone()), severity: Severity::Warning, message })
}

/// What clients may dislike.
fn warnings(site: &Site, certificates: &SiteCertificates) -> Vec<CertificateFault> {
    let fault = |(certificate, warning): (usize, CertificateWarning)| {
        let CertificateFiles { chain, key } = &site.certificates[certificate];
        let path = if matches!(warning, CertificateWarning::KeyReadableByOthers { .. }) { key } else { chain };
        CertificateFault {
            certificate,
            path: path.clone(),
            severity: Severity::Warning,
            message: format!("{} {warning}", path.display()),
        }
    };
    certificates.warnings(SystemTime::now()).into_iter().map(fault).collect()
}
