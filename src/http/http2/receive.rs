//! What a client sends: RFC 9113 6, each rule with the error that it names. Frames of the connection's own are control's.

use tokio::time::Instant;

use super::closed::How;
use super::connection::{Connection, Farewell, Fault, Greeting, Partial};
use super::control::{calm, depends_on_itself, fault, protocol};
use super::frame::{self, Code, Frame, Kind, flag};
use super::ledger::{self, Overdrawn};
use super::section::{self, Received};
use super::streams::{Gone, Key, Stream};
use super::{CONGESTED, SECTION_SLACK, STREAM_WINDOW};
use crate::http::hpack::BadSection;
use crate::http::http1::BodyLength;
use crate::reason::Reason;

/// How far [`Connection::receive`] came.
#[derive(Debug)]
pub struct Step {
    /// Bytes that were taken.
    pub used: usize,
    /// A request, behind which there may be more.
    pub arrival: Option<Arrival>,
}

/// A request that has come. Whoever gets it closes its stream with [`Connection::close`].
#[derive(Debug)]
pub struct Arrival {
    pub key: Key,
    pub request: Received,
}

impl Connection {
    /// Takes frames off the front of `bytes` up to a request, the end of what is whole, or until the answers to them would
    /// be too many: what the client doesn't read it can't make us write. After a fault nothing more is taken.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Step {
        let mut used = 0;
        let mut arrival = None;
        while arrival.is_none() && self.fault().is_none() && self.out.len() < CONGESTED {
            match self.receive_one(&bytes[used..], now) {
                Ok(Some((taken, came))) => {
                    used += taken;
                    arrival = came;
                }
                Ok(None) => break,
                Err(fault) => self.fail(fault),
            }
        }
        Step { used, arrival }
    }

    /// Whether the client must read before more is taken from it.
    pub fn is_congested(&self) -> bool {
        self.out.len() >= CONGESTED
    }

    fn receive_one(&mut self, bytes: &[u8], now: Instant) -> Result<Option<(usize, Option<Arrival>)>, Fault> {
        if self.greeting == Greeting::Preface {
            let length = bytes.len().min(frame::PREFACE.len());
            if bytes[..length] != frame::PREFACE[..length] {
                return Err(protocol("no preface"));
            }
            if length < frame::PREFACE.len() {
                return Ok(None);
            }
            self.greeting = Greeting::Settings;
            return Ok(Some((length, None)));
        }
        let split = Frame::split(bytes).map_err(|_| fault(Code::FrameSize, "a frame longer than allowed"))?;
        let Some((frame, rest)) = split else { return Ok(None) };
        let arrival = self.take(frame, now)?;
        Ok(Some((bytes.len() - rest.len(), arrival)))
    }

    fn take(&mut self, frame: Frame<'_>, now: Instant) -> Result<Option<Arrival>, Fault> {
        if self.greeting == Greeting::Settings {
            if frame.kind != Some(Kind::Settings) || frame.has(flag::ACK) {
                return Err(protocol("no SETTINGS at first"));
            }
            self.greeting = Greeting::Done;
        }
        // RFC 9113 6.10: a section's frames follow each other.
        if self.section.is_some() && frame.kind != Some(Kind::Continuation) {
            return Err(protocol("a header section cut by another frame"));
        }
        match frame.kind {
            Some(Kind::Headers) => return self.take_headers(frame, now),
            Some(Kind::Continuation) => return self.take_continuation(frame, now),
            Some(Kind::Data) => self.take_data(frame, now)?,
            Some(Kind::Settings) => self.take_settings(frame, now)?,
            Some(Kind::Ping) => self.take_ping(frame, now)?,
            Some(Kind::ResetStream) => self.take_reset(frame, now)?,
            Some(Kind::WindowUpdate) => self.take_window_update(frame, now)?,
            Some(Kind::Priority) => self.take_priority(frame, now)?,
            Some(Kind::GoAway) => {
                if frame.stream != 0 {
                    return Err(protocol("GOAWAY on a stream"));
                }
                if frame.payload.len() < 8 {
                    return Err(fault(Code::FrameSize, "GOAWAY cut short"));
                }
                self.charge(1, now)?;
            }
            Some(Kind::PushPromise) => return Err(protocol("PUSH_PROMISE from a client")),
            None => self.charge(1, now)?,
        }
        Ok(None)
    }

    fn take_headers(&mut self, frame: Frame<'_>, now: Instant) -> Result<Option<Arrival>, Fault> {
        if frame.stream.is_multiple_of(2) {
            return Err(protocol("a stream that isn't a client's"));
        }
        let bytes = frame.section().ok_or(protocol("more padding than frame"))?;
        let partial = Partial {
            stream: frame.stream,
            ends_stream: frame.has(flag::END_STREAM),
            is_circular: frame.has(flag::PRIORITY) && depends_on_itself(&frame),
            bytes: Vec::new(),
            since: now,
        };
        if frame.has(flag::END_HEADERS) {
            return self.take_section(&partial, bytes, now);
        }
        self.section = Some(Partial { bytes: bytes.to_vec(), ..partial });
        Ok(None)
    }

    fn take_continuation(&mut self, frame: Frame<'_>, now: Instant) -> Result<Option<Arrival>, Fault> {
        let open = self.section.take().filter(|section| section.stream == frame.stream);
        let mut section = open.ok_or(protocol("CONTINUATION of nothing"))?;
        // CVE-2024-27316.
        self.charge(1, now)?;
        if section.bytes.len() + frame.payload.len() > self.limits.head.max_head_bytes + SECTION_SLACK {
            return Err(calm("a header section too long"));
        }
        section.bytes.reserve_exact(frame.payload.len());
        section.bytes.extend_from_slice(frame.payload);
        if !frame.has(flag::END_HEADERS) {
            self.section = Some(section);
            return Ok(None);
        }
        let bytes = std::mem::take(&mut section.bytes);
        self.take_section(&section, &bytes, now)
    }

    /// A whole section: a request, trailers, or what is of no use any more. The table is the connection's, so that it is
    /// read in any case.
    fn take_section(&mut self, section: &Partial, bytes: &[u8], now: Instant) -> Result<Option<Arrival>, Fault> {
        let id = section.stream;
        if let Some(key) = self.streams.find(id) {
            return self.take_trailer_section(key, section.ends_stream, bytes, now).map(|()| None);
        }
        if id <= self.last_stream {
            self.skip(bytes, now)?;
            return match self.closed.find(id) {
                Some(How::Cut) => Ok(None),
                Some(How::Whole) => Err(fault(Code::StreamClosed, "HEADERS on a closed stream")),
                None => Err(protocol("a stream's identifier went backwards")),
            };
        }
        self.last_stream = id;
        if matches!(self.farewell, Farewell::Final(_)) {
            // What else comes for it was sent before the client knew: RFC 9113 6.8.
            self.closed.note(id, How::Cut);
            return self.skip(bytes, now).map(|()| None);
        }
        if self.has_no_place() {
            self.skip(bytes, now)?;
            return self.refuse(id, Code::RefusedStream, now).map(|()| None);
        }
        let request = section::read_request(&mut self.decoder, bytes, section.ends_stream, &self.limits.head)
            .map_err(compression)?;
        if section.is_circular {
            return self.refuse(id, Code::Protocol, now).map(|()| None);
        }
        if request.refused == Some(Reason::MalformedHead) {
            self.ledger.error(now).map_err(|Overdrawn| calm("too many malformed requests"))?;
        }
        self.ledger.earn(ledger::BY_REQUEST);
        let announced = match request.length {
            BodyLength::Known(length) if !section.ends_stream && !request.tunnel && request.refused.is_none() => {
                Some(length)
            }
            _ => None,
        };
        let stream = Stream::new(id, section.ends_stream, announced, STREAM_WINDOW, self.initial_send_window);
        let key = self.streams.insert(stream);
        Ok(Some(Arrival { key, request }))
    }

    /// Whether another stream is one too many. Streams that the client gave up count until their tasks have noticed.
    fn has_no_place(&self) -> bool {
        let max = self.limits.max_streams as usize;
        let all = self.streams.len();
        all >= max && (all >= 2 * max || self.streams.open() >= max)
    }

    fn take_trailer_section(&mut self, key: Key, ends_stream: bool, bytes: &[u8], now: Instant) -> Result<(), Fault> {
        let trailers = section::read_trailers(&mut self.decoder, bytes).map_err(compression)?;
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if stream.gone.is_some() {
            return self.charge(1, now);
        }
        if stream.ended {
            return self.misbehaved(key, Code::StreamClosed, now);
        }
        // RFC 9113 8.1: they end the stream, whose body is as long as was announced.
        let Some(trailers) = trailers.filter(|_| ends_stream && stream.announced.unwrap_or(0) == 0) else {
            return self.misbehaved(key, Code::Protocol, now);
        };
        stream.trailers = (!trailers.is_empty()).then_some(trailers);
        stream.ended = true;
        stream.wake();
        Ok(())
    }

    fn take_data(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        let body = frame.data().ok_or(protocol("more padding than frame"))?;
        if self.is_idle(frame.stream) {
            return Err(protocol("DATA on an idle stream"));
        }
        // It changes nothing: CVE-2019-9518.
        if frame.payload.is_empty() && !frame.has(flag::END_STREAM) {
            self.charge(1, now)?;
        }
        let flow = frame.payload.len() as u32;
        // RFC 9113 6.9: padding counts as well.
        let left = self.receive_window.checked_sub(flow);
        self.receive_window = left.ok_or(fault(Code::FlowControl, "more DATA than the window"))?;
        let Some(key) = self.streams.find(frame.stream) else {
            self.credit(flow as usize);
            return self.late(frame.stream, "DATA on a closed stream", now);
        };
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if stream.gone.is_some() {
            self.credit(flow as usize);
            return self.charge(1, now);
        }
        if stream.ended {
            self.credit(flow as usize);
            return self.misbehaved(key, Code::StreamClosed, now);
        }
        let Some(left) = stream.receive_window.checked_sub(flow) else {
            self.credit(flow as usize);
            return self.misbehaved(key, Code::FlowControl, now);
        };
        stream.receive_window = left;
        let ends = frame.has(flag::END_STREAM);
        let announced = stream.announced.map(|announced| announced.checked_sub(body.len() as u64));
        // RFC 9113 8.1.1: content-length is the sum of all DATA.
        if announced.is_some_and(|left| left.is_none() || (ends && left != Some(0))) {
            self.credit(flow as usize);
            return self.misbehaved(key, Code::Protocol, now);
        }
        stream.announced = announced.flatten();
        stream.ended = ends;
        append(&mut stream.body, body);
        stream.wake();
        let padding = flow as usize - body.len();
        if padding > 0 {
            self.consume(key, padding);
        }
        Ok(())
    }

    /// A section for nobody.
    fn skip(&mut self, bytes: &[u8], now: Instant) -> Result<(), Fault> {
        section::skip(&mut self.decoder, bytes).map_err(compression)?;
        self.charge(1, now)
    }

    /// A stream that isn't taken.
    fn refuse(&mut self, id: u32, code: Code, now: Instant) -> Result<(), Fault> {
        self.closed.note(id, How::Cut);
        frame::reset(self.out.buffer(), id, code);
        self.touch();
        self.ledger.error(now).map_err(|Overdrawn| calm("too many streams refused"))
    }

    /// The client broke a rule on a stream: RFC 9113 5.4.2.
    pub(super) fn misbehaved(&mut self, key: Key, code: Code, now: Instant) -> Result<(), Fault> {
        self.reset(key, code, Gone::Malformed);
        self.ledger.error(now).map_err(|Overdrawn| calm("too many stream errors"))
    }

    /// A frame for a stream that is over: RFC 9113 5.1, closed.
    fn late(&mut self, id: u32, why: &'static str, now: Instant) -> Result<(), Fault> {
        match self.closed.find(id) {
            Some(How::Whole) => Err(fault(Code::StreamClosed, why)),
            // It was on its way when the stream was cut; or that is so long ago that nobody knows.
            _ => self.charge(1, now),
        }
    }

    /// No client has opened it: RFC 9113 5.1, idle.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        id.is_multiple_of(2) || id > self.last_stream
    }

    pub(super) fn charge(&mut self, cost: u32, now: Instant) -> Result<(), Fault> {
        self.ledger.charge(cost, now).map_err(|Overdrawn| calm("too many frames that bring nothing"))
    }
}

/// Appends to what waits for its stream. The buffer grows by no more than an eighth past what it holds, for that counts
/// against the bound on the connection's memory.
fn append(body: &mut Vec<u8>, more: &[u8]) {
    let length = body.len() + more.len();
    if length > body.capacity() {
        body.reserve_exact(more.len() + length / 8);
    }
    body.extend_from_slice(more);
}

const fn compression(_: BadSection) -> Fault {
    fault(Code::Compression, "a header section that can't be read")
}
