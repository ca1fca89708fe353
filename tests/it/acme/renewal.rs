//! The certificates after the first.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::ca::{Ca, ISSUANCE, Options, Version, newer_or_skip};
use super::front::Fault;
use super::host::{Host, change_state, issued, shown, state, within};
use crate::support::eventually;

/// Two minutes: `make test` has five for everything.
const UNDER_LOAD: Duration = Duration::from_secs(120);

#[test]
fn nine_second_certificates_are_renewed_under_load_without_a_failed_handshake() {
    let ca = Arc::new(Ca::with(Options { validity: 9, ..Options::default() }));
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start();
    issued(&host, &ca, "a.test");
    let began = Instant::now();
    let (over, handshakes, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let roots = ca.issuer_roots();
    let seen = std::thread::scope(|scope| {
        let client = || {
            let mut seen: Vec<CertificateDer<'static>> = Vec::new();
            while !over.load(SeqCst) {
                handshakes.fetch_add(1, SeqCst);
                match shown(host.tls(), "a.test", &roots, &["h2", "http/1.1"]) {
                    Ok(shown) if shown.trusted => {
                        if seen.last() != Some(&shown.chain[0]) {
                            seen.push(shown.chain[0].clone());
                        }
                    }
                    other => {
                        eprintln!("{other:?}");
                        failed.fetch_add(1, SeqCst);
                    }
                }
                // The machine has other work.
                std::thread::sleep(Duration::from_millis(10));
            }
            seen
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        std::thread::sleep(UNDER_LOAD);
        over.store(true, SeqCst);
        let [one, other] = clients.map(|client| client.join().unwrap());
        if one.len() > other.len() { one } else { other }
    });
    drop(gate);
    assert_eq!(failed.load(SeqCst), 0, "of {} handshakes", handshakes.load(SeqCst));
    assert!(handshakes.load(SeqCst) > 2000, "{handshakes:?}");
    // One order for each certificate that was shown, and one may have been under way at the end.
    let orders = ca.orders();
    assert!((seen.len()..=seen.len() + 1).contains(&orders), "{orders} orders, {} certificates", seen.len());
    // Half of nine seconds, of which a CA's whole seconds may take one half; and the time that an order takes.
    let (longest, shortest) = (began.elapsed().as_secs() / 4 + 2, UNDER_LOAD.as_secs() / 9);
    assert!((shortest..=longest).contains(&(orders as u64)), "{orders} orders, {shortest} to {longest} expected");
}

#[test]
fn a_connection_stays_open_while_its_certificate_is_renewed() {
    let ca = Ca::with(Options { validity: 9, ..Options::default() });
    let host = Host::of(&ca).site(&["a.test"], "");
    let _gate = host.start();
    let first = issued(&host, &ca, "a.test");
    let mut client = tls_client(&ca, host.tls());
    client.send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    let roots = ca.issuer_roots();
    within("another certificate", Duration::from_secs(20), || {
        let shown = shown(host.tls(), "a.test", &roots, &[]).ok()?;
        (shown.trusted && shown.chain[0] != first).then_some(())
    });
    assert_eq!(client.send("GET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n").response("GET").status, 200);
}

fn tls_client(ca: &Ca, address: std::net::SocketAddr) -> crate::support::Client {
    crate::support::Client::tls(address, &crate::support::Tls::with_roots(ca.issuer_roots(), "a.test"))
}

/// The path of the newer pebble's renewal information.
const ARI: &str = "/draft-ietf-acme-ari";

fn answer(body: &Value) -> Fault {
    let body = body.to_string();
    Fault::Answer(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After: 21600\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn window(start: &str, end: &str) -> Fault {
    answer(&json!({ "suggestedWindow": { "start": start, "end": end } }))
}

/// Waits until the CA has been asked when to renew, and what it said is stored.
fn settled(store: &Path) {
    eventually("the answer is stored", || state(store)?["suggestion"]["next_check"].as_str().map(drop));
}

/// Has the CA asked again about the only certificate of a store.
fn ask_again(store: &Path) {
    change_state(store, |state| state["suggestion"]["next_check"] = Value::Null);
}

#[test]
fn a_window_moved_into_the_past_means_a_renewal_that_says_what_it_replaces() {
    let Some(options) = newer_or_skip("ARI", Version::Trixie) else { return };
    let ca = Ca::with(options);
    ca.front.set(ARI, window("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z"));
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start();
    let store = gate.directory().join("acme");
    let first = issued(&host, &ca, "a.test");
    eventually("it is asked when to renew", || ca.front.requests(ARI) > 0);
    settled(&store);
    assert_eq!(ca.orders(), 1);

    ca.front.set(ARI, window("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
    // The first window that makes sense is ignored if it was open at issuance; this one follows another.
    change_state(&store, |state| {
        state["suggestion"]["window"] = json!({ "start": "2026-12-24T00:00:00Z", "end": "2026-12-25T00:00:00Z" });
        state["suggestion"]["next_check"] = Value::Null;
    });
    let roots = ca.issuer_roots();
    within("it is renewed", ISSUANCE, || {
        let shown = shown(host.tls(), "a.test", &roots, &[]).ok()?;
        (shown.trusted && shown.chain[0] != first).then_some(())
    });
    let orders = ca.front.payloads("/order-plz");
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert!(orders[0]["replaces"].is_null() && orders[1]["replaces"].is_string(), "{orders:?}");
    // The CA goes on saying "now", with another window each time: no loop.
    for year in 2010..2013 {
        ca.front.set(ARI, window(&format!("{year}-01-01T00:00:00Z"), &format!("{year}-01-02T00:00:00Z")));
        let asked = ca.front.requests(ARI);
        ask_again(&store);
        eventually("it is asked again", || ca.front.requests(ARI) > asked);
        settled(&store);
    }
    // What is due is begun before anything is looked at: this look would have come after a third order.
    let asked = ca.front.requests(ARI);
    ask_again(&store);
    eventually("it is asked once more", || ca.front.requests(ARI) > asked);
    settled(&store);
    assert_eq!(ca.orders(), 2);
}

#[test]
fn windows_that_make_no_sense_renew_nothing() {
    let Some(options) = newer_or_skip("ARI that makes no sense", Version::Trixie) else { return };
    let ca = Ca::with(options);
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start();
    let store = gate.directory().join("acme");
    issued(&host, &ca, "a.test");
    settled(&store);
    let missing = Fault::Answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into());
    for nonsense in [
        window("2026-12-25T00:00:00Z", "2026-12-24T00:00:00Z"),
        window("soon", "later"),
        answer(&json!({ "suggestedWindow": 7 })),
        answer(&json!("<html>")),
        missing,
        Fault::HangUp,
    ] {
        ca.front.set(ARI, nonsense.clone());
        let asked = ca.front.requests(ARI);
        ask_again(&store);
        eventually(&format!("it is asked in spite of {nonsense:?}"), || ca.front.requests(ARI) > asked);
        settled(&store);
    }
    assert_eq!(ca.orders(), 1);
    assert!(state(&store).unwrap()["suggestion"]["chosen"].is_null());
}

#[test]
fn a_refused_replacement_is_ordered_without_it() {
    let Some(options) = newer_or_skip("a refused replacement", Version::Trixie) else { return };
    let ca = Ca::with(options);
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start();
    let first = issued(&host, &ca, "a.test");
    let store = gate.directory().join("acme");
    settled(&store);
    // The CA has forgotten the certificate, and answers 500 to an order that replaces it.
    ca.restart();
    change_state(&store, |state| state["asked"] = json!("2026-11-01T00:00:00Z"));
    let roots = ca.issuer_roots();
    within("it is renewed", ISSUANCE, || {
        let shown = shown(host.tls(), "a.test", &roots, &[]).ok()?;
        (shown.trusted && shown.chain[0] != first).then_some(())
    });
    let orders = ca.front.payloads("/order-plz");
    let replaces: Vec<bool> = orders.iter().map(|order| order["replaces"].is_string()).collect();
    // First under an account that is gone.
    assert_eq!(replaces, [false, true, true, false], "{orders:?}");
}

#[test]
fn a_damaged_bundle_is_replaced_by_the_one_before_or_by_another() {
    let ca = Ca::with(Options { authorizations_reused: 100, ..Options::default() });
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = tempfile::TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    let first = issued(&host, &ca, "a.test");
    settled(store.path());
    change_state(store.path(), |state| state["asked"] = json!("2026-11-01T00:00:00Z"));
    let roots = ca.issuer_roots();
    within("it is renewed", ISSUANCE, || {
        let shown = shown(host.tls(), "a.test", &roots, &[]).ok()?;
        (shown.chain[0] != first).then_some(())
    });
    drop(gate);
    let directory = std::fs::read_dir(store.path().join("certs")).unwrap().next().unwrap().unwrap().path();
    let cut = |name: &str| {
        let text = std::fs::read(directory.join(name)).unwrap();
        std::fs::write(directory.join(name), &text[..text.len() / 2]).unwrap();
    };
    cut("bundle.pem");
    let gate = host.start_with(store.path());
    assert_eq!(shown(host.tls(), "a.test", &roots, &[]).unwrap().chain[0], first, "the one before");
    drop(gate);
    cut("previous.pem");
    let orders = ca.orders();
    let started = Instant::now();
    let _gate = host.start_with(store.path());
    issued(&host, &ca, "a.test");
    assert_eq!(ca.orders(), orders + 1, "after {:?}", started.elapsed());
}
