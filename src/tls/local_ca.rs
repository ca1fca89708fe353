//! A CA of this machine alone, for trying things out with a browser that doesn't complain.
//!
//! Whoever has its key can vouch for `localhost` and the loopback's addresses, and for nothing else: the root says so, and
//! clients hold it to that (RFC 5280 4.2.1.10).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use super::self_signed::SelfSigned;

/// The root's certificate and its key.
pub struct LocalCa {
    pub root_pem: String,
    pub key_pem: String,
}

impl LocalCa {
    /// Makes one, good for ten years.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn make() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = root_params();
        last(&mut params, 10 * YEAR);
        let root = params.self_signed(&key)?;
        Ok(Self { root_pem: root.pem(), key_pem: key.serialize_pem() })
    }

    /// Vouches for these names, for 90 days.
    ///
    /// # Errors
    /// The root or its key is damaged, or a name isn't one.
    pub fn issue(&self, names: &[String]) -> Result<SelfSigned, rcgen::Error> {
        let root = root_params();
        let issuer = Issuer::from_params(&root, KeyPair::from_pem(&self.key_pem)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Tidegate demo");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        last(&mut params, 90 * DAY);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(SelfSigned { chain_pem: certificate.pem() + &self.root_pem, key_pem: key.serialize_pem() })
    }
}

/// The root, but for its time.
fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Tidegate demo on this machine");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(Ipv4Addr::new(127, 0, 0, 0).octets(), 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

/// From an hour ago.
fn last(params: &mut CertificateParams, lifetime: Duration) {
    let epoch = date_time_ymd(1970, 1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + now.saturating_sub(Duration::from_secs(3600));
    params.not_after = epoch + now + lifetime;
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs::default_provider;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    #[test]
    fn it_is_believed_about_this_machine_and_nothing_else() {
        let ca = LocalCa::make().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.root_pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        for (name, believed) in
            [("localhost", true), ("127.0.0.1", true), ("::1", true), ("example.com", false), ("192.0.2.1", false)]
        {
            let made = ca.issue(&[name.to_owned()]).unwrap();
            let leaf = CertificateDer::from_pem_slice(made.chain_pem.as_bytes()).unwrap();
            let server = ServerName::try_from(name).unwrap();
            let verified = verifier.verify_server_cert(&leaf, &[], &server, &[], UnixTime::now());
            assert_eq!(verified.is_ok(), believed, "{name}: {verified:?}");
        }
    }
}
