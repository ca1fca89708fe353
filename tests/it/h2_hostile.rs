//! HTTP/2 from clients that mean harm: what each flood, bomb and stall comes to.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use http::Request;

use crate::support::{
    Answer, Binary, Fate, Gate, Latch, Origin, RawH2, Setup, block, error, eventually, flag, frame, kind,
};

fn h2c(origin: &Origin) -> Setup {
    Setup::to(&[origin.address()]).listener("h2c = true")
}

#[test]
fn a_wrong_preface_is_no_hang() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut raw = RawH2::silent(gate.address());
    raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    while raw.frame().is_ok() {}
    assert_eq!(origin.heads(), 0);
}

/// CVE-2023-44487. Exact: 200 in ten seconds, however fast they come.
#[test]
fn rapid_reset_is_calmed() {
    let origin = Origin::answering(Answer::nothing().hang());
    let gate = h2c(&origin).start();
    let mut raw = RawH2::connect(gate.address());
    for n in 0..20_000 {
        let stream = 2 * n + 1;
        if !raw.get(stream) || !raw.send(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes()) {
            break;
        }
    }
    assert!(matches!(raw.goaway(), Fate::GoAway(error::ENHANCE_YOUR_CALM) | Fate::Closed));
    assert!(origin.connections_opened() <= 201, "{} connections", origin.connections_opened());
    assert_still_serving(&gate);
}

/// CVE-2025-8671: the client makes the server reset its streams. Exact: 100 in ten seconds.
#[test]
fn made_you_reset_is_calmed() {
    let origin = Origin::answering(Answer::nothing().hang());
    let gate = h2c(&origin).start();
    for then in [frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4]), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 1])] {
        let mut raw = RawH2::connect(gate.address());
        let before = origin.connections_opened();
        for n in 0..20_000u32 {
            let stream = 2 * n + 1;
            let mut then = then.clone();
            then[5..9].copy_from_slice(&stream.to_be_bytes());
            if then[3] == kind::PRIORITY {
                then[9..13].copy_from_slice(&stream.to_be_bytes());
            }
            if !raw.get(stream) || !raw.send_bytes(&then) {
                break;
            }
        }
        assert!(matches!(raw.goaway(), Fate::GoAway(error::ENHANCE_YOUR_CALM) | Fate::Closed));
        let opened = origin.connections_opened() - before;
        assert!(opened <= 101, "{opened} connections");
    }
    assert_still_serving(&gate);
}

/// CVE-2024-27316.
#[test]
fn a_continuation_flood_is_ended() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut raw = RawH2::connect(gate.address());
    raw.send(kind::HEADERS, flag::END_STREAM, 1, &block(crate::support::GET));
    let piece = frame(kind::CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(8000))]));
    let sent = (0..10_000).take_while(|_| raw.send_bytes(&piece)).count();
    assert!(sent < 10_000, "80 MB of header block were taken");
    assert!(matches!(raw.fate_of(1), Fate::GoAway(_) | Fate::Closed | Fate::Reset(_) | Fate::Status(431)));
    assert_still_serving(&gate);
}

/// CVE-2019-9512, 9513, 9515, 9518 and their like: frames that bring nothing, read or not.
#[test]
fn floods_of_control_frames_are_told_to_calm_down() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    for (name, bytes) in [
        ("PING", frame(kind::PING, 0, 0, &[0; 8])),
        ("PING answers", frame(kind::PING, flag::ACK, 0, &[0; 8])),
        ("SETTINGS", frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("SETTINGS answers", frame(kind::SETTINGS, flag::ACK, 0, &[])),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("WINDOW_UPDATE", frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("empty DATA", frame(kind::DATA, 0, 1, b"")),
        ("unknown frames", frame(99, 0, 0, b"")),
    ] {
        let post = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
        let mut raw = RawH2::connect(gate.address());
        raw.headers(1, &post, false);
        // As many as are taken, and one that isn't.
        raw.send_bytes(&bytes.repeat(1100));
        assert_eq!(raw.goaway(), Fate::GoAway(error::ENHANCE_YOUR_CALM), "{name}");
        let mut deaf = RawH2::connect(gate.address());
        deaf.headers(1, &post, false);
        let many = bytes.repeat(1000);
        for _ in 0..100 {
            if !deaf.send_bytes(&many) {
                break;
            }
        }
        drop((raw, deaf));
        assert_eq!(gate.get("/").status, 200, "{name}");
    }
    eventually("the connections are gone", || gate.metric("tidegate_connections_open") == 0.0);
}

/// A section that begins, and is never ended.
#[test]
fn a_header_section_that_does_not_come_is_ended_by_the_heads_deadline() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).listener("http.head_timeout = \"300ms\"").start();
    let mut raw = RawH2::connect(gate.address());
    raw.send(kind::HEADERS, 0, 1, &block(crate::support::GET));
    assert_eq!(raw.goaway(), Fate::GoAway(error::ENHANCE_YOUR_CALM));
    // Nor is a preface waited for without end.
    let mut raw = RawH2::silent(gate.address());
    raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(raw.goaway(), Fate::Closed);
}

/// Answers pile up as far as the bound, and no further: the client is cut off when it doesn't take them.
#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let origin = Origin::answering(Answer::ok(vec![b'x'; 1 << 20]));
    let gate = h2c(&origin).listener("http.send_timeout = \"500ms\"").start();
    let mut raw = RawH2::connect(gate.address());
    raw.send(kind::WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
    raw.send(kind::SETTINGS, 0, 0, &[0, 4, 0x3f, 0, 0, 0]);
    for n in 0..100 {
        raw.get(2 * n + 1);
    }
    eventually("the connection is gone", || gate.metric("tidegate_connections_open") == 0.0);
    eventually("the origin is let go", || origin.connections_open() == 0);
}

#[test]
fn a_header_list_over_the_bound_is_431_or_a_stream_error_and_the_connection_lives() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    for (name, head) in [
        ("large", Request::get("http://test/").header("x", "y".repeat(40 << 10))),
        ("many", (0..150).fold(Request::get("http://test/"), |head, n| head.header(format!("x{n}"), "y"))),
    ] {
        let opened = client.open(head.body(()).unwrap(), true);
        let refused = opened.and_then(|(response, _)| client.read(response)).map_or(true, |r| r.status == 431);
        assert!(refused, "{name}");
    }
    assert_eq!(origin.heads(), 0);
}

/// A small block that unpacks to a large list by repeating an entry of the dynamic table.
#[test]
fn an_hpack_bomb_is_refused() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut raw = RawH2::connect(gate.address());
    // A literal with incremental indexing, its value of 4000 bytes; then the entry again and again (index 62).
    let size = 4000;
    let length = [127, ((size - 127) & 0x7f | 0x80) as u8, ((size - 127) >> 7) as u8];
    let entry = [&[0x40, 1, b'x'], &length[..], &vec![b'y'; size]].concat();
    let bomb = [block(crate::support::GET), entry, vec![0xbe; 4000]].concat();
    raw.send(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, 1, &bomb);
    let fate = raw.fate_of(1);
    assert_ne!(fate, Fate::Status(200));
    assert_eq!(origin.heads(), 0);
    assert_still_serving(&gate);
}

#[test]
fn streams_over_the_bound_are_refused() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = h2c(&origin).listener("http.max_streams = 10").start();
    let mut raw = RawH2::connect(gate.address());
    for n in 0..11 {
        raw.get(2 * n + 1);
    }
    let fate = raw.fate_of(21);
    assert!(matches!(fate, Fate::Reset(error::REFUSED_STREAM | error::PROTOCOL_ERROR) | Fate::GoAway(_)), "{fate:?}");
    origin.wait_for_heads(10);
    latch.open();
}

/// The client opens no window: the response can't be sent, and the stream must not stay for ever.
#[test]
fn a_client_that_opens_no_window_is_cut_off() {
    let origin = Origin::answering(Answer::ok("body"));
    let gate = h2c(&origin).listener("http.send_timeout = \"300ms\"").start();
    let mut raw = RawH2::silent(gate.address());
    raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw.send(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    raw.get(1);
    assert_eq!(raw.fate_of(1), Fate::Status(200));
    assert!(matches!(raw.fate_of(1), Fate::Reset(_) | Fate::GoAway(_) | Fate::Closed));
    assert_eq!(gate.logged_reason(), "send_timed_out");
}

/// What the configuration's check says a connection may take is what it takes: with windows that are full, answers that
/// wait, and a section that never ends.
#[test]
fn a_connection_holds_no_more_memory_than_the_check_says() {
    const CONNECTIONS: u64 = 50;
    // 256 KiB for the connection, 64 KiB for each of its two requests.
    const SAID: u64 = (256 + 2 * 64) << 10;
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
    let setup = Setup::to(&[endless_origin()]).top("workers = 1").route("max_body_size = \"off\"");
    let gate = Binary::start(&setup.listener("h2c = true\nhttp.send_timeout = \"10m\""));
    let hostile = |_| {
        let mut raw = RawH2::connect(gate.address());
        raw.send(kind::SETTINGS, 0, 0, &[0, 4, 0x3f, 0, 0, 0]);
        raw.send(kind::WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
        raw.get(1);
        raw.headers(3, &post, false);
        raw.send_bytes(&frame(kind::DATA, 0, 3, &[b'x'; 16 << 10]).repeat(4));
        raw.send_bytes(&frame(kind::PING, 0, 0, &[0; 8]).repeat(500));
        raw.send(kind::HEADERS, 0, 5, &[0; 16 << 10]);
        raw.send(kind::CONTINUATION, 0, 5, &[0; 16 << 10]);
        raw
    };
    // Once before, so that what the process has for all of them is there.
    let first: Vec<_> = (0..10).map(hostile).collect();
    let before = settled(&gate);
    let held: Vec<_> = (0..CONNECTIONS).map(hostile).collect();
    let each = settled(&gate).saturating_sub(before) / CONNECTIONS;
    assert!(each <= SAID, "{} KiB a connection", each >> 10);
    drop((first, held));
}

/// The memory of a program that has taken all that it takes.
fn settled(gate: &Binary) -> u64 {
    let (mut last, mut looks) = (0, 0);
    eventually("nothing more is taken", || {
        let now = gate.resident();
        looks = if std::mem::replace(&mut last, now) == now { looks + 1 } else { 0 };
        (looks == 60).then_some(now)
    })
}

/// Answers everything with a body that has no end, and reads nothing.
fn endless_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                // A response before its request would be nobody's.
                let mut bytes = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
                let asked = stream.peek(&mut [0]).is_ok();
                while asked && stream.write_all(bytes).is_ok() {
                    bytes = &[b'x'; 16 << 10];
                }
            });
        }
    });
    address
}

#[track_caller]
fn assert_still_serving(gate: &Gate) {
    assert_ne!(gate.send("GET / HTTP/1.1\r\nHost: nowhere\r\nExpect: x\r\n\r\n").status, 0);
}
