//! What a run is to do, as checked values.

use std::sync::Arc;
use std::time::Duration;

use super::request::Request;
use super::target::Target;

/// Everything a run needs to know. Addresses are resolved, bodies are read: nothing in it can fail any more.
#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Target,
    pub request: Request,
    pub protocol: Protocol,
    /// How to speak TLS; `None` speaks plainly.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub load: Load,
    /// For how long requests are sent. With `requests` too, whichever is reached first.
    pub duration: Option<Duration>,
    /// How many requests are sent in all.
    pub requests: Option<u64>,
    /// Connections in all. At least as many as `threads`.
    pub connections: usize,
    /// Requests in flight on one connection at most; 1 for HTTP/1.1.
    pub streams: usize,
    /// Worker threads.
    pub threads: usize,
    /// Whether a connection carries more than one request.
    pub keepalive: bool,
    /// How long a connection may take to open, and a request to be answered, from when it was really sent.
    pub timeout: Duration,
    pub expect: Expect,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// As reports write it, which is the name that ALPN has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        }
    }
}

/// What makes a request leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// The clock: so many a second, whether the server keeps up or not.
    Open { rate: f64 },
    /// The answer to the one before.
    Closed,
}

impl Load {
    /// As reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Load::Open { .. } => "open",
            Load::Closed => "closed",
        }
    }

    /// Requests a second, if the clock decides.
    pub fn rate(self) -> Option<f64> {
        match self {
            Load::Open { rate } => Some(rate),
            Load::Closed => None,
        }
    }
}

/// What an answer has to be beside well-formed and whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expect {
    /// The one status that is right; without it any below 400 is.
    pub status: Option<u16>,
    /// Bytes of the body.
    pub length: Option<u64>,
}

impl Expect {
    /// Whether a status is one that was hoped for.
    pub fn accepts(&self, status: u16) -> bool {
        self.status.map_or(status < 400, |expected| status == expected)
    }
}
