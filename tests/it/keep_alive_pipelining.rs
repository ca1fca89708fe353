//! Connections of clients: kept, closed, pipelined, half-closed.

use std::time::Duration;

use crate::support::{Answer, Gate, Latch, Origin, Setup, eventually, get};

#[test]
fn many_requests_pass_over_one_connection_and_one_upstream_connection() {
    let origin = Origin::start(|r| Answer::ok(r.target()));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for n in 0..200 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("/{n}"));
    }
    assert_eq!((origin.count(), origin.connections_opened()), (200, 1));
}

#[test]
fn a_request_may_come_in_single_bytes() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for byte in b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
        assert!(client.try_send([*byte]));
    }
    assert_eq!(client.response("POST").text(), "abc");
}

#[test]
fn pipelined_requests_with_bodies_are_told_apart() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: test\r\n\r\n\
         POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n\
         POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nthree",
    );
    let texts: Vec<_> = (0..4).map(|_| client.response("POST").text()).collect();
    assert_eq!(texts, ["one", "", "two", "three"]);
}

#[test]
fn pipelined_requests_wait_for_those_before_them() {
    let latch = Latch::new();
    let slow = latch.clone();
    let origin = Origin::start(move |r| {
        let answer = Answer::ok(r.target());
        if r.target() == "/slow" { answer.after(&slow) } else { answer }
    });
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(get("/slow") + &get("/fast"));
    origin.wait_for_heads(1);
    client.assert_silent_for(Duration::from_millis(100));
    latch.open();
    assert_eq!(client.response("GET").text(), "/slow");
    assert_eq!(client.response("GET").text(), "/fast");
}

#[test]
fn a_deep_pipeline_is_answered_whole() {
    let origin = Origin::start(|r| Answer::ok(r.target()));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send((0..500).map(|n| get(&format!("/{n}"))).collect::<String>());
    for n in 0..500 {
        assert_eq!(client.response("GET").text(), format!("/{n}"));
    }
}

#[test]
fn the_last_request_of_a_connection_is_told_by_connection_close() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).listener("http.max_requests = 2").start();
    let mut client = gate.client();
    assert!(!client.get("/").has("connection"));
    assert_eq!(client.get("/").field("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn connection_close_is_answered_in_kind() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Close\r\n\r\n");
    assert_eq!(client.response("GET").field("connection"), Some("close"));
    client.assert_closed();
}

#[test]
fn what_is_pipelined_behind_connection_close_is_not_answered() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".to_string() + &get("/behind"));
    client.response("GET");
    client.assert_closed();
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(get("/")).close_write();
    origin.wait_for_heads(1);
    client.assert_silent_for(Duration::from_millis(100));
    latch.open();
    assert_eq!(client.response("GET").text(), "late");
    client.assert_closed();
}

#[test]
fn a_client_that_resets_ends_its_request_at_the_origin() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    client.reset();
    let records = gate.records(1);
    assert_eq!((&records[0]["status"], &records[0]["reason"]), (&499.into(), &"client_gone".into()));
    latch.open();
    eventually("the upstream connection is closed", || origin.connections_open() == 0);
    eventually("no request is in flight", || gate.metric("http_requests_in_flight") == 0.0);
}

#[test]
fn own_replies_keep_the_connection_where_they_can() {
    let gate = Gate::to(&[crate::support::refusing_address(1)]);
    let mut client = gate.client();
    assert_eq!((client.get("/").status, client.get("/").status), (502, 502));
}

#[test]
fn a_refused_body_that_is_small_is_drained_or_the_connection_closed() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).route("max_body_size = \"10\"").start();
    let mut client = gate.client();
    client
        .send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n12")
        .send(get("/next"));
    assert_eq!(client.response("POST").status, 413);
    match client.try_response("GET") {
        Ok(response) => assert_eq!((response.status, origin.last().target()), (200, "/next")),
        Err(_) => assert_eq!(origin.count(), 0),
    }
}

#[test]
fn listeners_on_ipv6_serve_too() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).and("[[listener]]\naddress = \"[::1]:0\"").start();
    let mut client = crate::support::Client::connect(gate.listener(1));
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.request().field("x-real-ip"), Some("::1"));
}
