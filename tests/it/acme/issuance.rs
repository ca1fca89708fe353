//! A first certificate: by which challenge, with which key, from which CA.

use x509_parser::prelude::{FromDer, X509Certificate};

use super::ca::{Ca, EAB_HMAC_KEY, EAB_KEY_ID, Options, PROFILES, Version, newer_or_skip};
use super::host::{Host, issued, shown, state, within};
use crate::support::{Client, eventually};

/// The DNS names of a certificate.
fn names(der: &[u8]) -> Vec<String> {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let mut names: Vec<String> = names.value.general_names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn two_names_get_one_certificate_by_http_01_though_the_listener_redirects() {
    let ca = Ca::start();
    let host = Host::of(&ca).listener("redirect = \"https\"").acme("challenges = \"http-01\"");
    let host = host.site(&["www.a.test", "a.test"], "");
    let gate = host.start();
    let leaf = issued(&host, &ca, "a.test");
    assert_eq!(names(&leaf), ["DNSName(a.test)", "DNSName(www.a.test)"]);
    assert_eq!(issued(&host, &ca, "www.a.test"), leaf);
    assert_eq!((ca.orders(), ca.certificates()), (1, 1));
    // The order is over: nothing of it stays.
    let store = gate.directory().join("acme");
    for empty in ["orders", "challenges/http-01", "challenges/tls-alpn-01"] {
        eventually(empty, || std::fs::read_dir(store.join(empty)).unwrap().next().is_none());
    }
}

#[test]
fn tls_alpn_01_is_answered_on_the_port_that_serves_http_2() {
    let ca = Ca::start();
    let host = Host::of(&ca).acme("challenges = \"tls-alpn-01\"").site(&["a.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "a.test");
    let shown = shown(host.tls(), "a.test", &ca.issuer_roots(), &["h2", "http/1.1"]).unwrap();
    assert_eq!((shown.trusted, shown.alpn.as_deref()), (true, Some(b"h2".as_slice())));
    assert_eq!(ca.orders(), 1);
}

#[test]
fn a_restart_serves_what_the_store_has_and_asks_nobody() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = tempfile::TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    let leaf = issued(&host, &ca, "a.test");
    drop(gate);
    ca.kill();
    ca.front.forget();
    let _gate = host.start_with(store.path());
    let shown = shown(host.tls(), "a.test", &ca.issuer_roots(), &[]).unwrap();
    assert_eq!((shown.trusted, &shown.chain[0]), (true, &leaf));
    assert_eq!(ca.orders(), 0);
}

#[test]
fn an_unknown_token_is_a_404_and_other_paths_are_none_of_its_business() {
    let ca = Ca::start();
    let host = Host::of(&ca).listener("redirect = \"https\"").site(&["a.test"], "");
    let _gate = host.start();
    let get = |path: &str, name: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        Client::connect(host.http()).send(request).response("GET").status
    };
    assert_eq!(get("/.well-known/acme-challenge/unknown", "a.test"), 404);
    assert_eq!(get("/.well-known/acme-challenge/", "a.test"), 404);
    assert_eq!(get("/.well-known/acme-challeng", "a.test"), 301);
    assert_eq!(get("/.well-known/acme-challenge/x", "other.test"), 301, "another ACME client may have that host");
}

#[test]
fn until_there_is_a_certificate_a_self_signed_one_stands_in() {
    let ca = Ca::start();
    ca.kill();
    let host = Host::of(&ca).site(&["a.test"], "");
    let _gate = host.start();
    let shown = shown(host.tls(), "a.test", &ca.issuer_roots(), &["http/1.1"]).unwrap();
    assert_eq!((shown.trusted, names(&shown.chain[0])), (false, vec!["DNSName(a.test)".to_owned()]));
}

#[test]
fn accounts_that_need_a_binding_get_it() {
    let ca = Ca::with(Options { eab: true, ..Options::default() });
    let eab = |id: &str, key: &str| format!("eab = {{ key_id = {id:?}, hmac_key = {key:?} }}");
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for binding in [String::new(), eab("nobody", EAB_HMAC_KEY), eab(EAB_KEY_ID, wrong)] {
        ca.front.forget();
        let host = Host::of(&ca).and(&binding).site(&["a.test"], "");
        let gate = host.start();
        let store = gate.directory().join("acme");
        let trouble = eventually("the refusal is noted", || state(&store)?.get("trouble").cloned());
        assert_eq!(trouble["class"], "policy", "{binding}: {trouble}");
        assert_eq!(ca.orders(), 0);
    }
    let host = Host::of(&ca).and(&eab(EAB_KEY_ID, EAB_HMAC_KEY)).site(&["a.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "a.test");
}

#[test]
fn keys_are_of_the_kind_that_is_asked_for() {
    let ca = Ca::start();
    let host = Host::of(&ca)
        .site(&["rsa.test"], "acme = { key = \"rsa2048\" }")
        .site(&["p384.test"], "acme = { key = \"p384\" }")
        .site(&["p256.test"], "");
    let _gate = host.start();
    for (name, bits) in [("rsa.test", 2048), ("p384.test", 384), ("p256.test", 256)] {
        let leaf = issued(&host, &ca, name);
        let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
        let size = certificate.public_key().parsed().unwrap().key_size();
        assert!((size as i64 - bits).abs() < 16, "{name}: {size}");
    }
}

#[test]
fn an_address_gets_a_certificate_by_http_01() {
    let ca = Ca::start();
    let host = Host::of(&ca).acme("challenges = \"http-01\"").site(&["127.0.0.1"], "");
    let _gate = host.start();
    let leaf = within("a certificate for an address", super::ca::ISSUANCE, || {
        let shown = shown(host.tls(), "127.0.0.1", &ca.issuer_roots(), &[]).ok()?;
        shown.trusted.then(|| shown.chain[0].clone())
    });
    assert_eq!(names(&leaf), ["IPAddress(7f:00:00:01)"]);
}

#[test]
fn where_the_first_ca_fails_the_second_issues() {
    let [down, ca] = [Ca::start(), Ca::start()];
    down.kill();
    let host = Host::of(&ca).acme("issuers = [\"down\", \"ca\"]").and(&down.issuer("down")).site(&["a.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "a.test");
    assert_eq!(ca.orders(), 1);
}

#[test]
fn a_name_that_policy_refuses_keeps_no_other_from_its_certificate() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test", "blocked.test"], "").site(&["b.test"], "");
    let gate = host.start();
    assert_eq!(names(&issued(&host, &ca, "a.test")), ["DNSName(a.test)"]);
    issued(&host, &ca, "b.test");
    let states: String = std::fs::read_dir(gate.directory().join("acme/state"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(states.contains("\"refused\"") && states.contains("blocked.test"), "{states}");
}

#[test]
fn refused_nonces_are_no_failure() {
    for refused in [5, 50] {
        let ca = Ca::with(Options { nonces_refused: refused, ..Options::default() });
        let host = Host::of(&ca).site(&["a.test"], "");
        let _gate = host.start();
        issued(&host, &ca, "a.test");
    }
}

#[test]
fn authorizations_that_are_used_again_need_no_challenge() {
    let ca = Ca::with(Options { authorizations_reused: 100, ..Options::default() });
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = tempfile::TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    issued(&host, &ca, "a.test");
    drop(gate);
    std::fs::remove_dir_all(store.path().join("certs")).unwrap();
    let challenges = ca.front.requests("/chalZ/");
    let _gate = host.start_with(store.path());
    issued(&host, &ca, "a.test");
    assert_eq!((ca.orders(), ca.front.requests("/chalZ/")), (2, challenges));
}

#[test]
fn only_a_client_that_asks_for_nothing_else_gets_the_challenges_certificate() {
    let ca = Ca::start();
    ca.front.set("/chalZ/", super::front::Fault::Hold);
    let host = Host::of(&ca).acme("challenges = \"tls-alpn-01\"").site(&["a.test"], "");
    let _gate = host.start();
    let roots = ca.issuer_roots();
    let challenge = eventually("the answer is ready", || shown(host.tls(), "a.test", &roots, &["acme-tls/1"]).ok());
    assert_eq!(challenge.alpn.as_deref(), Some(b"acme-tls/1".as_slice()));
    let both = shown(host.tls(), "a.test", &roots, &["h2", "acme-tls/1"]).unwrap();
    assert_eq!(both.alpn.as_deref(), Some(b"h2".as_slice()));
    assert_ne!(both.chain, challenge.chain);
    assert!(shown(host.tls(), "other.test", &roots, &["acme-tls/1"]).is_err(), "nobody ordered that");
    ca.front.clear();
    issued(&host, &ca, "a.test");
}

#[test]
fn a_profile_is_asked_for_and_got() {
    let Some(options) = newer_or_skip("profiles", Version::Forky) else { return };
    let ca = Ca::with(options);
    let host = Host::of(&ca)
        .acme("profile = \"classic\"")
        .site(&["long.test"], "")
        .site(&["short.test"], "acme = { profile = \"shortlived\" }");
    let _gate = host.start();
    for (name, (_, seconds)) in ["long.test", "short.test"].into_iter().zip(PROFILES) {
        let leaf = issued(&host, &ca, name);
        let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
        let validity = certificate.validity();
        let lifetime = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!((lifetime - seconds as i64).abs() <= 1, "{name}: {lifetime}");
    }
    let mut asked: Vec<_> = ca.front.payloads("/order-plz").iter().map(|order| order["profile"].to_string()).collect();
    asked.sort();
    assert_eq!(asked, ["\"classic\"", "\"shortlived\""]);
}

#[test]
fn a_profile_that_the_ca_hasnt_is_refused_with_those_that_it_has() {
    let newest = newer_or_skip("profiles that there aren't", Version::Forky);
    let offers = [(Some(Options::default()), "it offers: none"), (newest, "it offers: classic, shortlived")];
    for (options, offered) in offers.into_iter().filter_map(|(options, offered)| Some((options?, offered))) {
        let ca = Ca::with(options);
        let host = Host::of(&ca).acme("profile = \"tlsserver\"").site(&["a.test"], "");
        let gate = host.start();
        let store = gate.directory().join("acme");
        let trouble = eventually("the refusal is noted", || state(&store)?.get("trouble").cloned());
        let expected = format!("the CA has no profile \"tlsserver\"; {offered}");
        assert_eq!((&trouble["class"], &trouble["detail"]), (&"policy".into(), &expected.into()));
        assert_eq!(ca.orders(), 0, "nothing is ordered that the CA wouldn't give");
    }
}

#[test]
fn a_site_that_gains_a_host_is_served_with_what_it_had_until_the_next_certificate_comes() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = tempfile::TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    let leaf = issued(&host, &ca, "a.test");
    eventually("all is stored", || std::fs::read_dir(store.path().join("orders")).unwrap().next().is_none());
    drop(gate);
    ca.front.set("/", super::front::Fault::Hold);
    let more = Host::of(&ca).site(&["b.test", "a.test"], "").site(&["c.test"], "");
    let _gate = more.start_with(store.path());
    let roots = ca.issuer_roots();
    assert_eq!(shown(more.tls(), "a.test", &roots, &[]).unwrap().chain[0], leaf);
    assert!(!shown(more.tls(), "c.test", &roots, &[]).unwrap().trusted, "that is another site's");
    ca.front.clear();
    let both = issued(&more, &ca, "b.test");
    assert_eq!(names(&both), ["DNSName(a.test)", "DNSName(b.test)"]);
}
