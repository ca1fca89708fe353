//! HTTP/2 connections: whole and in pieces the same requests and the same end come out, and what waits to be written is
//! bounded.

use tidegate::http::field::FieldId;
use tidegate::http::hpack::Repeats;
use tidegate::http::http1::HeadLimits;
use tidegate::http::http2::{Connection, Fault, Limits, frame};
use tokio::time::Instant;

use super::splits;

const LIMITS: Limits =
    Limits { head: HeadLimits { max_head_bytes: 4096, max_fields: 32, max_target_bytes: 1024 }, max_streams: 8 };

pub fn run(data: &[u8]) {
    let bytes = match data.first() {
        // Few would ever find the preface; a frame's length doesn't begin like this.
        Some(0xff) => data[1..].to_vec(),
        _ => [frame::PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], data].concat(),
    };
    let now = Instant::now();
    assert_eq!(
        serve(&bytes, &[bytes.len()], now),
        serve(&bytes, &splits::ends(&bytes), now),
        "pieces change what comes"
    );
}

/// The targets that were asked for, and how it ended.
fn serve(bytes: &[u8], ends: &[usize], now: Instant) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut connection = Connection::new(LIMITS, now);
    let (mut at, mut targets) = (0, Vec::new());
    for end in ends {
        loop {
            let step = connection.receive(&bytes[at..*end], now);
            assert!(step.used <= end - at);
            at += step.used;
            assert!(connection.active() <= LIMITS.max_streams as usize);
            let Some(arrival) = step.arrival else {
                if step.used == 0 {
                    break;
                }
                continue;
            };
            if arrival.request.refused.is_none() {
                let head = &arrival.request.head;
                assert!(head.fields.len() <= LIMITS.head.max_fields);
                assert!(!head.method_bytes().is_empty());
                for (_, name, value) in head.fields.iter() {
                    assert!(
                        !name.iter().any(|byte| byte.is_ascii_uppercase() || *byte <= b' '),
                        "{}",
                        name.escape_ascii()
                    );
                    assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{}", value.escape_ascii());
                }
                targets.push(head.target().to_vec());
            }
            if let Some(mut head) = connection.begin_section(arrival.key, 200, true) {
                head.field(FieldId::of(b"server"), b"Server", b"fuzz", Repeats::Often);
                head.finish();
            }
            connection.close(arrival.key, 0);
        }
    }
    (targets, connection.fault())
}
