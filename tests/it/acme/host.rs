//! Gates whose sites get their certificates by ACME, and what clients see of these.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};
use tempfile::TempDir;

use super::ca::{Ca, ISSUANCE};
use crate::support::Gate;

/// A configuration for one CA's ports.
#[derive(Clone)]
pub struct Host {
    http: u16,
    tls: u16,
    acme: String,
    issuers: String,
    sites: String,
    listener: String,
}

impl Host {
    /// Listens where the CA looks, and gets certificates from it under the name `ca`.
    pub fn of(ca: &Ca) -> Self {
        Self {
            http: ca.http01,
            tls: ca.tls_alpn01,
            acme: String::new(),
            issuers: ca.issuer("ca"),
            sites: String::new(),
            listener: String::new(),
        }
    }

    /// Listens elsewhere.
    pub fn on_ports(mut self, http: u16, tls: u16) -> Self {
        (self.http, self.tls) = (http, tls);
        self
    }

    /// A site with a certificate by ACME, and further keys.
    pub fn site(mut self, hosts: &[&str], keys: &str) -> Self {
        self.sites += &format!(
            "[[site]]\nhosts = {hosts:?}\ncertificate = \"acme\"\n{keys}\n\
             [[site.route]]\npath = \"/\"\nreply = \"hello from {}\"\n",
            hosts.first().unwrap_or(&"anywhere")
        );
        self
    }

    /// Keys of `[acme]`.
    pub fn acme(mut self, keys: &str) -> Self {
        self.acme += &format!("{keys}\n");
        self
    }

    /// Further tables.
    pub fn and(mut self, tables: &str) -> Self {
        self.issuers += &format!("{tables}\n");
        self
    }

    /// Keys of the plain listener.
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener += &format!("{keys}\n");
        self
    }

    pub fn toml(&self, store: &Path) -> String {
        let Self { http, tls, acme, issuers, sites, listener } = self;
        let issuer = if acme.contains("issuers") { "" } else { "issuers = \"ca\"" };
        format!(
            "workers = 1\n[[listener]]\naddress = \"127.0.0.1:{http}\"\n{listener}\n\
             [[listener]]\naddress = \"127.0.0.1:{tls}\"\ntls = true\n\
             [acme]\nemail = \"ops@example.test\"\nagree_terms = true\nstore = {store:?}\n{issuer}\n{acme}\n{issuers}\n\
             {sites}\n[metrics]\naddress = \"127.0.0.2:0\"\n[access_log]\noutput = \"/dev/null\"\n"
        )
    }

    /// With a store of its own.
    #[track_caller]
    pub fn start(&self) -> Gate {
        let directory = TempDir::new().unwrap();
        let toml = self.toml(&directory.path().join("acme"));
        Gate::start_in(directory, &toml)
    }

    /// With a store that others have too.
    #[track_caller]
    pub fn start_with(&self, store: &Path) -> Gate {
        Gate::start_in(TempDir::new().unwrap(), &self.toml(store))
    }

    pub fn tls(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.tls).into()
    }

    pub fn http(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.http).into()
    }
}

/// The state of the only certificate in a store.
pub fn state(store: &Path) -> Option<serde_json::Value> {
    let file = std::fs::read_dir(store.join("state")).ok()?.next()?.ok()?.path();
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Changes that state, and has running instances see it.
#[track_caller]
pub fn change_state(store: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let file = std::fs::read_dir(store.join("state")).unwrap().next().unwrap().unwrap().path();
    let mut state = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(file, state.to_string()).unwrap();
    std::fs::write(store.join("changed"), format!("{:?}", Instant::now())).unwrap();
}

/// What a handshake showed.
#[derive(Debug)]
pub struct Shown {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    pub alpn: Option<Vec<u8>>,
    /// Whether `roots` vouch for it, for this name, now.
    pub trusted: bool,
}

/// Shakes hands for a name, with whatever certificate is shown.
pub fn shown(address: SocketAddr, name: &str, roots: &RootCertStore, alpn: &[&str]) -> Result<Shown, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
    let watcher = Arc::new(Watcher { verifier, trusted: Mutex::new(false), provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(watcher.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_string()).unwrap();
    let mut tcp = TcpStream::connect(address).map_err(|error| error.to_string())?;
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).map_err(|error| error.to_string())?;
    }
    let chain = connection.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect();
    let alpn = connection.alpn_protocol().map(<[u8]>::to_vec);
    let _ = StreamOwned::new(connection, tcp).flush();
    Ok(Shown { chain, alpn, trusted: *watcher.trusted.lock().unwrap() })
}

/// Waits until a name is shown a certificate that its CA vouches for.
#[track_caller]
pub fn issued(host: &Host, ca: &Ca, name: &str) -> CertificateDer<'static> {
    let roots = ca.issuer_roots();
    within("a certificate is issued", ISSUANCE, || {
        let shown = shown(host.tls(), name, &roots, &["http/1.1"]).ok()?;
        shown.trusted.then(|| shown.chain[0].clone())
    })
}

/// [`crate::support::eventually`] for what takes longer.
#[track_caller]
pub fn within<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tells threads to end when it is dropped, also by a failed test.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Takes any certificate, and notes whether it is a good one.
#[derive(Debug)]
struct Watcher {
    verifier: Arc<dyn ServerCertVerifier>,
    trusted: Mutex<bool>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Watcher {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.verifier.verify_server_cert(leaf, intermediates, name, ocsp, now);
        *self.trusted.lock().unwrap() = verified.is_ok();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
            .or_else(|_| Ok(HandshakeSignatureValid::assertion()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        // A challenge's certificate has an extension that the parser refuses; who shows it isn't the question here.
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
            .or_else(|_| Ok(HandshakeSignatureValid::assertion()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
