//! Hostile input, a row a case: the bytes, and what must come of them.
//!
//! Each table is held by a test beside it, and `docs/security.md` is made of all of them ([`papers`]), with what nginx and
//! HAProxy do with the same bytes.

mod ask;
mod bodies;
mod floods;
mod forwarded;
mod frames;
mod framing;
mod heads;
mod hosts;
mod papers;
mod paths;
mod peers;
mod responses;
mod returned;
mod sections;
mod time;
mod tls;
mod world;

use std::time::Duration;

use crate::support::Answer;

/// A section of `docs/security.md`.
struct Table {
    title: &'static str,
    /// What its rows have in common.
    about: &'static str,
    rows: Vec<Row>,
}

/// A case.
struct Row {
    name: &'static str,
    input: Input,
    /// What Tidegate does, as [`ask`] says it: a status and the reason that is logged and counted, or a few words.
    wants: &'static str,
}

/// What a proxy is given.
enum Input {
    /// A client's bytes on a plain HTTP/1 listener.
    Request(Vec<u8>),
    /// An endpoint's answer to `GET /`.
    Response(Answer),
    /// A client's frames behind an HTTP/2 preface and SETTINGS, to an endpoint that never answers.
    Frames(Vec<u8>),
    /// The same, where the frames are one request whose head is refused, and recorded.
    Section(Vec<u8>),
    /// A client's bytes on a TLS listener.
    Handshake(Vec<u8>),
    /// A client's bytes: at once, then one by one this far apart, until the end of the connection or of the patience.
    Slow(Vec<u8>, Vec<u8>, Duration),
}

fn request(name: &'static str, bytes: impl AsRef<[u8]>, wants: &'static str) -> Row {
    Row { name, input: Input::Request(bytes.as_ref().to_vec()), wants }
}

fn response(name: &'static str, answer: Answer, wants: &'static str) -> Row {
    Row { name, input: Input::Response(answer), wants }
}

/// `GET /` with these fields, whole lines.
fn head(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

/// `POST /` with these fields, whole lines, and this body as it stands.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}\r\n{body}")
}
