//! Sockets of either family, and what is asked of the kernel for them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::config::TcpOptions;

/// Puts a connected stream socket on this thread's runtime.
///
/// A Unix socket goes under the same type as a TCP one: whatever is done to a connection (read, write, peek, splice, shut
/// down) is the same call to the kernel, and a second type would be one more branch in each. What only TCP has (its
/// addresses, `TCP_NODELAY`) fails there, and is asked of nobody who might be one.
///
/// # Errors
/// The runtime can't watch it.
pub fn adopt(socket: OwnedFd) -> io::Result<TcpStream> {
    let socket = std::net::TcpStream::from(socket);
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket)
}

/// Sets what `options` ask for on a TCP socket. Accepted sockets have what their listening one had.
///
/// # Errors
/// The kernel's.
pub fn set_options(socket: SockRef<'_>, options: &TcpOptions) -> io::Result<()> {
    match options.keepalive {
        Some(keepalive) => {
            let mut wanted = TcpKeepalive::new();
            if let Some(idle) = keepalive.idle {
                wanted = wanted.with_time(idle);
            }
            if let Some(interval) = keepalive.interval {
                wanted = wanted.with_interval(interval);
            }
            if let Some(count) = keepalive.count {
                wanted = wanted.with_retries(count);
            }
            socket.set_keepalive(true)?;
            socket.set_tcp_keepalive(&wanted)?;
        }
        None => socket.set_keepalive(false)?,
    }
    // 0 is the system's.
    socket.set_tcp_user_timeout(Some(options.user_timeout.unwrap_or(Duration::ZERO)))
}
