//! One request and what came of it, whichever HTTP carries it.

use std::time::Instant;

use super::schedule::Ticket;

/// A request that was sent and not yet answered in full.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) ticket: Ticket,
    pub(super) sent: Instant,
    /// Status of the answer, 0 until it is known.
    pub(super) status: u16,
    /// Bytes of the body so far.
    pub(super) bytes: u64,
}

impl InFlight {
    pub(super) fn new(ticket: Ticket, sent: Instant) -> Self {
        Self { ticket, sent, status: 0, bytes: 0 }
    }

    pub(super) fn answered(self) -> Done {
        Done { request: self, fault: None }
    }

    pub(super) fn failed(self, fault: Fault) -> Done {
        Done { request: self, fault: Some(fault) }
    }
}

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) request: InFlight,
    pub(super) fault: Option<Fault>,
}

/// Why a request has no answer, or not the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection: refused, unreachable, a handshake that failed.
    Connect,
    /// No whole answer in time.
    Timeout,
    /// The server ended the connection or the stream before it had answered.
    Closed,
    /// What came is not HTTP.
    Protocol,
    /// The body isn't as long as it was said or expected to be.
    Length,
    /// The status isn't the expected one. The answer counts as one all the same.
    Status,
}

impl Fault {
    pub const ALL: [Fault; 6] =
        [Fault::Connect, Fault::Timeout, Fault::Closed, Fault::Protocol, Fault::Length, Fault::Status];

    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Connect => "connect",
            Fault::Timeout => "timeout",
            Fault::Closed => "closed",
            Fault::Protocol => "protocol",
            Fault::Length => "length",
            Fault::Status => "status",
        }
    }
}
