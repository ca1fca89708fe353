//! Responses that aren't HTTP, or break off.

use super::ask::hold;
use super::{Row, Table, response};
use crate::support::Answer;

const BAD: &str = "502 bad_upstream_head";
const LARGE: &str = "502 upstream_head_too_large";
const CLOSED: &str = "502 upstream_closed";
const INTERIM: &str = "502 upstream_interim";
const BROKEN: &str = "cut upstream_body_broken";

pub fn tables() -> [Table; 2] {
    [
        Table {
            title: "Response heads",
            about: "An endpoint may be broken, or taken over. What it sends is read as strictly as what clients send, so that no \
                    response is taken for two, and no connection that saw such a thing is used again. “Connection kept” says \
                    that the next request went over the same connection.",
            rows: heads(),
        },
        Table {
            title: "Response bodies",
            about: "A response that isn't whole is never ended as if it were: its client sees it break off.",
            rows: bodies(),
        },
    ]
}

fn heads() -> Vec<Row> {
    let ok = |name, fields: &str| response(name, Answer::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")), BAD);
    let line = |name, line: &str| response(name, Answer::raw(format!("{line}Content-Length: 0\r\n\r\n")), BAD);
    let raw = |name, bytes: String, wants| response(name, Answer::raw(bytes), wants);
    let empty = "Content-Length: 0\r\n";
    vec![
        ok("Content-Length and chunked", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
        ok("chunked, then Content-Length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n"),
        ok("two lengths that differ", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nab"),
        ok("two lengths that agree", "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"),
        ok("a list of lengths", "Content-Length: 2, 2\r\n\r\n"),
        ok("a length with a plus", "Content-Length: +2\r\n\r\n"),
        ok("a length of 20 digits", "Content-Length: 99999999999999999999\r\n\r\n"),
        ok("an empty length", "Content-Length:\r\n\r\n"),
        ok("gzip, then chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n"),
        ok("chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n"),
        ok("a coding that isn't chunked", "Transfer-Encoding: gzip\r\n\r\n0\r\n"),
        raw("chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), BAD),
        line("no status line", "hello\r\n"),
        line("a status of two digits", "HTTP/1.1 20 OK\r\n"),
        line("a status of four digits", "HTTP/1.1 2000 OK\r\n"),
        line("a status with a sign", "HTTP/1.1 +20 OK\r\n"),
        line("status 099", "HTTP/1.1 099 OK\r\n"),
        line("status 600", "HTTP/1.1 600 OK\r\n"),
        line("HTTP/2.0", "HTTP/2.0 200 OK\r\n"),
        line("http/1.1", "http/1.1 200 OK\r\n"),
        line("a bare line feed behind the status line", "HTTP/1.1 200 OK\n"),
        line("a NUL in the status line", "HTTP/1.1 200 O\0K\r\n"),
        ok("a NUL in a value", &format!("X: a\0b\r\n{empty}")),
        ok("a NUL in a name", &format!("X\0Y: ab\r\n{empty}")),
        ok("a control byte in a value", &format!("X: a\x01b\r\n{empty}")),
        ok("a blank before the colon", &format!("X : ab\r\n{empty}")),
        ok("a folded line", &format!("X: a\r\n b\r\n{empty}")),
        ok("no colon", &format!("X\r\n{empty}")),
        ok("a bare line feed behind a field", &format!("X: a\n{empty}")),
        ok("a bare carriage return in a value", &format!("X: a\rb\r\n{empty}")),
        raw("a bare line feed at the end", format!("HTTP/1.1 200 OK\r\n{empty}\n"), BAD),
        raw("a head of 33 KiB", format!("HTTP/1.1 200 OK\r\nX: {}\r\n{empty}\r\n", "x".repeat(33 << 10)), LARGE),
        raw("102 fields", format!("HTTP/1.1 200 OK\r\n{}{empty}\r\n", "X: y\r\n".repeat(101)), LARGE),
        response("closed before a head", Answer::nothing().close(), CLOSED),
        response("closed in a head", Answer::raw("HTTP/1.1 200 OK\r\nX").close(), CLOSED),
        response("reset before a head", Answer::nothing().reset(), CLOSED),
        response("silence for longer than its deadline", Answer::nothing().hang(), "504 upstream_timed_out"),
        response(
            "eleven interim responses",
            Answer::raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11))
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            INTERIM,
        ),
        response(
            "101 that nobody asked for",
            Answer::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
            INTERIM,
        ),
    ]
}

fn bodies() -> Vec<Row> {
    let length = || Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let chunked =
        |rest: &str| Answer::raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{rest}"));
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let more = |first: &str| Answer::raw(format!("{first}{second}"));
    vec![
        response("a second response behind its length", more("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "200"),
        response(
            "a second response behind the last chunk",
            more("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "200",
        ),
        response("a second response behind a 204", more("HTTP/1.1 204 No Content\r\n\r\n"), "204"),
        response("a second response behind a 304", more("HTTP/1.1 304 Not Modified\r\n\r\n"), "304"),
        response("a 204 with a body", Answer::raw("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"), "204"),
        response("closed before its length", length().close(), BROKEN),
        response("closed before the last chunk", chunked("").close(), BROKEN),
        response("closed in the trailers", chunked("0\r\nX: y\r\n").close(), BROKEN),
        response("silence in the middle for longer than its deadline", length().hang(), "cut upstream_body_timed_out"),
        response("a chunk's size with a plus", chunked("+1\r\na\r\n0\r\n\r\n"), BROKEN),
        response("a chunk's size that is none", chunked("x\r\n"), BROKEN),
        response("a chunk's size of 17 digits", chunked("10000000000000001\r\na\r\n0\r\n\r\n"), BROKEN),
        response("a bare line feed behind a chunk's size", chunked("1\na\r\n0\r\n\r\n"), BROKEN),
        response("a chunk longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n"), BROKEN),
        response("5 KiB of extensions", chunked(&format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5 << 10))), BROKEN),
        response("9 KiB of trailers", chunked(&format!("0\r\nX: {}\r\n\r\n", "x".repeat(9 << 10))), BROKEN),
        response("Content-Length as a trailer", chunked("0\r\nContent-Length: 5\r\n\r\n"), BROKEN),
    ]
}

#[test]
fn what_is_no_response_is_a_502_or_breaks_off_and_its_connection_is_dropped() {
    for table in tables() {
        hold(&table);
    }
}
