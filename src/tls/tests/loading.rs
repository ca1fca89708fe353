use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{CertifiedIssuer, ExtendedKeyUsagePurpose};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::config::Site;

#[test]
fn a_self_signed_certificate_is_accepted_by_whoever_trusts_it() {
    let made = self_signed(&["localhost".into(), "127.0.0.1".into()]).unwrap();
    let loaded = Scratch::new().load(&made.chain_pem, &made.key_pem).unwrap();
    assert_eq!(loaded.warnings(SystemTime::now()), []);
    assert_eq!(*loaded.names, ["localhost", "127.0.0.1"]);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.chain_pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = serving(vec![site("a", vec![exact("localhost")], vec![loaded])], &DEFAULTS);
    let client = Client { config };
    assert!(client.connect("localhost", &server).is_ok());
    assert!(client.connect("127.0.0.1", &server).is_ok());
    assert!(client.connect("other.test", &server).is_err());
}

#[test]
fn errors_name_the_file_the_line_and_the_remedy() {
    let scratch = Scratch::new();
    let (one, two) = (self_signed(&["a.test".into()]).unwrap(), self_signed(&["a.test".into()]).unwrap());
    let (chain, key) = (one.chain_pem.as_str(), one.key_pem.as_str());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let corrupt = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let both = format!("{}{chain}", two.chain_pem);
    for (chain, key, expected) in [
        ("", key, "chain.pem: no certificate in it; it holds no PEM block"),
        ("\u{0}\u{1}", key, "chain.pem: no certificate in it; it holds no PEM block"),
        (key, chain, "chain.pem: no certificate in it; it holds PRIVATE KEY"),
        (&chain[..chain.len() - 40], key, "chain.pem: line 1: the CERTIFICATE that begins here has no END line"),
        (corrupt, key, "chain.pem: line 1: not a valid certificate"),
        (chain, "", "key.pem: no private key in it; it holds no PEM block"),
        (chain, chain, "key.pem: no private key in it; it holds CERTIFICATE"),
        (chain, encrypted, "key.pem: line 1: the key is encrypted"),
        (chain, no_key, "key.pem: line 1: not a usable private key"),
        (chain, &two.key_pem, "key.pem is not the key of chain.pem"),
        (&both, key, "chain.pem: the key is that of certificate 2: put the site's own certificate first"),
    ] {
        let error = scratch.error(chain, key);
        assert!(error.starts_with(expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn files_that_are_missing_or_huge_are_named() {
    let scratch = Scratch::new();
    let made = self_signed(&["a.test".into()]).unwrap();
    let missing = CertificateFiles { chain: "/nowhere/chain.pem".into(), ..scratch.files("", "") };
    assert!(load(&missing).unwrap_err()[0].to_string().starts_with("/nowhere/chain.pem: "));
    assert!(scratch.error(&made.chain_pem, &" ".repeat(2 << 20)).starts_with("key.pem: larger than 1 MiB"));
}

#[test]
fn a_weak_rsa_key_is_refused_for_what_it_is() {
    let key_pem = rsa_key(1024);
    let scratch = Scratch::new();
    let files = scratch.files("", &key_pem);
    let status = Command::new("openssl")
        .args(["req", "-x509", "-subj", "/CN=weak", "-days", "1", "-key"])
        .arg(&files.key)
        .arg("-out")
        .arg(&files.chain)
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    let error = load(&files).unwrap_err()[0].to_string();
    assert!(error.contains("chain.pem: an RSA key of 1024 bits is too weak"), "{error}");
}

#[test]
fn every_form_of_key_that_openssl_writes_is_read() {
    let scratch = Scratch::new();
    let made = self_signed(&["a.test".into()]).unwrap();
    let files = scratch.files(&made.chain_pem, &made.key_pem);
    let sec1 = Command::new("openssl").args(["ec", "-in"]).arg(&files.key).output().unwrap().stdout;
    let sec1 = String::from_utf8(sec1).unwrap();
    assert!(sec1.contains("EC PRIVATE KEY"));
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    scratch.load(&made.chain_pem, &format!("{parameters}{sec1}")).unwrap();

    let rsa_pem = rsa_key(2048);
    let certificate = CertificateParams::new(["a.test".into()]).unwrap();
    let certificate = certificate.self_signed(&KeyPair::from_pem(&rsa_pem).unwrap()).unwrap().pem();
    let files = scratch.files(&certificate, &rsa_pem);
    let pkcs1 = Command::new("openssl").args(["rsa", "-traditional", "-in"]).arg(&files.key).output().unwrap().stdout;
    let pkcs1 = String::from_utf8(pkcs1).unwrap();
    assert!(pkcs1.contains("RSA PRIVATE KEY"));
    scratch.load(&certificate, &pkcs1).unwrap();
}

#[test]
fn validity_is_warned_about_at_its_time() {
    let certificate = ecdsa(&["a.test"]);
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    assert_eq!(certificate.warnings(at(certificate.not_before)), []);
    assert_eq!(certificate.warnings(at(certificate.not_after)), []);
    assert_eq!(certificate.warnings(at(certificate.not_after + 1)), [CertificateWarning::Expired]);
    assert_eq!(certificate.warnings(at(certificate.not_before - 1)), [CertificateWarning::NotYetValid]);
}

#[test]
fn what_clients_dislike_is_a_warning() {
    let scratch = Scratch::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let lonely = params.self_signed(&key).unwrap().pem();
    let stranger = self_signed(&["b.test".into()]).unwrap().chain_pem;
    let chain = format!("{lonely}{stranger}");
    let files = scratch.files(&chain, &key.serialize_pem());
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = load(&files).unwrap().warnings(SystemTime::now());
    assert_eq!(
        warnings,
        [
            CertificateWarning::NoNames,
            CertificateWarning::NotForServers,
            CertificateWarning::ChainOrder { place: 1 },
            CertificateWarning::KeyReadableByOthers { mode: 0o644 },
        ]
    );
    assert_eq!(warnings.iter().map(ToString::to_string).collect::<HashSet<_>>().len(), 4);
}

#[test]
fn a_chain_in_order_is_served_whole_and_without_a_warning() {
    let scratch = Scratch::new();
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "An Authority");
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["a.test".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let chain = format!("{}{}", certificate.pem(), issuer.pem());
    let loaded = scratch.load(&chain, &key.serialize_pem()).unwrap();
    assert_eq!(loaded.warnings(SystemTime::now()), []);
    assert_eq!(loaded.key.cert.len(), 2);
    assert!(loaded.covers(&exact("a.test")) && !loaded.covers(&exact("b.test")));
}

#[test]
fn a_site_tells_every_error_and_every_host_that_is_not_covered() {
    let scratch = Scratch::new();
    let made = self_signed(&["a.test".into()]).unwrap();
    let good = scratch.files(&made.chain_pem, &made.key_pem);
    let missing = CertificateFiles { chain: "/nowhere".into(), key: "/nowhere".into() };
    let mut site = Site {
        name: "a".into(),
        hosts: vec![exact("a.test"), HostPattern::LeadingWildcard(".a.test".into()), exact("b.test")],
        default: true,
        certificates: vec![missing.clone(), good.clone(), missing],
        acme: None,
        response_headers: Vec::new(),
        replies: Vec::new(),
        routes: Vec::new(),
    };
    let errors = SiteCertificates::load(&site).unwrap_err();
    assert_eq!(errors.iter().map(|(certificate, _)| *certificate).collect::<Vec<_>>(), [0, 0, 2, 2]);

    site.certificates = vec![good.clone()];
    let warnings = SiteCertificates::load(&site).unwrap().warnings(SystemTime::now());
    let uncovered = |host: &str| (0, CertificateWarning::HostNotCovered { host: host.into() });
    assert_eq!(warnings, [uncovered("*.a.test"), uncovered("b.test")]);
}
