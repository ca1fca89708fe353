//! Balancing over all workers. The order of choices is held to nginx's in `differential`.

use crate::support::{Answer, Binary, Client, Gate, Latch, Origin, Setup, eventually, get, refusing_address};

#[test]
fn least_conn_counts_over_all_workers() {
    let latch = Latch::new();
    let origins: Vec<_> = (0..4).map(|_| Origin::answering(Answer::ok("a").after(&latch))).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let gate = Setup::to(&addresses).top("workers = 4").start();
    // Each on a connection of its own, which the kernel gives to some worker.
    let mut clients: Vec<Client> = (0..40).map(|_| gate.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get("/"));
        eventually("it arrives", || origins.iter().map(Origin::heads).sum::<usize>() == number + 1);
    }
    assert_eq!(origins.iter().map(Origin::heads).collect::<Vec<_>>(), [10; 4]);
    latch.open();
    assert!(clients.iter_mut().all(|c| c.response("GET").status == 200));
}

#[test]
fn round_robin_is_one_turn_over_all_workers() {
    let origins: Vec<_> = (0..4).map(|_| Origin::named("a")).collect();
    let addresses: Vec<_> = origins.iter().map(Origin::address).collect();
    let gate = Setup::to(&addresses).top("workers = 4").upstream("policy = \"round_robin\"").start();
    for _ in 0..40 {
        gate.get("/");
    }
    assert_eq!(origins.iter().map(Origin::count).collect::<Vec<_>>(), [10; 4]);
}

#[test]
fn max_conns_holds_over_all_workers() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("a").after(&latch));
    let endpoint = format!("{{ address = \"{}\", max_conns = 3 }}", origin.address());
    let gate = Setup::with_endpoints(&[endpoint]).top("workers = 4").start();
    let mut clients: Vec<Client> = (0..12).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    eventually("nine refusals", || gate.metric("tidegate_replies_total{reason=\"no_endpoint\"}") == 9.0);
    // The refusals may be counted before the last of the others has reached the origin.
    eventually("three arrive", || origin.heads() == 3);
    latch.open();
    assert_eq!(clients.iter_mut().filter_map(|c| (c.response("GET").status == 200).then_some(())).count(), 3);
}

#[test]
fn with_all_endpoints_down_it_is_502_at_once() {
    let endpoint = format!("{{ address = \"{}\", down = true }}", refusing_address(1));
    let gate = Setup::with_endpoints(&[endpoint]).start();
    assert_eq!((gate.get("/").status, gate.logged_reason().as_str()), (502, "no_endpoint"));
}

#[test]
fn a_name_that_does_not_resolve_is_no_reason_not_to_start() {
    let origin = Origin::named("a");
    let endpoints = ["\"does-not-exist.invalid:80\"".to_string(), format!("\"{}\"", origin.address())];
    let gate = Setup::with_endpoints(&endpoints).start();
    for _ in 0..4 {
        assert_eq!(gate.get("/").text(), "a");
    }
    let alone = Setup::with_endpoints(&endpoints[..1]).start();
    assert_eq!((alone.get("/").status, alone.logged_reason().as_str()), (502, "no_endpoint"));
}

#[test]
fn a_name_that_does_not_resolve_is_warned_of_once() {
    let origin = Origin::named("a");
    let endpoints = ["\"does-not-exist.invalid:80\"".to_string(), format!("\"{}\"", origin.address())];
    let mut binary = Binary::start(&Setup::with_endpoints(&endpoints));
    assert_eq!(binary.client().get("/").text(), "a");
    binary.signal("TERM");
    binary.ended();
    let said = binary.stderr();
    assert_eq!(said.matches("does not resolve").count(), 1, "{said}");
}

#[test]
fn a_name_is_resolved_at_start() {
    let origin = Origin::named("a");
    let gate = Setup::with_endpoints(&[format!("\"localhost:{}\"", origin.address().port())]).start();
    eventually("it is resolved", || gate.get("/").status == 200);
}

#[test]
fn in_flight_goes_back_to_zero_however_an_attempt_ends() {
    let origin = Origin::start(|r| match r.target() {
        "/close" => Answer::nothing().close(),
        "/reset" => Answer::nothing().reset(),
        "/bad" => Answer::raw("nonsense\r\n\r\n"),
        "/cut" => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").close(),
        "/hang" => Answer::nothing().hang(),
        _ => Answer::ok("a"),
    });
    let gate = Setup::to(&[origin.address()]).upstream("timeouts.response = \"200ms\"").start();
    for path in ["/", "/close", "/reset", "/bad", "/cut", "/hang"] {
        let _ = gate.client().send(get(path)).try_response("GET");
    }
    let mut gone = gate.client();
    gone.send(get("/hang"));
    origin.wait_for_heads(7);
    gone.reset();
    eventually("nothing is in flight", || gate.metric("tidegate_endpoint_in_flight") == 0.0);
    eventually("no request is", || gate.metric("http_requests_in_flight") == 0.0);
}

#[test]
fn idle_upstream_connections_are_closed_after_their_time() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).upstream("timeouts.idle = \"200ms\"").start();
    gate.get("/");
    assert_eq!(origin.connections_opened(), 1);
    eventually("the idle one is closed", || origin.connections_open() == 0);
}

#[test]
fn idle_connections_zero_keeps_none() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).upstream("idle_connections = 0").start();
    let mut client = gate.client();
    for _ in 0..3 {
        client.get("/");
    }
    assert_eq!(origin.connections_opened(), 3);
}

#[test]
fn the_host_field_upstream_can_be_chosen() {
    let origin = Origin::named("a");
    for (key, expected) in [
        ("host = \"request\"", "test".to_string()),
        ("host = \"endpoint\"", origin.address().to_string()),
        ("host = \"fixed.example\"", "fixed.example".to_string()),
    ] {
        let gate: Gate = Setup::to(&[origin.address()]).upstream(key).start();
        gate.get("/");
        assert_eq!(origin.last().field("host"), Some(expected.as_str()), "{key}");
    }
}
