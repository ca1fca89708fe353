//! Chunked bodies that aren't chunked's grammar, or exceed a bound.

use super::ask::hold;
use super::{Row, Table, post, request};
use crate::support::{Gate, Origin, Setup, eventually};

const MALFORMED: &str = "400 malformed_body";

pub fn table() -> Table {
    Table {
        title: "Chunked bodies",
        about: "The body streams, so that the endpoint may have seen its beginning; it never sees an end that the client didn't \
                send, and its connection is not used again.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let chunked = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        request("a size with a plus", chunked("+1\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a size with a minus", chunked("-1\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a size with 0x", chunked("0x1\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a size with an underscore", chunked("1_0\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a size of 17 digits, which wraps to 1", chunked("10000000000000001\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a size of 2^64 - 1", chunked("ffffffffffffffff\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a blank before a size", chunked(" 1\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a blank behind a size", chunked("1 \r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a blank before an extension", chunked("1 ;x\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a bare line feed behind a size", chunked("1\na\r\n0\r\n\r\n"), MALFORMED),
        request("a bare carriage return behind a size", chunked("1\ra\r\n0\r\n\r\n"), MALFORMED),
        request("a bare line feed behind the data", chunked("1\r\na\n0\r\n\r\n"), MALFORMED),
        request("a bare carriage return in an extension", chunked("1;x\ry\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a bare line feed in an extension", chunked("1;x\ny\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("a NUL in an extension", chunked("1;x\0y\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("no size", chunked("\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("an extension without a size", chunked(";x\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("data longer than its size", chunked("1\r\nab\r\n0\r\n\r\n"), MALFORMED),
        request("data shorter than its size", chunked("3\r\na\r\n0\r\n\r\n"), MALFORMED),
        request("two bytes that are no line end behind the data", chunked("1\r\naXX0\r\n\r\n"), MALFORMED),
        request("5 KiB of extensions", chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5 << 10))), MALFORMED),
        request("5 KiB of extensions on many chunks", chunked(&"1;xxxxxxxxx\r\na\r\n".repeat(500)), MALFORMED),
        request("9 KiB of trailers", chunked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(9 << 10))), MALFORMED),
        request("65 trailers", chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(65))), MALFORMED),
        request("a trailer without a colon", chunked("0\r\nX\r\n\r\n"), MALFORMED),
        request("a trailer with a blank behind its name", chunked("0\r\nX : y\r\n\r\n"), MALFORMED),
        request("a folded trailer", chunked("0\r\nX: y\r\n z\r\n\r\n"), MALFORMED),
        request("a bare line feed behind a trailer", chunked("0\r\nX: y\n\r\n\r\n"), MALFORMED),
        request("a bare line feed behind the last chunk", chunked("0\r\n\n"), MALFORMED),
        request("Content-Length as a trailer", chunked("0\r\nContent-Length: 5\r\n\r\n"), MALFORMED),
        request("Transfer-Encoding as a trailer", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), MALFORMED),
        request("Host as a trailer", chunked("0\r\nHost: other\r\n\r\n"), MALFORMED),
    ]
}

#[test]
fn bad_chunks_are_refused_and_no_request_is_whole() {
    assert_eq!(hold(&table()).count(), 0);
}

#[test]
fn the_upstream_connection_of_a_bad_body_is_never_used_again() {
    let origin = Origin::mirror();
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    client.send(post("Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n"));
    origin.wait_for_heads(1);
    client.send("zz\r\n");
    assert_eq!(client.response("POST").status, 400);
    client.assert_closed();
    assert_eq!(gate.get("/").status, 200);
    assert_eq!((origin.connections_opened(), origin.broken_bodies()), (2, 1));
}

#[test]
fn a_body_that_breaks_off_is_no_complete_request() {
    for (fields, body) in [("Content-Length: 10\r\n", "abc"), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n")] {
        let origin = Origin::mirror();
        let gate = Gate::to(&[origin.address()]);
        let mut client = gate.client();
        client.send(post(fields, body));
        origin.wait_for_heads(1);
        drop(client);
        eventually("the origin sees it break off", || origin.broken_bodies() == 1);
        assert_eq!(origin.count(), 0);
    }
}
