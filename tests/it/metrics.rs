//! The metrics listener.

use crate::support::{Client, Gate, Origin, Setup, eventually, get, refusing_address, run_with_input};

#[test]
fn promtool_finds_nothing_wrong() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).route("limit = \"l\"").and("[limit.l]\nrate = \"1/m\"").start();
    gate.get("/");
    gate.get("/");
    let ran = run_with_input("promtool", gate.metrics().as_bytes(), |c| c.args(["check", "metrics"]));
    assert!(ran.success, "{ran:?}");
}

#[test]
fn requests_are_counted_by_site_route_method_and_status() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).start();
    for method in ["GET", "GET", "POST", "BREW"] {
        gate.send(format!("{method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"));
    }
    let of = |labels: &str| gate.metric(&format!("http_requests_total{{{labels}}}"));
    // A request is counted when its response is out, which its client may know first.
    eventually("all are counted", || of("site=\"test\",route=\"/\",status=\"200\"") == 4.0);
    assert_eq!((of("method=\"GET\""), of("method=\"POST\""), of("method=\"OTHER\"")), (2.0, 1.0, 1.0));
    assert_eq!(gate.metric("http_request_duration_seconds_count"), 4.0);
    assert_eq!(gate.metric("tidegate_connections_total"), 4.0);
    assert_eq!(gate.metric("tidegate_upstream_requests_total{outcome=\"answered\"}"), 4.0);
    assert!(gate.metric("tidegate_sent_bytes_total") > 4.0);
}

#[test]
fn series_do_not_grow_with_what_clients_send() {
    let gate = Setup::to(&[refusing_address(1)])
        .sites("[[site]]\nhosts = [\"test\"]\n[[site.route]]\npath = \"/\"\nreply = \"a\"\n")
        .start();
    gate.get("/");
    gate.send("BREW / HTTP/1.1\r\nHost: other\r\n\r\n");
    eventually("both are counted", || gate.metric("tidegate_replies_total") == 2.0);
    let before = gate.metrics().lines().count();
    for n in 0..50 {
        gate.send(format!("M{n} /{n} HTTP/1.1\r\nHost: host{n}\r\n\r\n"));
    }
    assert_eq!(gate.metrics().lines().count(), before);
}

#[test]
fn other_paths_of_the_metrics_listener_are_health_and_404() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let ask = |path: &str| Client::connect(gate.instance().metrics().unwrap()).get(path).status;
    assert_eq!([ask("/readyz"), ask("/metrics"), ask("/nothing")], [200, 200, 404]);
    let mut client = Client::connect(gate.instance().metrics().unwrap());
    let head = client.send("HEAD /livez HTTP/1.1\r\nHost: test\r\n\r\n").rest().unwrap();
    assert!(head.ends_with(b"\r\n\r\n"), "a HEAD has no body: {head:?}");
    // The metrics are nowhere else.
    assert_eq!(gate.client().send(get("/metrics")).response("GET").text(), "a");
}

#[test]
fn build_certificates_and_loads_are_told() {
    let origin = Origin::named("a");
    let (gate, _certificate) = Setup::to(&[origin.address()]).start_tls();
    assert_eq!(gate.metric("tidegate_build_info"), 1.0);
    assert!(gate.metric("tidegate_certificate_not_after_timestamp_seconds") > 1.7e9);
    assert!(gate.metric("tidegate_config_last_load_timestamp_seconds") > 1.7e9);
    assert!(gate.metric("process_resident_memory_bytes") > 0.0);
}

#[test]
fn in_flight_is_a_gauge_of_now() {
    let latch = crate::support::Latch::new();
    let origin = Origin::answering(crate::support::Answer::ok("a").after(&latch));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    assert_eq!((gate.metric("http_requests_in_flight"), gate.metric("tidegate_endpoint_in_flight")), (1.0, 1.0));
    latch.open();
    client.response("GET");
    eventually("none is", || gate.metric("http_requests_in_flight") == 0.0);
}
