//! A panic in a request's task, which no input is known to cause: a field makes one here.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::context::RequestContext;
use crate::config::{Config, Listener, Upstream};
use crate::server::Instance;

/// Panics while an endpoint is marked in flight.
pub(super) fn panic_if_asked(cx: &RequestContext) {
    assert!(cx.head.fields.find(b"x-panic").is_none(), "asked for by a test");
}

fn exchange(address: SocketAddr, field: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n").unwrap();
    let mut answer = String::new();
    // A reset is what a panicked request's client may see.
    let _ = client.read_to_string(&mut answer);
    answer
}

/// An origin that answers every connection once.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let mut head = [0; 4096];
            let _ = client.read(&mut head);
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    address
}

#[test]
fn a_panic_ends_its_own_request_and_gives_the_endpoint_back() {
    let upstream = Upstream::to("backend", [origin().to_string()]);
    let config = Config::reverse_proxy(Listener::plain("127.0.0.1:0".parse().unwrap()), upstream);
    let gate = Instance::start(Config { access_log: None, ..config }).unwrap();
    let address = gate.listeners()[0].ip().unwrap();
    assert!(exchange(address, "").starts_with("HTTP/1.1 200"));
    assert!(!exchange(address, "X-Panic: 1\r\n").contains("200 OK"));
    assert!(exchange(address, "").starts_with("HTTP/1.1 200"), "the worker goes on");
    let endpoints = gate.upstreams()[0].endpoints();
    let deadline = Instant::now() + Duration::from_secs(5);
    while endpoints[0].in_flight() > 0 {
        assert!(Instant::now() < deadline, "the panicked attempt still counts as in flight");
        std::thread::yield_now();
    }
    let metrics = String::from_utf8(gate.render_metrics()).unwrap();
    assert!(metrics.contains("tidegate_panics_total 1"), "{metrics}");
    assert!(metrics.contains("tidegate_replies_total{reason=\"panicked\"} 1"), "{metrics}");
    gate.shutdown(Duration::from_secs(1));
}
