//! What is refused on the wire, and with which status. A row says nginx's status and Tidegate's; 0 is a close without a
//! response.

use crate::support::{Broken, Origin, Peer, Recipe, on_each};

struct Row(&'static str, &'static [u8], u16, u16);

const ROWS: &[Row] = &[
    Row(
        "length and chunked",
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row("two lengths", b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, 400),
    Row(
        "two equal lengths",
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        400,
        400,
    ),
    Row("a list of lengths", b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5,5\r\n\r\nhello", 400, 400),
    Row("a signed length", b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: +5\r\n\r\nhello", 400, 400),
    Row("a hexadecimal length", b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0x5\r\n\r\nhello", 400, 400),
    Row(
        "a length of 20 digits",
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999999999999999\r\n\r\n",
        400,
        400,
    ),
    Row(
        "chunked in HTTP/1.0",
        b"POST / HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row(
        "chunked twice",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row(
        "a list of chunked",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        501,
        400,
    ),
    Row("an unknown coding", b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: zstd\r\n\r\n0\r\n\r\n", 501, 501),
    Row("identity", b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: identity\r\n\r\n", 501, 400),
    Row("no Host", b"GET / HTTP/1.1\r\n\r\n", 400, 400),
    Row("two Hosts", b"GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n", 400, 400),
    Row("an empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, 400),
    Row("a Host with a slash", b"GET / HTTP/1.1\r\nHost: te/st\r\n\r\n", 400, 400),
    Row("a Host with a NUL", b"GET / HTTP/1.1\r\nHost: te\0st\r\n\r\n", 400, 400),
    Row("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", 200, 200),
    Row("no version", b"GET /\r\n\r\n", 200, 400),
    Row("lower-case version", b"GET / http/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: test\r\nConnection: close\r\n\r\n", 200, 400),
    Row("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: test\r\n\r\n", 505, 505),
    Row("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: test\r\n\r\n", 505, 505),
    Row("a space before the colon", b"GET / HTTP/1.1\r\nHost : test\r\n\r\n", 400, 400),
    Row(
        "a control byte in a value",
        b"GET / HTTP/1.1\r\nHost: test\r\nX: a\x01b\r\nConnection: close\r\n\r\n",
        200,
        400,
    ),
    Row("NUL in a value", b"GET / HTTP/1.1\r\nHost: test\r\nX: a\0b\r\n\r\n", 400, 400),
    Row("NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("bare LF", b"GET / HTTP/1.1\nHost: test\nConnection: close\n\n", 200, 400),
    Row("bare CR in a value", b"GET / HTTP/1.1\r\nHost: test\r\nX: a\rb\r\n\r\n", 400, 400),
    Row("a folded line", b"GET / HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\nConnection: close\r\n\r\n", 400, 400),
    Row("a method that is no token", b"G(T / HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("CONNECT", b"CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n", 400, 405),
    Row("TRACE", b"TRACE / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 405, 405),
    Row("a path above the root", b"GET /../x HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("a bad percent sign in the path", b"GET /%zz HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("an encoded NUL in the path", b"GET /a%00b HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row("a relative target", b"GET x HTTP/1.1\r\nHost: test\r\n\r\n", 400, 400),
    Row(
        "a chunk size with a sign",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row(
        "a chunk size with 0x",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row(
        "a chunk size too large",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\na\r\n0\r\n\r\n",
        400,
        400,
    ),
    Row(
        "an unknown expectation",
        b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 200-ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        200,
        417,
    ),
    Row("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, 400),
    Row("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 400),
];

#[test]
fn bad_requests_get_the_status_that_the_table_says() {
    let column = |pick: fn(&Row) -> u16| ROWS.iter().map(|r| (r.0, pick(r))).collect::<Vec<_>>();
    on_each(column(|r| r.2), column(|r| r.3), statuses);
}

fn statuses(peer: Peer) -> Vec<(&'static str, u16)> {
    let origin = Origin::named("a");
    let proxy = peer.start(Recipe::to(&[origin.address()]));
    ROWS.iter()
        .map(|Row(name, bytes, ..)| {
            let mut client = proxy.client();
            let status = match client.send(bytes).try_response("GET") {
                Ok(response) => response.status,
                Err(Broken::Closed | Broken::Reset) => 0,
                // nginx answers HTTP/0.9 and its like without a head.
                Err(Broken::Cut(_)) => 200,
                Err(other) => panic!("{name}: {other:?}"),
            };
            (*name, status)
        })
        .collect()
}
