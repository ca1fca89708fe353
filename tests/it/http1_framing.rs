//! Requests whose framing or syntax is wrong: refused with the status and reason that the table says, the connection
//! closed, nothing forwarded.

use std::time::Duration;

use crate::support::{Gate, Origin, Setup, get};

/// Name, request, status, reason.
type Row = (&'static str, String, u16, &'static str);

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n{body}")
}

fn head(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// Runs each row on a connection of its own, with a valid request pipelined behind it.
#[track_caller]
fn refuse_all(rows: &[Row]) {
    let origin = Origin::mirror();
    let mut wrong = Vec::new();
    for (name, request, status, reason) in rows {
        let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
        let mut client = gate.client();
        let response = client.send(format!("{request}{}", get("/smuggled"))).try_response("GET");
        let closed = client.is_closed_within(Duration::from_secs(5));
        let logged = gate.logged_reason();
        match response {
            Ok(r) if r.status == *status && logged == *reason && closed => {}
            other => wrong.push(format!("{name}: {:?}, {logged:?}, closed: {closed}", other.map(|r| r.status))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.count(), 0, "{:?}", origin.requests());
}

#[test]
fn ambiguous_lengths_are_refused() {
    let bad = "ambiguous_framing";
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "hello");
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    refuse_all(&[
        ("length and chunked", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, bad),
        ("chunked and length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400, bad),
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"), 400, bad),
        ("a list of two", length("5, 6"), 400, bad),
        ("a list of equals", length("5,5"), 400, bad),
        ("a sign", length("+5"), 400, bad),
        ("a minus", length("-5"), 400, bad),
        ("hexadecimal", length("0x5"), 400, bad),
        ("20 digits", length("99999999999999999999"), 400, bad),
        ("a blank inside", length("5 5"), 400, bad),
        ("empty", length(""), 400, bad),
        ("text", length("five"), 400, bad),
        ("chunked in HTTP/1.0", coding("chunked").replace("HTTP/1.1", "HTTP/1.0"), 400, bad),
        ("chunked twice in a list", coding("chunked, chunked"), 400, bad),
        (
            "chunked in two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            400,
            bad,
        ),
        ("chunked is not last", coding("chunked, gzip"), 400, bad),
        ("a vertical tab before chunked", coding("\x0bchunked"), 400, "malformed_head"),
        ("chunked in quotes", coding("\"chunked\""), 400, bad),
        ("an empty coding", coding(""), 400, bad),
        ("chunked with a parameter", coding("chunked;x=y"), 400, bad),
    ]);
}

#[test]
fn transfer_codings_that_are_not_known_are_501() {
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    let unknown = "unknown_transfer_coding";
    refuse_all(&[
        ("gzip before chunked", coding("gzip, chunked"), 501, unknown),
        ("zstd", coding("zstd, chunked"), 501, unknown),
    ]);
}

#[test]
fn a_host_that_is_missing_double_or_invalid_is_refused() {
    let host = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let bad = "bad_host";
    refuse_all(&[
        ("none", host(""), 400, bad),
        ("two", host("Host: test\r\nHost: test\r\n"), 400, bad),
        ("two that differ", host("Host: test\r\nHost: other\r\n"), 400, bad),
        ("empty", host("Host:\r\n"), 400, bad),
        ("a list", host("Host: test, other\r\n"), 400, bad),
        ("a slash", host("Host: te/st\r\n"), 400, bad),
        ("a user", host("Host: user@test\r\n"), 400, bad),
        ("a blank", host("Host: te st\r\n"), 400, bad),
        ("a port that is no number", host("Host: test:x\r\n"), 400, bad),
        ("a port too large", host("Host: test:65536\r\n"), 400, bad),
        ("an open bracket", host("Host: [::1\r\n"), 400, bad),
        ("absolute-form that disagrees", "GET http://other/ HTTP/1.1\r\nHost: test\r\n\r\n".into(), 400, bad),
        ("absolute-form with a user", "GET http://u@test/ HTTP/1.1\r\nHost: u@test\r\n\r\n".into(), 400, bad),
    ]);
}

#[test]
fn bad_syntax_in_the_head_is_refused() {
    let bad = "malformed_head";
    let line = |line: &str| format!("{line}\r\nHost: test\r\n\r\n");
    refuse_all(&[
        ("bare LF after the request line", "GET / HTTP/1.1\nHost: test\r\n\r\n".into(), 400, bad),
        ("bare LF after a field", "GET / HTTP/1.1\r\nHost: test\nX: y\r\n\r\n".into(), 400, bad),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: test\r\n\n".into(), 400, bad),
        ("bare CR in a value", head("X: a\rb\r\n"), 400, bad),
        ("a folded line", head("X: a\r\n b\r\n"), 400, bad),
        ("a first field that is folded", "GET / HTTP/1.1\r\n Host: test\r\n\r\n".into(), 400, bad),
        ("a space before the colon", head("X : a\r\n"), 400, bad),
        ("a tab before the colon", head("X\t: a\r\n"), 400, bad),
        ("no colon", head("X\r\n"), 400, bad),
        ("an empty name", head(": a\r\n"), 400, bad),
        ("NUL in a name", head("X\0Y: a\r\n"), 400, bad),
        ("NUL in a value", head("X: a\0b\r\n"), 400, bad),
        ("a control byte in a value", head("X: a\x01b\r\n"), 400, bad),
        ("DEL in a value", head("X: a\x7fb\r\n"), 400, bad),
        ("a bracket in a name", head("X(Y): a\r\n"), 400, bad),
        ("NUL in the target", line("GET /a\0b HTTP/1.1"), 400, bad),
        ("a control byte in the target", line("GET /a\x02b HTTP/1.1"), 400, bad),
        ("a blank in the target", line("GET /a b HTTP/1.1"), 400, bad),
        ("two blanks", line("GET  / HTTP/1.1"), 400, bad),
        ("a tab as a blank", line("GET\t/ HTTP/1.1"), 400, bad),
        ("a blank at the end", line("GET / HTTP/1.1 "), 400, bad),
        ("a method that is no token", line("G[T / HTTP/1.1"), 400, bad),
        ("no method", line("/ HTTP/1.1"), 400, bad),
        ("no version", line("GET /"), 400, bad),
        ("HTTP/1.2", line("GET / HTTP/1.2"), 400, bad),
        ("lower-case version", line("GET / http/1.1"), 400, bad),
        ("one digit too many", line("GET / HTTP/1.10"), 400, bad),
        ("no minor version", line("GET / HTTP/1"), 400, bad),
        ("a relative target", line("GET x HTTP/1.1"), 400, bad),
        ("an asterisk for GET", line("GET * HTTP/1.1"), 400, bad),
        ("a fragment", line("GET /a#b HTTP/1.1"), 400, bad),
    ]);
}

#[test]
fn other_versions_are_505_and_connect_is_405() {
    let line = |line: &str| format!("{line}\r\nHost: test\r\n\r\n");
    refuse_all(&[
        ("HTTP/3.0", line("GET / HTTP/3.0"), 505, "unsupported_version"),
        ("HTTP/2.0", line("GET / HTTP/2.0"), 505, "unsupported_version"),
        ("CONNECT", "CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n".into(), 405, "method_refused"),
    ]);
}

#[test]
fn an_expectation_that_is_not_known_is_417() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    assert_eq!(gate.send(post("Expect: tea\r\nContent-Length: 1\r\n", "a")).status, 417);
    assert_eq!((gate.logged_reason().as_str(), origin.heads()), ("expectation_failed", 0));
}

#[test]
fn trace_is_405() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    assert_eq!(gate.send("TRACE / HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
    assert_eq!((gate.logged_reason().as_str(), origin.heads()), ("method_refused", 0));
}

#[test]
fn heads_targets_and_field_counts_over_their_bound_are_refused() {
    refuse_all(&[
        ("a long value", head(&format!("X: {}\r\n", "x".repeat(33 << 10))), 431, "head_too_large"),
        ("many fields", head(&"X: y\r\n".repeat(101)), 431, "head_too_large"),
        ("a long name", head(&format!("{}: y\r\n", "x".repeat(33 << 10))), 431, "head_too_large"),
        (
            "a long target",
            format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(8 << 10)),
            414,
            "target_too_long",
        ),
        ("an endless target", format!("GET /{}", "x".repeat(40 << 10)), 414, "target_too_long"),
        ("an endless method", "G".repeat(40 << 10), 414, "target_too_long"),
    ]);
}

#[test]
fn the_bounds_of_the_head_can_be_configured_and_what_fits_passes() {
    let origin = Origin::mirror();
    let bounds = "http = { max_head_size = \"2k\", max_fields = 5, max_target_size = \"256\" }";
    let gate = Setup::to(&[origin.address()]).listener(bounds).start();
    let status = |request: String| gate.send(request).status;
    assert_eq!(status(head(&format!("X: {}\r\n", "x".repeat(1900)))), 200);
    assert_eq!(status(head(&format!("X: {}\r\n", "x".repeat(2100)))), 431);
    assert_eq!(status(head(&"X: y\r\n".repeat(4))), 200);
    assert_eq!(status(head(&"X: y\r\n".repeat(5))), 431);
    assert_eq!(status(get(&format!("/{}", "x".repeat(255)))), 200);
    assert_eq!(status(get(&format!("/{}", "x".repeat(256)))), 414);
}

#[test]
fn bad_chunks_are_refused() {
    let bad = "malformed_body";
    refuse_all(&[
        ("a sign", chunked("+1\r\na\r\n0\r\n\r\n"), 400, bad),
        ("a minus", chunked("-1\r\na\r\n0\r\n\r\n"), 400, bad),
        ("0x", chunked("0x1\r\na\r\n0\r\n\r\n"), 400, bad),
        ("too large", chunked("ffffffffffffffff1\r\na\r\n0\r\n\r\n"), 400, bad),
        ("2^64 - 1", chunked("ffffffffffffffff\r\na\r\n0\r\n\r\n"), 400, bad),
        ("a blank before", chunked(" 1\r\na\r\n0\r\n\r\n"), 400, bad),
        ("a blank after", chunked("1 \r\na\r\n0\r\n\r\n"), 400, bad),
        ("bare LF after the size", chunked("1\na\r\n0\r\n\r\n"), 400, bad),
        ("bare LF after the data", chunked("1\r\na\n0\r\n\r\n"), 400, bad),
        ("bare CR in an extension", chunked("1;x\ry\r\na\r\n0\r\n\r\n"), 400, bad),
        ("bare LF in an extension", chunked("1;x\ny\r\na\r\n0\r\n\r\n"), 400, bad),
        ("no size", chunked("\r\na\r\n0\r\n\r\n"), 400, bad),
        ("data longer than its size", chunked("1\r\nab\r\n0\r\n\r\n"), 400, bad),
        ("5 KiB of extensions", chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5 << 10))), 400, bad),
        ("9 KiB of trailers", chunked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(9 << 10))), 400, bad),
        ("a trailer without colon", chunked("0\r\nX\r\n\r\n"), 400, bad),
        ("a trailer with a blank name", chunked("0\r\nX : y\r\n\r\n"), 400, bad),
        ("bare LF after the last chunk", chunked("0\r\n\n"), 400, bad),
    ]);
}

#[test]
fn the_upstream_connection_of_a_bad_body_is_never_used_again() {
    let origin = Origin::mirror();
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    client.send(chunked("4\r\nabcd\r\n"));
    origin.wait_for_heads(1);
    client.send("zz\r\n");
    assert_eq!(client.response("POST").status, 400);
    client.assert_closed();
    assert_eq!(gate.get("/").status, 200);
    assert_eq!((origin.connections_opened(), origin.broken_bodies()), (2, 1));
}

#[test]
fn a_body_that_breaks_off_is_no_complete_request() {
    for body in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let origin = Origin::mirror();
        let gate = Gate::to(&[origin.address()]);
        let mut client = gate.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{body}"));
        origin.wait_for_heads(1);
        drop(client);
        crate::support::eventually("the origin sees it break off", || origin.broken_bodies() == 1);
        assert_eq!(origin.count(), 0);
    }
}

#[test]
fn other_protocols_on_a_plain_listener_are_told_apart() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let tls = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec();
    for (number, bytes) in [tls, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()].iter().enumerate() {
        let mut client = gate.client();
        assert_eq!(client.send(bytes).response("GET").status, 400);
        client.assert_closed();
        assert_eq!(gate.records(number + 1)[number]["reason"], "wrong_protocol");
    }
}

#[test]
fn an_empty_line_before_a_request_is_let_pass() {
    let origin = Origin::named("a");
    assert_eq!(Gate::to(&[origin.address()]).send(format!("\r\n{}", get("/"))).text(), "a");
}

#[test]
fn nothing_but_a_close_comes_of_a_connection_that_says_nothing() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.close_write().assert_closed();
    assert_eq!(gate.get("/").status, 200);
    assert_eq!(gate.records(1).len(), 1);
}

#[test]
fn absolute_form_is_served_by_its_authority_and_forwarded_as_origin_form() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    assert_eq!(gate.send("GET http://test/a?b HTTP/1.1\r\nHost: test\r\n\r\n").status, 200);
    let request = origin.request();
    assert_eq!((request.target(), request.field("host")), ("/a?b", Some("test")));
}

#[test]
fn paths_that_cannot_be_normalized_safely_are_refused() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    for path in ["/..", "/a/../../b", "/%2e%2e/x", "/%00", "/a%zz", "/%"] {
        let response = gate.get(path);
        assert_eq!(response.status, 400, "{path}");
    }
    assert_eq!(origin.count(), 0);
    assert!(gate.records(6).iter().all(|r| r["reason"] == "bad_path"), "{:?}", gate.records(6));
}
