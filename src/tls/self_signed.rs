//! A certificate that Tidegate makes for itself, for trying things out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};

/// A certificate nobody vouches for, and its key.
pub struct SelfSigned {
    pub chain_pem: String,
    pub key_pem: String,
}

/// Makes an ECDSA P-256 certificate for host names and addresses, valid from an hour ago for 90 days. Fails if a name
/// is not ASCII, or there is no randomness.
pub fn self_signed(names: &[String]) -> Result<SelfSigned, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    let epoch = date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + LIFETIME;
    params.distinguished_name.push(DnType::CommonName, "Tidegate self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    Ok(SelfSigned { chain_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
const CLOCK_SKEW: Duration = Duration::from_secs(3600);
