//! Request heads of HTTP/2 that would become something else in HTTP/1.

use super::ask::hold;
use super::{Input, Row, Table};
use crate::support::{GET, block, flag, frame, kind};

const MALFORMED: &str = "RST_STREAM PROTOCOL_ERROR malformed_head";

pub fn table() -> Table {
    Table {
        title: "HTTP/2 heads",
        about: "What would be no request in HTTP/1 is none in HTTP/2: a line end in a value would split the request on its way to \
                the endpoint. RFC 9113 has a stream error for a malformed request; Tidegate logs and counts it all the same.",
        rows: rows(),
    }
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn rows() -> Vec<Row> {
    let end = flag::END_STREAM | flag::END_HEADERS;
    let section = |name, fields: Fields, wants| Row {
        name,
        input: Input::Section(frame(kind::HEADERS, end, 1, &block(fields))),
        wants,
    };
    let with = |name, field: &str, value: &str| section(name, &[GET, &[(field, value)]].concat(), MALFORMED);
    let instead = |name, pseudo: &str, value: &str, wants| {
        let fields: Vec<_> = GET.iter().map(|(n, v)| if *n == pseudo { (*n, value) } else { (*n, *v) }).collect();
        section(name, &fields, wants)
    };
    let announced =
        |name, length: &str| section(name, &[GET, &[("content-length", length)]].concat(), "400 ambiguous_framing");
    let many: Vec<_> = [GET, &[("x", "y"); 101]].concat();
    vec![
        with("a line end in a value", "x", "y\r\nTransfer-Encoding: chunked"),
        with("a bare line feed in a value", "x", "y\nz"),
        with("a bare carriage return in a value", "x", "y\rz"),
        with("a NUL in a value", "x", "y\0z"),
        with("a blank before a value", "x", " y"),
        with("a blank behind a value", "x", "y "),
        with("a line end in a name", "x\r\ny", "z"),
        with("a colon in a name", "transfer-encoding: chunked\r\nx", "y"),
        with("a blank in a name", "x y", "z"),
        with("an upper-case name", "X", "y"),
        with("an empty name", "", "y"),
        with("a pseudo-header that nobody knows", ":x", "y"),
        with("a pseudo-header of responses", ":status", "200"),
        with("two paths", ":path", "/other"),
        with("transfer-encoding", "transfer-encoding", "chunked"),
        with("connection", "connection", "close"),
        with("keep-alive", "keep-alive", "timeout=5"),
        with("proxy-connection", "proxy-connection", "close"),
        with("upgrade", "upgrade", "h2c"),
        with("te other than trailers", "te", "gzip"),
        section("no method", &GET[1..], MALFORMED),
        section("no scheme", &[&GET[..1], &GET[2..]].concat(), MALFORMED),
        section("no path", &GET[..3], MALFORMED),
        section("no host", &[&GET[..2], &GET[3..]].concat(), "400 bad_host"),
        section("a host that disagrees with :authority", &[GET, &[("host", "other")]].concat(), "400 bad_host"),
        section("two hosts", &[&GET[..2], &GET[3..], &[("host", "test"), ("host", "test")]].concat(), "400 bad_host"),
        instead("a user before the host", ":authority", "u@test", "400 bad_host"),
        instead("a path in the host", ":authority", "test/x", "400 bad_host"),
        instead("a line end in the host", ":authority", "test\r\nX: y", MALFORMED),
        instead("a line end in the path", ":path", "/ HTTP/1.1\r\nX: y", MALFORMED),
        instead("a blank in the path", ":path", "/ HTTP/1.1", MALFORMED),
        instead("a fragment in the path", ":path", "/a#b", MALFORMED),
        instead("an empty path", ":path", "", MALFORMED),
        instead("an absolute-form for a path", ":path", "http://other/", MALFORMED),
        instead("a relative path", ":path", "x", MALFORMED),
        instead("an asterisk for GET", ":path", "*", MALFORMED),
        instead("a path above the root", ":path", "/../x", "400 bad_path"),
        instead("a path of 8 KiB and a byte", ":path", &format!("/{}", "x".repeat(8 << 10)), "414 target_too_long"),
        instead("a line end in the method", ":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET", MALFORMED),
        instead("a blank in the method", ":method", "GET /x", MALFORMED),
        instead("an empty method", ":method", "", MALFORMED),
        instead("a line end in the scheme", ":scheme", "http\r\nX: y", MALFORMED),
        instead("CONNECT with a path", ":method", "CONNECT", MALFORMED),
        instead("TRACE", ":method", "TRACE", "405 method_refused"),
        announced("a length, and no body", "5"),
        announced("a length with a plus", "+0"),
        announced("a list of lengths", "0, 0"),
        announced("an empty length", ""),
        announced("a length of 20 digits", "99999999999999999999"),
        section(
            "two lengths",
            &[GET, &[("content-length", "0"), ("content-length", "0")]].concat(),
            "400 ambiguous_framing",
        ),
        section("105 fields", &many, "431 head_too_large"),
        section("an expectation that nobody knows", &[GET, &[("expect", "tea")]].concat(), "417 expectation_failed"),
    ]
}

#[test]
fn what_would_be_no_request_in_http_1_is_none_in_http_2() {
    assert_eq!(hold(&table()).connections_opened(), 0);
}
