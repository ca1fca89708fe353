//! Upgrades: a tunnel once the origin has said 101.

use std::time::{Duration, Instant};

use crate::support::{Answer, Client, Gate, Origin, Setup, eventually};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn echo() -> Origin {
    Origin::start(|r| if r.has("upgrade") { Answer::raw(SWITCHED).echo() } else { Answer::ok("plain") })
}

#[track_caller]
fn upgraded(gate: &Gate) -> Client {
    let mut client = gate.client();
    let response = client.send(UPGRADE).try_head("GET").unwrap();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.field("connection").map(str::to_lowercase), Some("upgrade".into()));
    assert_eq!(response.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client
}

#[test]
fn a_websocket_works_without_configuration() {
    let origin = echo();
    let gate = Gate::to(&[origin.address()]);
    let mut client = upgraded(&gate);
    let request = origin.request();
    assert_eq!(request.field("upgrade"), Some("websocket"));
    assert_eq!(request.field("connection").map(str::to_lowercase), Some("upgrade".into()));
    for size in [1, 100, 100_000] {
        let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
        client.send(&bytes);
        assert!(client.take(size).unwrap() == bytes);
    }
}

#[test]
fn bytes_that_come_with_the_head_are_part_of_the_tunnel() {
    let early = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello";
    let origin = Origin::answering(Answer::raw(early).echo());
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(format!("{UPGRADE}early"));
    assert_eq!(client.try_head("GET").unwrap().status, 101);
    assert_eq!(client.take(10).unwrap(), b"helloearly");
}

#[test]
fn the_client_closing_closes_the_origins_side_and_the_other_way_round() {
    let origin = echo();
    let gate = Gate::to(&[origin.address()]);
    drop(upgraded(&gate));
    eventually("the origin's side is closed", || origin.connections_open() == 0);
    let mut client = upgraded(&gate);
    origin.close_connections();
    client.assert_closed();
}

#[test]
fn half_closing_lets_the_other_direction_finish() {
    let answer = Answer::raw(SWITCHED).close_write().hang();
    let origin = Origin::answering(answer);
    let gate = Gate::to(&[origin.address()]);
    let mut client = upgraded(&gate);
    assert_eq!(client.rest().unwrap(), b"");
    drop(client);
    eventually("both sides are closed", || origin.connections_open() == 0);
}

#[test]
fn an_idle_tunnel_is_closed_after_its_own_deadline() {
    let origin = echo();
    let gate = Setup::to(&[origin.address()])
        .upstream("timeouts.between_bytes = \"100ms\"\ntimeouts.tunnel_idle = \"600ms\"")
        .start();
    let mut client = upgraded(&gate);
    client.assert_silent_for(Duration::from_millis(300));
    client.send("x");
    assert_eq!(client.take(1).unwrap(), b"x");
    let since = Instant::now();
    client.assert_closed();
    assert!(since.elapsed() >= Duration::from_millis(500), "{:?}", since.elapsed());
}

#[test]
fn a_tunnel_is_in_flight_until_it_closes() {
    let origin = echo();
    let gate = Gate::to(&[origin.address()]);
    let client = upgraded(&gate);
    assert_eq!(gate.metric("tidegate_endpoint_in_flight"), 1.0);
    drop(client);
    eventually("the mark is released", || gate.metric("tidegate_endpoint_in_flight") == 0.0);
    let record = &gate.records(1)[0];
    assert_eq!((&record["status"], &record["target"]), (&101.into(), &"/chat".into()));
}

#[test]
fn an_origin_that_declines_is_answered_as_any_other() {
    let origin = Origin::named("no");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send(UPGRADE).response("GET").text(), "no");
    assert_eq!(client.get("/").text(), "no");
}

#[test]
fn a_switch_to_another_protocol_than_asked_for_is_refused() {
    let origin = Origin::answering(Answer::raw(SWITCHED.replace("Upgrade: websocket", "Upgrade: evil")).echo());
    let gate = Gate::to(&[origin.address()]);
    assert_eq!(gate.client().send(UPGRADE).try_head("GET").unwrap().status, 502);
}

/// RFC 9113 3.1: HTTP/2 by upgrade is gone; the request is served in HTTP/1.1 and the offer not passed on.
#[test]
fn an_offer_of_h2c_is_not_passed_on() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert_eq!(gate.send(request).status, 200);
    let got = origin.request();
    assert!(!got.has("http2-settings") && !got.has("upgrade"), "{got:?}");
}

#[test]
fn a_websocket_works_over_tls() {
    let origin = echo();
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    let mut client = Client::tls(gate.address(), &crate::support::Tls::new(&[&certificate], "test"));
    assert_eq!(client.send(UPGRADE).try_head("GET").unwrap().status, 101);
    client.send("over tls");
    assert_eq!(client.take(8).unwrap(), b"over tls");
}
