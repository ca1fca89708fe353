//! A connection to an endpoint, and how one is made.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Endpoint;
use crate::http::output::Output;
use crate::http::stream::{Input, Stream};

/// One HTTP/1 connection to an endpoint: between two requests both buffers are empty.
pub struct Connection {
    pub stream: Stream,
    pub input: Input,
    pub output: Output,
    /// Whether an earlier request went over it: its failure may only mean that the endpoint had closed it.
    pub reused: bool,
    /// When it last became idle, to a sweep's precision.
    pub idle_since: Instant,
}

impl Connection {
    /// Whether an idle connection has been closed or has sent bytes nobody asked for. Costs no system call unless the
    /// reactor has already seen something on it.
    pub fn is_spoiled(&mut self) -> bool {
        let mut probe = [0; 1];
        !matches!(self.stream.tcp().try_read(&mut probe), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads more of what the endpoint sends; 0 is the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, at_most: usize) -> Poll<io::Result<usize>> {
        self.input.poll_fill(cx, &mut self.stream, at_most)
    }
}

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    TimedOut,
    Failed(io::Error),
    /// This side has no descriptor or memory for it; the endpoint was not asked.
    Exhausted(io::Error),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Exhausted(error),
            _ => Self::Failed(error),
        }
    }
}

/// Opens a connection within `deadline`.
///
/// # Errors
/// Refused or unreachable; not done in time; out of descriptors or memory.
pub async fn connect(endpoint: &Arc<Endpoint>, deadline: Duration) -> Result<Connection, ConnectError> {
    let stream = match timeout(deadline, TcpStream::connect(endpoint.address())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(ConnectError::TimedOut),
    };
    // Only latency is lost where the option can't be set.
    let _ = stream.set_nodelay(true);
    Ok(Connection {
        stream: Stream::Tcp(stream),
        input: Input::default(),
        output: Output::default(),
        reused: false,
        idle_since: Instant::now(),
    })
}
