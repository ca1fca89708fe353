//! PROXY headers from those in front: who the client is, and who may say so.

use std::time::Duration;

use tidegate::proxy_protocol::{Version, encode};

use crate::support::{Client, Gate, Haproxy, Origin, Setup, Tls, eventually, get};

/// A listener that wants headers from this machine.
fn proxied(origin: &Origin) -> Setup {
    Setup::to(&[origin.address()]).listener("proxy_protocol = { from = \"127.0.0.0/8\", timeout = \"300ms\" }")
}

fn header(version: Version, source: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(version, Some((source.parse().unwrap(), "192.0.2.80:443".parse().unwrap())), &mut bytes);
    bytes
}

fn refused(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!("tidegate_connections_refused_total{{reason=\"{reason}\"}}"))
}

#[test]
fn the_client_of_either_version_is_the_client_of_everything() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    for (number, (version, source, ip)) in [
        (Version::V1, "198.51.100.7:4711", "198.51.100.7"),
        (Version::V2, "198.51.100.8:4711", "198.51.100.8"),
        (Version::V1, "[2001:db8::7]:4711", "2001:db8::7"),
        (Version::V2, "[2001:db8::8]:4711", "2001:db8::8"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = gate.client();
        client.send(header(version, source));
        assert_eq!(client.get("/").text(), "a");
        let request = origin.last();
        assert_eq!((request.field("x-real-ip"), request.field("x-forwarded-for")), (Some(ip), Some(ip)));
        let record = gate.records(number + 1).remove(number);
        assert_eq!((&record["client"], &record["peer"]), (&ip.into(), &source.into()));
    }
}

#[test]
fn a_header_and_what_follows_may_come_in_any_pieces() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    for version in [Version::V1, Version::V2] {
        let bytes = [header(version, "198.51.100.7:4711"), get("/").into_bytes()].concat();
        for piece in [1, 7, bytes.len() - 3] {
            let mut client = gate.client();
            for piece in bytes.chunks(piece) {
                client.send(piece);
            }
            assert_eq!(client.response("GET").text(), "a");
            assert_eq!(origin.last().field("x-real-ip"), Some("198.51.100.7"));
        }
    }
}

#[test]
fn it_comes_before_tls_and_http2() {
    let origin = Origin::named("a");
    let (gate, certificate) = proxied(&origin).start_tls();
    let mut client =
        Client::tls_after(gate.address(), &header(Version::V2, "198.51.100.7:1"), &Tls::new(&[&certificate], "test"));
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.last().field("x-real-ip"), Some("198.51.100.7"));
    // The handshake without a header is refused, and not as a failed handshake.
    assert!(Client::try_tls(gate.address(), &Tls::new(&[&certificate], "test")).is_err());
    assert_eq!((refused(&gate, "proxy_malformed"), gate.metric("tidegate_tls_handshake_failures_total")), (1.0, 0.0));
}

#[test]
fn a_connection_that_doesnt_begin_with_one_is_closed_and_counted() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    let bad: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\x01\x01\x01\x01",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &[b'P'; 200],
    ];
    for bytes in bad {
        let mut client = gate.client();
        client.send(bytes);
        client.assert_closed();
    }
    let mut cut = gate.client();
    cut.send("PROXY TCP4 1.1").close_write();
    cut.assert_closed();
    assert_eq!((refused(&gate, "proxy_malformed"), origin.count()), (6.0, 0));
    // One that is closed before a byte is a look at the port.
    gate.client().close_write().assert_closed();
    assert_eq!(refused(&gate, "proxy_malformed"), 6.0);
}

#[test]
fn a_header_that_doesnt_come_to_its_end_is_not_waited_for() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    let mut silent = gate.client();
    let mut slow = gate.client();
    slow.send("PROXY TCP4 198.51.100.7 ");
    silent.assert_closed();
    slow.assert_closed();
    assert_eq!(refused(&gate, "proxy_timed_out"), 2.0);
    eventually("no connection is left", || gate.metric("tidegate_connections_open") == 0.0);
}

#[test]
fn nobody_but_the_named_may_send_one() {
    let origin = Origin::named("a");
    let setup =
        Setup::to(&[origin.address()]).top("trusted_proxies = [\"127.0.0.2\"]").listener("proxy_protocol = true");
    let gate = setup.start();
    let mut stranger = gate.client();
    stranger.send(header(Version::V1, "198.51.100.7:4711"));
    stranger.assert_closed();
    assert_eq!((refused(&gate, "proxy_untrusted"), origin.count()), (1.0, 0));
    let mut named = Client::connect_from("127.0.0.2", gate.address());
    named.send(header(Version::V1, "198.51.100.7:4711"));
    assert_eq!(named.get("/").text(), "a");
}

#[test]
fn local_and_unknown_leave_the_connection_its_own_address() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    let local: [&[u8]; 3] =
        [b"PROXY UNKNOWN\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x03abc", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"];
    for bytes in local {
        let mut client = Client::connect_from("127.0.0.3", gate.address());
        client.send(bytes);
        assert_eq!(client.get("/").text(), "a");
        assert_eq!(origin.last().field("x-real-ip"), Some("127.0.0.3"));
    }
}

#[test]
fn limits_and_caps_go_by_the_named_client() {
    let origin = Origin::named("a");
    let setup = proxied(&origin)
        .top("max_connections_per_client = 2")
        .route("limit = \"l\"")
        .and("[limit.l]\nrate = \"1/m\"\nburst = 0");
    let gate = setup.start();
    let ask = |source: &str| {
        let mut client = gate.client();
        client.send(header(Version::V2, source));
        let status = client.get("/").status;
        (client, status)
    };
    let (_a, first) = ask("198.51.100.7:1");
    let (_b, second) = ask("198.51.100.7:2");
    let (_c, other) = ask("198.51.100.8:1");
    assert_eq!([first, second, other], [200, 429, 200]);
    let mut third = gate.client();
    third.send(header(Version::V2, "198.51.100.7:3"));
    third.assert_closed();
    assert_eq!(refused(&gate, "over_client_cap"), 1.0);
}

#[test]
fn what_a_trusted_proxy_behind_the_balancer_says_of_its_client_counts() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).top("trusted_proxies = [\"10.0.0.0/8\"]").start();
    for (source, client) in [("10.0.0.1:1", "1.1.1.1"), ("198.51.100.7:1", "198.51.100.7")] {
        let mut connection = gate.client();
        connection.send(header(Version::V1, source));
        connection.send("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n");
        assert_eq!(connection.response("GET").status, 200);
        assert_eq!(origin.last().field("x-real-ip"), Some(client));
    }
}

#[test]
fn a_drain_doesnt_wait_for_a_header() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()])
        .listener("proxy_protocol = { from = \"127.0.0.0/8\", timeout = \"60s\" }")
        .start();
    let mut silent = gate.client();
    eventually("it is accepted", || gate.metric("tidegate_connections_open") == 1.0);
    let drained = gate.shutdown(Duration::from_secs(60));
    silent.assert_closed();
    drained.join().unwrap();
}

#[test]
fn haproxy_in_front_names_its_clients() {
    let origin = Origin::named("a");
    let gate = proxied(&origin).start();
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let haproxy = Haproxy::start(&format!(
            "listen l\nbind {{listen}}\nunique-id-format %[uuid]\nserver s {} {send}",
            gate.address()
        ));
        let mut client = Client::connect_from("127.0.0.5", haproxy.address());
        assert_eq!(client.get("/").text(), "a");
        assert_eq!(origin.last().field("x-real-ip"), Some("127.0.0.5"), "{send}");
    }
}
