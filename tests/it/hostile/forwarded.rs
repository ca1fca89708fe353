//! Odd requests that are taken: what comes to the endpoint is one canonical form, byte for byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Table, request};
use crate::support::{Fate, RawH2, Setup, block, flag, frame, get, kind};

pub fn table() -> Table {
    Table {
        title: "Odd requests that pass",
        about: "What HTTP allows, if rarely written so, passes. The endpoint never sees the odd form: Tidegate writes every request \
                anew, with one framing of its own, and the tests compare each byte that comes to the endpoint.",
        rows: odd().into_iter().map(|odd| request(odd.name, odd.bytes, "forwarded")).collect(),
    }
}

struct Odd {
    name: &'static str,
    bytes: Vec<u8>,
    /// What comes to the endpoint. `{identity}` is [`IDENTITY`].
    canonical: Vec<u8>,
}

/// What Tidegate says of the client, before the framing.
const IDENTITY: &str = "X-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
                        X-Forwarded-Host: test\r\nX-Request-Id: {id}\r\n";

/// As long as an id, which is another one each time.
const ID: &str = "................................";

fn odd() -> Vec<Odd> {
    let odd = |name, bytes: &[u8], canonical: &[u8]| Odd { name, bytes: bytes.to_vec(), canonical: canonical.to_vec() };
    let text = |name, bytes: &str, canonical: &str| odd(name, bytes.as_bytes(), canonical.as_bytes());
    let with = |name, fields: &str, passed: &str| {
        text(name, &super::head(fields), &format!("GET / HTTP/1.1\r\nHost: test\r\n{passed}{{identity}}\r\n"))
    };
    let post = |name, fields: &str, body: &str, framing: &str, passed: &str| {
        let canonical = format!("POST / HTTP/1.1\r\nHost: test\r\n{{identity}}{framing}\r\n{passed}");
        text(name, &super::post(fields, body), &canonical)
    };
    let line = |name, line: &str, passed: &str| {
        text(name, &format!("{line}\r\nHost: test\r\n\r\n"), &format!("{passed}\r\nHost: test\r\n{{identity}}\r\n"))
    };
    let (length, chunked) = ("Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n");
    vec![
        text("an empty line before it", &format!("\r\n{}", get("/")), "GET / HTTP/1.1\r\nHost: test\r\n{identity}\r\n"),
        line("an absolute-form", "GET http://test/a?b HTTP/1.1", "GET /a?b HTTP/1.1"),
        line("an absolute-form with an upper-case scheme", "GET HTTP://test/ HTTP/1.1", "GET / HTTP/1.1"),
        line("an absolute-form without a path", "GET http://test HTTP/1.1", "GET / HTTP/1.1"),
        line("a method that nobody knows", "BREW!#$ / HTTP/1.1", "BREW!#$ / HTTP/1.1"),
        line("HTTP/1.0", "GET / HTTP/1.0", "GET / HTTP/1.1"),
        line("double slashes, dots and parameters", "GET //a/./b/../c;d HTTP/1.1", "GET //a/./b/../c;d HTTP/1.1"),
        line("encoded slashes and letters", "GET /%61%2fb?%00 HTTP/1.1", "GET /%61%2fb?%00 HTTP/1.1"),
        text("a host with a port, in upper case", "GET / HTTP/1.1\r\nHost: TEST:80\r\n\r\n", &host_and_port()),
        with("no blank behind a colon", "X:y\r\n", "X: y\r\n"),
        with("tabs and blanks around a value", "X: \t y \t\r\n", "X: y\r\n"),
        with("a value of nothing", "X:   \r\n", "X: \r\n"),
        with("the same name three times", "X: 1\r\nx: 2\r\nX: 1\r\n", "X: 1\r\nx: 2\r\nX: 1\r\n"),
        odd(
            "bytes in a value that aren't ASCII",
            b"GET / HTTP/1.1\r\nHost: test\r\nX: \xff\x80\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: test\r\nX: \xff\x80\r\n{identity}\r\n",
        ),
        with("a name with an underscore", "X_Forwarded_For: 6.6.6.6\r\nX: y\r\n", "X: y\r\n"),
        with(
            "fields that say who the client is",
            "X-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Request-Id: mine\r\n",
            "",
        ),
        with(
            "Connection naming the endpoint's own fields",
            "Connection: X-Real-IP, X-Forwarded-For, Host, X\r\nX: y\r\n",
            "",
        ),
        with(
            "fields of the connection",
            "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nHTTP2-Settings: AA\r\n",
            "",
        ),
        with("an offer of h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", ""),
        with("a Proxy field (httpoxy)", "Proxy: http://evil/\r\n", ""),
        text(
            "GET with a body",
            "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc",
            "GET / HTTP/1.1\r\nHost: test\r\n{identity}Content-Length: 3\r\n\r\nabc",
        ),
        post("POST without a length", "", "", "", ""),
        post("a length with zeros before it", "Content-Length: 0003\r\n", "abc", length, "abc"),
        post("a length with tabs around it", "Content-Length:\t3\t\r\n", "abc", length, "abc"),
        post(
            "a length that Connection names",
            "Connection: Content-Length\r\nContent-Length: 3\r\n",
            "abc",
            length,
            "abc",
        ),
        post(
            "a body that looks like a request",
            "Content-Length: 32\r\n",
            "GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
            "Content-Length: 32\r\n",
            "GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
        ),
        post(
            "100-continue, and a body that doesn't wait",
            "Expect: 100-continue\r\nContent-Length: 3\r\n",
            "abc",
            length,
            "abc",
        ),
        post(
            "chunked in upper case",
            "Transfer-Encoding: CHUNKED\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            chunked,
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        post(
            "chunked that Connection names",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            chunked,
            "3\r\nabc\r\n0\r\n\r\n",
        ),
        post(
            "sizes in upper case, with zeros before them",
            chunked,
            "000C\r\nabcabcabcabc\r\n000\r\n\r\n",
            chunked,
            "c\r\nabcabcabcabc\r\n0\r\n\r\n",
        ),
        post("extensions", chunked, "3;a;b=\"c\"\r\nabc\r\n0;d\r\n\r\n", chunked, "3\r\nabc\r\n0\r\n\r\n"),
        post(
            "trailers, and some that say who the client is",
            chunked,
            "3\r\nabc\r\n0\r\nX-Real-IP: 6.6.6.6\r\nX_Y: z\r\nAuthorization: a\r\nX-Sum: 1\r\n\r\n",
            chunked,
            "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
    ]
}

fn host_and_port() -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", IDENTITY.replace("-Host: test", "-Host: TEST:80"))
}

/// With another request behind each, so that nothing of it is left over, and nothing of the other is taken for it.
#[test]
fn what_comes_to_the_endpoint_is_canonical_byte_for_byte() {
    let mut wrong = Vec::new();
    for Odd { name, bytes, canonical } in odd() {
        let behind = if bytes.windows(8).any(|w| w == b"HTTP/1.0") { None } else { Some(plain("/behind")) };
        let expected = [filled_in(&canonical)].into_iter().chain(behind.clone()).collect::<Vec<_>>();
        let (address, received) = endpoint(expected.iter().map(Vec::len).collect());
        let gate = Setup::to(&[address]).top("workers = 1").start();
        let mut client = gate.client();
        client.send(
            [&bytes[..], if behind.is_some() { get("/behind").into_bytes() } else { vec![] }.as_slice()].concat(),
        );
        for _ in &expected {
            assert_eq!(client.try_response("GET").map(|r| r.status), Ok(200), "{name}");
        }
        drop((client, gate));
        let received = masked(received.join().unwrap());
        if received != expected.concat() {
            wrong.push(format!("{name}:\n{}\n{}", expected.concat().escape_ascii(), received.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A case of HTTP/2: its name, its fields, its DATA, and what comes to the endpoint behind Host.
type Streamed = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static str);

/// HTTP/2 has no framing that HTTP/1 knows: what goes on is what HTTP/1 would have had.
#[test]
fn what_comes_of_http_2_is_canonical_too() {
    let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "test"), (":path", "/")];
    let rows: &[Streamed] = &[
        ("no length", &[], &["abc", "d"], "{identity}Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
        ("no length and no body", &[], &[""], "{identity}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a length", &[("content-length", "03")], &["ab", "c"], "{identity}Content-Length: 3\r\n\r\nabc"),
        (
            "crumbs of a cookie",
            &[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")],
            &[""],
            "x: y\r\ncookie: a=b; c=d\r\n{identity}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "te, host and names with an underscore",
            &[("te", "trailers"), ("host", "test"), ("x_y", "z"), ("x-real-ip", "6.6.6.6")],
            &[""],
            "{identity}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "a body that looks like chunks",
            &[("content-length", "5")],
            &["0\r\n\r\n"],
            "{identity}Content-Length: 5\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (name, fields, pieces, canonical) in rows {
        let expected = filled_in(format!("POST / HTTP/1.1\r\nHost: test\r\n{canonical}").as_bytes());
        let (address, received) = endpoint(vec![expected.len()]);
        let gate = Setup::to(&[address]).top("workers = 1").listener("h2c = true").start();
        let mut raw = RawH2::connect(gate.address());
        let mut frames = frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[&pseudo, *fields].concat()));
        for (number, piece) in pieces.iter().enumerate() {
            let flags = if number + 1 == pieces.len() { flag::END_STREAM } else { 0 };
            frames.extend(frame(kind::DATA, flags, 1, piece.as_bytes()));
        }
        raw.send_bytes(&frames);
        assert_eq!(raw.fate_of(1), Fate::Status(200), "{name}");
        drop((raw, gate));
        let received = masked(received.join().unwrap());
        assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{name}");
    }
}

fn plain(path: &str) -> Vec<u8> {
    filled_in(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{{identity}}\r\n").as_bytes())
}

/// With the identity in the place of its mark.
fn filled_in(canonical: &[u8]) -> Vec<u8> {
    let identity = IDENTITY.replace("{id}", ID);
    replaced(&replaced(canonical, b"{identity}", identity.as_bytes()), b"{id}", ID.as_bytes())
}

fn replaced(bytes: &[u8], mark: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(mark.len()).position(|window| window == mark) {
        Some(at) => [&bytes[..at], by, &bytes[at + mark.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// With [`ID`] for every id.
fn masked(mut bytes: Vec<u8>) -> Vec<u8> {
    let name = b"X-Request-Id: ";
    let ids: Vec<_> =
        bytes.windows(name.len()).enumerate().filter(|(_, w)| w == name).map(|(at, _)| at + name.len()).collect();
    for at in ids {
        let end = bytes[at..].iter().position(|byte| *byte == b'\r').map_or(bytes.len(), |length| at + length);
        bytes[at..end].fill(b'.');
    }
    bytes
}

/// Takes one connection, answers as soon as each of these lengths is there, and gives all that came until its end.
fn endpoint(lengths: Vec<usize>) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let received = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        let mut until = 0;
        for length in lengths {
            until += length;
            while bytes.len() < until {
                match stream.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(n) => bytes.extend_from_slice(&chunk[..n]),
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        let _ = stream.read_to_end(&mut bytes);
        bytes
    });
    (address, received)
}
