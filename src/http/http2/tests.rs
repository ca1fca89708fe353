//! A connection without a socket: frames in, frames out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::frame::{self, Code, Frame, Kind, flag, setting};
use super::*;
use crate::http::field::FieldId;
use crate::http::hpack::{Repeats, write_text};
use crate::http::http1::HeadLimits;
use crate::http::stream::READ_BUFFER_BYTES;

const GET: &[u8] = b"\x82\x86\x84\x41\x04test";
const POST: &[u8] = b"\x83\x86\x84\x41\x04test";

struct Case {
    connection: Connection,
    start: Instant,
    now: Instant,
}

/// One frame that was sent.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    kind: Kind,
    flags: u8,
    stream: u32,
    length: usize,
}

impl Case {
    fn new() -> Self {
        let now = Instant::now();
        let head = HeadLimits { max_head_bytes: 32 << 10, max_fields: 100, max_target_bytes: 8 << 10 };
        let mut case = Self { connection: Connection::new(Limits { head, max_streams: 128 }, now), start: now, now };
        let mut hello = frame::PREFACE.to_vec();
        frame::settings(&mut hello, &[]);
        assert!(case.receive(&hello).is_empty());
        case.connection.out.take();
        case
    }

    /// Gives all of `bytes` to the connection, which must take them whole.
    fn receive(&mut self, mut bytes: &[u8]) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        loop {
            let step = self.connection.receive(bytes, self.now);
            bytes = &bytes[step.used..];
            match step.arrival {
                Some(arrival) => arrivals.push(arrival),
                None => return arrivals,
            }
        }
    }

    fn request(&mut self, id: u32, section: &[u8], flags: u8) -> Key {
        let mut arrivals = self.receive(&bytes(Kind::Headers, flags | flag::END_HEADERS, id, section));
        assert_eq!(arrivals.len(), 1);
        arrivals.remove(0).key
    }

    fn sent(&mut self) -> Vec<Sent> {
        let out = self.connection.out.take();
        frames(&out)
    }

    fn send(&mut self, key: Key, data: &[u8]) -> Poll<Result<usize, Gone>> {
        self.connection.poll_data(key, &Context::from_waker(Waker::noop()), data)
    }

    fn head(&mut self, key: Key) {
        self.connection.begin_section(key, 200, false).unwrap().finish();
    }

    fn code(&self) -> Option<Code> {
        self.connection.fault().map(|fault| fault.code)
    }

    /// What the connection holds, with what is read ahead for it.
    fn held(&self) -> usize {
        let connection = &self.connection;
        let bodies: usize = connection.streams.iter().map(|stream| stream.body.capacity()).sum();
        let section = connection.section.as_ref().map_or(0, |section| section.bytes.capacity());
        READ_BUFFER_BYTES + connection.out.capacity() + bodies + section
    }
}

fn frames(mut out: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some((frame, rest)) = Frame::split(out).unwrap() {
        let Frame { kind, flags, stream, payload } = frame;
        sent.push(Sent { kind: kind.unwrap(), flags, stream, length: payload.len() });
        out = rest;
    }
    assert!(out.is_empty());
    sent
}

fn bytes(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let at = frame::begin(&mut out, kind, flags, stream);
    out.extend_from_slice(payload);
    frame::finish(&mut out, at);
    out
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    bytes(Kind::WindowUpdate, 0, stream, &more.to_be_bytes())
}

fn data(flags: u8, stream: u32, length: usize) -> Sent {
    Sent { kind: Kind::Data, flags, stream, length }
}

#[test]
fn a_request_reads_the_same_however_it_arrives() {
    let mut wire = frame::PREFACE.to_vec();
    frame::settings(&mut wire, &[(setting::INITIAL_WINDOW_SIZE, 100)]);
    wire.extend(bytes(Kind::Headers, flag::PADDED | flag::PRIORITY, 1, b"\x02\0\0\0\0\x10\x82\x86\0\0"));
    wire.extend(bytes(
        Kind::Continuation,
        flag::END_HEADERS,
        1,
        b"\x84\x41\x04test\x60\x03a=1\x60\x03b=2\x40\x01x\x01y",
    ));
    for piece in 1..=wire.len() {
        let mut case = Case::new();
        case.connection = Connection::new(case.connection.limits, case.start);
        let (mut waiting, mut arrivals) = (Vec::new(), Vec::new());
        for part in wire.chunks(piece) {
            waiting.extend_from_slice(part);
            let step = case.connection.receive(&waiting, case.now);
            waiting.drain(..step.used);
            arrivals.extend(step.arrival);
            let step = case.connection.receive(&waiting, case.now);
            waiting.drain(..step.used);
            arrivals.extend(step.arrival);
        }
        let [Arrival { request, .. }] = &arrivals[..] else { panic!("{piece}: {arrivals:?}") };
        let head = &request.head;
        assert_eq!((head.method_bytes(), head.target(), head.authority()), (&b"GET"[..], &b"/"[..], &b"test"[..]));
        assert_eq!(
            (head.fields.get(FieldId::Cookie), head.fields.find(b"x")),
            (Some(&b"a=1; b=2"[..]), Some(&b"y"[..]))
        );
        assert_eq!((request.refused, request.length), (None, crate::http::http1::BodyLength::Chunked));
    }
}

#[test]
fn the_last_data_frame_ends_the_stream_unless_it_has_left() {
    let mut case = Case::new();
    let key = case.request(1, GET, flag::END_STREAM);
    case.head(key);
    assert_eq!(case.send(key, b"hello"), Poll::Ready(Ok(5)));
    case.connection.end(key);
    assert_eq!(case.sent()[1..], [data(flag::END_STREAM, 1, 5)]);
    let key = case.request(3, GET, flag::END_STREAM);
    case.head(key);
    assert_eq!(case.send(key, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(case.sent()[1..], [data(0, 3, 5)]);
    case.connection.end(key);
    assert_eq!(case.sent(), [data(flag::END_STREAM, 3, 0)]);
}

#[test]
fn streams_take_turns_by_frames() {
    let mut case = Case::new();
    case.receive(&window(0, 1 << 20));
    let [large, other] = [1, 3].map(|id| case.request(id, GET, flag::END_STREAM));
    [large, other].into_iter().for_each(|key| case.head(key));
    case.sent();
    let body = [b'x'; 64 << 10];
    // Nobody writes: the first one fills what may wait.
    while case.send(large, &body).is_ready() {}
    assert!(case.send(other, &body).is_pending());
    assert_eq!(case.sent(), [data(0, 1, 16 << 10), data(0, 1, 16 << 10)]);
    // The first one asked first, then it is the other's turn although there is room.
    assert!(case.send(other, &body).is_pending());
    assert_eq!(case.send(large, &body), Poll::Ready(Ok(16 << 10)));
    assert!(case.send(large, &body).is_pending());
    assert_eq!(case.send(other, &body), Poll::Ready(Ok(16 << 10)));
    assert_eq!(case.sent(), [data(0, 1, 16 << 10), data(0, 3, 16 << 10)]);
}

#[test]
fn a_stream_that_leaves_gives_its_turn_on() {
    let mut case = Case::new();
    case.receive(&window(0, 1 << 20));
    let [first, second, third] = [1, 3, 5].map(|id| case.request(id, GET, flag::END_STREAM));
    let body = [b'x'; 64 << 10];
    while case.send(first, &body).is_ready() {}
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(case.send(second, &body).is_pending());
    assert!(case.connection.poll_data(third, &Context::from_waker(&waker), &body).is_pending());
    case.connection.out.take();
    case.connection.close(first, 0);
    assert_eq!(woken.0.load(Relaxed), 0, "it is the second one's turn");
    case.connection.close(second, 0);
    assert_eq!(woken.0.load(Relaxed), 1);
    assert_eq!(case.send(third, &body), Poll::Ready(Ok(16 << 10)));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_stream_without_window_holds_up_no_other() {
    let mut case = Case::new();
    let [first, second] = [1, 3].map(|id| case.request(id, GET, flag::END_STREAM));
    case.receive(&window(0, 1 << 20));
    let body = [b'x'; 64 << 10];
    let mut sent = 0;
    while let Poll::Ready(Ok(n)) = case.send(first, &body) {
        sent += n;
        case.connection.out.take();
    }
    assert_eq!(sent, 65_535);
    assert_eq!(case.send(second, &body), Poll::Ready(Ok(16 << 10)));
    case.receive(&window(1, 5));
    assert_eq!(case.send(first, &body), Poll::Ready(Ok(5)));
}

#[test]
fn a_smaller_initial_window_counts_against_what_was_sent() {
    let mut case = Case::new();
    let key = case.request(1, GET, flag::END_STREAM);
    assert_eq!(case.send(key, &[0; 1000]), Poll::Ready(Ok(1000)));
    let mut settings = Vec::new();
    frame::settings(&mut settings, &[(setting::INITIAL_WINDOW_SIZE, 400)]);
    case.receive(&settings);
    case.receive(&window(1, 600));
    assert!(case.send(key, &[0; 1000]).is_pending(), "the window is 0");
    case.receive(&window(1, 7));
    assert_eq!(case.send(key, &[0; 1000]), Poll::Ready(Ok(7)));
}

#[test]
fn a_long_section_goes_out_in_several_frames() {
    let mut case = Case::new();
    let key = case.request(1, GET, flag::END_STREAM);
    let value = vec![b'v'; 40_000];
    let mut section = case.connection.begin_section(key, 200, true).unwrap();
    section.field(FieldId::Other, b"x-large", &value, Repeats::Perhaps);
    assert_eq!(section.finish(), 40_007);
    let sent = case.sent();
    let flags: Vec<_> = sent.iter().map(|frame| (frame.kind, frame.flags)).collect();
    assert_eq!(
        flags,
        [(Kind::Headers, flag::END_STREAM), (Kind::Continuation, 0), (Kind::Continuation, flag::END_HEADERS)]
    );
    assert!(sent.iter().all(|frame| frame.length <= frame::DEFAULT_MAX_FRAME));
}

/// CVE-2023-44487, CVE-2025-8671, CVE-2024-27316, CVE-2019-9512, 9513, 9515, 9518, to the frame.
#[test]
fn floods_end_at_their_bounds() {
    let nothing = |kind, payload: &'static [u8]| move |_| bytes(kind, 0, 1, payload);
    type Flood = Box<dyn Fn(u32) -> Vec<u8>>;
    let opened = |n| 2 * n + 3;
    let get = move |n| bytes(Kind::Headers, flag::END_HEADERS | flag::END_STREAM, opened(n), GET);
    let rows: Vec<(&str, usize, Flood)> = vec![
        ("PING", 999, Box::new(|_| bytes(Kind::Ping, 0, 0, &[0; 8]))),
        ("PING answers", 999, Box::new(|_| bytes(Kind::Ping, flag::ACK, 0, &[0; 8]))),
        ("SETTINGS", 49, Box::new(|_| bytes(Kind::Settings, 0, 0, &[0, 3, 0, 0, 0, 100]))),
        ("SETTINGS answers", 999, Box::new(|_| bytes(Kind::Settings, flag::ACK, 0, &[]))),
        ("PRIORITY", 999, Box::new(nothing(Kind::Priority, &[0, 0, 0, 3, 1]))),
        ("WINDOW_UPDATE", 999, Box::new(nothing(Kind::WindowUpdate, &[0, 0, 0, 1]))),
        ("empty DATA", 999, Box::new(nothing(Kind::Data, &[]))),
        ("unknown frames", 999, Box::new(|_| [&[0, 0, 0, 99, 0][..], &[0; 4]].concat())),
        ("RST_STREAM again", 999, Box::new(nothing(Kind::ResetStream, &[0, 0, 0, 8]))),
        (
            "rapid reset",
            200,
            Box::new(move |n| [get(n), bytes(Kind::ResetStream, 0, opened(n), &[0, 0, 0, 8])].concat()),
        ),
        ("made you reset", 100, Box::new(move |n| [get(n), window(opened(n), 0)].concat())),
        (
            "malformed requests",
            100,
            Box::new(move |n| bytes(Kind::Headers, flag::END_HEADERS | flag::END_STREAM, opened(n), &GET[..1])),
        ),
    ];
    for (name, most, flood) in rows {
        let mut case = Case::new();
        // What SETTINGS cost and the request earned.
        case.request(1, POST, 0);
        case.connection.ledger = super::ledger::Ledger::new(case.now);
        case.connection.ledger.charge(1, case.now).unwrap();
        let taken = (0..10_000)
            .take_while(|n| {
                case.receive(&flood(*n)).into_iter().for_each(|arrival| case.connection.close(arrival.key, 0));
                case.connection.out.take();
                case.code().is_none()
            })
            .count();
        assert_eq!((case.code(), taken), (Some(Code::EnhanceYourCalm), most), "{name}");
    }
}

#[test]
fn a_client_that_works_with_the_protocol_is_never_told_to_calm_down() {
    let mut case = Case::new();
    for n in 0..20_000 {
        let key = case.request(2 * n + 1, GET, flag::END_STREAM);
        case.head(key);
        // A window opened again on both levels for each small frame, a ping now and then, and a late reset.
        for _ in 0..3 {
            assert!(case.send(key, b"a").is_ready());
            case.receive(&[window(0, 1), window(2 * n + 1, 1)].concat());
        }
        case.connection.end(key);
        case.connection.close(key, 0);
        case.receive(&bytes(Kind::Ping, 0, 0, &[0; 8]));
        case.receive(&bytes(Kind::ResetStream, 0, 2 * n + 1, &[0, 0, 0, 8]));
        case.connection.out.take();
        assert_eq!(case.code(), None, "request {n}");
    }
}

#[test]
fn continuations_are_bounded_by_bytes_and_by_number() {
    for (piece, most) in [(16 << 10, 3), (0, 1001)] {
        let mut case = Case::new();
        case.receive(&bytes(Kind::Headers, 0, 1, GET));
        let wire = bytes(Kind::Continuation, 0, 1, &vec![0; piece]);
        let taken = (0..5000).take_while(|_| {
            case.receive(&wire);
            case.code().is_none()
        });
        assert!(taken.count() < most);
        assert_eq!(case.code(), Some(Code::EnhanceYourCalm));
    }
}

#[test]
fn answers_that_nobody_reads_stop_the_reading() {
    let mut case = Case::new();
    let pings = bytes(Kind::Ping, 0, 0, &[0; 8]).repeat(100_000);
    let (mut used, start) = (0, case.now);
    while case.code().is_none() && !case.connection.is_congested() {
        // Time pays for them, so that nothing but the bound on what waits is left.
        case.now += Duration::from_secs(1);
        used += case.connection.receive(&pings[used..used + 1700], case.now).used;
    }
    assert!(case.now > start && case.connection.is_congested() && case.code().is_none());
    assert_eq!(case.connection.receive(&pings[used..], case.now).used, 0);
    assert!(case.connection.out.len() < CONGESTED + 100);
}

#[test]
fn what_a_connection_holds_is_bounded() {
    let mut case = Case::new();
    let keys: Vec<Key> = (0..100).map(|n| case.request(2 * n + 1, POST, 0)).collect();
    case.receive(&window(0, 1 << 20));
    // Bodies in the smallest steps, on many streams and on few, up to the connection's window.
    let mut left = CONNECTION_WINDOW as usize;
    for n in (0..50).cycle() {
        let size = if n < 48 { 7 } else { 500 };
        if left < size {
            break;
        }
        case.receive(&bytes(Kind::Data, 0, 2 * n + 1, &vec![b'x'; size]));
        left -= size;
    }
    // Responses that nobody reads.
    for key in keys {
        case.head(key);
        while case.send(key, &[b'x'; 32 << 10]).is_ready() {}
    }
    // Answers that nobody reads, and a section that never ends.
    let ping = bytes(Kind::Ping, 0, 0, &[0; 8]);
    while case.connection.out.len() + 2 * ping.len() < CONGESTED {
        case.now += Duration::from_millis(10);
        case.receive(&ping);
    }
    case.receive(&bytes(Kind::Headers, 0, 1001, &[0; 16 << 10]));
    case.receive(&bytes(Kind::Continuation, 0, 1001, &[0; 16 << 10]));
    case.receive(&bytes(Kind::Continuation, 0, 1001, &[0; 8 << 10]));
    assert_eq!(case.code(), None);
    assert!(case.connection.section.is_some());
    assert!(case.held() <= MAX_BYTES, "{}", case.held());
    case.receive(&bytes(Kind::Continuation, 0, 1001, &[0]));
    assert_eq!(case.code(), Some(Code::EnhanceYourCalm));
}

#[test]
fn more_data_than_the_windows_is_a_flow_control_error() {
    let piece = |stream| bytes(Kind::Data, 0, stream, &[0; 16 << 10]);
    let mut case = Case::new();
    let key = case.request(1, POST, 0);
    (0..4).for_each(|_| drop(case.receive(&piece(1))));
    assert!(case.sent().is_empty());
    case.receive(&piece(1));
    assert_eq!(case.sent(), [Sent { kind: Kind::ResetStream, flags: 0, stream: 1, length: 4 }]);
    case.connection.close(key, 0);
    let mut case = Case::new();
    for id in [1, 3] {
        case.request(id, POST, 0);
    }
    (0..6).for_each(|n| drop(case.receive(&piece(1 + 2 * (n % 2)))));
    assert_eq!(case.code(), None);
    case.receive(&piece(1));
    assert_eq!(case.code(), Some(Code::FlowControl));
}

#[test]
fn bodies_are_taken_on_and_windows_opened_again() {
    let mut case = Case::new();
    let key = case.request(1, POST, 0);
    let (mut piece, cx) = (Vec::new(), Context::from_waker(Waker::noop()));
    for _ in 0..20 {
        case.receive(&bytes(Kind::Data, flag::PADDED, 1, &[&[9][..], &[b'x'; 10_000], &[0; 9]].concat()));
        assert_eq!(case.connection.poll_body(key, &cx, &mut piece), Poll::Ready(Ok(10_000)));
        piece.clear();
        case.connection.consume(key, 10_000);
        assert_eq!(case.code(), None);
    }
    assert!(case.connection.poll_body(key, &cx, &mut piece).is_pending());
    case.receive(&bytes(Kind::Data, flag::END_STREAM, 1, b"end"));
    assert_eq!(case.connection.poll_body(key, &cx, &mut piece), Poll::Ready(Ok(3)));
    piece.clear();
    assert_eq!(case.connection.poll_body(key, &cx, &mut piece), Poll::Ready(Ok(0)));
}

#[test]
fn what_comes_late_for_a_stream_that_was_cut_is_nobodys_fault() {
    let mut case = Case::new();
    let key = case.request(1, POST, 0);
    case.connection.close(key, 0);
    case.receive(&bytes(Kind::Data, 0, 1, b"on its way"));
    let mut section = vec![0x40];
    write_text(&mut section, b"x-trailer");
    write_text(&mut section, b"1");
    case.receive(&bytes(Kind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, &section));
    assert_eq!(case.code(), None);
    // The table is the connection's, whoever the section was for.
    let key = case.request(3, &[GET, &[0xbf]].concat(), flag::END_STREAM);
    case.connection.close(key, 0);
}

proptest! {
    #[test]
    fn no_frames_make_a_connection_panic_or_hold_more_than_it_may(
        list in prop::collection::vec((0u8..12, any::<u8>(), 0u32..12, 0usize..6, prop::collection::vec(any::<u8>(), 0..40)), 0..60)
    ) {
        let mut case = Case::new();
        let mut keys = Vec::new();
        for (kind, flags, stream, shape, payload) in list {
            let payload = match shape {
                0 => GET.to_vec(),
                1 => POST.to_vec(),
                2 => vec![0; 4],
                3 => [&[0; 5][..], GET].concat(),
                _ => payload,
            };
            let mut wire = bytes(Kind::Data, flags, stream, &payload);
            wire[3] = kind;
            keys.extend(case.receive(&wire).into_iter().map(|arrival| arrival.key));
            if flags % 5 == 0 && let Some(key) = keys.pop() {
                case.connection.close(key, 0);
            } else if let Some(key) = keys.last().copied() {
                let _ = case.send(key, &payload);
            }
            prop_assert!(case.held() <= MAX_BYTES);
        }
        frames(&case.connection.out.take());
    }
}
