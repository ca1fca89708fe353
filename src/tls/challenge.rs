//! Answers to the challenges of CAs (RFC 8555 8.3, RFC 8737), for the listeners to give.
//!
//! What this instance has ordered is at hand. What another one has ordered is asked for on another thread, whose store
//! they share; it is answered soon or not at all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::PrivateKeyDer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The ALPN protocol of a CA that looks at a challenge.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// The process's answers.
#[derive(Debug, Default)]
pub struct Challenges {
    own: Mutex<Own>,
    elsewhere: OnceLock<mpsc::Sender<Question>>,
}

/// Which answer is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sought {
    /// By its token.
    Http01(String),
    /// By the name in the handshake: for an address, its reverse name.
    TlsAlpn01(String),
}

/// Asks whoever knows the other instances' answers.
#[derive(Debug)]
pub struct Question {
    pub sought: Sought,
    /// The key authorization.
    pub answer: oneshot::Sender<Option<String>>,
}

#[derive(Default)]
struct Own {
    http01: HashMap<String, Arc<str>>,
    tls_alpn01: HashMap<String, Arc<ServerConfig>>,
}

impl Challenges {
    /// Has the answers of other instances asked for through `questions`. Only the first call has an effect.
    pub fn ask_elsewhere(&self, questions: mpsc::Sender<Question>) {
        // A second gate in one process has answers of its own.
        let _ = self.elsewhere.set(questions);
    }

    /// Makes an answer ready.
    ///
    /// # Errors
    /// The certificate for a handshake can't be made.
    pub fn offer(&self, sought: &Sought, key_authorization: &str) -> Result<(), rcgen::Error> {
        match sought {
            Sought::Http01(token) => {
                self.own().http01.insert(token.clone(), key_authorization.into());
            }
            Sought::TlsAlpn01(name) => {
                let settings = handshake_settings(name, key_authorization)?;
                self.own().tls_alpn01.insert(name.clone(), settings);
            }
        }
        Ok(())
    }

    pub fn withdraw(&self, sought: &Sought) {
        match sought {
            Sought::Http01(token) => drop(self.own().http01.remove(token)),
            Sought::TlsAlpn01(name) => drop(self.own().tls_alpn01.remove(name)),
        }
    }

    /// What is answered to a token.
    pub async fn http01(&self, token: &[u8]) -> Option<Arc<str>> {
        let token = std::str::from_utf8(token).ok().filter(|token| is_token(token))?;
        if let Some(answer) = self.own().http01.get(token) {
            return Some(Arc::clone(answer));
        }
        self.ask(Sought::Http01(token.to_owned())).await.map(Arc::from)
    }

    /// What a handshake for this name and [`ACME_TLS`] is made with.
    pub async fn tls_alpn01(&self, name: &str) -> Option<Arc<ServerConfig>> {
        if let Some(settings) = self.own().tls_alpn01.get(name) {
            return Some(Arc::clone(settings));
        }
        let key_authorization = self.ask(Sought::TlsAlpn01(name.to_owned())).await?;
        handshake_settings(name, &key_authorization).ok()
    }

    async fn ask(&self, sought: Sought) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        // Too many questions at once are no CA's.
        self.elsewhere.get()?.try_send(Question { sought, answer }).ok()?;
        timeout(PATIENCE, answered).await.ok()?.ok()?
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("http01", &self.http01.len()).field("tls_alpn01", &self.tls_alpn01.len()).finish()
    }
}

/// The name that a CA asks for in a handshake about an address (RFC 8738 6).
pub fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let mut name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            name.push_str("ip6.arpa");
            name
        }
    }
}

/// The address that a reverse name is of.
fn address_of(name: &str) -> Option<IpAddr> {
    if let Some(labels) = name.strip_suffix(".in-addr.arpa") {
        let mut octets: Vec<&str> = labels.split('.').collect();
        octets.reverse();
        return octets.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let labels = name.strip_suffix(".ip6.arpa")?;
    let digits: String = labels.split('.').rev().collect();
    let groups: Vec<&str> = digits.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(":").parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// A self-signed certificate that holds the answer's hash, and nothing else that the handshake offers.
fn handshake_settings(name: &str, key_authorization: &str) -> Result<Arc<ServerConfig>, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let named = address_of(name).map_or_else(|| name.to_owned(), |ip| ip.to_string());
    let mut params = CertificateParams::new([named])?;
    let digest = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let certificate = params.self_signed(&key)?;
    let chain = vec![certificate.der().clone()];
    let signer = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let unusable = |_| rcgen::Error::CouldNotParseCertificate;
    let signer = any_supported_type(&signer).map_err(unusable)?;
    let mut settings = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        // Not `with_single_cert`, which refuses the critical extension that this certificate is for.
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, signer))));
    settings.alpn_protocols = vec![ACME_TLS.to_vec()];
    settings.send_tls13_tickets = 0;
    Ok(Arc::new(settings))
}

/// base64url, and no longer than anybody's (RFC 8555 8.1).
fn is_token(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !text.is_empty() && text.len() <= 256 && text.bytes().all(plain)
}

/// How long another instance's answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn own_answers_are_at_hand_until_they_are_withdrawn() {
        let challenges = Challenges::default();
        let sought = Sought::Http01("token".into());
        challenges.offer(&sought, "token.thumbprint").unwrap();
        assert_eq!(challenges.http01(b"token").await.as_deref(), Some("token.thumbprint"));
        challenges.withdraw(&sought);
        assert_eq!(challenges.http01(b"token").await, None);
    }

    #[tokio::test]
    async fn what_is_no_token_is_asked_of_nobody() {
        let challenges = Challenges::default();
        let (questions, mut asked) = mpsc::channel(8);
        challenges.ask_elsewhere(questions);
        for token in ["", "../../etc/passwd", "a b", "a/b", &"x".repeat(257)] {
            assert_eq!(challenges.http01(token.as_bytes()).await, None);
        }
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test]
    async fn another_instances_answer_is_asked_for() {
        let challenges = Challenges::default();
        let (questions, mut asked) = mpsc::channel(8);
        challenges.ask_elsewhere(questions);
        tokio::spawn(async move {
            while let Some(Question { sought, answer }) = asked.recv().await {
                let known = sought == Sought::Http01("theirs".into()) || sought == Sought::TlsAlpn01("a.b".into());
                let _ = answer.send(known.then(|| "theirs.thumbprint".to_owned()));
            }
        });
        assert_eq!(challenges.http01(b"theirs").await.as_deref(), Some("theirs.thumbprint"));
        assert_eq!(challenges.http01(b"unknown").await, None);
        assert_eq!(challenges.tls_alpn01("a.b").await.unwrap().alpn_protocols, [ACME_TLS]);
        assert!(challenges.tls_alpn01("c.d").await.is_none());
    }

    #[test]
    fn addresses_have_reverse_names() {
        for (ip, name) in [
            ("192.0.2.1", "1.2.0.192.in-addr.arpa".to_owned()),
            ("2001:db8::1", format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23))),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(reverse_name(ip), name);
            assert_eq!(address_of(&name), Some(ip));
        }
        assert_eq!(address_of("example.com"), None);
        assert_eq!(address_of("x.in-addr.arpa"), None);
        assert_eq!(address_of("é.ip6.arpa"), None);
    }
}
