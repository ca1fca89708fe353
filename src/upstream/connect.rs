//! How a connection to an endpoint comes about: TCP, then TLS, then the protocol spoken over it.
//!
//! Each step is a function of its own, and all share one deadline. [`Connection`] and whatever else speaks a protocol
//! take the stream that comes out.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Endpoint;
use super::connection::Connection;
use crate::http::stream::Stream;

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

/// Opens an HTTP/1 connection within `limit`.
///
/// # Errors
/// Refused or unreachable; not done in time; out of descriptors or memory.
pub async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<Connection, ConnectError> {
    Ok(Connection::over(open(endpoint, limit).await?))
}

/// Everything below the protocol.
async fn open(endpoint: &Endpoint, limit: Duration) -> Result<Stream, ConnectError> {
    let now = Instant::now();
    let deadline = now.checked_add(limit).unwrap_or(now + FAR);
    Ok(Stream::Tcp(open_tcp(endpoint, deadline).await?))
}

async fn open_tcp(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let stream = match timeout_at(deadline, TcpStream::connect(endpoint.address())).await {
        Ok(stream) => stream?,
        Err(_) => return Err(ConnectError::TimedOut),
    };
    // Only latency is lost where the option can't be set.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Stands for a deadline that the clock can't express.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
