//! Odd responses that are taken: what comes to the client is one canonical form, byte for byte.

use crate::support::{Answer, Origin, Setup, get};

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// Twice over one connection, so that nothing is left over.
#[test]
fn what_comes_to_the_client_is_canonical_byte_for_byte() {
    let rows: &[(&str, &str, &str)] = &[
        (
            "another phrase",
            "HTTP/1.1 200 Fine\r\n{date}Content-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\n{date}Content-Length: 1\r\n\r\na",
        ),
        (
            "no phrase",
            "HTTP/1.1 299 \r\n{date}Content-Length: 1\r\n\r\na",
            "HTTP/1.1 299 \r\n{date}Content-Length: 1\r\n\r\na",
        ),
        (
            "HTTP/1.0",
            "HTTP/1.0 200 OK\r\n{date}Content-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\n{date}Content-Length: 1\r\n\r\na",
        ),
        (
            "a length with zeros before it",
            "HTTP/1.1 200 OK\r\n{date}Content-Length: 0001\r\n\r\na",
            "HTTP/1.1 200 OK\r\n{date}Content-Length: 1\r\n\r\na",
        ),
        (
            "chunked in upper case, extensions, sizes with zeros",
            "HTTP/1.1 200 OK\r\n{date}transfer-encoding: CHUNKED\r\n\r\n00A;x=y\r\nabcabcabca\r\n00;z\r\nX-Sum: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n{date}Transfer-Encoding: chunked\r\n\r\na\r\nabcabcabca\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        (
            "fields of the connection, and those it names",
            "HTTP/1.1 200 OK\r\n{date}Connection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n{date}Content-Length: 0\r\n\r\n",
        ),
        (
            "a 204 with a length",
            "HTTP/1.1 204 No Content\r\n{date}Content-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n{date}\r\n",
        ),
        (
            "a 304 with a length",
            "HTTP/1.1 304 Not Modified\r\n{date}Content-Length: 9\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n{date}Content-Length: 9\r\n\r\n",
        ),
        (
            "the same name twice",
            "HTTP/1.1 200 OK\r\n{date}Set-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n{date}Set-Cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n",
        ),
    ];
    for (name, sent, canonical) in rows {
        let (sent, canonical) = (sent.replace("{date}", DATE), canonical.replace("{date}", DATE));
        let origin = Origin::answering(Answer::raw(&sent));
        let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
        let mut client = gate.client();
        client.send(get("/") + &get("/"));
        let came = client.take(2 * canonical.len()).unwrap_or_else(|broken| panic!("{name}: {broken:?}"));
        assert_eq!(String::from_utf8_lossy(&came), canonical.repeat(2), "{name}");
    }
}

/// Its end is the connection's, so that it has to be framed anew.
#[test]
fn a_response_until_the_end_of_the_connection_is_framed_anew() {
    let origin = Origin::answering(Answer::raw(format!("HTTP/1.1 200 OK\r\n{DATE}\r\nabc")).close());
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let canonical = format!("HTTP/1.1 200 OK\r\n{DATE}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let came = gate.client().send(get("/")).take(canonical.len()).unwrap();
    assert_eq!(String::from_utf8_lossy(&came), canonical);
}
