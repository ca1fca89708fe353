//! Who is asked: Host, the absolute-form's authority, and where they differ.

use super::ask::hold;
use super::{Row, Table, request};

const BAD: &str = "400 bad_host";

pub fn table() -> Table {
    Table {
        title: "Hosts",
        about: "Routing, limits and certificates go by the host, and the endpoint goes by it too. There is exactly one, and both \
                read the same.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let host = |lines: &str| format!("GET / HTTP/1.1\r\n{lines}\r\n");
    let absolute = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    vec![
        request("none", host(""), BAD),
        request("two that agree", host("Host: test\r\nHost: test\r\n"), BAD),
        request("two that differ", host("Host: test\r\nHost: other\r\n"), BAD),
        request("an empty one", host("Host:\r\n"), BAD),
        request("an empty one, then another", host("Host:\r\nHost: test\r\n"), BAD),
        request("a list", host("Host: test, other\r\n"), BAD),
        request("a slash in it", host("Host: te/st\r\n"), BAD),
        request("a question mark in it", host("Host: test?x\r\n"), BAD),
        request("a NUL in it", host("Host: te\0st\r\n"), "400 malformed_head"),
        request("a backslash in it", host("Host: te\\st\r\n"), BAD),
        request("a user before it", host("Host: user@test\r\n"), BAD),
        request("a blank in it", host("Host: te st\r\n"), BAD),
        request("a byte in it that isn't ASCII", host("Host: t\u{eb}st\r\n"), BAD),
        request("a port that is no number", host("Host: test:x\r\n"), BAD),
        request("a port too large", host("Host: test:65536\r\n"), BAD),
        request("two ports", host("Host: test:80:80\r\n"), BAD),
        request("nothing but a port", host("Host: :80\r\n"), BAD),
        request("an open bracket", host("Host: [::1\r\n"), BAD),
        request("a name of 256 bytes", host(&format!("Host: {}\r\n", "x".repeat(256))), BAD),
        request("two in HTTP/1.0", host("Host: test\r\nHost: test\r\n").replace("1.1", "1.0"), BAD),
        request("an absolute-form without Host", "GET http://test/ HTTP/1.1\r\n\r\n", BAD),
        request("an absolute-form that disagrees", absolute("http://other/", "test"), BAD),
        request("an absolute-form that disagrees in the port", absolute("http://test:81/", "test:80"), BAD),
        request("an absolute-form with a user", absolute("http://u@test/", "u@test"), BAD),
        request("an absolute-form without a host", absolute("http:///", "test"), BAD),
    ]
}

#[test]
fn a_host_that_is_missing_double_or_invalid_is_refused() {
    assert_eq!(hold(&table()).connections_opened(), 0);
}
