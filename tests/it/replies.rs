//! Responses that Tidegate makes itself.

use crate::support::{Gate, Origin, Response, Setup, refusing_address};

fn refused(gate: &Gate, fields: &str) -> Response {
    gate.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"))
}

#[test]
fn the_body_is_negotiated() {
    let gate = Gate::to(&[refusing_address(1)]);
    for (accept, kind) in [
        ("Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", "text/html"),
        ("Accept: application/json\r\n", "application/json"),
        ("Accept: text/plain\r\n", "text/plain"),
        ("Accept: application/json;q=0.5, text/html;q=0.1\r\n", "application/json"),
    ] {
        let response = refused(&gate, accept);
        let got = response.field("content-type").unwrap();
        assert!(got.starts_with(kind), "{accept}: {got}");
        assert_eq!(response.status, 502);
    }
}

#[test]
fn the_body_tells_status_reason_and_request_id() {
    let gate = Gate::to(&[refusing_address(1)]);
    let response = refused(&gate, "Accept: application/json\r\n");
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let record = &gate.records(1)[0];
    assert_eq!(body["status"], 502);
    assert!(response.text().contains(record["request_id"].as_str().unwrap()), "{body}");
    assert_eq!(record["reason"], "connect_failed");
    assert_eq!(gate.metric("tidegate_replies_total{reason=\"connect_failed\"}"), 1.0);
}

#[test]
fn head_gets_the_length_and_no_body() {
    let gate = Gate::to(&[refusing_address(1)]);
    let response = gate.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((response.status, response.body.len()), (502, 0));
    assert_ne!(response.field("content-length"), Some("0"));
}

#[test]
fn nothing_from_the_request_comes_back_unescaped() {
    let gate = Gate::to(&[refusing_address(1)]);
    let response = gate.send("GET /<script>alert(1)</script> HTTP/1.1\r\nHost: test\r\nAccept: text/html\r\n\r\n");
    assert!(!response.text().contains("<script>alert"), "{}", response.text());
}

#[test]
fn a_site_has_bodies_of_its_own_by_status() {
    let origin = Origin::answering(crate::support::Answer::status(502, "the origin's own"));
    let reply = "[[site.reply]]\nstatus = [502, 504]\nbody = \"<h1>{status} {reason} {request_id}</h1>\"\ncontent_type = \"text/html\"";
    let gate = Setup::to(&[refusing_address(1)]).route(reply).start();
    let response = refused(&gate, "");
    let id = gate.records(1)[0]["request_id"].as_str().unwrap().to_string();
    assert_eq!(response.text(), format!("<h1>502 connect_failed {id}</h1>"));
    assert_eq!(response.field("content-type"), Some("text/html"));
    let passing = Setup::to(&[origin.address()]).route(reply).start();
    assert_eq!(refused(&passing, "").text(), "the origin's own");
}

#[test]
fn every_reply_has_date_length_and_no_version_of_anything() {
    let gate = Gate::to(&[refusing_address(1)]);
    let response = refused(&gate, "");
    assert!(response.has("date") && response.has("content-length"), "{response:?}");
    let server = response.field("server").unwrap_or_default();
    assert!(!server.contains(|c: char| c.is_ascii_digit()), "{server}");
}
