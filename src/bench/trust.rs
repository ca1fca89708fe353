//! Which certificates are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::plan::Protocol;

/// Whom to believe.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'a> {
    /// The system's authorities.
    System,
    /// The certificates of a PEM file, and no other.
    File(&'a Path),
    /// Everyone: what is measured isn't who answers.
    Anyone,
}

/// Why no TLS can be spoken.
#[derive(Debug, thiserror::Error)]
pub enum BadTrust {
    #[error("the program has no crypto provider")]
    NoProvider,
    #[error("can't read the system's certificates: {0}")]
    System(std::io::Error),
    #[error("can't read certificates from {file}: {fault}")]
    File { file: String, fault: String },
}

/// How TLS is spoken to a server. A session is resumed only within a run's own connections.
///
/// # Errors
/// [`BadTrust`].
pub fn client_config(trust: Trust<'_>, protocol: Protocol) -> Result<Arc<ClientConfig>, BadTrust> {
    let provider = CryptoProvider::get_default().ok_or(BadTrust::NoProvider)?.clone();
    let builder = ClientConfig::builder();
    let mut config = match trust {
        Trust::System => builder.with_root_certificates(system()?).with_no_client_auth(),
        Trust::File(path) => builder.with_root_certificates(file(path)?).with_no_client_auth(),
        Trust::Anyone => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Believer(provider))).with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![protocol.as_str().as_bytes().to_vec()];
    // Each connection is to cost the server what a new client's does.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn system() -> Result<RootCertStore, BadTrust> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().map_err(BadTrust::System)?);
    Ok(roots)
}

fn file(path: &Path) -> Result<RootCertStore, BadTrust> {
    let bad = |fault: String| BadTrust::File { file: path.display().to_string(), fault };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it has none".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate. Signatures are still verified, so that the handshake costs what it does elsewhere.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
