//! What an origin answers: the client gets the message that the second reader finds in it, or a refusal, or less than a
//! whole message; never another one.

use super::model::{self, Message, Nothing};
use super::world::world;

pub fn run(data: &[u8]) {
    if data.len() > 16 << 10 {
        return;
    }
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let (received, _) = world().exchange(Some(data), request);
    let received = last(&received).unwrap_or_else(|nothing| panic_unless_cut(nothing, &received));
    let Some(received) = received else { return };
    if matches!(received.what.as_str(), "502" | "504") {
        return;
    }
    match last(data) {
        Ok(Some(sent)) => {
            assert_eq!((&received.what, &received.body), (&sent.what, &sent.body), "of {}", data.escape_ascii());
        }
        other => panic!("{received:?} came of {other:?}: {}", data.escape_ascii()),
    }
}

/// Nothing but the beginning of a message may be left out.
fn panic_unless_cut(nothing: Nothing, bytes: &[u8]) -> Option<Message> {
    assert_eq!(nothing, Nothing::Unfinished, "the client got {}", bytes.escape_ascii());
    None
}

/// The final response, behind those that aren't (RFC 9110 15.2).
fn last(mut bytes: &[u8]) -> Result<Option<Message>, Nothing> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(used)) if parsed.code.is_some_and(|code| code < 200 && code != 101) => {
                bytes = &bytes[used..];
            }
            _ => return model::response(bytes).map(Some),
        }
    }
}
