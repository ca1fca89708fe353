//! HTTP/2 from clients, rule by rule: what RFC 9113 says of a frame, and what comes back. The sections are the RFC's.

use super::ask::hold;
use super::{Input, Row, Table};
use crate::support::{Fate, GET, Origin, RawH2, Setup, block, error, flag, frame, kind};

const END: u8 = flag::END_STREAM | flag::END_HEADERS;

/// Stream 1, open: its request has begun, and its response doesn't come.
fn open() -> Vec<u8> {
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
    frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&post))
}

/// Stream 1, half-closed by its client.
fn asked() -> Vec<u8> {
    frame(kind::HEADERS, END, 1, &block(GET))
}

/// Stream 1, given up by its client.
fn closed() -> Vec<u8> {
    [asked(), frame(kind::RST_STREAM, 0, 1, &8u32.to_be_bytes())].concat()
}

fn setting(id: u8, value: u32) -> Vec<u8> {
    frame(kind::SETTINGS, 0, 0, &[&[0, id][..], &value.to_be_bytes()].concat())
}

fn update(stream: u32, more: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn after(start: Vec<u8>, then: &[u8]) -> Vec<u8> {
    [&start[..], then].concat()
}

pub fn table() -> Table {
    Table {
        title: "HTTP/2, rule by rule",
        about: "The number is the section of RFC 9113. GOAWAY ends the connection, RST_STREAM the request.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let get = block(GET);
    let headers = |flags, stream, payload: &[u8]| frame(kind::HEADERS, flags, stream, payload);
    let data = |flags, stream, payload: &[u8]| frame(kind::DATA, flags, stream, payload);
    let continuation = |flags, stream| frame(kind::CONTINUATION, flags, stream, &get);
    let reset = |stream, payload: &[u8]| frame(kind::RST_STREAM, 0, stream, payload);
    let priority = |stream, payload: &[u8]| frame(kind::PRIORITY, 0, stream, payload);
    let ping = |flags, stream, payload: &[u8]| frame(kind::PING, flags, stream, payload);
    [
        // 4.1, 4.2, 4.3
        ("4.1: a frame of an unknown kind", frame(99, 0xff, 0, b"unknown"), "taken"),
        ("4.1: unknown flags", ping(0xf6, 0, b"12345678"), "taken"),
        ("4.1: the reserved bit of a stream", ping(0, 1 << 31, b"12345678"), "taken"),
        ("4.2: DATA of the largest size", after(open(), &data(0, 1, &[0; 16 << 10])), "taken"),
        ("4.2: DATA larger than that", after(open(), &data(0, 1, &[0; (16 << 10) + 1])), "GOAWAY FRAME_SIZE_ERROR"),
        ("4.2: HEADERS larger than that", headers(END, 1, &[0; 17 << 10]), "GOAWAY FRAME_SIZE_ERROR"),
        (
            "4.3: a section that is no HPACK",
            headers(END, 1, &[0x82, 0xff, 0xff, 0xff, 0xff, 0xff]),
            "GOAWAY COMPRESSION_ERROR",
        ),
        (
            "4.3: another frame in the middle of a section",
            after(headers(1, 1, &get), &priority(1, &[0; 5])),
            "GOAWAY PROTOCOL_ERROR",
        ),
        (
            "4.3: another stream in the middle of a section",
            after(headers(1, 1, &get), &headers(END, 3, &get)),
            "GOAWAY PROTOCOL_ERROR",
        ),
        // 5.1
        ("5.1: idle, DATA", data(1, 1, b"x"), "GOAWAY PROTOCOL_ERROR"),
        ("5.1: idle, RST_STREAM", reset(1, &[0; 4]), "GOAWAY PROTOCOL_ERROR"),
        ("5.1: idle, WINDOW_UPDATE", update(1, 100), "GOAWAY PROTOCOL_ERROR"),
        ("5.1: idle, CONTINUATION", continuation(END, 1), "GOAWAY PROTOCOL_ERROR"),
        ("5.1: idle, PRIORITY", priority(1, &[0, 0, 0, 0, 16]), "taken"),
        ("5.1: half-closed, DATA", after(asked(), &data(1, 1, b"x")), "RST_STREAM STREAM_CLOSED"),
        ("5.1: half-closed, HEADERS", after(asked(), &headers(END, 1, &get)), "RST_STREAM STREAM_CLOSED"),
        ("5.1: half-closed, WINDOW_UPDATE", after(asked(), &update(1, 100)), "taken"),
        ("5.1: half-closed, CONTINUATION", after(asked(), &continuation(END, 1)), "GOAWAY PROTOCOL_ERROR"),
        ("5.1: closed, WINDOW_UPDATE", after(closed(), &update(1, 100)), "taken"),
        ("5.1: closed, RST_STREAM", after(closed(), &reset(1, &[0; 4])), "taken"),
        ("5.1: closed, PRIORITY", after(closed(), &priority(1, &[0, 0, 0, 0, 16])), "taken"),
        ("5.1.1: an even stream", headers(END, 2, &get), "GOAWAY PROTOCOL_ERROR"),
        (
            "5.1.1: a stream behind the last one",
            after(headers(END, 5, &get), &headers(END, 3, &get)),
            "GOAWAY PROTOCOL_ERROR",
        ),
        (
            "5.3.1: HEADERS that depend on themselves",
            headers(END | 0x20, 1, &[&[0, 0, 0, 1, 16][..], &get].concat()),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "5.3.1: PRIORITY that depends on itself",
            after(open(), &priority(1, &[0, 0, 0, 1, 16])),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        // 6
        ("6.1: DATA on stream 0", data(0, 0, b"x"), "GOAWAY PROTOCOL_ERROR"),
        ("6.1: as much padding as frame", after(open(), &data(8, 1, b"\x04abc")), "GOAWAY PROTOCOL_ERROR"),
        ("6.1: nothing but padding", after(open(), &data(8, 1, b"\x03\0\0\0")), "taken"),
        ("6.2: HEADERS on stream 0", headers(END, 0, &get), "GOAWAY PROTOCOL_ERROR"),
        ("6.2: more padding than frame", headers(END | 8, 1, &[&[0xff][..], &get].concat()), "GOAWAY PROTOCOL_ERROR"),
        ("6.3: PRIORITY on stream 0", priority(0, &[0; 5]), "GOAWAY PROTOCOL_ERROR"),
        ("6.3: PRIORITY of 4 bytes", after(open(), &priority(1, &[0; 4])), "RST_STREAM FRAME_SIZE_ERROR"),
        ("6.4: RST_STREAM on stream 0", reset(0, &[0; 4]), "GOAWAY PROTOCOL_ERROR"),
        ("6.4: RST_STREAM of 3 bytes", after(open(), &reset(1, &[0; 3])), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.5: settings in an acknowledgment", frame(kind::SETTINGS, 1, 0, &[0; 6]), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.5: SETTINGS on a stream", frame(kind::SETTINGS, 0, 1, &[]), "GOAWAY PROTOCOL_ERROR"),
        ("6.5: SETTINGS of 7 bytes", frame(kind::SETTINGS, 0, 0, &[0; 7]), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.5.2: ENABLE_PUSH of 2", setting(2, 2), "GOAWAY PROTOCOL_ERROR"),
        ("6.5.2: too large an initial window", setting(4, 1 << 31), "GOAWAY FLOW_CONTROL_ERROR"),
        ("6.5.2: too small a frame size", setting(5, 16383), "GOAWAY PROTOCOL_ERROR"),
        ("6.5.2: too large a frame size", setting(5, 1 << 24), "GOAWAY PROTOCOL_ERROR"),
        ("6.5.2: an unknown setting", setting(99, 7), "taken"),
        ("RFC 8441 3: ENABLE_CONNECT_PROTOCOL of 2", setting(8, 2), "GOAWAY PROTOCOL_ERROR"),
        ("6.6: PUSH_PROMISE", frame(kind::PUSH_PROMISE, 4, 1, &[0; 4]), "GOAWAY PROTOCOL_ERROR"),
        ("6.7: PING on a stream", ping(0, 1, &[0; 8]), "GOAWAY PROTOCOL_ERROR"),
        ("6.7: PING of 9 bytes", ping(0, 0, &[0; 9]), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.7: an answer to no PING", ping(flag::ACK, 0, &[0; 8]), "taken"),
        ("6.8: GOAWAY on a stream", frame(kind::GOAWAY, 0, 1, &[0; 8]), "GOAWAY PROTOCOL_ERROR"),
        ("6.8: GOAWAY of 7 bytes", frame(kind::GOAWAY, 0, 0, &[0; 7]), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.9: an update of 0 on the connection", update(0, 0), "GOAWAY PROTOCOL_ERROR"),
        ("6.9: an update of 0 on a stream", after(open(), &update(1, 0)), "RST_STREAM PROTOCOL_ERROR"),
        ("6.9: an update of 3 bytes", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]), "GOAWAY FRAME_SIZE_ERROR"),
        ("6.9.1: the connection's window overflows", update(0, 0x7fff_ffff), "GOAWAY FLOW_CONTROL_ERROR"),
        ("6.9.1: a stream's window overflows", after(open(), &update(1, 0x7fff_ffff)), "RST_STREAM FLOW_CONTROL_ERROR"),
        (
            "6.9.2: a setting makes a window overflow",
            after(after(open(), &update(1, 100_000)), &setting(4, 0x7fff_ffff)),
            "GOAWAY FLOW_CONTROL_ERROR",
        ),
        ("6.10: CONTINUATION behind a whole section", after(asked(), &continuation(4, 1)), "GOAWAY PROTOCOL_ERROR"),
        (
            "6.10: CONTINUATION behind DATA",
            after(after(open(), &data(0, 1, b"x")), &continuation(4, 1)),
            "GOAWAY PROTOCOL_ERROR",
        ),
        ("6.10: CONTINUATION on stream 0", after(headers(1, 1, &get), &continuation(4, 0)), "GOAWAY PROTOCOL_ERROR"),
        // 8
        (
            "8.1: trailers that don't end the stream",
            after(open(), &headers(4, 1, &block(&[("x", "y")]))),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "8.1: trailers with a pseudo-header",
            after(open(), &headers(END, 1, &block(&[(":path", "/")]))),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        ("8.3: a request without a method", headers(END, 1, &block(&GET[1..])), "RST_STREAM PROTOCOL_ERROR"),
        (
            "8.3: a pseudo-header behind a field",
            headers(END, 1, &block(&[&[("x", "y")], GET].concat())),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "8.2: an upper-case name",
            headers(END, 1, &block(&[GET, &[("X", "y")]].concat())),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "8.2.2: a connection's field",
            headers(END, 1, &block(&[GET, &[("connection", "x")]].concat())),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "8.1.1: more body than announced",
            after(headers(4, 1, &block(&[GET, &[("content-length", "1")]].concat())), &data(0, 1, b"xx")),
            "RST_STREAM PROTOCOL_ERROR",
        ),
        (
            "8.1.1: less body than announced",
            after(headers(4, 1, &block(&[GET, &[("content-length", "3")]].concat())), &data(1, 1, b"xx")),
            "RST_STREAM PROTOCOL_ERROR",
        ),
    ]
    .map(|(name, bytes, wants)| Row { name, input: Input::Frames(bytes), wants })
    .into()
}

#[test]
fn each_frame_gets_what_the_rfc_says() {
    hold(&table());
}

/// RFC 9113 5.1: closed by its end on both sides, what follows is an error of the connection.
#[test]
fn frames_on_a_stream_that_is_over_are_errors() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").start();
    for bytes in [frame(kind::DATA, 1, 1, b"x"), asked()] {
        let mut raw = RawH2::connect(gate.address());
        raw.get(1);
        assert_eq!(raw.fate_of(1), Fate::Status(200));
        while raw.frame().unwrap().flags & flag::END_STREAM == 0 {}
        raw.send(kind::PING, 0, 0, b"its over");
        while raw.frame().unwrap().kind != kind::PING {}
        raw.send_bytes(&bytes);
        assert_eq!(raw.goaway(), Fate::GoAway(error::STREAM_CLOSED));
    }
}

/// RFC 9113 3.4.
#[test]
fn the_first_frame_must_be_settings() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").start();
    let mut raw = RawH2::silent(gate.address());
    raw.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw.send(kind::PING, 0, 0, &[0; 8]);
    assert_eq!(raw.goaway(), Fate::GoAway(error::PROTOCOL_ERROR));
}

/// RFC 9113 8.2.1, 8.3: it isn't answered, but it is in the log.
#[test]
fn a_malformed_request_is_recorded() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").start();
    let mut raw = RawH2::connect(gate.address());
    raw.headers(1, &[GET, &[("X", "y")]].concat(), true);
    assert_eq!(raw.fate_of(1), Fate::Reset(error::PROTOCOL_ERROR));
    let record = &gate.records(1)[0];
    assert_eq!((&record["status"], &record["reason"]), (&400.into(), &"malformed_head".into()));
    assert_eq!(origin.heads(), 0);
}

/// HTTP/1 takes none either (RFC 9110 4.2.5).
#[test]
fn a_fragment_is_refused_here_too() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").start();
    for path in ["/a#b", "/a b", "/a\u{7f}", "http://test/"] {
        let mut raw = RawH2::connect(gate.address());
        raw.headers(1, &[&GET[..3], &[(":path", path)]].concat(), true);
        assert_eq!(raw.fate_of(1), Fate::Reset(error::PROTOCOL_ERROR), "{path}");
    }
    assert_eq!(origin.heads(), 0);
}
