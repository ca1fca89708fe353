//! Several instances with one store, and one that is killed.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tempfile::TempDir;

use super::ca::{Ca, ISSUANCE, free_address};
use super::front::Fault;
use super::host::{Ends, Host, issued, shown, within};
use crate::support::{Binary, Client, eventually, program, run};

#[test]
fn eight_instances_with_one_store_get_one_certificate_whoever_the_ca_asks() {
    let ca = Ca::start();
    for challenge in ["http-01", "tls-alpn-01"] {
        ca.front.forget();
        let store = TempDir::new().unwrap();
        // The CA looks at the first; most likely another one orders.
        let acme = format!("challenges = {challenge:?}");
        let name = format!("{challenge}.test");
        let hosts: Vec<Host> = (0..8)
            .map(|number| {
                let host = Host::of(&ca).acme(&acme).site(&[&name], "");
                let elsewhere = || free_address().port();
                if number == 0 { host } else { host.on_ports(elsewhere(), elsewhere()) }
            })
            .collect();
        let gates: Vec<_> = hosts.iter().rev().map(|host| host.start_with(store.path())).collect();
        let shown: Vec<_> = hosts.iter().map(|host| issued(host, &ca, &name)).collect();
        assert!(shown.iter().all(|leaf| *leaf == shown[0]));
        assert_eq!((ca.orders(), ca.certificates()), (1, 1), "{challenge}");
        drop(gates);
    }
}

#[test]
fn two_instances_with_one_store_renew_once() {
    let ca = Ca::with(super::ca::Options { validity: 9, ..Default::default() });
    let store = TempDir::new().unwrap();
    let one = Host::of(&ca).site(&["a.test"], "");
    let other = one.clone().on_ports(free_address().port(), free_address().port());
    let _gates = [one.start_with(store.path()), other.start_with(store.path())];
    for host in [&one, &other] {
        issued(host, &ca, "a.test");
    }
    within("four renewals", std::time::Duration::from_secs(60), || (ca.certificates() > 4).then_some(()));
    assert!(ca.orders() <= ca.certificates() + 1, "{} orders", ca.orders());
    for host in [&one, &other] {
        issued(host, &ca, "a.test");
    }
}

#[test]
fn an_instance_killed_at_whatever_step_leaves_one_order_that_the_next_finishes() {
    for (step, path, fault) in [
        ("the challenge is to be looked at", "/chalZ/", Fault::Hold),
        ("the certificate is to be signed", "/finalize-order/", Fault::Hold),
        ("the certificate is signed, unknown to us", "/finalize-order/", Fault::HoldAnswer),
        ("the certificate is to be fetched", "/certZ/", Fault::Hold),
    ] {
        let ca = Ca::start();
        ca.front.set(path, fault);
        let host = Host::of(&ca).site(&["a.test"], "");
        let store = TempDir::new().unwrap();
        let toml = host.toml(store.path());
        let killed = Binary::run_file(&toml);
        eventually(step, || ca.front.requests(path) > 0);
        // What the CA answers is on its way, or held.
        eventually("the order is written", || fs::read_dir(store.path().join("orders")).unwrap().next().is_some());
        if step.contains("unknown to us") {
            eventually("it is signed", || ca.log().contains("Issued certificate serial"));
        }
        killed.signal("KILL");
        drop(killed);
        ca.front.clear();
        let _next = Binary::run_file(&toml);
        issued(&host, &ca, "a.test");
        let signed = ca.log().matches("Issued certificate serial").count();
        assert_eq!((ca.orders(), signed), (1, 1), "{step}");
        eventually("nothing of the order stays", || {
            fs::read_dir(store.path().join("orders")).unwrap().next().is_none()
        });
    }
}

#[test]
fn questions_without_end_keep_nobody_from_seeing_what_another_instance_has_got() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let _gate = host.start_with(store.path());
    let first = issued(&host, &ca, "a.test");
    let file = store.path().join("tidegate.toml");
    fs::write(&file, host.toml(store.path())).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                let request = "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
                Client::connect(host.http()).send(request).response("GET");
            }
        });
        let _ends = Ends(&over);
        // The answers to its challenges are asked for too, in between.
        let renewed = run(program(), |c| c.args(["cert", "renew", "a.test", "-c"]).arg(&file));
        assert!(renewed.success, "{renewed:?}");
        within("it is seen", ISSUANCE, || {
            let shown = shown(host.tls(), "a.test", &ca.issuer_roots(), &[]).ok()?;
            (shown.chain[0] != first).then_some(())
        });
    });
}
