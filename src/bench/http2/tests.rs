//! Frames in, outcomes out.

use super::super::plan::Protocol;
use super::*;

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

struct Case {
    http2: Http2,
    request: Request,
    done: Vec<Done>,
    out: Vec<u8>,
}

impl Case {
    fn new(body: &[u8]) -> Self {
        let target = Target::parse("http://127.0.0.1/", Protocol::Http2).unwrap();
        let request = Request::new(&target, None, &[], body.to_vec(), true).unwrap();
        let http2 = Http2::new(&request, &target, 2, &mut Vec::new());
        let mut case = Self { http2, request, done: Vec::new(), out: Vec::new() };
        assert_eq!(case.http2.room(), 0, "before the settings have come");
        case.receive(SETTINGS).unwrap();
        case
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.out.clear();
        let rules = Rules { request: &self.request, expect: &Expect::default() };
        self.http2.receive(bytes, rules, &mut self.out, &mut self.done)
    }

    fn start(&mut self) {
        self.out.clear();
        let now = Instant::now();
        self.http2.start(Ticket { intended: now }, now, &self.request, &mut self.out);
    }

    fn outcome(&mut self) -> Vec<(u16, u64, Option<Fault>)> {
        self.done.drain(..).map(|done| (done.request.status, done.request.bytes, done.fault)).collect()
    }
}

fn bytes(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let at = frame::begin(&mut out, kind, flags, stream);
    out.extend_from_slice(payload);
    frame::finish(&mut out, at);
    out
}

#[test]
fn an_answer_counts_the_same_however_it_arrives() {
    let mut wire = bytes(Kind::Headers, flag::END_HEADERS, 1, &[0x88]);
    wire.extend(bytes(Kind::Data, flag::PADDED, 1, b"\x03abc\0\0\0"));
    wire.extend(bytes(Kind::Data, flag::END_STREAM, 1, b"de"));
    for piece in 1..=wire.len() {
        let mut case = Case::new(b"");
        case.start();
        wire.chunks(piece).for_each(|part| case.receive(part).unwrap());
        assert_eq!(case.outcome(), [(200, 5, None)]);
    }
}

#[test]
fn a_section_may_come_in_several_frames_and_after_interim_ones() {
    let mut case = Case::new(b"");
    case.start();
    let mut wire = bytes(Kind::Headers, flag::END_HEADERS, 1, b"\x08\x03103");
    wire.extend(bytes(Kind::Headers, flag::END_STREAM, 1, b"\x08\x03"));
    wire.extend(bytes(Kind::Continuation, flag::END_HEADERS, 1, b"503"));
    case.receive(&wire).unwrap();
    assert_eq!(case.outcome(), [(503, 0, Some(Fault::Status))]);
}

#[test]
fn another_length_than_the_announced_one_is_a_fault() {
    let mut case = Case::new(b"");
    case.start();
    let mut wire = bytes(Kind::Headers, flag::END_HEADERS, 1, b"\x88\x0f\x0d\x015");
    wire.extend(bytes(Kind::Data, flag::END_STREAM, 1, b"abc"));
    case.receive(&wire).unwrap();
    assert_eq!(case.outcome(), [(200, 3, Some(Fault::Length))]);
}

#[test]
fn streams_end_by_reset_and_by_goaway() {
    let mut case = Case::new(b"");
    case.start();
    case.start();
    assert_eq!(case.http2.room(), 0, "two were wanted");
    case.receive(&bytes(Kind::ResetStream, 0, 1, &[0, 0, 0, 7])).unwrap();
    assert_eq!(case.outcome(), [(0, 0, Some(Fault::Closed))]);
    case.receive(&bytes(Kind::GoAway, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).unwrap();
    assert_eq!(case.outcome(), [(0, 0, Some(Fault::Closed))]);
    assert!(case.http2.is_spent() && case.http2.room() == 0);
}

#[test]
fn settings_and_pings_are_answered() {
    let mut case = Case::new(b"");
    case.receive(&bytes(Kind::Settings, 0, 0, &[0, 3, 0, 0, 0, 1])).unwrap();
    assert_eq!(case.out, bytes(Kind::Settings, flag::ACK, 0, b""));
    assert_eq!(case.http2.room(), 1);
    case.receive(&bytes(Kind::Ping, 0, 0, b"12345678")).unwrap();
    assert_eq!(case.out, bytes(Kind::Ping, flag::ACK, 0, b"12345678"));
}

#[test]
fn a_body_waits_for_the_window() {
    let mut case = Case::new(&[b'x'; 70_000]);
    case.start();
    let sent = |out: &[u8]| {
        let (mut rest, mut sum, mut ended) = (out, 0, false);
        while let Some((frame, after)) = Frame::split(rest).unwrap() {
            if frame.kind == Some(Kind::Data) {
                sum += frame.payload.len();
                ended |= frame.has(flag::END_STREAM);
            }
            rest = after;
        }
        (sum, ended)
    };
    assert_eq!(sent(&case.out), (65_535, false));
    case.receive(&bytes(Kind::WindowUpdate, 0, 0, &[0, 1, 0, 0])).unwrap();
    assert_eq!(sent(&case.out), (0, false), "the stream's own window is still full");
    case.receive(&bytes(Kind::WindowUpdate, 0, 1, &[0, 1, 0, 0])).unwrap();
    assert_eq!(sent(&case.out), (4465, true));
}

#[test]
fn what_is_late_is_given_up_and_the_connection_lives_on() {
    let mut case = Case::new(b"");
    case.start();
    let later = Instant::now() + Duration::from_secs(2);
    case.out.clear();
    case.http2.expire(later, Duration::from_secs(1), &mut case.out, &mut case.done);
    assert_eq!(case.outcome(), [(0, 0, Some(Fault::Timeout))]);
    assert_eq!(case.out, bytes(Kind::ResetStream, 0, 1, &[0, 0, 0, 8]));
    case.receive(&bytes(Kind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, &[0x88])).unwrap();
    assert_eq!((case.outcome(), case.http2.room()), (vec![], 2));
}
