//! TLS towards the endpoints of an upstream: whom to believe, and what to show.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::inspect::CertificateWarning;
use super::load::{CertificateError, LoadedCertificate, load, parse_chain, read};
use crate::config::{TlsVersion, UpstreamTls};

/// The settings of one upstream, made of the files as they were read.
#[derive(Clone)]
pub struct Client {
    pub config: Arc<ClientConfig>,
    /// Of everything that the settings say, the contents of the files among it.
    pub digest: [u8; 32],
    /// What endpoints may dislike about the certificate that they are shown.
    pub warnings: Vec<CertificateWarning>,
}

/// Why there can be no TLS towards an upstream.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0}")]
    File(#[from] CertificateError),
    #[error("the system has no certificates of authorities ({0}): install ca-certificates, or write `ca`")]
    NoSystemRoots(io::Error),
    #[error("no TLS with these settings: {0}")]
    Settings(rustls::Error),
}

impl ClientError {
    /// The file to look at, if it is one's fault.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(error) => Some(error.path()),
            Self::NoSystemRoots(_) | Self::Settings(_) => None,
        }
    }
}

/// The system's authorities, read when they are first asked for.
#[derive(Default)]
pub struct SystemRoots(Option<Vec<CertificateDer<'static>>>);

impl SystemRoots {
    fn get(&mut self) -> Result<&[CertificateDer<'static>], ClientError> {
        if self.0.is_none() {
            let found = rustls_native_certs::load_native_certs().map_err(ClientError::NoSystemRoots)?;
            self.0 = Some(found);
        }
        match self.0.as_deref() {
            Some(roots) if !roots.is_empty() => Ok(roots),
            _ => Err(ClientError::NoSystemRoots(io::ErrorKind::NotFound.into())),
        }
    }
}

/// Reads the files and makes the settings; sessions are resumed among the connections of all workers.
///
/// # Errors
/// Every fault of every file.
pub fn client(settings: &UpstreamTls, protocol: &[u8], system: &mut SystemRoots) -> Result<Client, Vec<ClientError>> {
    let mut digest = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(protocol);
    part(&[u8::from(settings.min_version == TlsVersion::Tls13), u8::from(settings.verify)]);
    part(settings.server_name.as_deref().unwrap_or_default().as_bytes());

    let authorities = if settings.verify { authorities(settings, system) } else { Ok(Vec::new()) };
    let shown = settings.certificate.as_ref().map(load).transpose();
    let (authorities, shown) = match (authorities, shown) {
        (Ok(authorities), Ok(shown)) => (authorities, shown),
        (authorities, shown) => {
            let shown = shown.err().into_iter().flatten().map(ClientError::File);
            return Err(authorities.err().into_iter().chain(shown).collect());
        }
    };
    authorities.iter().for_each(|authority| part(authority));
    if let Some(shown) = &shown {
        part(b"shown");
        shown.key.cert.iter().for_each(|certificate| part(certificate));
        part(&shown.key.key.public_key().map(|key| key.to_vec()).unwrap_or_default());
    }

    let versions: &[_] = match settings.min_version {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| vec![ClientError::Settings(error)])?;
    let builder = match settings.verify {
        true => builder.with_root_certificates(roots(settings, authorities).map_err(|error| vec![error.into()])?),
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(Believer(provider))),
    };
    let warnings = shown.as_ref().map(warnings).unwrap_or_default();
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown.key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let mut sum = [0; 32];
    sum.copy_from_slice(digest.finish().as_ref());
    Ok(Client { config: Arc::new(config), digest: sum, warnings })
}

fn authorities(settings: &UpstreamTls, system: &mut SystemRoots) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    match &settings.ca {
        None => system.get().map(<[_]>::to_vec),
        Some(path) => Ok(parse_chain(path, &read(path)?.0)?.0),
    }
}

fn roots(settings: &UpstreamTls, authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &settings.ca else {
        // The system's may hold what rustls can't use.
        roots.add_parsable_certificates(authorities);
        return Ok(roots);
    };
    for (authority, place) in authorities.into_iter().zip(1..) {
        let bad = |_| CertificateError::NoAuthority { path: path.clone(), place };
        roots.add(authority).map_err(bad)?;
    }
    Ok(roots)
}

/// A client's certificate need not be all that a server's has to be.
fn warnings(shown: &LoadedCertificate) -> Vec<CertificateWarning> {
    use CertificateWarning::{Expired, KeyReadableByOthers, NotYetValid};
    let mut warnings = shown.warnings(SystemTime::now());
    warnings.retain(|warning| matches!(warning, Expired | NotYetValid | KeyReadableByOthers { .. }));
    warnings
}

/// Takes any certificate. That its key signed the handshake is still verified.
#[derive(Debug)]
pub(super) struct Believer(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
