//! HTTP/2 on the server's side, without I/O of its own, tasks or policy: RFC 9113, RFC 8441.
//!
//! A [`Connection`] is the state of one connection. Its task gives it what has been read, and writes what it wants
//! written; the tasks of its streams take bodies from it and give it responses, each under the [`Key`] that came with its
//! request. All on one thread: nothing here is locked. Requests are read straight into flat heads, responses are encoded
//! straight into the bytes that leave. Never looks at a clock: time is handed in.
//!
//! Whatever a client sends, a connection of its own accord holds at most [`MAX_BYTES`].

mod closed;
mod connection;
mod control;
pub mod frame;
mod ledger;
mod outgoing;
mod receive;
mod section;
mod send;
mod streams;
#[cfg(test)]
mod tests;

pub mod websocket;

pub use connection::{Connection, Fault, Limits};
pub use receive::{Arrival, Step};
pub use section::Received;
pub use send::HeadWriter;
pub use streams::{Gone, Key};

/// What a client may send ahead of being read, over all its streams and on one.
pub const CONNECTION_WINDOW: u32 = 96 << 10;
pub const STREAM_WINDOW: u32 = 64 << 10;

/// Response bytes that wait to be written, past which no stream adds another frame.
const FULL: usize = 24 << 10;

/// Bytes waiting to be written past which nothing more is taken from the client: the answers to what it sends wait there
/// as well.
const CONGESTED: usize = 40 << 10;

/// A header section in all its frames, beyond what its fields may come to: Huffman's code may be longer than the text.
const SECTION_SLACK: usize = 8 << 10;

/// What a connection holds at most with the default bounds on heads: one read, a section that isn't whole, bodies that
/// wait for their streams, frames that wait to be written, tables. Requests in flight come on top, each with its head and
/// that of its response.
pub const MAX_BYTES: usize = 256 << 10;
