//! An HTTP/1 connection to an endpoint.

use std::io;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::Announced;
use crate::http::output::Output;
use crate::http::stream::{Input, Stream};

/// One connection: between two requests both buffers are empty.
pub struct Connection {
    pub stream: Stream,
    pub input: Input,
    pub output: Output,
    /// Whether an earlier request went over it: its failure may only mean that the endpoint had closed it.
    pub reused: bool,
    /// The only client that it may serve; `None`: any.
    pub announced: Option<Box<Announced>>,
    /// When it last became idle, to a sweep's precision.
    pub idle_since: Instant,
}

impl Connection {
    /// A new one, for `client` alone if it was announced.
    pub fn over(stream: Stream, client: Option<Announced>) -> Self {
        Self {
            stream,
            input: Input::default(),
            output: Output::default(),
            reused: false,
            announced: client.map(Box::new),
            idle_since: Instant::now(),
        }
    }

    /// Whether an idle connection has been closed or has sent bytes nobody asked for. Costs no system call unless the
    /// reactor has already seen something on it.
    pub fn is_spoiled(&mut self) -> bool {
        let mut probe = [0; 1];
        match &mut self.stream {
            Stream::Tcp(tcp) => {
                !matches!(tcp.try_read(&mut probe), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // Session tickets come when the server likes to send them: only TLS can tell them from a response.
            stream => stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut probe).is_ready(),
        }
    }

    /// Reads more of what the endpoint sends; 0 is the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, at_most: usize) -> Poll<io::Result<usize>> {
        self.input.poll_fill(cx, &mut self.stream, at_most)
    }
}
