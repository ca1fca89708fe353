//! One request and its response on the downstream side, whichever HTTP version carries them.
//!
//! Polled by one task in both directions at once; never blocks, never spawns.

use std::task::{Context, Poll};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::headers::Response;
use crate::http::head::{Fields, ResponseHead};
use crate::reason::Reason;

/// The downstream side of a request. Implemented by the HTTP/1 connection and the HTTP/2 stream.
pub trait Exchange {
    /// Waits for request body and tells how many bytes of it [`Exchange::body`] holds; 0 is the end.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>>;

    /// Bounds the request body: past `max` bytes [`Exchange::poll_body`] fails with `BodyTooLarge`.
    fn limit_body(&mut self, max: Option<u64>);

    /// The bytes that the last [`Exchange::poll_body`] announced.
    fn body(&self) -> &[u8];

    /// Drops `n` of those bytes and lets the client send as many more.
    fn consume_body(&mut self, n: usize);

    /// The request's trailer fields, once its body has ended.
    fn take_trailers(&mut self) -> Option<Fields>;

    /// When the client will have been too slow with its body; looked at while [`Exchange::poll_body`] is pending.
    fn body_deadline(&self) -> Option<Instant>;

    /// Passes a 1xx on. It leaves with the next write.
    fn send_interim(&mut self, head: &ResponseHead);

    /// Encodes the final head and tells its length in bytes. It leaves with the next write.
    fn send_head(&mut self, response: &Response<'_>) -> usize;

    /// Takes some of `data` into the response body: at least one byte of it.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, Reason>>;

    /// The client's socket if response body may be put there past the exchange: in plain text, without framing, and with
    /// nothing held back before it.
    fn bare_socket(&self) -> Option<&TcpStream> {
        None
    }

    /// Writes out what is held back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>>;

    /// Ends the response and writes it out.
    fn poll_finish(&mut self, cx: &mut Context<'_>, trailers: Option<&Fields>) -> Poll<Result<(), Reason>>;

    /// Ready when the client has given the request up.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Breaks the response off, so that the client can't take it for complete.
    fn abort(&mut self);

    /// Takes no other request from an HTTP/1 connection. HTTP/2's streams stand each for themselves.
    fn end_connection(&mut self) {}

    /// From now on bytes pass as they are, both ways: after a 101.
    fn start_tunnel(&mut self);

    /// Whether the final head was handed over.
    fn has_started(&self) -> bool;
}
