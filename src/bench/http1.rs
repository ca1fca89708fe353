//! The client's side of HTTP/1.1: one request at a time.

use std::time::Instant;

use super::exchange::{Done, Fault, InFlight};
use super::plan::Expect;
use super::request::Request;
use super::schedule::Ticket;
use crate::http::field::FieldId;
use crate::http::head::{ResponseHead, Version};
use crate::http::http1::{BodyReader, HeadLimits, HeadReader, Step};

/// What one connection has going on.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    request: Option<InFlight>,
    head: HeadReader,
    /// Once the head is there.
    body: Option<BodyReader>,
    /// Bytes that can't be told what they are before more of them come.
    kept: Vec<u8>,
    /// This connection carries no further request.
    is_spent: bool,
}

impl Http1 {
    pub(super) fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// When the request in flight was sent.
    pub(super) fn sent(&self) -> Option<Instant> {
        self.request.map(|request| request.sent)
    }

    pub(super) fn start(&mut self, ticket: Ticket, now: Instant, request: &Request, out: &mut Vec<u8>) {
        out.extend_from_slice(request.http1());
        self.request = Some(InFlight::new(ticket, now));
        self.head = HeadReader::default();
        self.body = None;
    }

    /// Takes in what the server sent.
    ///
    /// # Errors
    /// The fault of whatever is in flight; the connection is of no further use.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        request: &Request,
        expect: &Expect,
        done: &mut Vec<Done>,
    ) -> Result<(), Fault> {
        if self.kept.is_empty() {
            let used = self.advance(bytes, request, expect, done)?;
            self.kept.extend_from_slice(&bytes[used..]);
        } else {
            let mut kept = std::mem::take(&mut self.kept);
            kept.extend_from_slice(bytes);
            let used = self.advance(&kept, request, expect, done)?;
            kept.drain(..used);
            self.kept = kept;
        }
        Ok(())
    }

    /// The connection has ended in order. What is in flight may be over by that.
    pub(super) fn end(&mut self, expect: &Expect) -> Option<Done> {
        self.is_spent = true;
        let request = self.request.take()?;
        Some(match &self.body {
            Some(body) if body.may_end_now() => verify(request, expect),
            Some(_) => request.failed(Fault::Length),
            None => request.failed(Fault::Closed),
        })
    }

    /// The connection is gone, for `fault`.
    pub(super) fn fail(&mut self, fault: Fault) -> Option<Done> {
        self.is_spent = true;
        self.request.take().map(|request| request.failed(fault))
    }

    /// Runs through `bytes` and says how many of them are done with.
    fn advance(
        &mut self,
        bytes: &[u8],
        request: &Request,
        expect: &Expect,
        done: &mut Vec<Done>,
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let Some(flight) = &mut self.request else { return Err(Fault::Protocol) };
            let Some(body) = &mut self.body else {
                let read = self.head.response(&bytes[at..], request.is_head(), &LIMITS);
                let Some((head, length, used)) = read.map_err(|_| Fault::Protocol)? else { return Ok(at) };
                at += used;
                match head.status {
                    101 => return Err(Fault::Protocol),
                    100..200 => self.head = HeadReader::default(),
                    status => {
                        flight.status = status;
                        self.is_spent |= ends_connection(&head);
                        self.body = Some(BodyReader::new(length));
                    }
                }
                self.finish(at == bytes.len(), expect, done);
                continue;
            };
            match body.next(&bytes[at..]).map_err(|_| Fault::Length)? {
                Step::Data(length) => {
                    body.advance(length);
                    flight.bytes += length as u64;
                    at += length;
                }
                Step::Skip(length) => at += length,
                Step::More => return Ok(at),
                Step::End => {}
            }
            self.finish(at == bytes.len(), expect, done);
        }
        Ok(at)
    }

    /// Ends the request if its answer is whole. `is_all`: nothing follows it, as it must be.
    fn finish(&mut self, is_all: bool, expect: &Expect, done: &mut Vec<Done>) {
        if !self.body.as_ref().is_some_and(BodyReader::is_done) {
            return;
        }
        if let Some(request) = self.request.take() {
            done.push(if is_all { verify(request, expect) } else { request.failed(Fault::Length) });
        }
    }
}

/// Whether an answer that is whole is also the expected one.
pub(super) fn verify(request: InFlight, expect: &Expect) -> Done {
    if expect.length.is_some_and(|length| length != request.bytes) {
        return request.failed(Fault::Length);
    }
    if !expect.accepts(request.status) {
        return request.failed(Fault::Status);
    }
    request.answered()
}

/// Whether the server will close after this answer: RFC 9112 9.3.
fn ends_connection(head: &ResponseHead) -> bool {
    let mut options = head.fields.get_all(FieldId::Connection).flat_map(|value| value.split(|byte| *byte == b','));
    match head.version {
        Version::Http10 => !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"keep-alive")),
        _ => options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close")),
    }
}

/// Generous: it is no server's client that is to be protected, only memory.
const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 64 << 10, max_fields: 256, max_target_bytes: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(expect: Expect, wire: &[u8], piece: usize) -> (Vec<Done>, Result<(), Fault>, Http1) {
        let request = Request::get_for_tests();
        let mut http1 = Http1::default();
        let now = Instant::now();
        http1.start(Ticket { intended: now }, now, &request, &mut Vec::new());
        let mut done = Vec::new();
        let mut result = Ok(());
        for part in wire.chunks(piece) {
            result = result.and_then(|()| http1.receive(part, &request, &expect, &mut done));
        }
        (done, result, http1)
    }

    fn outcome(wire: &[u8]) -> Vec<(u16, u64, Option<Fault>)> {
        let seen = |piece| {
            let (done, result, _) = plain(Expect::default(), wire, piece);
            let faults = result.err().map(|fault| (0, 0, Some(fault)));
            done.iter().map(|d| (d.request.status, d.request.bytes, d.fault)).chain(faults).collect::<Vec<_>>()
        };
        seen(wire.len())
    }

    #[test]
    fn an_answer_counts_the_same_however_it_arrives() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        for piece in 1..=wire.len() {
            let (done, result, _) = plain(Expect::default(), wire, piece);
            assert_eq!(result, Ok(()));
            assert_eq!((done.len(), done[0].request.status, done[0].request.bytes), (1, 200, 5));
            assert_eq!(done[0].fault, None);
        }
    }

    #[test]
    fn more_than_the_announced_length_is_a_fault() {
        assert_eq!(outcome(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc")[0].2, Some(Fault::Length));
        assert_eq!(outcome(b"HTTP/1.1 204 No Content\r\n\r\nabc")[0].2, Some(Fault::Length));
    }

    #[test]
    fn less_than_the_announced_length_is_a_fault_once_the_connection_ends() {
        let (done, result, mut http1) = plain(Expect::default(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 7);
        assert!(done.is_empty() && result.is_ok());
        assert_eq!(http1.end(&Expect::default()).unwrap().fault, Some(Fault::Length));
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let (done, _, mut http1) = plain(Expect::default(), b"HTTP/1.1 200 OK\r\n\r\nabc", 7);
        assert!(done.is_empty());
        let done = http1.end(&Expect::default()).unwrap();
        assert_eq!((done.fault, done.request.bytes), (None, 3));
    }

    #[test]
    fn the_server_may_announce_the_end_of_the_connection() {
        for (wire, spent) in [
            (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], false),
            (b"HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 0\r\n\r\n", true),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", true),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            assert_eq!(plain(Expect::default(), wire, wire.len()).2.is_spent(), spent, "{wire:?}");
        }
    }

    #[test]
    fn what_is_not_http_is_a_protocol_fault() {
        assert_eq!(outcome(b"SSH-2.0-OpenSSH_9\r\n")[0].2, Some(Fault::Protocol));
        assert_eq!(
            outcome(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")[0].2,
            Some(Fault::Protocol)
        );
    }

    #[test]
    fn expectations_are_held_against_status_and_length() {
        let wire = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        let fault = |status, length| plain(Expect { status, length }, wire, wire.len()).0[0].fault;
        assert_eq!(fault(None, None), Some(Fault::Status));
        assert_eq!(fault(Some(404), Some(2)), None);
        assert_eq!(fault(Some(404), Some(3)), Some(Fault::Length));
        assert_eq!(fault(Some(200), None), Some(Fault::Status));
    }
}
