//! Policies that look at the request: hashed keys, sticky cookies, and what becomes of both when an endpoint goes.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Answer, Gate, Origin, Response, Setup, refusing_address};

/// A byte each time.
const SLOWLY: Duration = Duration::from_millis(10);

fn origins(names: &[&str]) -> (Vec<Origin>, Vec<SocketAddr>) {
    let origins: Vec<_> = names.iter().map(|name| Origin::named(name)).collect();
    let addresses = origins.iter().map(Origin::address).collect();
    (origins, addresses)
}

fn request(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

fn hashed() -> &'static str {
    "policy = \"hash\"\nhash = \"header:X-Tenant\""
}

/// Where a tenant goes, on a connection of its own: to some worker.
fn place(gate: &Gate, tenant: u32) -> String {
    let response = gate.send(request(&format!("X-Tenant: tenant-{tenant}\r\n")));
    assert_eq!(response.status, 200);
    response.text()
}

#[test]
fn a_header_leads_to_the_same_endpoint_whichever_worker_reads_it() {
    let (_origins, addresses) = origins(&["a", "b", "c"]);
    let gate = Setup::to(&addresses).upstream(hashed()).start();
    let mut used = HashSet::new();
    for tenant in 0..20 {
        let first = place(&gate, tenant);
        assert!((0..5).all(|_| place(&gate, tenant) == first), "tenant {tenant}");
        used.insert(first);
    }
    assert!(used.len() > 1);
}

#[test]
fn when_an_endpoint_dies_its_keys_alone_move_to_the_next_on_the_ring() {
    let (mut origins, addresses) = origins(&["a", "b", "c"]);
    let gate = Setup::to(&addresses).upstream(hashed()).upstream("retry.budget = \"off\"").start();
    let before: Vec<_> = (0..30).map(|tenant| place(&gate, tenant)).collect();
    drop(origins.remove(0));
    for _ in 0..2 {
        for (tenant, before) in before.iter().enumerate() {
            let now = place(&gate, tenant as u32);
            assert!(now == *before || (before == "a" && now != "a"), "tenant {tenant} went from {before} to {now}");
        }
    }
}

#[test]
fn a_retry_goes_where_the_key_goes_once_the_endpoint_is_ejected() {
    let (_origins, mut addresses) = origins(&["a", "b", "c"]);
    addresses.push(refusing_address(1));
    let setup = Setup::to(&addresses).upstream(hashed()).upstream("retry.budget = \"off\"");
    let ejecting = setup.clone().start();
    let never = setup.upstream("max_fails = 0").start();
    for tenant in 0..40 {
        // The one finds it ejected by earlier tenants, the other tries it each time.
        let (ejected, retried) = (place(&ejecting, tenant), place(&never, tenant));
        assert_eq!(ejected, retried, "tenant {tenant}");
    }
    assert!(never.metric("tidegate_retries_total") > 1.0);
}

#[test]
fn a_client_address_leads_to_the_same_endpoint() {
    let (_origins, addresses) = origins(&["a", "b", "c"]);
    for policy in ["policy = \"ip_hash\"", "policy = \"hash\"\nhash = \"client_ip\""] {
        let gate = Setup::to(&addresses).upstream(policy).top("trusted_proxies = \"127.0.0.1\"").start();
        let at = |client: &str| gate.send(request(&format!("X-Forwarded-For: {client}\r\n"))).text();
        let used: HashSet<_> = (0..40)
            .map(|n| {
                let client = format!("203.{n}.113.7");
                let first = at(&client);
                assert_eq!(at(&client), first);
                first
            })
            .collect();
        assert_eq!(used.len(), 3, "{policy}");
    }
}

#[test]
fn least_time_leaves_an_endpoint_that_only_fails_quickly() {
    let failing = Origin::answering(Answer::status(500, "no"));
    let (_good, mut addresses) = origins(&["good"]);
    addresses.insert(0, failing.address());
    let gate = Setup::to(&addresses).upstream("policy = \"least_time\"").start();
    for _ in 0..60 {
        gate.get("/");
    }
    assert!(failing.count() <= 2, "{} of 60", failing.count());
}

#[test]
fn least_time_leaves_an_endpoint_that_is_slow() {
    let slow =
        Origin::answering(Answer::nothing().drip("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", SLOWLY).send("slow"));
    let (fast, mut addresses) = origins(&["fast"]);
    addresses.push(slow.address());
    let gate = Setup::to(&addresses).upstream("policy = \"least_time\"").start();
    for _ in 0..60 {
        assert_eq!(gate.get("/").status, 200);
    }
    assert!(slow.count() <= 2, "{} of 60", slow.count());
    assert_eq!(fast[0].count() + slow.count(), 60);
}

fn sticky(addresses: &[SocketAddr]) -> Setup {
    Setup::to(addresses).upstream(
        "policy = \"round_robin\"\nsticky = { cookie = \"route\", secret = \"0123456789abcdef\", ttl = \"1h\" }",
    )
}

/// `route=…` as a response sets it.
fn cookie(response: &Response) -> Option<String> {
    let cookie = response.all("set-cookie").into_iter().find(|cookie| cookie.starts_with("route="))?;
    Some(cookie.split(';').next().unwrap().to_owned())
}

#[test]
fn a_sticky_cookie_leads_back_and_is_set_only_once() {
    let (_origins, addresses) = origins(&["a", "b", "c"]);
    let gate = sticky(&addresses).start();
    let first = gate.get("/");
    let set = first.all("set-cookie");
    assert_eq!(set.len(), 1);
    assert!(set[0].ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{set:?}");
    assert!(!set[0].contains("127.0.0.1"));
    let cookie = cookie(&first).unwrap();
    for fields in [format!("Cookie: {cookie}\r\n"), format!("Cookie: x=1; {cookie}; y=2\r\n")] {
        for _ in 0..6 {
            let again = gate.send(request(&fields));
            assert_eq!((again.text(), again.has("set-cookie")), (first.text(), false));
        }
    }
}

#[test]
fn a_cookie_of_another_instance_and_of_before_a_restart_leads_to_the_same_endpoint() {
    let (_origins, addresses) = origins(&["a", "b", "c"]);
    let (one, other) = (sticky(&addresses).start(), sticky(&addresses).start());
    for _ in 0..6 {
        let first = one.get("/");
        let again = other.send(request(&format!("Cookie: {}\r\n", cookie(&first).unwrap())));
        assert_eq!((again.text(), again.has("set-cookie")), (first.text(), false));
    }
}

#[test]
fn when_the_endpoint_of_a_cookie_dies_the_client_gets_another_and_keeps_that() {
    let (origins, addresses) = origins(&["a", "b", "c"]);
    let gate = sticky(&addresses).start();
    let first = gate.get("/");
    let dead = ["a", "b", "c"].iter().position(|name| *name == first.text()).unwrap();
    let _others: Vec<_> = origins.into_iter().enumerate().filter(|(at, _)| *at != dead).collect();
    let second = gate.send(request(&format!("Cookie: {}\r\n", cookie(&first).unwrap())));
    assert_eq!(second.status, 200);
    assert_ne!(second.text(), first.text());
    let moved = cookie(&second).expect("a new cookie");
    for _ in 0..6 {
        let again = gate.send(request(&format!("Cookie: {moved}\r\n")));
        assert_eq!((again.text(), again.has("set-cookie")), (second.text(), false));
    }
}

#[test]
fn a_forged_cookie_is_replaced() {
    let (origins, addresses) = origins(&["a", "b"]);
    let gate = sticky(&addresses).start();
    let forged = [
        format!("route={}", addresses[0]),
        "route=".to_owned(),
        "route=AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        format!("route={}", "A".repeat(4000)),
    ];
    for forged in forged {
        let response = gate.send(request(&format!("Cookie: {forged}\r\n")));
        assert!(cookie(&response).is_some(), "{forged}");
    }
    assert_eq!(origins.iter().map(Origin::count).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn over_tls_the_cookie_is_secure_and_an_endpoints_own_cookies_stay() {
    let origin = Origin::answering(Answer::with_fields(200, "Set-Cookie: own=1\r\n", "a"));
    let (gate, certificate) = sticky(&[origin.address(), origin.address()][..1]).start_tls();
    let mut client = gate.h2(&certificate);
    let response = client.get("/");
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(cookies[0], "own=1");
    assert!(cookies[1].ends_with("; Secure"), "{cookies:?}");
}
