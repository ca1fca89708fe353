//! What the paths of a configuration lead to, asked while it is checked.
//!
//! `config` knows neither certificates nor logs. Who does answers here, so that a fault is told together with all others,
//! at the key that names the file.

use std::path::{Path, PathBuf};

use super::diagnostic::Severity;
use super::model::{ClientAuth, Site, UpstreamTls};

/// The machine that a configuration is checked for.
pub trait Machine {
    /// Whether there is a user, and a group to put in the place of its own.
    ///
    /// # Errors
    /// Why not, in a few words.
    fn user(&self, user: &str, group: Option<&str>) -> Result<(), String>;

    /// All that is wrong with the files of a site's certificates.
    fn certificates(&self, site: &Site) -> Vec<CertificateFault>;

    /// All that is wrong with the files that TLS towards an upstream needs.
    fn upstream_tls(&self, tls: &UpstreamTls) -> Vec<FileFault>;

    /// All that is wrong with the files that clients' certificates are verified with.
    fn client_auth(&self, settings: &ClientAuth) -> Vec<FileFault>;

    /// Whether a file holds a key for session tickets.
    ///
    /// # Errors
    /// Why not, in a few words.
    fn ticket_key(&self, path: &Path) -> Result<(), String>;

    /// Whether lines can be added to a log file. Creates nothing.
    ///
    /// # Errors
    /// Why not, in a few words.
    fn log_file(&self, path: &Path) -> Result<(), String>;
}

/// Something wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFault {
    /// Index into [`Site::certificates`].
    pub certificate: usize,
    /// The file to complain about: that of the chain or that of the key.
    pub path: PathBuf,
    pub severity: Severity,
    /// Names the file, and what to do.
    pub message: String,
}

/// Something wrong with a file, or with what stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// `None`: no file is at fault.
    pub path: Option<PathBuf>,
    pub severity: Severity,
    /// Names the file, and what to do.
    pub message: String,
}

/// No machine: what stands in the configuration is checked, and nothing that it names.
pub struct Nowhere;

impl Machine for Nowhere {
    fn user(&self, _: &str, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }

    fn certificates(&self, _: &Site) -> Vec<CertificateFault> {
        Vec::new()
    }

    fn upstream_tls(&self, _: &UpstreamTls) -> Vec<FileFault> {
        Vec::new()
    }

    fn client_auth(&self, _: &ClientAuth) -> Vec<FileFault> {
        Vec::new()
    }

    fn ticket_key(&self, _: &Path) -> Result<(), String> {
        Ok(())
    }

    fn log_file(&self, _: &Path) -> Result<(), String> {
        Ok(())
    }
}
