//! Total deadlines: slow clients, in every part of a request.

use std::time::{Duration, Instant};

use crate::support::{Answer, Gate, Latch, Origin, Setup, get};

fn with_http(origin: &Origin, keys: &str) -> Gate {
    Setup::to(&[origin.address()]).listener(&format!("http = {{ {keys} }}")).start()
}

#[test]
fn a_head_that_drips_gets_408_after_its_total_time() {
    let origin = Origin::named("a");
    let gate = with_http(&origin, "head_timeout = \"400ms\"");
    let mut client = gate.client();
    let since = Instant::now();
    for byte in get("/").bytes() {
        if since.elapsed() > Duration::from_millis(600) || !client.try_send([byte]) {
            break;
        }
        Latch::new().wait_for(Duration::from_millis(50));
    }
    let answer = client.try_response("GET");
    assert!(answer.as_ref().map_or(true, |r| r.status == 408), "{answer:?}");
    assert!(since.elapsed() < Duration::from_secs(3));
    assert_eq!((gate.logged_reason().as_str(), origin.heads()), ("head_timed_out", 0));
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let origin = Origin::named("a");
    let gate = with_http(&origin, "idle_timeout = \"300ms\", head_timeout = \"300ms\"");
    let since = Instant::now();
    gate.client().assert_closed();
    assert!(since.elapsed() < Duration::from_secs(3));
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let origin = Origin::named("a");
    let gate = with_http(&origin, "idle_timeout = \"300ms\"");
    let mut client = gate.client();
    client.get("/");
    let since = Instant::now();
    client.assert_closed();
    assert!((200..3000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
}

#[test]
fn a_body_slower_than_its_minimum_rate_gets_408() {
    let origin = Origin::mirror();
    let gate = with_http(&origin, "body_grace = \"300ms\", min_body_rate = \"1k\"");
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n");
    for _ in 0..40 {
        if !client.try_send("x") {
            break;
        }
        Latch::new().wait_for(Duration::from_millis(20));
    }
    let answer = client.try_response("POST");
    assert!(answer.as_ref().map_or(true, |r| r.status == 408), "{answer:?}");
    assert_eq!((gate.logged_reason().as_str(), origin.count()), ("body_timed_out", 0));
    crate::support::eventually("the origin sees it break off", || origin.broken_bodies() == 1);
}

#[test]
fn a_body_fast_enough_may_take_longer_than_the_grace() {
    let origin = Origin::mirror();
    let gate = with_http(&origin, "body_grace = \"200ms\", min_body_rate = \"1\"");
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        client.send("x");
        Latch::new().wait_for(Duration::from_millis(50));
    }
    assert_eq!(client.response("POST").text(), "xxxxxxxxxx");
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let origin = Origin::answering(Answer::ok(vec![b'x'; 64 << 20]));
    let gate = with_http(&origin, "send_timeout = \"400ms\"");
    let mut client = gate.client();
    client.shrink_receive_buffer();
    client.send(get("/"));
    assert_eq!(gate.logged_reason(), "send_timed_out");
    crate::support::eventually("the origin is let go", || origin.connections_open() == 0);
}

#[test]
fn slow_connections_do_not_keep_others_from_being_served() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut client = gate.client();
            client.send("GET / HTTP/1.1\r\nHo");
            client
        })
        .collect();
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(gate.get("/").status, 200);
    }
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop(slow);
}
