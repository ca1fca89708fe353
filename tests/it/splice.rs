//! Long plain response bodies, which pass from socket to socket without being read: nobody may see a difference.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Answer, Binary, Broken, Framing, Gate, Latch, Origin, Setup, eventually, get};

/// Far more than a read, and no round number.
const LONG: usize = (3 << 20) + 7;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

/// One worker, so that its idle connections are found again.
fn setup(origin: &Origin) -> Setup {
    Setup::to(&[origin.address()]).top("workers = 1").upstream("splice = true")
}

fn gate(origin: &Origin) -> Gate {
    setup(origin).start()
}

/// Pipes that a process has open, by their ends.
fn pipe_ends(process: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let is_pipe = |link: &Path| link.to_str().is_some_and(|link| link.starts_with("pipe:"));
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).filter(|link| is_pipe(link)).count()
}

#[test]
fn a_long_body_takes_a_pipe_and_the_next_one_the_same() {
    let origin = Origin::start(|request| Answer::ok(pattern(request.target()[1..].parse().unwrap())));
    let binary = Binary::start(&setup(&origin));
    let mut client = binary.client();
    let mut ends_after = |length: usize| {
        assert!(client.get(&format!("/{length}")).body == pattern(length));
        pipe_ends(binary.id())
    };
    let before = ends_after(1000);
    assert_eq!((ends_after(LONG), ends_after(LONG)), (before + 2, before + 2));
}

#[test]
fn both_connections_are_used_again_after_bodies_of_all_sizes() {
    let origin = Origin::start(|request| Answer::ok(pattern(request.target()[1..].parse().unwrap())));
    let gate = gate(&origin);
    let mut client = gate.client();
    let lengths = [LONG, 1, 32 << 10, 64 << 10, 95_000, 96 << 10, 98_263, 98_304, 98_400, 128 << 10, 1 << 20, 0, LONG];
    for length in lengths {
        assert!(client.get(&format!("/{length}")).body == pattern(length), "{length} bytes differ");
    }
    assert_eq!(origin.came_on(), vec![0; lengths.len()]);
    let sent: Vec<_> = gate.records(lengths.len()).iter().map(|r| r["bytes_sent"].as_u64().unwrap() as usize).collect();
    assert_eq!(sent, lengths);
}

#[test]
fn a_request_sent_ahead_is_answered_after_the_long_body() {
    let origin = Origin::start(|request| match request.target() {
        "/long" => Answer::ok(pattern(LONG)),
        _ => Answer::ok("short"),
    });
    let gate = gate(&origin);
    let mut client = gate.client();
    client.send(get("/long") + &get("/short") + &get("/long"));
    assert!(client.response("GET").body == pattern(LONG));
    assert_eq!(client.response("GET").text(), "short");
    assert!(client.response("GET").body == pattern(LONG));
}

#[test]
fn what_has_come_of_a_long_body_passes_before_the_rest_comes() {
    let (body, latch) = (pattern(LONG), Latch::new());
    let (first, second) = body.split_at(LONG / 2);
    let origin = Origin::answering(Answer::raw(head(LONG)).send(first).wait(&latch).send(second));
    let gate = gate(&origin);
    let mut client = gate.client();
    let response = client.send(get("/")).try_head("GET").unwrap();
    assert_eq!(response.framing, Framing::Length(LONG as u64));
    assert!(client.take(first.len()).unwrap() == first);
    latch.open();
    assert!(client.take(second.len()).unwrap() == second);
}

#[test]
fn a_long_body_that_ends_early_is_never_complete() {
    let sent = pattern(LONG / 2);
    let begun = Answer::raw(head(LONG)).send(&sent);
    for answer in [begun.clone().close(), begun.close_write()] {
        let origin = Origin::answering(answer);
        let gate = gate(&origin);
        let got = gate.client().send(get("/")).try_response("GET").err();
        assert!(got == Some(Broken::Cut(sent.clone())), "all that came, and no more");
        assert_eq!(gate.logged_reason(), "upstream_body_broken");
        eventually("the connection is not kept", || origin.connections_open() == 0);
    }
}

#[test]
fn a_long_body_cut_by_a_reset_is_never_complete() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::raw(head(LONG)).send(pattern(LONG / 2)).wait(&latch).reset());
    let gate = gate(&origin);
    let mut client = gate.client();
    client.send(get("/")).try_head("GET").unwrap();
    client.take(LONG / 2).unwrap();
    latch.open();
    assert!(matches!(client.rest(), Ok(rest) if rest.is_empty()), "more came");
    assert_eq!(gate.logged_reason(), "upstream_body_broken");
}

#[test]
fn bytes_after_a_long_body_reach_nobody() {
    let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin = Origin::start(move |request| match request.target() {
        "/long" => Answer::ok(pattern(LONG)).send(smuggled),
        _ => Answer::ok("good"),
    });
    let gate = gate(&origin);
    let mut client = gate.client();
    assert!(client.get("/long").body == pattern(LONG));
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(origin.came_on(), [0, 1]);
}

#[test]
fn an_origin_that_falls_silent_in_a_long_body_is_given_up() {
    let origin = Origin::answering(Answer::raw(head(LONG)).send(pattern(LONG / 2)).hang());
    let gate = setup(&origin).upstream("timeouts.between_bytes = \"300ms\"").start();
    let got = gate.client().send(get("/")).try_response("GET").err();
    assert!(got == Some(Broken::Cut(pattern(LONG / 2))));
    assert_eq!(gate.logged_reason(), "upstream_body_timed_out");
    eventually("the origin is let go", || origin.connections_open() == 0);
}

#[test]
fn an_origin_that_never_stops_sending_may_take_longer_than_its_timeout() {
    let pause = Duration::from_millis(100);
    let origin = Origin::answering(Answer::raw(head(LONG + 8)).send(pattern(LONG)).drip("slow end", pause));
    let gate = setup(&origin).upstream("timeouts.between_bytes = \"400ms\"").start();
    assert!(gate.get("/").body.ends_with(b"slow end"));
}

#[test]
fn a_client_that_goes_away_in_a_long_body_lets_the_origin_go() {
    let origin = Origin::answering(Answer::raw(head(LONG)).send(pattern(LONG / 2)).hang());
    let gate = gate(&origin);
    let mut client = gate.client();
    client.send(get("/")).try_head("GET").unwrap();
    client.reset();
    assert_eq!(gate.logged_reason(), "client_gone");
    eventually("the origin is let go", || origin.connections_open() == 0);
}

#[test]
fn a_client_that_reads_slowly_gets_every_byte() {
    let body = pattern(24 << 20);
    let sent = body.clone();
    let origin = Origin::start(move |_| Answer::ok(&sent));
    let gate = gate(&origin);
    let mut client = gate.client();
    client.send(get("/")).try_head("GET").unwrap();
    for piece in body.chunks(1 << 20) {
        Latch::new().wait_for(Duration::from_millis(20));
        assert!(client.take(piece.len()).unwrap() == piece);
    }
}

#[test]
fn without_a_length_a_long_body_ends_with_both_connections() {
    let sent = pattern(LONG);
    let bytes = [b"HTTP/1.1 200 OK\r\n\r\n", &sent[..]].concat();
    let origin = Origin::start(move |request| match request.target() {
        "/cut" => Answer::raw(&bytes).reset(),
        _ => Answer::raw(&bytes).close(),
    });
    let gate = gate(&origin);
    let response = gate.send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    assert_eq!(response.framing, Framing::Close);
    assert!(response.body == sent);
    // Taken apart into chunks for who knows them.
    let response = gate.get("/");
    assert_eq!(response.framing, Framing::Chunked);
    assert!(response.body == sent);
    let cut = gate.client().send("GET /cut HTTP/1.0\r\nHost: test\r\n\r\n").try_response("GET");
    assert_eq!(cut.err(), Some(Broken::Reset));
}

#[test]
fn a_length_without_a_body_is_not_waited_for() {
    let origin = Origin::start(|request| match request.target() {
        "/304" => Answer::raw(format!("HTTP/1.1 304 Not Modified\r\nContent-Length: {LONG}\r\n\r\n")),
        _ if request.method() == "HEAD" => Answer::raw(head(LONG)),
        _ => Answer::ok("body"),
    });
    let gate = gate(&origin);
    let mut client = gate.client();
    assert_eq!(client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD").framing, Framing::None);
    assert_eq!(client.get("/304").status, 304);
    assert_eq!(client.get("/").text(), "body");
    assert_eq!(origin.came_on(), [0, 0, 0]);
}

#[test]
fn without_descriptors_for_a_pipe_long_bodies_pass_all_the_same() {
    let origin = Origin::start(|request| match request.method() {
        "HEAD" => Answer::raw(head(LONG)),
        _ => Answer::ok(pattern(LONG)),
    });
    let binary = Binary::start_with_descriptors(&setup(&origin), 64);
    let mut client = binary.client();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
    let crowd: Vec<_> = (0..80).map(|_| binary.client()).collect();
    eventually("no descriptor is left", || fs::read_dir(format!("/proc/{}/fd", binary.id())).unwrap().count() >= 64);
    let before = pipe_ends(binary.id());
    assert!(client.get("/").body == pattern(LONG));
    assert_eq!(pipe_ends(binary.id()), before);
    drop(crowd);
}
