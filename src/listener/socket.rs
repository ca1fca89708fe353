//! Listening sockets: one for each worker, all bound to the same address with `SO_REUSEPORT`.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// An address bound once for each worker.
pub struct Bound {
    /// With the port that the kernel chose, where 0 was asked for.
    pub address: SocketAddr,
    pub sockets: Vec<TcpListener>,
}

/// Binds `count` sockets to `address`.
///
/// # Errors
/// The address is in use (also by another `SO_REUSEPORT` socket, which the kernel alone would let pass and share
/// connections with), not of this machine, or not permitted.
pub fn bind(address: SocketAddr, backlog: u32, count: usize) -> io::Result<Bound> {
    if address.port() != 0 {
        let probe = open(address, false)?;
        probe.bind(&address.into())?;
        probe.listen(1)?;
    }
    let first = listen(address, backlog)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(listen(address, backlog)?);
    }
    Ok(Bound { address, sockets })
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = open(address, true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Accepted sockets inherit `TCP_NODELAY`, which saves a call for each. As in nginx, `[::]` leaves IPv4 to `0.0.0.0`.
fn open(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if share {
        socket.set_reuse_port(true)?;
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_gives_every_worker_the_same_port() {
        let bound = bind("127.0.0.1:0".parse().unwrap(), 16, 3).unwrap();
        assert_eq!(bound.sockets.len(), 3);
        assert!(bound.sockets.iter().all(|s| s.local_addr().unwrap() == bound.address));
    }

    #[test]
    fn an_address_that_already_listens_is_refused_even_if_it_would_share() {
        let first = bind("127.0.0.1:0".parse().unwrap(), 16, 1).unwrap();
        let error = bind(first.address, 16, 1).err().map(|e| e.kind());
        assert_eq!(error, Some(io::ErrorKind::AddrInUse));
    }
}
