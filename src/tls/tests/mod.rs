//! Real handshakes, in memory, and certificates made for them.

mod choice;
mod client_auth;
mod client_hello;
mod loading;
mod session;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, ServerName};

use super::client::Believer;
use super::*;
use crate::config::{CertificateFiles, HostPattern, Tls, TlsVersion};

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self, chain: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles { chain: self.0.join("chain.pem"), key: self.0.join("key.pem") };
        fs::write(&files.chain, chain).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn load(&self, chain: &str, key: &str) -> Result<LoadedCertificate, Vec<CertificateError>> {
        load(&self.files(chain, key))
    }

    /// The message of the first error, with the directory left out.
    fn error(&self, chain: &str, key: &str) -> String {
        let error = self.load(chain, key).unwrap_err()[0].to_string();
        error.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ecdsa(names: &[&str]) -> LoadedCertificate {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let made = self_signed(&names).unwrap();
    Scratch::new().load(&made.chain_pem, &made.key_pem).unwrap()
}

fn rsa_key(bits: u32) -> String {
    let bits = format!("rsa_keygen_bits:{bits}");
    let output = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits]).output();
    let output = output.expect("these tests need openssl");
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn rsa(names: &[&str]) -> LoadedCertificate {
    let key_pem = rsa_key(2048);
    let key = KeyPair::from_pem(&key_pem).unwrap();
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    Scratch::new().load(&certificate.pem(), &key_pem).unwrap()
}

fn site(name: &str, hosts: Vec<HostPattern>, certificates: Vec<LoadedCertificate>) -> SiteCertificates {
    SiteCertificates { site: name.into(), hosts, default: false, certificates, slot: None, on_demand: false }
}

fn exact(host: &str) -> HostPattern {
    HostPattern::Exact(host.into())
}

static DEFAULTS: LazyLock<Tls> = LazyLock::new(Tls::default);

fn server(settings: &Tls, store: &Arc<Store>) -> Arc<ServerConfig> {
    server_config(settings, Arc::clone(store), &Tickets::new(&[]).unwrap()).unwrap()
}

fn serving(sites: Vec<SiteCertificates>, settings: &Tls) -> Arc<ServerConfig> {
    let store = Store::new();
    store.replace(sites);
    server(settings, &store)
}

/// Believes any certificate whose key signed the handshake by one of these schemes.
fn believer(schemes: &[&[SignatureScheme]]) -> Arc<Believer> {
    let mut provider = default_provider();
    let known = provider.signature_verification_algorithms.mapping.iter().copied();
    let mapping: Vec<_> = known.filter(|(scheme, _)| schemes.concat().contains(scheme)).collect();
    // What rustls can verify is a constant everywhere else.
    provider.signature_verification_algorithms.mapping = Vec::leak(mapping);
    Arc::new(Believer(Arc::new(provider)))
}

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];

struct Client {
    config: ClientConfig,
}

impl Client {
    fn new(versions: &[&'static SupportedProtocolVersion], schemes: &[&[SignatureScheme]]) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(believer(schemes))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config }
    }

    fn modern() -> Self {
        Self::new(&[&version::TLS13], &[ECDSA, RSA])
    }

    fn connect(&self, name: &str, server: &Arc<ServerConfig>) -> Result<Met, rustls::Error> {
        let name = ServerName::try_from(name.to_string()).unwrap();
        let client = ClientConnection::new(Arc::new(self.config.clone()), name).unwrap();
        meet(client, ServerConnection::new(Arc::clone(server)).unwrap())
    }

    /// The certificate that a handshake for this name shows.
    fn shown(&self, name: &str, server: &Arc<ServerConfig>) -> CertificateDer<'static> {
        self.connect(name, server).unwrap().certificate
    }
}

#[derive(Debug)]
struct Met {
    handshake: Handshake,
    certificate: CertificateDer<'static>,
    http2_at_client: bool,
}

/// Carries bytes until both sides are content, tickets included.
fn meet(mut client: ClientConnection, mut server: ServerConnection) -> Result<Met, rustls::Error> {
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed(&mut server, &wire)?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Met {
        handshake: Handshake::of(&server),
        certificate: client.peer_certificates().unwrap()[0].clone().into_owned(),
        http2_at_client: client.alpn_protocol() == Some(b"h2"),
    })
}

fn feed(server: &mut ServerConnection, mut wire: &[u8]) -> Result<(), rustls::Error> {
    while !wire.is_empty() {
        server.read_tls(&mut wire).unwrap();
        server.process_new_packets()?;
    }
    Ok(())
}

fn leaf(certificate: &LoadedCertificate) -> CertificateDer<'static> {
    certificate.key.cert[0].clone()
}
