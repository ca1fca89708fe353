//! A stream to an endpoint's address: TCP from the source address that is configured, or a Unix socket, with its options
//! set and the client announced on it.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pingora_core::connectors::l4::BindTo;
use pingora_core::protocols::l4::ext;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use crate::config::{self, Address, TcpOptions};
use crate::http::address::Peer;
use crate::http::socket::{adopt, set_options};
use crate::proxy_protocol::{Version, encode};

/// What an upstream says of its connections, below TLS and HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketOptions {
    /// For endpoints of either family.
    bind_v4: Option<Ipv4Addr>,
    bind_v6: Option<Ipv6Addr>,
    /// `None`: as the system has them.
    tcp: Option<TcpOptions>,
    announce: Option<Version>,
}

/// Whom a connection was made for: where the client is, and where it had connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// `None`: nobody that a header can name.
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl Announced {
    /// A client that had connected to `destination`; unknown, the address that stands for any.
    pub fn new(client: Peer, destination: Option<SocketAddr>) -> Self {
        let any = |client: SocketAddr| match client {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        Self { ends: client.ip().map(|client| (client, destination.unwrap_or_else(|| any(client)))) }
    }
}

impl SocketOptions {
    pub(super) fn of(config: &config::Upstream) -> Self {
        let mut options = Self { announce: config.proxy_protocol, ..Self::default() };
        for source in &config.bind {
            match source {
                IpAddr::V4(v4) => options.bind_v4 = Some(*v4),
                IpAddr::V6(v6) => options.bind_v6 = Some(*v6),
            }
        }
        options.tcp = Some(config.tcp).filter(|tcp| *tcp != TcpOptions::default());
        options
    }

    /// Connects, and says first who the client is if the upstream wants that.
    ///
    /// # Errors
    /// The system's. `AddrNotAvailable`: the source address is none of this machine, or none is configured for the
    /// family; the endpoint was not asked.
    pub(super) async fn open(&self, address: &Address, client: Option<Announced>) -> io::Result<TcpStream> {
        let mut stream = match address {
            Address::Unix(path) => adopt(UnixStream::connect(path).await?.into_std()?.into())?,
            Address::Ip(address) => self.connect(*address).await?,
        };
        if let (Some(version), Some(client)) = (self.announce, client) {
            let mut header = Vec::with_capacity(128);
            encode(version, client.ends, &mut header);
            stream.write_all(&header).await?;
        }
        Ok(stream)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = match self.source(address)? {
            None => TcpStream::connect(address).await?,
            Some(source) => connect_from(source, address).await?,
        };
        // Only latency is lost where the option can't be set.
        let _ = stream.set_nodelay(true);
        if let Some(tcp) = &self.tcp {
            set_options(SockRef::from(&stream), tcp)?;
        }
        Ok(stream)
    }

    fn source(&self, address: SocketAddr) -> io::Result<Option<IpAddr>> {
        if self.bind_v4.is_none() && self.bind_v6.is_none() {
            return Ok(None);
        }
        let (source, family) = match address.ip().to_canonical() {
            IpAddr::V4(_) => (self.bind_v4.map(IpAddr::V4), "IPv4"),
            IpAddr::V6(_) => (self.bind_v6.map(IpAddr::V6), "IPv6"),
        };
        let missing = || {
            io::Error::new(io::ErrorKind::AddrNotAvailable, format!("`bind` has no {family} address for this endpoint"))
        };
        source.map(Some).ok_or_else(missing)
    }
}

/// The port is chosen when the destination is known (`IP_BIND_ADDRESS_NO_PORT`), so that one source address is good for
/// as many connections to each endpoint as there are ports.
async fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let mut from = BindTo::default();
    from.addr = Some(SocketAddr::new(source, 0));
    ext::connect(&address, Some(&from)).await.map_err(|error| system_error(&error))
}

/// What the system said, below what pingora made of it.
fn system_error(error: &pingora_core::Error) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.root_cause());
    while let Some(found) = cause {
        if let Some(io) = found.downcast_ref::<io::Error>() {
            return io.raw_os_error().map_or_else(|| io.kind().into(), io::Error::from_raw_os_error);
        }
        cause = found.source();
    }
    io::Error::other(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(bind: &[&str]) -> SocketOptions {
        let mut config = config::Upstream::to("u", ["10.0.0.1:80"]);
        config.bind = bind.iter().map(|address| address.parse().unwrap()).collect();
        SocketOptions::of(&config)
    }

    #[test]
    fn the_source_is_of_the_endpoints_family() {
        let both = options(&["10.0.0.5", "fd00::5"]);
        let source = |options: &SocketOptions, endpoint: &str| options.source(endpoint.parse().unwrap());
        assert_eq!(source(&both, "10.0.0.1:80").unwrap(), Some("10.0.0.5".parse().unwrap()));
        assert_eq!(source(&both, "[fd00::1]:80").unwrap(), Some("fd00::5".parse().unwrap()));
        assert_eq!(source(&options(&[]), "10.0.0.1:80").unwrap(), None);
        let error = source(&options(&["10.0.0.5"]), "[fd00::1]:80").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("no IPv6 address"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_source_address_and_a_refusal_is_told_as_such() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        let from = options(&["127.0.0.7"]);
        let (_stream, accepted) = tokio::join!(from.open(&address, None), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), IpAddr::from([127, 0, 0, 7]));
        drop(listener);
        let refused = from.open(&address, None).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let elsewhere = options(&["192.0.2.1"]).open(&address, None).await.unwrap_err();
        assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
