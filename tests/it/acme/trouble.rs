//! CAs that fail, and machines that do.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate::acme::Moment;
use tidegate::acme::clock::{Clock, Manual};
use tidegate::acme::context::Context;
use tidegate::acme::service::Service;
use tidegate::acme::store::Files;
use tidegate::acme::wanted::Wants;
use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;

use super::ca::{Ca, Options};
use super::front::Fault;
use super::host::{Host, change_state, issued, shown, state, within};
use crate::support::{Client, eventually};

fn raw(status: &str, fields: &str, body: &str) -> Fault {
    let length = body.len();
    Fault::Answer(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

fn trouble(store: &std::path::Path) -> Option<Value> {
    state(store)?.get("trouble").cloned()
}

/// How long a state has to wait from when it was noted, in seconds.
fn waits(trouble: &Value) -> u64 {
    let at = |key: &str| Moment::parse(trouble[key].as_str().unwrap()).unwrap();
    at("until").since(at("at")).as_secs()
}

#[test]
fn a_ca_that_restarts_in_the_middle_of_an_order_gets_another_account_and_order() {
    let ca = Ca::start();
    ca.front.set("/finalize-order/", Fault::Hold);
    let host = Host::of(&ca).site(&["a.test"], "");
    let _gate = host.start();
    eventually("the order is nearly done", || ca.front.requests("/finalize-order/") > 0);
    ca.restart();
    ca.front.clear();
    issued(&host, &ca, "a.test");
    assert_eq!(ca.front.requests("/sign-me-up"), 2);
}

#[test]
fn a_ca_that_hangs_holds_up_neither_others_nor_requests() {
    let [hangs, ca] = [Ca::start(), Ca::start()];
    hangs.signal("STOP");
    let host = Host::of(&ca)
        .and(&hangs.issuer("hangs"))
        .and(&format!("[[listener]]\naddress = \"127.0.0.1:{}\"", hangs.http01))
        .site(&["stuck.test"], "acme = { issuers = \"hangs\" }")
        .site(&["a.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "a.test");
    let stuck = shown(host.tls(), "stuck.test", &ca.issuer_roots(), &[]).unwrap();
    assert!(!stuck.trusted);
    let request = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    assert_eq!(Client::connect(host.http()).send(request).response("GET").status, 200);
    hangs.signal("CONT");
    issued(&Host::of(&hangs).on_ports(0, host.tls().port()), &hangs, "stuck.test");
}

#[test]
fn what_a_ca_asks_to_wait_outlives_a_restart() {
    let ca = Ca::start();
    let limited = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}"#;
    ca.front.set("/order-plz", raw("429 Too Many Requests", "Retry-After: 7200\r\n", limited));
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let gate = host.start_with(store.path());
    let noted = eventually("the limit is noted", || trouble(store.path()));
    assert_eq!((&noted["class"], waits(&noted) / 720), (&Value::from("rate_limited"), 10), "{noted}");
    assert!(noted["detail"].as_str().unwrap().contains("too many certificates"));
    drop(gate);
    ca.front.clear();
    ca.front.forget();
    let gate = host.start_with(store.path());
    eventually("it is known when the next try is", || {
        let next = gate.metric(r#"tidegate_acme_next_attempt_timestamp_seconds{name="a.test"}"#);
        (next as i64 - Moment::now().seconds() > 6000).then_some(())
    });
    assert_eq!(ca.front.total(), 0);
    // Somebody who knows better says so.
    change_state(store.path(), |state| state["trouble"] = Value::Null);
    issued(&host, &ca, "a.test");
}

#[test]
fn answers_that_are_no_acme_are_classed_by_what_they_are() {
    for (fault, class, seconds) in [
        (raw("503 Service Unavailable", "Content-Type: text/html\r\n", "<html>down</html>"), "server", 60),
        (raw("503 Service Unavailable", "Retry-After: 600\r\n", "<html>down</html>"), "rate_limited", 600),
        (raw("200 OK", "", "{\"garbage\": true}"), "transport", 60),
        (Fault::HangUp, "transport", 60),
    ] {
        let ca = Ca::start();
        ca.front.set("/dir", fault.clone());
        let host = Host::of(&ca).site(&["a.test"], "");
        let store = TempDir::new().unwrap();
        let _gate = host.start_with(store.path());
        let noted = eventually("the failure is noted", || trouble(store.path()));
        assert_eq!(noted["class"], class, "{fault:?}: {noted}");
        assert!((seconds..=seconds * 11 / 10).contains(&waits(&noted)), "{fault:?}: {noted}");
    }
}

#[test]
fn a_name_that_cant_be_validated_waits_and_then_tries_the_staging_directory_first() {
    let ca = Ca::with(Options { deaf: true, ..Options::default() });
    let staging = Ca::start();
    let issuer = format!("staging = {:?}", staging.directory());
    // Both have the same root here: one file.
    let both = TempDir::new().unwrap();
    let roots = [&ca, &staging].map(|ca| std::fs::read_to_string(ca.root()).unwrap()).concat();
    let root = both.path().join("roots.pem");
    std::fs::write(&root, roots).unwrap();
    let host = Host::of(&ca)
        .acme("issuers = \"rehearsed\"")
        .and(&format!("[acme.issuer.rehearsed]\ndirectory = {:?}\nroot = {root:?}\n{issuer}", ca.directory()))
        .site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let _gate = host.start_with(store.path());
    let noted = within("the failure is noted", Duration::from_secs(60), || trouble(store.path()));
    assert_eq!((&noted["class"], waits(&noted) / 90), (&Value::from("validation"), 10), "{noted}");
    assert!(noted["detail"].as_str().unwrap().contains("a.test"), "{noted}");
    assert_eq!((ca.orders(), staging.orders()), (1, 0));
    // 15 minutes later. The staging CA looks at ports where nobody listens either.
    change_state(store.path(), |state| state["trouble"]["until"] = "2026-11-01T00:00:00Z".into());
    let again =
        within("another failure", Duration::from_secs(60), || trouble(store.path()).filter(|t| t["count"] == 2));
    assert!(again["detail"].as_str().unwrap().contains("staging"), "{again}");
    assert_eq!((ca.orders(), staging.orders()), (1, 1));
}

#[test]
fn a_day_of_failures_costs_a_ca_less_than_a_hundred_requests() {
    let ca = Ca::start();
    let sites: String = (0..50)
        .map(|n| {
            format!(
                "[[site]]\nhosts = \"s{n}.test\"\ncertificate = \"acme\"\n[[site.route]]\npath = \"/\"\nreply = \"x\"\n"
            )
        })
        .collect();
    let toml = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.2:0\"\ntls = true\n\
         [acme]\nagree_terms = true\nissuers = \"ca\"\n{}\n{sites}",
        ca.issuer("ca")
    );
    let config = load_str("test.toml", &toml, &Nowhere).unwrap_or_else(|e| panic!("{e}")).config;
    for fault in [
        raw("503 Service Unavailable", "", "<html>down</html>"),
        raw("500 Internal Server Error", "", r#"{"type":"urn:ietf:params:acme:error:serverInternal"}"#),
        raw("200 OK", "", "garbage"),
        Fault::HangUp,
    ] {
        ca.front.set("/", fault.clone());
        ca.front.forget();
        let directory = TempDir::new().unwrap();
        let start = Moment::parse("2027-01-01T00:00:00Z").unwrap();
        let manual = Manual::at(start);
        let store = Arc::new(Files::open(directory.path()).unwrap());
        let context = Context::new(store, tidegate::tls::Store::new(), Clock::Manual(manual.clone()));
        let service = Service::prepare(context, Wants::of(&config), Box::new(|| {})).unwrap().start().unwrap();
        let mut moments = 0;
        loop {
            let next = eventually("nothing is under way", || manual.awaited());
            if next > start + Duration::from_secs(24 * 3600) {
                break;
            }
            manual.set(next);
            moments += 1;
            assert!(moments < 10_000, "a busy loop: {:?}", manual.now());
        }
        drop(service);
        let requests = ca.front.total();
        assert!((5..100).contains(&requests), "{requests} requests in spite of {fault:?}");
    }
}

#[test]
fn a_clock_that_jumps_makes_neither_a_loop_nor_an_end() {
    let ca = Ca::with(Options { believes: true, ..Options::default() });
    let toml = Host::of(&ca).site(&["a.test"], "").toml(std::path::Path::new("unused"));
    let config = load_str("test.toml", &toml, &Nowhere).unwrap_or_else(|e| panic!("{e}")).config;
    let directory = TempDir::new().unwrap();
    let manual = Manual::at(Moment::parse("1970-01-02T00:00:00Z").unwrap());
    let store = Arc::new(Files::open(directory.path()).unwrap());
    let context = Context::new(store, tidegate::tls::Store::new(), Clock::Manual(manual.clone()));
    let _service = Service::prepare(context, Wants::of(&config), Box::new(|| {})).unwrap().start().unwrap();
    let idle = || eventually("nothing is under way", || manual.awaited());
    // A machine without a battery: it serves, and asks nobody.
    idle();
    assert_eq!(ca.front.total(), 0);
    // Its clock is set.
    let today = Moment::now();
    manual.set(today);
    eventually("a certificate is ordered", || ca.certificates() == 1);
    // Now it is 70 days ahead of the CA's: each certificate is due when it comes.
    let ahead = today + Duration::from_secs(70 * 24 * 3600);
    idle();
    manual.set(ahead);
    eventually("it is renewed", || ca.certificates() == 2);
    for _ in 0..20 {
        let next = idle();
        if next > ahead + Duration::from_secs(24 * 3600) {
            break;
        }
        manual.set(next);
    }
    assert_eq!(ca.orders(), 2);
    // And set back: all goes on.
    manual.set(today);
    let day = Duration::from_secs(24 * 3600);
    eventually("it is looked at within a day", || manual.awaited().is_some_and(|next| next <= today + day));
}
