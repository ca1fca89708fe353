//! What an origin does once it has a request: a list of steps, well behaved or not.

use std::time::Duration;

use super::Latch;

/// Steps in order; afterwards the connection is read for the next request, unless a step ended it.
#[derive(Clone, Default)]
pub struct Answer(pub(super) Vec<Step>);

#[derive(Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    Wait(Latch),
    /// Tells that everything before it was taken by the other side or its buffers.
    Open(Latch),
    /// The bytes one at a time, this far apart, until they are out or the other side is gone.
    Drip(Vec<u8>, Duration),
    /// Waits for the next byte, and takes it.
    Hear,
    /// RST instead of FIN.
    Reset,
    Close,
    CloseWrite,
    /// Nothing more, until the other side closes.
    Hang,
    /// Sends everything back until the other side closes.
    Echo,
}

impl Answer {
    /// 200 with a Content-Length.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::status(200, body)
    }

    pub fn status(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::with_fields(status, "", body)
    }

    /// `fields` are whole lines with CRLF.
    pub fn with_fields(status: u16, fields: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = if status == 204 || status == 304 { String::new() } else { content_length(body) };
        Self::raw(format!("HTTP/1.1 {status} Whatever\r\n{fields}{length}\r\n")).send(body)
    }

    /// 200, chunked as given, with trailers (whole lines).
    pub fn chunked(chunks: &[&str], trailers: &str) -> Self {
        let mut bytes = String::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in chunks {
            bytes += &format!("{:x}\r\n{chunk}\r\n", chunk.len());
        }
        Self::raw(format!("{bytes}0\r\n{trailers}\r\n"))
    }

    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::default().send(bytes)
    }

    pub fn nothing() -> Self {
        Self::default()
    }

    /// Waits before everything that stands so far.
    pub fn after(mut self, latch: &Latch) -> Self {
        self.0.insert(0, Step::Wait(latch.clone()));
        self
    }

    /// Consecutive bytes leave in one write.
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        match self.0.last_mut() {
            Some(Step::Send(before)) => before.extend_from_slice(bytes.as_ref()),
            _ => self.0.push(Step::Send(bytes.as_ref().to_vec())),
        }
        self
    }

    pub fn wait(self, latch: &Latch) -> Self {
        self.then(Step::Wait(latch.clone()))
    }

    /// Opens the latch once everything before it was written.
    pub fn open(self, latch: &Latch) -> Self {
        self.then(Step::Open(latch.clone()))
    }

    pub fn drip(self, bytes: impl AsRef<[u8]>, every: Duration) -> Self {
        self.then(Step::Drip(bytes.as_ref().to_vec(), every))
    }

    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Waits for the next request's first byte, and takes it.
    pub fn hear(self) -> Self {
        self.then(Step::Hear)
    }

    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    pub fn close_write(self) -> Self {
        self.then(Step::CloseWrite)
    }

    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }

    pub fn echo(self) -> Self {
        self.then(Step::Echo)
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

fn content_length(body: &[u8]) -> String {
    format!("Content-Length: {}\r\n", body.len())
}
