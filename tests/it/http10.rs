//! Clients that speak HTTP/1.0.

use crate::support::{Answer, Framing, Gate, Origin};

const GET: &str = "GET / HTTP/1.0\r\nHost: test\r\n\r\n";
const KEPT: &str = "GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n";

#[test]
fn the_origin_is_spoken_to_in_http_1_1() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send(GET).response("GET").text(), "a");
    assert!(origin.request().start.ends_with("HTTP/1.1"));
    client.assert_closed();
}

#[test]
fn keep_alive_is_kept_when_asked_for_and_confirmed() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for _ in 0..3 {
        let response = client.send(KEPT).response("GET");
        assert_eq!(response.field("connection").map(str::to_lowercase), Some("keep-alive".to_string()));
    }
}

#[test]
fn chunks_are_taken_apart_and_end_with_the_connection() {
    let origin = Origin::answering(Answer::chunked(&["a", "b"], "X-Trailer: 1\r\n"));
    let gate = Gate::to(&[origin.address()]);
    for request in [GET, KEPT] {
        let mut client = gate.client();
        let response = client.send(request).response("GET");
        assert_eq!((response.framing, response.text()), (Framing::Close, "ab".to_string()));
        assert!(!response.has("transfer-encoding"), "{response:?}");
        assert_ne!(response.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_broken_chunked_response_is_not_ended_properly() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let origin = Origin::answering(Answer::raw(head).close());
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(GET);
    // Without framing, only a reset tells the client that something is missing.
    assert_eq!(client.try_response("GET").err(), Some(crate::support::Broken::Reset));
}

#[test]
fn without_host_the_default_site_serves() {
    let origin = Origin::named("a");
    assert_eq!(Gate::to(&[origin.address()]).send("GET / HTTP/1.0\r\n\r\n").status, 200);
}

#[test]
fn a_body_with_length_passes() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let response = gate.send("POST / HTTP/1.0\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(response.text(), "abc");
}
