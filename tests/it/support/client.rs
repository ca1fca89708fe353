//! A client that writes what it is told and believes nothing that it reads.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};
use socket2::SockRef;

use super::PATIENCE;
use super::certificate::Certificate;
use super::message::{Broken, Response};
use super::wire::{Inbox, Wire};

/// One connection.
pub struct Client {
    inbox: Inbox<Box<dyn Wire>>,
    /// What the handshake agreed on, on a TLS connection.
    pub alpn: Option<Vec<u8>>,
    pub tls_version: Option<ProtocolVersion>,
    /// The leaf certificate the server showed, DER.
    pub leaf: Option<Vec<u8>>,
    pub resumed: bool,
}

/// How a TLS client introduces itself. Reused, it remembers tickets.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    sni: String,
}

impl Tls {
    /// Trusts these certificates, names `sni`, offers 1.2 and 1.3 and no ALPN.
    pub fn new(trusted: &[&Certificate], sni: &str) -> Self {
        Self::with(trusted, sni, &[], rustls::ALL_VERSIONS)
    }

    pub fn with(
        trusted: &[&Certificate],
        sni: &str,
        alpn: &[&str],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate.der()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config), sni: sni.to_string() }
    }

    /// Trusts these authorities.
    pub fn with_roots(roots: RootCertStore, sni: &str) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config), sni: sni.to_string() }
    }

    pub fn h2(trusted: &Certificate, sni: &str) -> Self {
        Self::with(&[trusted], sni, &["h2"], rustls::ALL_VERSIONS)
    }

    /// The same client with a certificate of its own: chain and key as PEM.
    pub fn showing(&self, (chain, key): &(String, String)) -> Self {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
        let key = any_supported_type(&PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        Self { config: Arc::new(config), sni: self.sni.clone() }
    }

    /// The same client with this protocol by ALPN.
    pub fn offering(&self, protocol: &str) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self { config: Arc::new(config), sni: self.sni.clone() }
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.sni.clone()).unwrap()
    }
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(Box::new(connect(address)))
    }

    /// From one of the loopback's addresses, so that tests can be several clients.
    #[track_caller]
    pub fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        let stream: TcpStream = socket.into();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(Box::new(stream))
    }

    #[track_caller]
    pub fn tls(address: SocketAddr, tls: &Tls) -> Self {
        Self::try_tls(address, tls).unwrap()
    }

    /// The handshake's error as text.
    pub fn try_tls(address: SocketAddr, tls: &Tls) -> Result<Self, String> {
        Self::shake_hands(connect(address), tls)
    }

    /// Says this first.
    #[track_caller]
    pub fn tls_after(address: SocketAddr, first: &[u8], tls: &Tls) -> Self {
        let mut tcp = connect(address);
        tcp.write_all(first).unwrap();
        Self::shake_hands(tcp, tls).unwrap()
    }

    /// Over a Unix socket.
    #[track_caller]
    pub fn unix(path: &Path) -> Self {
        Self::over(Box::new(connect_unix(path)))
    }

    /// Over a Unix socket, and says this first.
    #[track_caller]
    pub fn unix_tls_after(path: &Path, first: &[u8], tls: &Tls) -> Self {
        let mut stream = connect_unix(path);
        stream.write_all(first).unwrap();
        Self::shake_hands(stream, tls).unwrap()
    }

    pub fn local_address(&self) -> SocketAddr {
        self.inbox.wire.tcp().local_addr().unwrap()
    }

    fn shake_hands(mut tcp: TcpStream, tls: &Tls) -> Result<Self, String> {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = ClientConnection::new(tls.config(), tls.server_name()).map_err(|e| e.to_string())?;
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).map_err(|e| e.to_string())?;
        }
        let alpn = connection.alpn_protocol().map(<[u8]>::to_vec);
        let tls_version = connection.protocol_version();
        let leaf = connection.peer_certificates().and_then(|c| c.first()).map(|c| c.to_vec());
        let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let client = Self::over(Box::new(StreamOwned::new(connection, tcp)));
        Ok(Self { alpn, tls_version, leaf, resumed, ..client })
    }

    fn over(wire: Box<dyn Wire>) -> Self {
        Self { inbox: Inbox::new(wire), alpn: None, tls_version: None, leaf: None, resumed: false }
    }

    /// Writes all of it; an error is the other side's close and shows at the next read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.inbox.wire.write_all(bytes.as_ref());
        let _ = self.inbox.wire.flush();
        self
    }

    /// Whether all of it could be written.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.inbox.wire.write_all(bytes.as_ref()).and_then(|()| self.inbox.wire.flush()).is_ok()
    }

    /// `GET path` with Host `test`, and its response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.send(get(path)).response("GET")
    }

    /// The response to a request of this method.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap()
    }

    pub fn try_response(&mut self, method: &str) -> Result<Response, Broken> {
        Response::read(self.inbox.within(PATIENCE), method)
    }

    /// The response to a GET, if it comes within `time`.
    pub fn response_within(&mut self, time: Duration) -> Result<Response, Broken> {
        Response::read(self.inbox.within(time), "GET")
    }

    /// The next head, interim or final; a body stays unread.
    pub fn try_head(&mut self, method: &str) -> Result<Response, Broken> {
        Response::read_head(self.inbox.within(PATIENCE), method)
    }

    /// The body that a head read by itself tells of.
    pub fn body_of(&mut self, mut response: Response) -> Result<Response, Broken> {
        response.message.read_body(self.inbox.within(PATIENCE))?;
        Ok(response)
    }

    /// The next bytes, as they come.
    pub fn take(&mut self, count: usize) -> Result<Vec<u8>, Broken> {
        self.inbox.within(PATIENCE).take(count)
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        self.inbox.within(PATIENCE).take_rest()
    }

    /// Whether the other side closes (or resets) without sending anything more, within `time`.
    pub fn is_closed_within(&mut self, time: Duration) -> bool {
        self.inbox.rest().is_empty() && matches!(self.inbox.within(time).fill(), Ok(0) | Err(Broken::Reset))
    }

    #[track_caller]
    pub fn assert_closed(&mut self) {
        let closed = self.is_closed_within(PATIENCE);
        assert!(closed, "still open, or more came: {}", self.inbox.rest().escape_ascii());
    }

    /// Nothing comes, and nothing is closed, for this long.
    #[track_caller]
    pub fn assert_silent_for(&mut self, time: Duration) {
        let more = self.inbox.within(time).fill();
        assert_eq!((more, self.inbox.rest()), (Err(Broken::TimedOut), &b""[..]));
    }

    pub fn close_write(&mut self) -> &mut Self {
        self.inbox.wire.close_write();
        self
    }

    /// RST instead of FIN.
    pub fn reset(self) {
        let _ = SockRef::from(self.inbox.wire.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// A receive buffer as small as the kernel allows, for a client that reads slowly.
    pub fn shrink_receive_buffer(&self) {
        SockRef::from(self.inbox.wire.tcp()).set_recv_buffer_size(4096).unwrap();
    }
}

/// A minimal request.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// Under the type of a TCP stream: reading, writing and deadlines are the same calls.
#[track_caller]
fn connect_unix(path: &Path) -> TcpStream {
    let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap()));
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[track_caller]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
