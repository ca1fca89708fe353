//! TLS over TCP listeners: passed through by the name that is asked for, or ended here.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;

use crate::support::{
    Certificate, Client, Gate, Nginx, Origin, Setup, TcpServer, Terms, Tls, TlsFront, dial, eventually, hear_all,
    refusing_address, run, run_with_input,
};

/// A TCP listener with these keys, and upstreams `a`, `b` and `c`.
fn names(listener: &str, endpoints: [SocketAddr; 3]) -> Setup {
    let upstreams: String = ["a", "b", "c"]
        .iter()
        .zip(endpoints)
        .map(|(name, endpoint)| format!("[upstream.{name}]\nendpoints = \"{endpoint}\"\n"))
        .collect();
    Setup::to(&[refusing_address(1)]).and(&format!("[[tcp]]\naddress = \"127.0.0.3:0\"\n{listener}\n{upstreams}"))
}

const ROUTES: &str =
    "route = [{ hosts = \"a.test\", upstream = \"a\" }, { hosts = [\"*.b.test\", \"b.test\"], upstream = \"b\" }]";

/// A server that says what it has heard once `count` bytes have come.
fn listening(count: usize) -> (TcpServer, Receiver<Vec<u8>>) {
    let (said, heard) = channel();
    let server = TcpServer::start(move |mut stream| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).unwrap();
        said.send(bytes).unwrap();
    });
    (server, heard)
}

/// The first flight of a real client.
fn hello(directory: &Path, name: &str) -> Vec<u8> {
    let tls = Tls::new(&[&Certificate::make(directory, "x", &["x"])], name);
    let mut bytes = Vec::new();
    ClientConnection::new(tls.config(), tls.server_name()).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// The payload of the one record, in records of this size.
fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
    hello[5..]
        .chunks(size)
        .flat_map(|piece| [&[22, 3, 1][..], &(piece.len() as u16).to_be_bytes(), piece].concat())
        .collect()
}

fn ended(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!("tidegate_tcp_connections_total{{reason=\"{reason}\"}}"))
}

#[test]
fn curl_and_openssl_reach_the_server_of_the_name_they_ask_for() {
    let directory = TempDir::new().unwrap();
    let certificates = ["a.test", "x.b.test"].map(|name| Certificate::make(directory.path(), name, &[name]));
    let front = |name: &str, certificate: &Certificate| {
        Nginx::start(&format!(
            "server {{ listen {{listen}} ssl; ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 {name}; }} }}",
            certificate.chain.display(),
            certificate.key.display()
        ))
    };
    let (a, b) = (front("served-by-a", &certificates[0]), front("served-by-b", &certificates[1]));
    let gate = names(ROUTES, [a.address(), b.address(), refusing_address(2)]).start();
    let address = gate.listener(1);
    for (name, certificate, expected) in
        [("a.test", &certificates[0], "served-by-a"), ("x.b.test", &certificates[1], "served-by-b")]
    {
        let curl = run("curl", |c| {
            c.args(["-sS", "--connect-to", &format!("{name}:443:{address}"), "--cacert"])
                .arg(&certificate.chain)
                .arg(format!("https://{name}/"))
        });
        assert_eq!(curl.stdout, expected, "{}", curl.stderr);
        let openssl = run_with_input("openssl", b"Q\n", |c| {
            c.args([
                "s_client",
                "-connect",
                &address.to_string(),
                "-servername",
                name,
                "-verify_return_error",
                "-CAfile",
            ])
            .arg(&certificate.chain)
        });
        assert!(openssl.stdout.contains("Verify return code: 0 (ok)"), "{openssl:?}");
    }
    let records = gate.records(4);
    let record = records.iter().find(|record| record["host"] == "a.test").unwrap();
    assert_eq!(record["upstream"], "a");
    assert!(record.get("tls_version").is_none());
}

#[test]
fn the_hello_passes_on_as_it_came_however_it_was_split() {
    let directory = TempDir::new().unwrap();
    let hello = hello(directory.path(), "a.test");
    for (size, piece) in [(16384, 1), (1, 64), (40, 7), (16384, 16384)] {
        let bytes = [fragmented(&hello, size), b"and more".to_vec()].concat();
        let (server, heard) = listening(bytes.len());
        let gate = names(ROUTES, [server.address(), refusing_address(2), refusing_address(2)]).start();
        let mut client = dial(gate.listener(1));
        client.set_nodelay(true).unwrap();
        bytes.chunks(piece).for_each(|piece| client.write_all(piece).unwrap());
        assert!(heard.recv().unwrap() == bytes, "{size} {piece}");
    }
}

#[test]
fn other_names_and_none_go_to_the_default_or_nowhere() {
    let directory = TempDir::new().unwrap();
    let others = [hello(directory.path(), "other.test"), hello(directory.path(), "192.0.2.1")];
    for hello in &others {
        let (server, heard) = listening(hello.len());
        let listener = format!("{ROUTES}\nupstream = \"c\"");
        let gate = names(&listener, [refusing_address(2), refusing_address(2), server.address()]).start();
        dial(gate.listener(1)).write_all(hello).unwrap();
        assert!(heard.recv().unwrap() == *hello);
    }
    let gate = names(ROUTES, [refusing_address(2); 3]).start();
    for hello in &others {
        let mut client = dial(gate.listener(1));
        client.write_all(hello).unwrap();
        assert_eq!(hear_all(&mut client).unwrap_or_default(), b"");
    }
    eventually("both are counted", || ended(&gate, "unknown_server_name") == 2.0);
    assert!(gate.records(2).iter().any(|record| record["host"] == "other.test"));
}

#[test]
fn what_is_no_hello_is_closed_and_counted() {
    let gate = names(&format!("{ROUTES}\nhello_timeout = \"400ms\""), [refusing_address(2); 3]).start();
    let hostile: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
        b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03",
    ];
    for bytes in hostile {
        let mut client = dial(gate.listener(1));
        client.write_all(bytes).unwrap();
        assert_eq!(hear_all(&mut client).unwrap_or_default(), b"", "{bytes:x?}");
    }
    // A flood of tiny records that never ends is cut at a bound, not at the deadline.
    let mut flood = dial(gate.listener(1));
    let drip = [&b"\x16\x03\x01\x00\x04\x01\x00\x3f\xff"[..], &b"\x16\x03\x01\x00\x01\x00".repeat(8000)].concat();
    let _ = flood.write_all(&drip);
    assert_eq!(hear_all(&mut flood).unwrap_or_default(), b"");
    let mut half = dial(gate.listener(1));
    half.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear_all(&mut half).unwrap_or_default(), b"");
    eventually("all are counted", || ended(&gate, "not_tls") == 8.0);
    let (mut silent, mut slow) = (dial(gate.listener(1)), dial(gate.listener(1)));
    slow.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    for client in [&mut silent, &mut slow] {
        assert_eq!(hear_all(client).unwrap_or_default(), b"");
    }
    eventually("both are counted", || ended(&gate, "hello_timed_out") == 2.0);
    eventually("nothing is held", || gate.metric("tidegate_connections_open") == 0.0);
}

#[test]
fn tls_ends_here_and_what_is_inside_goes_on() {
    let server = TcpServer::echo();
    let listener = "upstream = \"a\"\ntls = true";
    let setup = names(listener, [server.address(), refusing_address(2), refusing_address(2)]);
    let (gate, certificate) = setup.start_tls();
    // HTTP's protocols are not offered here.
    let tls = Tls::with(&[&certificate], "test", &["h2", "http/1.1"], rustls::ALL_VERSIONS);
    let tcp = dial(gate.listener(1));
    let connection = ClientConnection::new(tls.config(), tls.server_name()).unwrap();
    let mut client = StreamOwned::new(connection, tcp);
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let chunk = 100_000;
    for piece in sent.chunks(chunk) {
        client.write_all(piece).unwrap();
        let mut back = vec![0; chunk];
        client.read_exact(&mut back).unwrap();
        assert!(back == piece);
    }
    assert_eq!(client.conn.alpn_protocol(), None);
    // close_notify is the end of this side, and comes back as the end of the other.
    client.conn.send_close_notify();
    client.flush().unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    let record = gate.records(1).remove(0);
    assert_eq!((&record["tls_version"], &record["host"]), (&"TLSv1.3".into(), &"test".into()));
    assert_eq!((&record["bytes_received"], record.get("reason")), (&3_000_000.into(), None));
    let plain = dial(gate.listener(1)).write_all(b"GET / HTTP/1.1\r\n\r\n");
    assert!(plain.is_ok());
    eventually("a failed handshake is counted", || gate.metric("tidegate_tls_handshake_failures_total") == 1.0);
}

#[test]
fn the_name_of_a_handshake_routes_as_well() {
    let (a, b) = (TcpServer::named("a"), TcpServer::named("b"));
    let listener = "tls = true\nroute = [{ hosts = \"test\", upstream = \"b\" }]\nupstream = \"a\"";
    let (gate, certificate) = names(listener, [a.address(), b.address(), refusing_address(2)]).start_tls();
    let tls = Tls::new(&[&certificate], "test");
    let connection = ClientConnection::new(tls.config(), tls.server_name()).unwrap();
    let mut client = StreamOwned::new(connection, dial(gate.listener(1)));
    let mut name = [0];
    client.read_exact(&mut name).unwrap();
    assert_eq!(&name, b"b");
}

#[test]
fn tls_towards_endpoints_is_spoken_for_plain_clients() {
    let origin = Origin::named("a");
    let directory = TempDir::new().unwrap();
    let certificate = crate::support::backend_certificate(directory.path());
    let front = TlsFront::start(origin.address(), &Terms::with(&certificate));
    let upstream = format!(
        "upstream = \"t\"\n[upstream.t]\nendpoints = \"{}\"\ntls = {{ ca = {:?} }}",
        front.address(),
        certificate.chain
    );
    let gate = names(&upstream, [refusing_address(2); 3]).start();
    assert_eq!(Client::connect(gate.listener(1)).get("/").text(), "a");
    assert_eq!(gate.metric("tidegate_upstream_tls_handshakes_total{upstream=\"t\",outcome=\"full\"}"), 1.0);
}

#[test]
fn a_drain_doesnt_wait_for_a_hello_that_hasnt_begun() {
    let gate = names(&format!("{ROUTES}\nhello_timeout = \"60s\""), [refusing_address(2); 3]).start();
    let mut silent = dial(gate.listener(1));
    eventually("it is accepted", || gate.metric("tidegate_connections_open") == 1.0);
    let drained = gate.shutdown(Duration::from_secs(60));
    assert_eq!(hear_all(&mut silent).unwrap_or_default(), b"");
    drained.join().unwrap();
}
