//! One connection: its bytes, and the HTTP spoken over it.

use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use super::exchange::{Done, Fault};
use super::http1::Http1;
use super::http2::{Http2, Rules};
use super::plan::{Plan, Protocol};
use super::schedule::Ticket;
use super::transport::Transport;

/// A connection that is being opened, or is open.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    http: Http,
    /// Bytes on their way out, the first `written` of them gone.
    out: Vec<u8>,
    written: usize,
    is_open: bool,
    began: Instant,
}

#[derive(Debug)]
enum Http {
    One(Http1),
    Two(Box<Http2>),
}

impl Connection {
    pub(super) fn connect(
        plan: &Plan,
        attempt: usize,
        registry: &Registry,
        token: Token,
        now: Instant,
    ) -> io::Result<Self> {
        let tls = plan.tls.as_ref().map(|config| (config, plan.target.name()));
        let transport = Transport::connect(plan.target.address(attempt), tls, registry, token)?;
        let mut out = Vec::new();
        let http = match plan.protocol {
            Protocol::Http1 => Http::One(Http1::default()),
            Protocol::Http2 => Http::Two(Box::new(Http2::new(&plan.request, &plan.target, plan.streams, &mut out))),
        };
        Ok(Self { transport, http, out, written: 0, is_open: false, began: now })
    }

    /// Goes on with opening. True once it is open.
    pub(super) fn open(&mut self) -> io::Result<bool> {
        if !self.is_open && self.transport.open()? {
            let is_http2 = matches!(self.http, Http::Two(_));
            if is_http2 && self.transport.is_tls() && self.transport.alpn() != Some(b"h2") {
                return Err(io::Error::other("the server doesn't offer HTTP/2"));
            }
            self.is_open = true;
            self.flush()?;
        }
        Ok(self.is_open)
    }

    /// When connecting began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Whether requests may be sent, now or after answers to others.
    pub(super) fn is_ready(&self) -> bool {
        self.is_open
            && match &self.http {
                Http::One(_) => true,
                Http::Two(http2) => http2.is_ready(),
            }
    }

    /// How many requests may be sent now.
    pub(super) fn room(&self) -> usize {
        match &self.http {
            _ if !self.is_open => 0,
            Http::One(http1) => usize::from(http1.is_idle() && !http1.is_spent()),
            Http::Two(http2) => http2.room(),
        }
    }

    /// Whether it has nothing to do any more, and never will.
    pub(super) fn is_used_up(&self) -> bool {
        match &self.http {
            Http::One(http1) => http1.is_spent() && http1.is_idle(),
            Http::Two(http2) => http2.is_spent() && http2.is_idle(),
        }
    }

    /// Whether a request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        match &self.http {
            Http::One(http1) => http1.is_idle(),
            Http::Two(http2) => http2.is_idle(),
        }
    }

    /// Puts a request into the bytes on their way out; [`Connection::flush`] sends them.
    pub(super) fn start(&mut self, ticket: Ticket, now: Instant, plan: &Plan) {
        match &mut self.http {
            Http::One(http1) => http1.start(ticket, now, &plan.request, &mut self.out),
            Http::Two(http2) => http2.start(ticket, now, &plan.request, &mut self.out),
        }
    }

    /// Writes what is on its way out, as far as the kernel takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.is_open {
            return Ok(());
        }
        while self.written < self.out.len() {
            match self.transport.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        self.transport.flush_tls().map(drop)
    }

    /// Epoll says that there is something to read, and whether it is the last.
    pub(super) fn readable(&mut self, ends: bool) {
        self.transport.readable(ends);
    }

    /// Reads and takes in all that is there. Requests that are over go to `done`.
    ///
    /// # Errors
    /// Why the connection is of no further use; what was in flight is in `done`.
    pub(super) fn receive(&mut self, plan: &Plan, buffer: &mut [u8], done: &mut Vec<Done>) -> Result<(), Fault> {
        loop {
            match self.transport.read(buffer) {
                Ok(0) => {
                    self.end(plan, done);
                    return Err(Fault::Closed);
                }
                Ok(read) => {
                    if let Err(fault) = self.take(plan, &buffer[..read], done) {
                        self.fail(fault, done);
                        return Err(fault);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let fault = fault_of(&error);
                    self.fail(fault, done);
                    return Err(fault);
                }
            }
        }
    }

    /// Ends what is in flight, for `fault`.
    pub(super) fn fail(&mut self, fault: Fault, done: &mut Vec<Done>) {
        match &mut self.http {
            Http::One(http1) => done.extend(http1.fail(fault)),
            Http::Two(http2) => http2.fail(fault, done),
        }
    }

    /// Gives up requests that were sent more than the timeout ago. False: the connection has no further use.
    pub(super) fn expire(&mut self, plan: &Plan, now: Instant, done: &mut Vec<Done>) -> bool {
        match &mut self.http {
            Http::One(http1) => {
                let is_late = http1.sent().is_some_and(|sent| now.saturating_duration_since(sent) >= plan.timeout);
                if is_late {
                    done.extend(http1.fail(Fault::Timeout));
                }
                !is_late
            }
            Http::Two(http2) => {
                http2.expire(now, plan.timeout, &mut self.out, done);
                true
            }
        }
    }

    fn take(&mut self, plan: &Plan, bytes: &[u8], done: &mut Vec<Done>) -> Result<(), Fault> {
        match &mut self.http {
            Http::One(http1) => http1.receive(bytes, &plan.request, &plan.expect, done),
            Http::Two(http2) => {
                let rules = Rules { request: &plan.request, expect: &plan.expect };
                http2.receive(bytes, rules, &mut self.out, done)
            }
        }
    }

    fn end(&mut self, plan: &Plan, done: &mut Vec<Done>) {
        match &mut self.http {
            Http::One(http1) => done.extend(http1.end(&plan.expect)),
            Http::Two(http2) => http2.fail(Fault::Closed, done),
        }
    }
}

/// A TLS stream that breaks the protocol is one thing, a connection that ends another.
fn fault_of(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::Other { Fault::Protocol } else { Fault::Closed }
}
