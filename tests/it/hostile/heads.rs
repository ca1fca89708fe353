//! Request lines and fields that aren't HTTP's grammar, or exceed a bound.

use super::ask::hold;
use super::{Row, Table, head, post, request};
use crate::support::{Gate, Origin, Setup, get};

const MALFORMED: &str = "400 malformed_head";
const LARGE: &str = "431 head_too_large";
const LONG: &str = "414 target_too_long";
const FOREIGN: &str = "400 wrong_protocol";

pub fn tables() -> [Table; 3] {
    [
        Table {
            title: "Request lines",
            about: "A line that one parser takes and another doesn't, or takes for something else, never gets past.",
            rows: lines(),
        },
        Table {
            title: "Fields",
            about: "Bare line feeds, folded lines and blanks before a colon are how one field becomes two, or none.",
            rows: fields(),
        },
        Table {
            title: "Bounds, expectations, other protocols",
            about: "The bounds are `http.max_head_size` (32 KiB), `http.max_fields` (100) and `http.max_target_size` (8 KiB). \
                    What isn't HTTP/1 is told apart in the log, and never waited on.",
            rows: others(),
        },
    ]
}

fn lines() -> Vec<Row> {
    let line = |line: &str| format!("{line}\r\nHost: test\r\n\r\n");
    vec![
        request("a bare line feed behind it", "GET / HTTP/1.1\nHost: test\r\n\r\n", MALFORMED),
        request("a bare carriage return behind it", "GET / HTTP/1.1\rHost: test\r\n\r\n", MALFORMED),
        request("two empty lines before it", format!("\r\n\r\n{}", head("")), MALFORMED),
        request("a bare line feed before it", format!("\n{}", head("")), MALFORMED),
        request("a blank before it", format!(" {}", head("")), MALFORMED),
        request("two blanks", line("GET  / HTTP/1.1"), MALFORMED),
        request("a tab as a blank", line("GET\t/ HTTP/1.1"), MALFORMED),
        request("a form feed as a blank", line("GET /\x0cHTTP/1.1"), MALFORMED),
        request("a blank at the end", line("GET / HTTP/1.1 "), MALFORMED),
        request("a method that is no token", line("G[T / HTTP/1.1"), MALFORMED),
        request("a method with a NUL", line("GE\0T / HTTP/1.1"), MALFORMED),
        request("no method", line("/ HTTP/1.1"), MALFORMED),
        request("no target", line("GET HTTP/1.1"), MALFORMED),
        request("no version (HTTP/0.9)", line("GET /"), MALFORMED),
        request("HTTP/1.2", line("GET / HTTP/1.2"), MALFORMED),
        request("HTTP/1.10", line("GET / HTTP/1.10"), MALFORMED),
        request("HTTP/1", line("GET / HTTP/1"), MALFORMED),
        request("HTTP/01.1", line("GET / HTTP/01.1"), MALFORMED),
        request("http/1.1", line("GET / http/1.1"), MALFORMED),
        request("HTTP/2.0", line("GET / HTTP/2.0"), "505 unsupported_version"),
        request("HTTP/3.0", line("GET / HTTP/3.0"), "505 unsupported_version"),
        request("HTTP/0.9", line("GET / HTTP/0.9"), "505 unsupported_version"),
        request("a relative target", line("GET x HTTP/1.1"), MALFORMED),
        request("an asterisk for GET", line("GET * HTTP/1.1"), MALFORMED),
        request("a target with a fragment", line("GET /a#b HTTP/1.1"), MALFORMED),
        request("a target with a blank", line("GET /a b HTTP/1.1"), MALFORMED),
        request("a target with a NUL", line("GET /a\0b HTTP/1.1"), MALFORMED),
        request("a target with a control byte", line("GET /a\x02b HTTP/1.1"), MALFORMED),
        request("a target with a DEL", line("GET /a\x7fb HTTP/1.1"), MALFORMED),
        request("a target with a query and no path", line("GET http://test?a HTTP/1.1"), MALFORMED),
        request("a target of another scheme", line("GET ftp://test/ HTTP/1.1"), MALFORMED),
        request("CONNECT", "CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", "405 method_refused"),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        request("a bare line feed behind one", "GET / HTTP/1.1\r\nHost: test\nX: y\r\n\r\n", MALFORMED),
        request("a bare line feed at the end", "GET / HTTP/1.1\r\nHost: test\r\n\n", MALFORMED),
        request("nothing but bare line feeds", "GET / HTTP/1.1\nHost: test\n\n", MALFORMED),
        request("a bare carriage return in a value", head("X: a\rb\r\n"), MALFORMED),
        request("two carriage returns behind one", head("X: a\r\r\n"), MALFORMED),
        request("a folded line", head("X: a\r\n b\r\n"), MALFORMED),
        request("a line folded by a tab", head("X: a\r\n\tb\r\n"), MALFORMED),
        request("a first field that is folded", "GET / HTTP/1.1\r\n Host: test\r\n\r\n", MALFORMED),
        request("a blank before the colon", head("X : a\r\n"), MALFORMED),
        request("a tab before the colon", head("X\t: a\r\n"), MALFORMED),
        request("no colon", head("X\r\n"), MALFORMED),
        request("an empty name", head(": a\r\n"), MALFORMED),
        request("a NUL in a name", head("X\0Y: a\r\n"), MALFORMED),
        request("a NUL in a value", head("X: a\0b\r\n"), MALFORMED),
        request("a control byte in a value", head("X: a\x01b\r\n"), MALFORMED),
        request("a DEL in a value", head("X: a\x7fb\r\n"), MALFORMED),
        request("a bracket in a name", head("X(Y): a\r\n"), MALFORMED),
        request("a byte in a name that isn't ASCII", head("X\u{fc}: a\r\n"), MALFORMED),
    ]
}

fn others() -> Vec<Row> {
    let hello = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    vec![
        request("a value of 33 KiB", head(&format!("X: {}\r\n", "x".repeat(33 << 10))), LARGE),
        request("a name of 33 KiB", head(&format!("{}: y\r\n", "x".repeat(33 << 10))), LARGE),
        request("a head of 33 KiB that never ends", format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(5700)), LARGE),
        request("102 fields", head(&"X: y\r\n".repeat(101)), LARGE),
        request(
            "a target of 8 KiB and a byte",
            format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(8 << 10)),
            LONG,
        ),
        request("a target without an end", format!("GET /{}", "x".repeat(40 << 10)), LONG),
        request("a method without an end", "G".repeat(40 << 10), LONG),
        request("a body of a byte over its bound", post("Content-Length: 1048577\r\n", ""), "413 body_too_large"),
        request(
            "an expectation that nobody knows",
            post("Expect: tea\r\nContent-Length: 0\r\n", ""),
            "417 expectation_failed",
        ),
        request(
            "two expectations",
            post("Expect: 100-continue, tea\r\nContent-Length: 0\r\n", ""),
            "417 expectation_failed",
        ),
        request("TRACE", "TRACE / HTTP/1.1\r\nHost: test\r\n\r\n", "405 method_refused"),
        request("a ClientHello", hello, FOREIGN),
        request("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FOREIGN),
        request("zeros", [0; 64], MALFORMED),
        request("a line of another protocol", "EHLO test\r\n", MALFORMED),
        request("an SSH client's greeting", "SSH-2.0-OpenSSH_9.2\r\n", MALFORMED),
    ]
}

#[test]
fn what_is_no_request_is_refused_and_nothing_forwarded() {
    for table in tables() {
        assert_eq!(hold(&table).connections_opened(), 0, "{}", table.title);
    }
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
fn nothing_but_a_close_comes_of_a_connection_that_says_nothing() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.close_write().assert_closed();
    assert_eq!(gate.get("/").status, 200);
    assert_eq!(gate.records(1).len(), 1);
}
