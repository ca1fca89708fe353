//! Paths that an endpoint could read in another way than routing does.

use super::ask::hold;
use super::{Row, Table, request};

const BAD: &str = "400 bad_path";

pub fn table() -> Table {
    Table {
        title: "Paths",
        about: "Routes match on the decoded path without `.`, `..` and double slashes; the endpoint gets what the client sent. \
                What can't be read in one way only is refused.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    vec![
        request("above the root", get("/.."), BAD),
        request("above the root on a detour", get("/a/../../b"), BAD),
        request("above the root, encoded", get("/%2e%2e/x"), BAD),
        request("above the root by an encoded slash", get("/a%2f..%2f../x"), BAD),
        request("above the root in an absolute-form", get("http://test/../x"), BAD),
        request("an encoded NUL", get("/a%00b"), BAD),
        request("an encoded line feed", get("/a%0ab"), BAD),
        request("an encoded DEL", get("/a%7fb"), BAD),
        request("a percent sign without digits", get("/a%zz"), BAD),
        request("a percent sign with one digit", get("/a%2"), BAD),
        request("a percent sign at the end", get("/%"), BAD),
        request("a backslash", get("/a\\b"), BAD),
        request("two dots and a parameter", get("/a/..;/b"), BAD),
        request("a dot and a parameter", get("/a/.;x/b"), BAD),
        request("an encoded parameter behind two dots", get("/a/..%3b/b"), BAD),
    ]
}

#[test]
fn paths_that_cannot_be_normalized_safely_are_refused() {
    assert_eq!(hold(&table()).connections_opened(), 0);
}
