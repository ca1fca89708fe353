//! Chunked bodies: whole and in pieces they say the same, and what is taken is what the second reader takes.

use tidegate::http::http1::{BodyLength, BodyReader, Step};

use super::{model, splits};

/// The data, how many bytes the body took, and how it ended.
type Read = (Vec<u8>, usize, Ended);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Whole,
    Unfinished,
    Wrong,
}

pub fn run(data: &[u8]) {
    let whole = read(data, &[data.len()]);
    let pieces = read(data, &splits::ends(data));
    match whole.2 {
        Ended::Wrong => assert_eq!(pieces.2, Ended::Wrong),
        _ => assert_eq!(whole, pieces, "pieces change what is read"),
    }
    let model = model::chunked(data);
    match whole.2 {
        Ended::Whole => assert_eq!(model, Ok((whole.0, whole.1))),
        Ended::Unfinished => assert!(model.is_err(), "{model:?} isn't seen"),
        // Bounds, and fields that may not trail.
        Ended::Wrong => {}
    }
}

/// Reads what has come so far each time that a piece has come.
fn read(data: &[u8], ends: &[usize]) -> Read {
    let mut reader = BodyReader::new(BodyLength::Chunked);
    let (mut body, mut at) = (Vec::new(), 0);
    for end in ends {
        loop {
            match reader.next(&data[at..*end]) {
                Ok(Step::Data(n)) => {
                    assert!(n > 0 && n <= end - at);
                    body.extend_from_slice(&data[at..at + n]);
                    reader.advance(n);
                    at += n;
                }
                Ok(Step::Skip(n)) => {
                    assert!(n > 0 && n <= end - at);
                    at += n;
                }
                Ok(Step::More) => break,
                Ok(Step::End) => {
                    assert!(reader.is_done());
                    return (body, at, Ended::Whole);
                }
                Err(_) => return (body, at, Ended::Wrong),
            }
        }
    }
    assert!(!reader.may_end_now());
    (body, at, Ended::Unfinished)
}
