//! The endpoint's side in HTTP/2: one attempt, the response's body, and back-pressure both ways.
//!
//! The client's side may speak any HTTP. What it doesn't take isn't released to the endpoint's window, and what the
//! endpoint's window has no room for isn't read from the client.

mod attempt;
mod head;
mod relay;

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use crate::filter::hop_by_hop;
use crate::http::head::Fields;
use crate::proxy::upload::Piece;
use crate::upstream::http2::Place;

pub use self::attempt::attempt;
pub use self::relay::relay;

/// A stream with one answer on it. Dropping it before its end resets it: the endpoint need do no more (CANCEL).
pub struct Http2Carrier {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// The request is written in full.
    sent: bool,
    /// The endpoint stopped reading the request.
    broken: bool,
    /// The response may have a body.
    has_body: bool,
    /// Given back when the stream is over.
    place: Place,
}

/// Body bytes put into one DATA frame: RFC 9113's default SETTINGS_MAX_FRAME_SIZE.
const MAX_PIECE_BYTES: usize = 16 << 10;

/// Sends some of a piece, as soon as the endpoint's window has room; tells how much. The end needs no room.
pub fn poll_send(
    cx: &mut Context<'_>,
    send: &mut SendStream<Bytes>,
    piece: Piece<'_>,
) -> Poll<Result<usize, h2::Error>> {
    match piece {
        Piece::Data(data) => {
            let room = ready!(poll_room(cx, send, data.len()))?;
            send.send_data(Bytes::copy_from_slice(&data[..room]), false)?;
            Poll::Ready(Ok(room))
        }
        Piece::End(Some(trailers)) if !trailers.is_empty() => {
            Poll::Ready(send.send_trailers(trailer_map(trailers)).map(|()| 0))
        }
        Piece::End(_) => Poll::Ready(send.send_data(Bytes::new(), true).map(|()| 0)),
    }
}

/// Waits until `wanted` bytes or some of them may be sent; at least one.
fn poll_room(cx: &mut Context<'_>, send: &mut SendStream<Bytes>, wanted: usize) -> Poll<Result<usize, h2::Error>> {
    let wanted = wanted.min(MAX_PIECE_BYTES);
    if send.capacity() < wanted {
        send.reserve_capacity(wanted);
    }
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(result) => drop(result?),
            // The endpoint reads no more of the request.
            None => return Poll::Ready(Err(h2::Reason::STREAM_CLOSED.into())),
        }
    }
    Poll::Ready(Ok(send.capacity().min(wanted)))
}

/// Trailer fields as HTTP/2 has them.
fn trailer_map(trailers: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(trailers.len());
    for (id, name, value) in trailers.iter().filter(|(id, _, _)| !hop_by_hop::RESPONSE.contains(*id)) {
        let name = id.header_name().map_or_else(|| http::HeaderName::from_bytes(name), Ok);
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}
