//! Certificates that are got in a client's handshake, if somebody allows it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::ca::Ca;
use super::host::{Host, shown};

/// Says yes to hosts that begin with "yes", and keeps what it was asked.
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
            for mut stream in listener.incoming().flatten() {
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).unwrap_or(0);
                let request = String::from_utf8_lossy(&bytes[..n]).into_owned();
                let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let status = if target.contains("domain=yes") { "200 OK" } else { "403 Forbidden" };
                seen.lock().unwrap().push(target);
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
    let _gate = host.start();
    super::host::issued(&host, &ca, "known.test");
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
