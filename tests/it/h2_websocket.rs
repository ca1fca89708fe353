//! WebSocket over HTTP/2 (RFC 8441) to origins that know it over HTTP/1.1 (RFC 6455).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use data_encoding::BASE64;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::Request;

use crate::support::{
    Answer, Fate, Gate, H2Client, H2Origin, Message, Origin, RawH2, Setup, error, eventually, kind, reason_of,
};

/// What a server makes of a client's key: RFC 6455 4.2.2.
fn accept(request: &Message) -> String {
    let key = request.field("sec-websocket-key").unwrap_or_default();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

fn switched(request: &Message, accept: &str) -> Answer {
    assert_eq!(request.field("upgrade"), Some("websocket"));
    Answer::raw(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    ))
}

fn echo() -> Origin {
    Origin::start(|r| switched(r, &accept(r)).echo())
}

fn h2c(origin: &Origin) -> Gate {
    Setup::to(&[origin.address()]).listener("h2c = true").start()
}

fn handshake(protocol: &'static str) -> Request<()> {
    let mut head = Request::builder()
        .method("CONNECT")
        .uri("http://test/chat?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "the client's own, which means nothing")
        .header("origin", "http://test")
        .body(())
        .unwrap();
    head.extensions_mut().insert(Protocol::from_static(protocol));
    head
}

/// Asks for a WebSocket, once the server has said that it may.
fn ask(client: &mut H2Client, head: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    eventually("SETTINGS_ENABLE_CONNECT_PROTOCOL", || client.knows_extended_connect());
    client.open(head, false).unwrap()
}

fn read(client: &H2Client, stream: &mut RecvStream, count: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < count {
        let piece = client.wait(stream.data()).expect("more data").unwrap();
        stream.flow_control().release_capacity(piece.len()).unwrap();
        got.extend_from_slice(&piece);
    }
    got
}

#[test]
fn a_websocket_opens_and_carries_bytes_both_ways() {
    let origin = echo();
    let gate = h2c(&origin);
    let mut client = gate.h2c();
    let (response, mut send) = ask(&mut client, handshake("websocket"));
    let response = client.wait(response).unwrap();
    assert_eq!(response.status(), 200);
    let field = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(field("sec-websocket-protocol"), Some("chat"));
    for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert_eq!(field(gone), None, "{gone}");
    }
    let request = origin.request();
    assert_eq!(request.start, "GET /chat?room=1 HTTP/1.1");
    assert_eq!((request.field("host"), request.field("origin")), (Some("test"), Some("http://test")));
    assert_eq!(request.field("connection").map(str::to_lowercase), Some("upgrade".into()));
    assert_eq!(request.field("sec-websocket-version"), Some("13"));
    assert_eq!(request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).count(), 1);
    let key = BASE64.decode(request.field("sec-websocket-key").unwrap().as_bytes()).unwrap();
    assert_eq!(key.len(), 16);

    let mut receive = response.into_body();
    // The last one is more than all windows.
    for size in [1, 100, 300_000] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
        send.send_data(Bytes::from(bytes.clone()), false).unwrap();
        assert!(read(&client, &mut receive, size) == bytes, "{size}");
    }
    assert_eq!(gate.metric("tidegate_endpoint_in_flight"), 1.0);
    send.send_data(Bytes::new(), true).unwrap();
    assert!(client.wait(receive.data()).is_none_or(|data| data.unwrap().is_empty()));
    eventually("both sides are closed", || origin.connections_open() == 0);
    let record = &gate.records(1)[0];
    assert_eq!((&record["status"], &record["target"]), (&200.into(), &"/chat?room=1".into()));
    assert_eq!((&record["bytes_sent"], &record["reason"]), (&300_101.into(), &serde_json::Value::Null));
}

#[test]
fn an_upstream_that_is_spoken_to_in_http2_gets_none() {
    let origin = H2Origin::echo();
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").upstream("protocol = \"h2c\"").start();
    let mut client = gate.h2c();
    let (response, _send) = ask(&mut client, handshake("websocket"));
    let response = client.wait(response).unwrap();
    assert_eq!((response.status().as_u16(), &*gate.logged_reason()), (502, "upstream_no_upgrade"));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn other_streams_go_on_beside_it() {
    let origin = Origin::start(|r| match r.has("upgrade") {
        true => switched(r, &accept(r)).echo(),
        false => Answer::ok("plain"),
    });
    let gate = h2c(&origin);
    let mut client = gate.h2c();
    let (response, mut send) = ask(&mut client, handshake("websocket"));
    let mut receive = client.wait(response).unwrap().into_body();
    assert_eq!(client.get("/").text(), "plain");
    send.send_data(Bytes::from_static(b"hi"), false).unwrap();
    assert_eq!(read(&client, &mut receive, 2), b"hi");
}

#[test]
fn the_origin_closing_ends_the_stream() {
    let origin = Origin::start(|r| switched(r, &accept(r)).send("bye").close());
    let gate = h2c(&origin);
    let mut client = gate.h2c();
    let (response, _send) = ask(&mut client, handshake("websocket"));
    let mut receive = client.wait(response).unwrap().into_body();
    assert_eq!(read(&client, &mut receive, 3), b"bye");
    assert!(client.wait(receive.data()).is_none_or(|data| data.unwrap().is_empty()));
}

#[test]
fn the_client_resetting_closes_the_origins_side() {
    let origin = echo();
    let gate = h2c(&origin);
    let mut client = gate.h2c();
    let (response, mut send) = ask(&mut client, handshake("websocket"));
    let _receive = client.wait(response).unwrap().into_body();
    send.send_reset(Reason::CANCEL);
    eventually("the origin's side is closed", || origin.connections_open() == 0);
    eventually("the mark is released", || gate.metric("tidegate_endpoint_in_flight") == 0.0);
}

#[test]
fn an_idle_tunnel_is_closed_after_its_own_deadline() {
    let origin = echo();
    let gate = Setup::to(&[origin.address()])
        .listener("h2c = true")
        .upstream("timeouts.between_bytes = \"100ms\"\ntimeouts.tunnel_idle = \"500ms\"")
        .start();
    let mut client = gate.h2c();
    let (response, mut send) = ask(&mut client, handshake("websocket"));
    let mut receive = client.wait(response).unwrap().into_body();
    send.send_data(Bytes::from_static(b"x"), false).unwrap();
    assert_eq!(read(&client, &mut receive, 1), b"x");
    let ended = client.wait(receive.data()).unwrap().unwrap_err();
    assert_eq!(reason_of(&ended), Some(Reason::INTERNAL_ERROR));
}

#[test]
fn what_is_no_answer_to_the_handshake_opens_nothing() {
    for (name, answer, status, reason) in [
        ("another's accept", "101 x", 502, Some("upgrade_declined")),
        ("a success", "200 OK", 502, Some("upgrade_declined")),
        ("a refusal", "403 Forbidden", 403, None),
        ("a redirect", "301 Moved", 301, None),
    ] {
        let origin = Origin::start(move |r| match answer.starts_with("101") {
            true => switched(r, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").echo(),
            false => Answer::raw(format!("HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\nno")),
        });
        let gate = h2c(&origin);
        let mut client = gate.h2c();
        let (response, _send) = ask(&mut client, handshake("websocket"));
        assert_eq!(client.wait(response).unwrap().status(), status, "{name}");
        let record = &gate.records(1)[0];
        assert_eq!(record["reason"].as_str(), reason, "{name}");
    }
}

#[test]
fn another_protocol_is_not_known() {
    let origin = echo();
    let gate = h2c(&origin);
    let mut client = gate.h2c();
    let (response, _send) = ask(&mut client, handshake("connect-udp"));
    assert_eq!(client.wait(response).unwrap().status(), 501);
    assert_eq!((gate.logged_reason(), origin.heads()), ("unknown_protocol".into(), 0));
}

#[test]
fn a_handshake_that_is_none_is_a_stream_error() {
    let [method, scheme, path] = [(":method", "CONNECT"), (":scheme", "http"), (":path", "/")];
    let [authority, protocol] = [(":authority", "test"), (":protocol", "websocket")];
    let all = [method, scheme, path, authority, protocol];
    let origin = echo();
    let gate = h2c(&origin);
    for (name, fields, ends) in [
        ("ended at once", all.to_vec(), true),
        ("without a path", vec![method, scheme, authority, protocol], false),
        ("without a scheme", vec![method, path, authority, protocol], false),
        ("with a host alone", vec![method, scheme, path, protocol, ("host", "test")], false),
        ("by GET", vec![(":method", "GET"), scheme, path, authority, protocol], false),
        ("with a length", [&all[..], &[("content-length", "5")]].concat(), false),
        ("with an upgrade", [&all[..], &[("upgrade", "websocket")]].concat(), false),
    ] {
        let mut raw = RawH2::connect(gate.address());
        raw.headers(1, &fields, ends);
        assert_eq!(raw.fate_of(1), Fate::Reset(error::PROTOCOL_ERROR), "{name}");
        raw.send(kind::PING, 0, 0, &[0; 8]);
        while raw.frame().unwrap().kind != kind::PING {}
    }
    assert_eq!(origin.heads(), 0);
}
