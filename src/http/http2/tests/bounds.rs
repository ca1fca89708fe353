//! What floods come to, and what a connection holds.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

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
