//! Rate limits: what the refused client is told, whom a limit counts, over all workers. Counts are held to nginx's in
//! `differential`.

use crate::support::{Client, Origin, Setup, get};

fn limited(origin: &Origin, limit: &str) -> Setup {
    Setup::to(&[origin.address()]).route("limit = \"l\"").and(&format!("[limit.l]\n{limit}"))
}

#[test]
fn counts_are_exact_over_all_workers() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "rate = \"1/m\"\nburst = 20").top("workers = 4").start();
    let mut clients: Vec<Client> = (0..60).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    let passed = clients.iter_mut().filter_map(|c| (c.response("GET").status == 200).then_some(())).count();
    assert_eq!((passed, origin.count()), (21, 21));
}

#[test]
fn a_refusal_tells_when_to_come_again() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "rate = \"10/m\"\nburst = 1").top("workers = 1").start();
    gate.get("/");
    gate.get("/");
    let refused = gate.get("/");
    assert_eq!(refused.status, 429);
    let wait: u32 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!((refused.field("ratelimit-limit"), refused.field("ratelimit-remaining")), (Some("2"), Some("0")));
    let records = gate.records(3);
    assert_eq!((&records[2]["reason"], &records[1]["reason"]), (&"limited".into(), &serde_json::Value::Null));
    assert_eq!(gate.metric("tidegate_limit_decisions_total{limit=\"l\",decision=\"refused\"}"), 1.0);
    assert_eq!(gate.metric("tidegate_limit_decisions_total{limit=\"l\",decision=\"passed\"}"), 2.0);
}

#[test]
fn a_client_behind_a_trusted_proxy_is_counted_by_its_own_address() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "rate = \"1/m\"").top("trusted_proxies = [\"127.0.0.0/8\"]").start();
    let from =
        |client: &str| gate.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {client}\r\n\r\n")).status;
    assert_eq!([from("1.1.1.1"), from("1.1.1.1"), from("2.2.2.2")], [200, 429, 200]);
    // IPv6 counts by /64.
    assert_eq!([from("2001:db8::1"), from("2001:db8::2"), from("2001:db8:0:1::1")], [200, 429, 200]);
}

#[test]
fn an_untrusted_client_cannot_escape_by_a_forged_field() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "rate = \"1/m\"").start();
    let from = |client: &str| {
        gate.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {client}\r\nX-Real-IP: {client}\r\n\r\n"))
            .status
    };
    assert_eq!([from("1.1.1.1"), from("2.2.2.2"), from("3.3.3.3")], [200, 429, 429]);
}

#[test]
fn a_limit_by_site_counts_all_its_clients_and_no_other_site() {
    let origin = Origin::named("a");
    let site = |host: &str| {
        format!("[[site]]\nhosts = [\"{host}\"]\nlimit = \"l\"\n[[site.route]]\npath = \"/\"\nupstream = \"u\"\n")
    };
    let gate = Setup::to(&[origin.address()])
        .sites(&(site("one") + &site("two")))
        .and("[limit.l]\nkey = \"site\"\nrate = \"1/m\"")
        .start();
    let ask = |source: &str, host: &str| {
        let mut client = Client::connect_from(source, gate.address());
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).response("GET").status
    };
    assert_eq!([ask("127.0.0.5", "one"), ask("127.0.0.6", "one"), ask("127.0.0.6", "two")], [200, 429, 200]);
}

#[test]
fn a_route_takes_the_sites_limit_or_says_otherwise() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()])
        .site("limit = \"l\"")
        .route("[[site.route]]\npath = \"/health\"\nupstream = \"u\"\nlimit = []")
        .and("[limit.l]\nrate = \"1/m\"")
        .start();
    assert_eq!([gate.get("/").status, gate.get("/").status], [200, 429]);
    assert!((0..5).all(|_| gate.get("/health").status == 200));
}

#[test]
fn dry_run_counts_what_it_would_have_refused() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "rate = \"1/m\"\ndry_run = true").start();
    assert!((0..3).all(|_| gate.get("/").status == 200));
    assert_eq!(gate.metric("tidegate_limit_decisions_total{decision=\"dry_run\"}"), 2.0);
}

#[test]
fn a_full_store_forgets_the_oldest_and_goes_on() {
    let origin = Origin::named("a");
    let gate = limited(&origin, "key = \"header:X-Key\"\nrate = \"1/m\"\nmax_keys = 8").start();
    let mut client = gate.client();
    for n in 0..500 {
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Key: {n}\r\n\r\n"));
        assert_eq!(client.response("GET").status, 200);
    }
}
