//! Floods and bombs of HTTP/2, as far as a single burst of bytes is one. What needs more is in `h2_hostile`.

use super::ask::hold;
use super::{Input, Row, Table};
use crate::support::{GET, block, flag, frame, kind};

const CALM: &str = "GOAWAY ENHANCE_YOUR_CALM";

pub fn table() -> Table {
    Table {
        title: "HTTP/2 floods",
        about: "Frames that bring nothing are paid for with frames that do: a connection begins with credit for 1,000, and a second \
                gives it 100 more. Resets have windows of their own: 200 by the client, 100 that it provokes, in ten seconds.",
        rows: rows(),
    }
}

fn rows() -> Vec<Row> {
    let end = flag::END_STREAM | flag::END_HEADERS;
    let row = |name, bytes: Vec<u8>, wants| Row { name, input: Input::Frames(bytes), wants };
    let flood = |name, frame: Vec<u8>| row(name, frame.repeat(1100), CALM);
    let post = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
    let open = |stream| frame(kind::HEADERS, flag::END_HEADERS, stream, &block(&post));
    let streams =
        |count: u32, each: &dyn Fn(u32) -> Vec<u8>| -> Vec<u8> { (0..count).flat_map(|n| each(2 * n + 1)).collect() };
    let empty_data = [open(1), frame(kind::DATA, 0, 1, b"").repeat(1100)].concat();
    let begun = frame(kind::HEADERS, flag::END_STREAM, 1, &block(GET));
    let long = frame(kind::CONTINUATION, 0, 1, &block(&[("x", &"y".repeat(16_000))]));
    vec![
        flood("1,100 PING", frame(kind::PING, 0, 0, &[0; 8])),
        flood("1,100 answers to no PING", frame(kind::PING, flag::ACK, 0, &[0; 8])),
        flood("1,100 SETTINGS", frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        flood("1,100 acknowledgments of no SETTINGS", frame(kind::SETTINGS, flag::ACK, 0, &[])),
        flood("1,100 PRIORITY", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        flood("1,100 WINDOW_UPDATE of a byte", frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        flood("1,100 frames of an unknown kind", frame(99, 0, 0, b"")),
        row("1,100 empty DATA", empty_data, CALM),
        row(
            "1,100 empty CONTINUATION",
            [&begun[..], &frame(kind::CONTINUATION, 0, 1, b"").repeat(1100)].concat(),
            CALM,
        ),
        row("CONTINUATION without an end (CVE-2024-27316)", [&begun[..], &long.repeat(6)].concat(), CALM),
        row(
            "201 requests, each reset at once (CVE-2023-44487)",
            streams(201, &|id| {
                [frame(kind::HEADERS, end, id, &block(GET)), frame(kind::RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
            }),
            CALM,
        ),
        row(
            "101 requests with a window update of 0 (CVE-2025-8671)",
            streams(101, &|id| {
                [frame(kind::HEADERS, end, id, &block(GET)), frame(kind::WINDOW_UPDATE, 0, id, &[0; 4])].concat()
            }),
            CALM,
        ),
        row(
            "101 requests that depend on themselves",
            streams(101, &|id| {
                frame(kind::HEADERS, end | 0x20, id, &[&id.to_be_bytes()[..], &[1], &block(GET)].concat())
            }),
            CALM,
        ),
        row("101 malformed requests", streams(101, &|id| frame(kind::HEADERS, end, id, &block(&GET[1..]))), CALM),
    ]
}

#[test]
fn frames_that_bring_nothing_are_told_to_calm_down() {
    hold(&table());
}
