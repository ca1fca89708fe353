use rustls::CipherSuite;

use super::*;

#[test]
fn the_name_chooses_exact_then_wildcard_then_default() {
    let [plain, wild, deep, trailing, fallback] =
        [&["a.test"][..], &["*.a.test"], &["*.b.a.test"], &["www.x.test"], &["fallback.test"]].map(ecdsa);
    let server = serving(
        vec![
            site("wild", vec![HostPattern::LeadingWildcard(".a.test".into())], vec![wild.clone()]),
            site("plain", vec![exact("a.test"), exact("one.a.test")], vec![plain.clone()]),
            site("deep", vec![HostPattern::LeadingWildcard(".b.a.test".into())], vec![deep.clone()]),
            site("trailing", vec![HostPattern::TrailingWildcard("www.x.".into())], vec![trailing.clone()]),
            SiteCertificates { default: true, ..site("fallback", vec![exact("f.test")], vec![fallback.clone()]) },
        ],
        &DEFAULTS,
    );
    for (name, expected) in [
        ("a.test", &plain),
        ("A.Test", &plain),
        ("one.a.test", &plain),
        ("two.a.test", &wild),
        ("c.two.a.test", &wild),
        ("c.b.a.test", &deep),
        ("www.x.de", &trailing),
        ("www.x.co.uk", &trailing),
        ("www.y.test", &fallback),
        ("127.0.0.1", &fallback),
    ] {
        assert_eq!(Client::modern().shown(name, &server), leaf(expected), "{name}");
    }
}

#[test]
fn without_a_default_site_the_first_with_a_certificate_serves_unknown_names() {
    let (first, second) = (ecdsa(&["a.test"]), ecdsa(&["b.test"]));
    let sites = vec![
        SiteCertificates { default: true, ..site("bare", vec![exact("bare.test")], Vec::new()) },
        site("first", vec![exact("a.test")], vec![first.clone()]),
        site("second", vec![exact("b.test")], vec![second]),
    ];
    assert_eq!(Client::modern().shown("bare.test", &serving(sites, &DEFAULTS)), leaf(&first));
}

#[test]
fn strict_sni_refuses_unknown_names_and_none() {
    let server = serving(
        vec![SiteCertificates { default: true, ..site("a", vec![exact("a.test")], vec![ecdsa(&["a.test"])]) }],
        &Tls { strict_sni: true, ..Tls::default() },
    );
    assert!(Client::modern().connect("a.test", &server).is_ok());
    for name in ["b.test", "127.0.0.1"] {
        assert!(Client::modern().connect(name, &server).is_err(), "{name}");
    }
}

#[test]
fn of_a_sites_certificates_the_one_that_covers_the_name_is_shown() {
    let (one, two) = (ecdsa(&["one.test"]), ecdsa(&["*.two.test"]));
    let hosts = vec![exact("one.test"), exact("x.two.test"), exact("three.test")];
    let server = serving(vec![site("both", hosts, vec![one.clone(), two.clone()])], &DEFAULTS);
    let client = Client::modern();
    assert_eq!(client.shown("one.test", &server), leaf(&one));
    assert_eq!(client.shown("x.two.test", &server), leaf(&two));
    assert_eq!(client.shown("three.test", &server), leaf(&one));
}

#[test]
fn the_kind_of_key_follows_what_the_client_can_verify() {
    let (slow, fast) = (rsa(&["a.test"]), ecdsa(&["a.test"]));
    let server = serving(vec![site("a", vec![exact("a.test")], vec![slow.clone(), fast.clone()])], &DEFAULTS);
    for version in [&version::TLS12, &version::TLS13] {
        for (schemes, expected) in [(&[ECDSA, RSA][..], &fast), (&[ECDSA], &fast), (&[RSA], &slow)] {
            let shown = Client::new(&[version], schemes).shown("a.test", &server);
            assert_eq!(shown, leaf(expected), "{version:?} {schemes:?}");
        }
    }
}

#[test]
fn a_tls_1_2_client_without_an_ecdsa_suite_gets_the_rsa_certificate() {
    let (slow, fast) = (rsa(&["a.test"]), ecdsa(&["a.test"]));
    let server = serving(vec![site("a", vec![exact("a.test")], vec![slow.clone(), fast])], &DEFAULTS);
    let mut provider = default_provider();
    provider.cipher_suites.retain(|s| s.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(believer(&[ECDSA, RSA]))
        .with_no_client_auth();
    let met = Client { config }.connect("a.test", &server).unwrap();
    assert_eq!((met.certificate, met.handshake.cipher), (leaf(&slow), "ECDHE-RSA-AES128-GCM-SHA256"));
}

#[test]
fn a_swap_of_the_store_reaches_the_next_handshake() {
    let (old, new) = (ecdsa(&["a.test"]), ecdsa(&["a.test"]));
    let store = Store::new();
    let server = server(&DEFAULTS, &store);
    assert!(Client::modern().connect("a.test", &server).is_err());
    for certificate in [old, new] {
        store.replace(vec![site("a", vec![exact("a.test")], vec![certificate.clone()])]);
        assert_eq!(Client::modern().shown("a.test", &server), leaf(&certificate));
        assert_eq!(store.expiries(), [("a".to_string(), certificate.not_after)]);
    }
}
