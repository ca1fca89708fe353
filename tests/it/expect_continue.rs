//! `Expect: 100-continue` (RFC 9110 10.1.1).

use std::time::Duration;

use crate::support::{Answer, Gate, Origin, Setup, refusing_address};

const HEAD: &str = "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[test]
fn the_body_is_asked_for_and_then_forwarded() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for body in ["one.", "two."] {
        assert_eq!(client.send(HEAD).try_head("POST").unwrap().status, 100);
        let response = client.send(body).response("POST");
        assert_eq!((response.status, response.text()), (200, body.to_string()));
    }
}

#[test]
fn a_chunked_body_is_asked_for_too() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.try_head("POST").unwrap().status, 100);
    assert_eq!(client.send("1\r\na\r\n0\r\n\r\n").response("POST").text(), "a");
}

#[test]
fn a_client_that_does_not_wait_is_served() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    let response = client.send(format!("{HEAD}body")).response("POST");
    assert_eq!((response.status, response.text()), (200, "body".to_string()));
    assert!(response.interim.iter().all(|i| i.status == 100));
}

#[test]
fn a_refusal_comes_instead_of_100() {
    let gate = Setup::to(&[refusing_address(1)]).route("max_body_size = \"3\"").start();
    let response = gate.client().send(HEAD).response("POST");
    assert_eq!((response.status, response.interim.len()), (413, 0));
}

/// The origin's early answer must reach a client that still holds its body back.
#[test]
fn an_origin_that_answers_before_the_body_is_heard() {
    let origin = Origin::mirror();
    origin.answer_heads_with(|_| Some(Answer::with_fields(401, "Connection: close\r\n", "").close()));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send(HEAD).response("POST").status, 401);
}

#[test]
fn http_1_0_and_bodiless_requests_get_no_100() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    for request in [
        "POST / HTTP/1.0\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
        "GET / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\n\r\n",
    ] {
        let response = gate.client().send(request).response("GET");
        assert_eq!((response.status, response.interim.len()), (200, 0), "{request}");
    }
}

#[test]
fn an_interim_100_of_the_origin_does_not_reach_a_client_twice() {
    let origin = Origin::mirror();
    origin.answer_heads_with(|_| None);
    origin.answer_with(|r| {
        Answer::raw("HTTP/1.1 100 Continue\r\n\r\n")
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{}", r.text()))
    });
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send(HEAD).try_head("POST").unwrap().status, 100);
    let response = client.send("body").response("POST");
    assert_eq!((response.interim.len(), response.text()), (0, "body".to_string()));
    assert!(!client.is_closed_within(Duration::from_millis(50)));
}
