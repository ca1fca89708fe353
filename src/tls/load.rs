//! A certificate and its key, from two PEM files into a form that can sign.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use super::inspect::{CertificateWarning, Facts, covers_pattern};
use super::pem::{Block, PemFault, blocks};
use crate::config::{CertificateFiles, HostPattern};

/// A certificate chain with its key.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// What messages call it: the path of the chain.
    pub origin: Arc<str>,
    pub key: Arc<CertifiedKey>,
    /// The hosts it names: lower-case DNS names, wildcards as `*.example.com`, and addresses.
    pub names: Arc<[String]>,
    /// Start and end of validity, in seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    warnings: Vec<CertificateWarning>,
}

/// Why a certificate can't be used. Each names the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: larger than 1 MiB: not a certificate or key", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}: {fault}", path.display())]
    Pem { path: PathBuf, fault: PemFault },
    #[error("{}: no certificate in it; it holds {holds}", path.display())]
    NoCertificate { path: PathBuf, holds: String },
    #[error("{}: line {line}: not a valid certificate", path.display())]
    BadCertificate { path: PathBuf, line: usize },
    #[error("{}: no revocation list (X509 CRL) in it; it holds {holds}", path.display())]
    NoList { path: PathBuf, holds: String },
    #[error("{}: line {line}: not a valid revocation list", path.display())]
    BadList { path: PathBuf, line: usize },
    #[error("{}: no private key in it; it holds {holds}", path.display())]
    NoKey { path: PathBuf, holds: String },
    #[error(
        "{}: line {line}: the key is encrypted, and there is nobody to ask for its password; \
         decrypt it with: openssl pkey -in {} -out decrypted.pem", path.display(), path.display()
    )]
    EncryptedKey { path: PathBuf, line: usize },
    #[error("{}: line {line}: not a usable private key (RSA, ECDSA P-256, P-384 or P-521, or Ed25519)", path.display())]
    BadKey { path: PathBuf, line: usize },
    #[error("{}: an RSA key of {bits} bits is too weak: use at least 2048, or ECDSA P-256", path.display())]
    WeakKey { path: PathBuf, bits: usize },
    #[error("{} is not the key of {}: the two files belong to different certificates", key.display(), chain.display())]
    KeyMismatch { chain: PathBuf, key: PathBuf },
    #[error("{}: certificate {place} can't be that of an authority", path.display())]
    NoAuthority { path: PathBuf, place: usize },
    #[error("{}: the key is that of certificate {place}: put the site's own certificate first", chain.display())]
    NotFirst { chain: PathBuf, place: usize },
}

impl CertificateError {
    /// The file to look at first.
    pub fn path(&self) -> &Path {
        match self {
            Self::Unreadable { path, .. }
            | Self::TooLarge { path }
            | Self::Pem { path, .. }
            | Self::NoCertificate { path, .. }
            | Self::BadCertificate { path, .. }
            | Self::NoAuthority { path, .. }
            | Self::NoList { path, .. }
            | Self::BadList { path, .. }
            | Self::NoKey { path, .. }
            | Self::EncryptedKey { path, .. }
            | Self::BadKey { path, .. }
            | Self::WeakKey { path, .. }
            | Self::KeyMismatch { key: path, .. }
            | Self::NotFirst { chain: path, .. } => path,
        }
    }
}

/// Reads and checks a certificate and its key. What clients may dislike but the server can use is a warning, not an
/// error: see [`LoadedCertificate::warnings`].
///
/// # Errors
/// One for each of the two files, or that they don't belong together.
pub fn load(files: &CertificateFiles) -> Result<LoadedCertificate, Vec<CertificateError>> {
    let ((chain, facts), (key, mode)) = match (load_chain(&files.chain), load_key(&files.key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    check_match(files, &chain, &key).map_err(|error| vec![error])?;
    let mut warnings = facts.warnings(&chain);
    if mode & OTHERS_READ != 0 {
        warnings.push(CertificateWarning::KeyReadableByOthers { mode: mode & 0o7777 });
    }

    Ok(LoadedCertificate {
        origin: files.chain.display().to_string().into(),
        key: Arc::new(CertifiedKey::new(chain, key)),
        names: facts.names.into(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        warnings,
    })
}

/// Reads a key and a chain that stand in one text; `origin` is what messages call it.
///
/// # Errors
/// As [`load`].
pub fn load_bundle(origin: &Path, text: &str) -> Result<LoadedCertificate, CertificateError> {
    let (chain, facts) = parse_chain(origin, text)?;
    let key = parse_key(origin, text)?;
    check_match(&CertificateFiles { chain: origin.into(), key: origin.into() }, &chain, &key)?;
    Ok(LoadedCertificate {
        origin: origin.display().to_string().into(),
        warnings: facts.warnings(&chain),
        key: Arc::new(CertifiedKey::new(chain, key)),
        names: facts.names.into(),
        not_before: facts.not_before,
        not_after: facts.not_after,
    })
}

impl LoadedCertificate {
    /// What clients may dislike about it at `now`.
    pub fn warnings(&self, now: SystemTime) -> Vec<CertificateWarning> {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        let mut warnings = self.warnings.clone();
        if now > self.not_after {
            warnings.push(CertificateWarning::Expired);
        }
        if now < self.not_before {
            warnings.push(CertificateWarning::NotYetValid);
        }
        warnings
    }

    /// Whether it answers for a host of its site.
    pub fn covers(&self, host: &HostPattern) -> bool {
        covers_pattern(&self.names, host)
    }
}

/// A chain, and what its first certificate says of itself.
fn load_chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Facts), CertificateError> {
    let (text, _) = read(path)?;
    let (chain, facts) = parse_chain(path, &text)?;
    match facts.rsa_bits.filter(|&bits| bits < MIN_RSA_BITS) {
        Some(bits) => Err(CertificateError::WeakKey { path: path.into(), bits }),
        None => Ok((chain, facts)),
    }
}

/// A key, and the mode of its file.
fn load_key(path: &Path) -> Result<(Arc<dyn SigningKey>, u32), CertificateError> {
    let (text, mode) = read(path)?;
    Ok((parse_key(path, &text)?, mode))
}

/// The text of a file, which may hold a key and leaves no trace in memory, and its mode.
pub(super) fn read(path: &Path) -> Result<(Zeroizing<String>, u32), CertificateError> {
    let unreadable = |error| CertificateError::Unreadable { path: path.into(), error };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    // A buffer that grew would leave pieces of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_FILE + 1) as usize + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertificateError::TooLarge { path: path.into() });
    }
    // Binary (a DER file) has no PEM block, and is refused for that.
    Ok((Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()), metadata.mode()))
}

/// All certificates of a text, and what the first says of itself.
pub(super) fn parse_chain(path: &Path, text: &str) -> Result<(Vec<CertificateDer<'static>>, Facts), CertificateError> {
    let pem = |fault| CertificateError::Pem { path: path.into(), fault };
    let blocks = blocks(text).map_err(pem)?;
    let mut chain = Vec::new();
    let mut first = None;
    for block in blocks.iter().filter(|block| !block.is_key()) {
        if let Some((SectionKind::Certificate, der)) = block.decode().map_err(pem)? {
            let der = CertificateDer::from(der);
            let bad = || CertificateError::BadCertificate { path: path.into(), line: block.line };
            let facts = Facts::of(&der).ok_or_else(bad)?;
            first.get_or_insert(facts);
            chain.push(der);
        }
    }
    match first {
        Some(facts) => Ok((chain, facts)),
        None => Err(CertificateError::NoCertificate { path: path.into(), holds: Block::list(&blocks) }),
    }
}

fn parse_key(path: &Path, text: &str) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let pem = |fault| CertificateError::Pem { path: path.into(), fault };
    let blocks = blocks(text).map_err(pem)?;
    for block in &blocks {
        if block.is_encrypted_key() {
            return Err(CertificateError::EncryptedKey { path: path.into(), line: block.line });
        }
        let bad = |_| CertificateError::BadKey { path: path.into(), line: block.line };
        let mut der = match block.decode().map_err(pem)? {
            Some((SectionKind::PrivateKey, der)) => PrivateKeyDer::Pkcs8(der.into()),
            Some((SectionKind::RsaPrivateKey, der)) => PrivateKeyDer::Pkcs1(der.into()),
            Some((SectionKind::EcPrivateKey, der)) => PrivateKeyDer::Sec1(der.into()),
            _ => continue,
        };
        let key = any_supported_type(&der).map_err(bad);
        der.zeroize();
        return key;
    }
    Err(CertificateError::NoKey { path: path.into(), holds: Block::list(&blocks) })
}

fn check_match(
    files: &CertificateFiles,
    chain: &[CertificateDer<'static>],
    key: &Arc<dyn SigningKey>,
) -> Result<(), CertificateError> {
    if key.public_key().is_none() {
        // A key that can't tell its public half can't be compared, and is taken as it is.
        return Ok(());
    }
    let belongs = |certificate: &CertificateDer<'static>| {
        let alone = CertifiedKey::new(vec![certificate.clone()], Arc::clone(key));
        alone.keys_match().is_ok()
    };
    match chain.iter().position(belongs) {
        Some(0) => Ok(()),
        Some(index) => Err(CertificateError::NotFirst { chain: files.chain.clone(), place: index + 1 }),
        None => Err(CertificateError::KeyMismatch { chain: files.chain.clone(), key: files.key.clone() }),
    }
}

const MIN_RSA_BITS: usize = 2048;
/// Bytes of a PEM file; a chain of ten certificates takes about 20 KiB.
const MAX_FILE: u64 = 1 << 20;
const OTHERS_READ: u32 = 0o004;
