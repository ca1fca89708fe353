//! Listening sockets. At an IP address each worker has its own, all bound with `SO_REUSEPORT`; at a path, which can't be
//! bound twice, they share one.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpStream, UnixListener};

use super::unix::{self, SocketFile};
use crate::config::{Address, TcpOptions};
use crate::http::address::Peer;
use crate::http::socket::{adopt, set_options};

/// An address bound once for each worker.
pub struct Bound {
    /// With the port that the kernel chose, where 0 was asked for.
    pub address: Address,
    pub sockets: Vec<Socket>,
    /// Of a Unix socket: held for as long as it is served.
    pub file: Option<Arc<SocketFile>>,
}

/// How an address is bound.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// `listen(2)`
    pub backlog: u32,
    /// Permissions of a Unix socket's file.
    pub mode: u32,
    pub tcp: TcpOptions,
}

/// Binds `count` sockets to `address`.
///
/// # Errors
/// The address is in use (also by another `SO_REUSEPORT` socket, which the kernel alone would let pass and share
/// connections with), not of this machine, or not permitted. At a path: as `AlreadyExists`, what is there is no socket.
pub fn bind(address: &Address, binding: Binding, count: usize) -> io::Result<Bound> {
    match address {
        Address::Ip(address) => bind_ip(*address, binding, count),
        Address::Unix(path) => bind_path(path, binding, count),
    }
}

fn bind_ip(address: SocketAddr, binding: Binding, count: usize) -> io::Result<Bound> {
    if address.port() != 0 {
        let probe = open(address, false)?;
        probe.bind(&address.into())?;
        probe.listen(1)?;
    }
    let first = listen(address, binding)?;
    let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(listen(address, binding)?);
    }
    Ok(Bound { address: address.into(), sockets, file: None })
}

fn bind_path(path: &Arc<Path>, binding: Binding, count: usize) -> io::Result<Bound> {
    let (socket, file) = unix::listen(path, binding.mode, binding.backlog)?;
    let sockets = (0..count).map(|_| socket.try_clone()).collect::<io::Result<_>>()?;
    Ok(Bound { address: Address::Unix(Arc::clone(path)), sockets, file: Some(Arc::new(file)) })
}

fn listen(address: SocketAddr, binding: Binding) -> io::Result<Socket> {
    let socket = open(address, true)?;
    if binding.tcp != TcpOptions::default() {
        set_options(SockRef::from(&socket), &binding.tcp)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(binding.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
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

/// A listening socket on a worker's runtime.
pub enum ListenSocket {
    Tcp(tokio::net::TcpListener),
    Unix(UnixListener),
}

impl ListenSocket {
    /// Puts one that is bound at `address` on this thread's runtime.
    ///
    /// # Errors
    /// The runtime can't watch it.
    pub fn new(address: &Address, socket: Socket) -> io::Result<Self> {
        match address {
            Address::Ip(_) => tokio::net::TcpListener::from_std(TcpListener::from(socket)).map(Self::Tcp),
            Address::Unix(_) => UnixListener::from_std(OwnedFd::from(socket).into()).map(Self::Unix),
        }
    }

    /// The next connection, and its other end.
    pub async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        match self {
            Self::Tcp(socket) => socket.accept().await.map(|(stream, peer)| (stream, peer.into())),
            Self::Unix(socket) => {
                let (accepted, _) = socket.accept().await?;
                Ok((adopt(accepted.into_std()?.into())?, Peer::Unix))
            }
        }
    }

    /// What the kernel has queued already. Not through the reactor: it knows nothing of what has come since its last turn.
    pub fn accept_queued(&self) -> io::Result<(TcpStream, Peer)> {
        let (accepted, peer) = self.socket().accept()?;
        let peer = match self {
            Self::Tcp(_) => peer.as_socket().ok_or(io::ErrorKind::InvalidData)?.into(),
            Self::Unix(_) => Peer::Unix,
        };
        Ok((adopt(OwnedFd::from(accepted))?, peer))
    }

    /// Takes over what a reload has changed. Connections made before keep what they had.
    ///
    /// # Errors
    /// The kernel's.
    pub fn change(&self, backlog: u32, tcp: Option<&TcpOptions>) -> io::Result<()> {
        // The kernel takes a new backlog for a socket that listens already.
        self.socket().listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        match (self, tcp) {
            (Self::Tcp(_), Some(tcp)) => set_options(self.socket(), tcp),
            _ => Ok(()),
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeepAlive;

    const BINDING: Binding =
        Binding { backlog: 16, mode: 0o666, tcp: TcpOptions { keepalive: None, user_timeout: None } };

    fn any_port(count: usize) -> Bound {
        bind(&"127.0.0.1:0".parse().unwrap(), BINDING, count).unwrap()
    }

    #[test]
    fn port_zero_gives_every_worker_the_same_port() {
        let bound = any_port(3);
        assert_eq!(bound.sockets.len(), 3);
        let address = |socket: &Socket| Address::Ip(socket.local_addr().unwrap().as_socket().unwrap());
        assert!(bound.sockets.iter().all(|s| address(s) == bound.address));
    }

    #[test]
    fn an_address_that_already_listens_is_refused_even_if_it_would_share() {
        let first = any_port(1);
        let error = bind(&first.address, BINDING, 1).err().map(|e| e.kind());
        assert_eq!(error, Some(io::ErrorKind::AddrInUse));
    }

    #[tokio::test]
    async fn what_is_accepted_has_the_options_of_its_listener() {
        let seconds = std::time::Duration::from_secs;
        let keepalive = KeepAlive { idle: Some(seconds(61)), interval: Some(seconds(7)), count: Some(3) };
        let tcp = TcpOptions { keepalive: Some(keepalive), user_timeout: Some(seconds(9)) };
        let mut bound = bind(&"127.0.0.1:0".parse().unwrap(), Binding { tcp, ..BINDING }, 1).unwrap();
        let socket = ListenSocket::new(&bound.address, bound.sockets.pop().unwrap()).unwrap();
        let accept = async || {
            let _client = std::net::TcpStream::connect(bound.address.ip().unwrap()).unwrap();
            let (accepted, _) = socket.accept().await.unwrap();
            let accepted = SockRef::from(&accepted);
            let times = (accepted.tcp_keepalive_time().unwrap(), accepted.tcp_keepalive_interval().unwrap());
            (accepted.keepalive().unwrap(), times, accepted.tcp_user_timeout().unwrap().unwrap_or_default())
        };
        assert_eq!(accept().await, (true, (seconds(61), seconds(7)), seconds(9)));
        socket.change(16, Some(&TcpOptions::default())).unwrap();
        let (keepalive, _, user_timeout) = accept().await;
        assert_eq!((keepalive, user_timeout), (false, seconds(0)));
    }
}
