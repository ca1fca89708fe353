//! Certificates that are got in a client's handshake, if somebody allows it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::ca::{Ca, ISSUANCE, Options};
use super::host::{Ends, Host, shown, state, within};
use crate::support::{Binary, eventually, program, run};

/// Says yes to hosts that begin with "yes", nothing to those that begin with "hang", and keeps what it was asked.
struct Asked {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Asked {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = targets.clone();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).unwrap_or(0);
                let request = String::from_utf8_lossy(&bytes[..n]).into_owned();
                let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let status = if target.contains("domain=yes") { "200 OK" } else { "403 Forbidden" };
                let hangs = target.contains("domain=hang");
                seen.lock().unwrap().push(target);
                if hangs {
                    hanging.push(stream);
                    continue;
                }
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, targets }
    }

    fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn host(ca: &Ca, asked: SocketAddr) -> Host {
    Host::of(ca)
        .acme(&format!("ask = \"http://{asked}/may?token=x\""))
        .site(&["known.test"], "")
        .site(&[], "name = \"customers\"\nacme = { on_demand = true }")
}

#[test]
fn a_host_that_is_allowed_gets_its_certificate_in_its_first_handshake() {
    let (ca, asked) = (Ca::start(), Asked::start());
    let host = host(&ca, asked.address);
    let store = TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    super::host::issued(&host, &ca, "known.test");
    let roots = ca.issuer_roots();
    // Ten at once are one question and one order.
    let leaves: Vec<_> = std::thread::scope(|scope| {
        let handshakes: Vec<_> =
            (0..10).map(|_| scope.spawn(|| shown(host.tls(), "yes.test", &roots, &["h2"]).unwrap())).collect();
        handshakes.into_iter().map(|handshake| handshake.join().unwrap()).collect()
    });
    assert!(leaves.iter().all(|shown| shown.trusted && shown.chain[0] == leaves[0].chain[0]));
    assert_eq!(asked.targets(), ["/may?token=x&domain=yes.test"]);
    assert_eq!(ca.orders(), 2);
    // After a restart it is in the store, and nobody is asked.
    drop(gate);
    let _gate = host.start_with(store.path());
    assert_eq!(shown(host.tls(), "YES.test", &roots, &[]).unwrap().chain[0], leaves[0].chain[0]);
    assert_eq!((asked.targets().len(), ca.orders()), (1, 2));
}

#[test]
fn a_host_that_is_denied_gets_none_and_is_asked_about_once() {
    let (ca, asked) = (Ca::start(), Asked::start());
    let host = host(&ca, asked.address);
    let _gate = host.start();
    super::host::issued(&host, &ca, "known.test");
    let roots = ca.issuer_roots();
    for _ in 0..5 {
        assert!(shown(host.tls(), "no.test", &roots, &[]).is_err());
    }
    assert_eq!(asked.targets(), ["/may?token=x&domain=no.test"]);
    // What no CA would certify isn't asked about.
    assert!(shown(host.tls(), "localhost", &roots, &[]).is_err());
    assert!(shown(host.tls(), "127.0.0.1", &roots, &[]).is_err());
    assert_eq!((asked.targets().len(), ca.orders()), (1, 1));
}

#[test]
fn if_nobody_can_be_asked_nothing_is_ordered() {
    let ca = Ca::start();
    let host = host(&ca, super::ca::free_address());
    let _gate = host.start();
    super::host::issued(&host, &ca, "known.test");
    assert!(shown(host.tls(), "yes.test", &ca.issuer_roots(), &[]).is_err());
    assert_eq!(ca.orders(), 1);
}

#[test]
fn names_at_random_cost_the_ca_nothing() {
    let (ca, asked) = (Ca::start(), Asked::start());
    let host = host(&ca, asked.address);
    let gate = host.start();
    super::host::issued(&host, &ca, "known.test");
    // The CA is asked when to renew it.
    let store = gate.directory().join("acme");
    eventually("that is stored", || state(&store)?["suggestion"]["next_check"].as_str().map(drop));
    ca.front.forget();
    let roots = ca.issuer_roots();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (host, roots) = (&host, &roots);
            scope.spawn(move || {
                for number in 0..25 {
                    assert!(shown(host.tls(), &format!("n{thread}-{number}.test"), roots, &[]).is_err());
                }
            });
        }
    });
    assert_eq!(ca.front.total(), 0);
    assert!(asked.targets().len() <= 100);
}

/// The CA signs for nine seconds, so that each certificate is due after four and a half.
fn short() -> Options {
    Options { validity: 9, ..Options::default() }
}

#[test]
fn after_a_restart_it_is_renewed_though_no_client_comes_and_whoever_allows_it_is_asked_again() {
    let (ca, asked) = (Ca::with(short()), Asked::start());
    let host = host(&ca, asked.address);
    let store = TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    let roots = ca.issuer_roots();
    assert!(shown(host.tls(), "yes.test", &roots, &[]).unwrap().trusted);
    drop(gate);
    let (before, answers) = (bundles(store.path(), "yes.test-"), asked.targets().len());
    let _gate = host.start_with(store.path());
    within("it is renewed", ISSUANCE, || (bundles(store.path(), "yes.test-") != before).then_some(()));
    assert_eq!(asked.targets().len(), answers + 1);
}

/// The certificates that a store has of a host.
fn bundles(store: &Path, start: &str) -> Vec<String> {
    let directories = std::fs::read_dir(store.join("certs")).unwrap().map(|entry| entry.unwrap());
    let of_host = directories.filter(|entry| entry.file_name().to_str().unwrap().starts_with(start));
    of_host.filter_map(|entry| std::fs::read_to_string(entry.path().join("bundle.pem")).ok()).collect()
}

#[test]
fn hosts_that_are_asked_about_for_long_hold_up_no_renewal() {
    let (ca, asked) = (Ca::with(short()), Asked::start());
    let host = host(&ca, asked.address);
    let gate = host.start();
    super::host::issued(&host, &ca, "known.test");
    let roots = ca.issuer_roots();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..40 {
            let (host, roots, over) = (&host, &roots, &over);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(SeqCst) {
                        return;
                    }
                    let _ = shown(host.tls(), &format!("hang{thread}-{number}.test"), roots, &[]);
                }
            });
        }
        // Dropped first, which ends the handshakes that wait.
        let (_ends, _gate) = (Ends(&over), gate);
        eventually("many are asked about", || asked.targets().len() >= 16);
        let before = ca.certificates();
        within("two renewals", ISSUANCE, || (ca.certificates() >= before + 2).then_some(()));
    });
}

#[test]
fn a_host_of_its_own_is_listed_renewed_and_revoked_by_its_name() {
    let (ca, asked) = (Ca::start(), Asked::start());
    let host = host(&ca, asked.address);
    let directory = TempDir::new().unwrap();
    let (file, store) = (directory.path().join("tidegate.toml"), directory.path().join("acme"));
    std::fs::write(&file, host.toml(&store)).unwrap();
    let cert = |arguments: &[&str]| run(program(), |c| c.arg("cert").args(arguments).arg("-c").arg(&file));
    let _server = Binary::run_file(&host.toml(&store));
    super::host::issued(&host, &ca, "known.test");
    let roots = ca.issuer_roots();
    let leaf = || shown(host.tls(), "yes.test", &roots, &[]).unwrap().chain[0].clone();
    let first = leaf();
    let list = cert(&["list"]);
    let line = list.stdout.lines().find(|line| line.ends_with(" yes.test")).unwrap_or_else(|| panic!("{list:?}"));
    assert!(line.starts_with("customers") && line.contains("in 89 days"), "{line}");
    let renewed = cert(&["renew", "YES.test"]);
    assert!(renewed.success && renewed.stdout.contains("renewed, good until"), "{renewed:?}");
    let second = within("the server has it", ISSUANCE, || Some(leaf()).filter(|leaf| *leaf != first));
    let revoked = cert(&["revoke", "yes.test", "--reason", "superseded"]);
    assert!(revoked.success, "{revoked:?}");
    within("it is replaced", ISSUANCE, || (leaf() != second).then_some(()));
    assert_eq!(
        asked.targets().len(),
        2,
        "the operator asks nobody, the server does before it replaces what was revoked"
    );
    let unknown = cert(&["renew", "yes-unknown.test"]);
    assert!(!unknown.success && unknown.stderr.contains("no certificate of yes-unknown.test"), "{unknown:?}");
}
