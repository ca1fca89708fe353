//! Keys of certificates, and the requests that CAs sign.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SignatureAlgorithm};

use crate::config::KeyType;

/// Makes a key. RSA takes up to seconds, so that it must not be made where others wait.
///
/// # Errors
/// There is no randomness.
pub(super) fn make(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(algorithm(kind))
}

/// A request for a certificate with these names and nothing else, in DER.
///
/// # Errors
/// A name that isn't one, or a key that can't sign.
pub(super) fn request(key: &KeyPair, names: &[String]) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

fn algorithm(kind: KeyType) -> &'static SignatureAlgorithm {
    match kind {
        KeyType::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyType::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyType::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_key_is_written_and_read_again_and_signs_a_request() {
        for kind in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let key = make(kind).unwrap();
            let again = KeyPair::from_pem(&key.serialize_pem()).unwrap();
            assert_eq!(again.public_key_raw(), key.public_key_raw(), "{kind:?}");
            assert!(!request(&again, &["a.b".into(), "*.c.d".into(), "192.0.2.1".into()]).unwrap().is_empty());
        }
    }
}
