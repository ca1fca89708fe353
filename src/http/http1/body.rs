//! Bodies from bytes: Content-Length, chunked (RFC 9112 7.1), or until the connection ends.

use super::framing::BodyLength;
use super::parse::trailers;
use crate::http::head::Fields;

/// Reads one body's framing. Holds no bytes: it tells what those at the front of the buffer are.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Bytes of chunk extensions seen, over the whole body.
    extension_bytes: usize,
    trailers: Option<Fields>,
}

/// What stands at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// This many bytes of the body.
    Data(usize),
    /// This many bytes of framing, to be dropped.
    Skip(usize),
    /// Nothing that can be told yet.
    More,
    /// The body is over; what follows is another message.
    End,
}

/// Framing that isn't chunked's grammar, or exceeds a bound.
#[derive(Debug, PartialEq, Eq)]
pub struct BadFraming;

#[derive(Debug)]
enum State {
    Known(u64),
    UntilClose,
    /// The digits of a chunk's size; how many, and their value so far.
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeFeed {
        size: u64,
    },
    Chunk(u64),
    ChunkReturn,
    ChunkFeed,
    Trailers,
    Done,
}

/// Chunk extensions carry nothing that is relayed; more than this is an attack.
const MAX_EXTENSION_BYTES: usize = 4 << 10;
const MAX_TRAILER_BYTES: usize = 8 << 10;

impl BodyReader {
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::Known(0) => State::Done,
            BodyLength::Known(n) => State::Known(n),
            BodyLength::Chunked => State::Size { digits: 0, size: 0 },
            BodyLength::UntilClose => State::UntilClose,
        };
        Self { state, extension_bytes: 0, trailers: None }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the end of the connection is this body's rightful end.
    pub fn may_end_now(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// How many bytes of data are certain to follow without framing between them; `u64::MAX` up to the connection's end.
    pub fn unframed(&self) -> u64 {
        match self.state {
            State::Known(left) => left,
            State::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// The trailer fields, once the body is done.
    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Looks at the front of `bytes`. Data and framing named by the answer must be consumed by the caller: data in any
    /// portions, each told to [`BodyReader::advance`]; framing at once.
    ///
    /// # Errors
    /// [`BadFraming`]; the connection has no further use.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, BadFraming> {
        match self.state {
            State::Done => Ok(Step::End),
            _ if bytes.is_empty() => Ok(Step::More),
            State::Known(_) | State::Chunk(_) | State::UntilClose => Ok(Step::Data(self.available(bytes.len()))),
            State::Trailers => match trailers(bytes, MAX_TRAILER_BYTES) {
                Ok(Some((fields, used))) => {
                    self.trailers = (!fields.is_empty()).then_some(fields);
                    self.state = State::Done;
                    Ok(Step::Skip(used))
                }
                Ok(None) => Ok(Step::More),
                Err(bad) => Err(bad),
            },
            _ => self.chunk_framing(bytes),
        }
    }

    /// How many of `buffered` bytes at the front are data, after [`BodyReader::next`] has said that some are.
    pub fn available(&self, buffered: usize) -> usize {
        match self.state {
            State::Known(left) | State::Chunk(left) => left.min(buffered as u64) as usize,
            State::UntilClose => buffered,
            _ => 0,
        }
    }

    /// Tells that `n` bytes of data were consumed.
    pub fn advance(&mut self, n: usize) {
        let n = n as u64;
        match &mut self.state {
            State::Known(left) => {
                *left = left.saturating_sub(n);
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::Chunk(left) => {
                *left = left.saturating_sub(n);
                if *left == 0 {
                    self.state = State::ChunkReturn;
                }
            }
            _ => {}
        }
    }

    /// Runs through framing bytes up to the next data, the trailers, or the end of what is there.
    fn chunk_framing(&mut self, bytes: &[u8]) -> Result<Step, BadFraming> {
        for (at, &byte) in bytes.iter().enumerate() {
            self.state = match (&self.state, byte) {
                (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                    let digit = char::from(byte).to_digit(16).unwrap_or_default();
                    if *digits == 15 {
                        return Err(BadFraming);
                    }
                    State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
                }
                (State::Size { digits: 1.., size }, b'\r') => State::SizeFeed { size: *size },
                (State::Size { digits: 1.., size }, b';') => State::Extension { size: *size },
                (State::Extension { size }, b'\r') => State::SizeFeed { size: *size },
                (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                    self.extension_bytes += 1;
                    if self.extension_bytes > MAX_EXTENSION_BYTES {
                        return Err(BadFraming);
                    }
                    State::Extension { size: *size }
                }
                (State::SizeFeed { size: 0 }, b'\n') => {
                    self.state = State::Trailers;
                    return Ok(Step::Skip(at + 1));
                }
                (State::SizeFeed { size }, b'\n') => {
                    self.state = State::Chunk(*size);
                    return Ok(Step::Skip(at + 1));
                }
                (State::ChunkReturn, b'\r') => State::ChunkFeed,
                (State::ChunkFeed, b'\n') => State::Size { digits: 0, size: 0 },
                _ => return Err(BadFraming),
            };
        }
        Ok(Step::Skip(bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `wire` handed over in pieces of `piece` bytes.
    fn decode(wire: &[u8], piece: usize) -> Result<(Vec<u8>, Option<Fields>, usize), BadFraming> {
        let mut reader = BodyReader::new(BodyLength::Chunked);
        let (mut start, mut end, mut data) = (0, 0, Vec::new());
        loop {
            match reader.next(&wire[start..end])? {
                Step::Data(n) => {
                    data.extend_from_slice(&wire[start..start + n]);
                    reader.advance(n);
                    start += n;
                }
                Step::Skip(n) => start += n,
                Step::More if end == wire.len() => return Err(BadFraming),
                Step::More => end = (end + piece).min(wire.len()),
                Step::End => return Ok((data, reader.take_trailers(), wire.len() - start)),
            }
        }
    }

    #[test]
    fn chunks_decode_the_same_however_they_arrive() {
        let wire = b"5;a=\"b\"\r\nhello\r\n6\r\n world\r\n000\r\nX-Sum: 1\r\n\r\nGET";
        for piece in 1..=wire.len() {
            let (data, trailers, left) = decode(wire, piece).unwrap();
            assert_eq!(data, b"hello world");
            assert_eq!(trailers.unwrap().find(b"x-sum"), Some(&b"1"[..]));
            assert!(left <= 3);
        }
    }

    #[test]
    fn framing_outside_the_grammar_is_refused() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5000));
        let trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(9000));
        for wire in [
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "\r\nhello",
            "g\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "5;a\nb\r\nhello\r\n0\r\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nBad Name: 1\r\n\r\n",
            "0\r\nA: 1\nB: 2\r\n\r\n",
            "5\r\nhello\r\n0\r\n",
            &long,
            &trailer,
        ] {
            assert_eq!(decode(wire.as_bytes(), wire.len()).map(|d| d.0), Err(BadFraming), "{wire:?}");
        }
    }

    #[test]
    fn a_known_length_ends_where_it_says() {
        let mut reader = BodyReader::new(BodyLength::Known(3));
        assert_eq!(reader.next(b"abcdef"), Ok(Step::Data(3)));
        reader.advance(2);
        assert_eq!(reader.next(b"cdef"), Ok(Step::Data(1)));
        reader.advance(1);
        assert_eq!(reader.next(b"def"), Ok(Step::End));
    }
}
