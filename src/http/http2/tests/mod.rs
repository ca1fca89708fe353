//! A connection without a socket: frames in, frames out.

mod bounds;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
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

/// RFC 9113 6.8: a client opens streams until it has read the GOAWAY, and gives them up then.
#[test]
fn what_still_comes_for_streams_behind_the_last_one_is_no_fault() {
    let mut case = Case::new();
    let key = case.request(1, GET, flag::END_STREAM);
    case.connection.finish_shutdown();
    case.sent();
    assert!(case.receive(&bytes(Kind::Headers, flag::END_HEADERS, 3, POST)).is_empty());
    case.receive(&bytes(Kind::WindowUpdate, 0, 3, &1u32.to_be_bytes()));
    case.receive(&bytes(Kind::Data, 0, 3, b"body"));
    case.receive(&bytes(Kind::Headers, flag::END_HEADERS | flag::END_STREAM, 3, b""));
    case.receive(&bytes(Kind::ResetStream, 0, 3, &8u32.to_be_bytes()));
    assert_eq!(case.code(), None);
    assert!(case.send(key, b"answer").is_ready());
    // Nor is it looked at any more by the time the connection breaks.
    case.receive(&bytes(Kind::Data, 0, 5, b"idle"));
    assert_eq!(case.code(), Some(Code::Protocol));
    let out = case.connection.out.take();
    let goaway = out.windows(frame::HEAD + 4).rfind(|at| at[3] == 7 && at[5..9] == [0; 4]).unwrap();
    assert_eq!(goaway[frame::HEAD..], 1u32.to_be_bytes());
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
