//! Certificates made for a test, as files.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Self-signed, for some host names. ECDSA P-256 unless told.
pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Written to `NAME.cert.pem` and `NAME.key.pem` in `directory`.
    pub fn make(directory: &Path, name: &str, hosts: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(hosts).unwrap().self_signed(&key).unwrap();
        let made = Self::at(directory, name);
        fs::write(&made.chain, certificate.pem()).unwrap();
        fs::write(&made.key, key.serialize_pem()).unwrap();
        made
    }

    /// RSA 2048.
    pub fn make_rsa(directory: &Path, name: &str, hosts: &[&str]) -> Self {
        let made = Self::at(directory, name);
        let names = hosts.iter().map(|h| format!("DNS:{h}")).collect::<Vec<_>>().join(",");
        let subject = format!("subjectAltName={names}");
        let arguments =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test", "-addext"];
        let ran = super::run("openssl", |c| {
            c.args(arguments).arg(&subject).arg("-keyout").arg(&made.key).arg("-out").arg(&made.chain)
        });
        assert!(ran.success, "{ran:?}");
        made
    }

    fn at(directory: &Path, name: &str) -> Self {
        Self { chain: directory.join(format!("{name}.cert.pem")), key: directory.join(format!("{name}.key.pem")) }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.chain).unwrap()
    }

    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }

    /// For a site: `certificate = …`.
    pub fn toml(&self) -> String {
        format!("{{ chain = {:?}, key = {:?} }}", self.chain, self.key)
    }
}
