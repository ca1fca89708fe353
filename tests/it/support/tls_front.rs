//! TLS in front of an origin, as an upstream that speaks TLS: what its clients asked for is kept.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::{Certificate, eventually};

/// A handshake that was completed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shaken {
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub resumed: bool,
    pub version: ProtocolVersion,
    pub shown: bool,
}

/// Listens until dropped.
pub struct TlsFront {
    address: SocketAddr,
    shaken: Arc<Mutex<Vec<Shaken>>>,
    runtime: Option<Runtime>,
}

/// How it speaks TLS.
pub struct Terms<'a> {
    pub certificate: &'a Certificate,
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub alpn: &'a [&'a str],
    /// Clients have to show a certificate of this authority.
    pub clients: Option<&'a Certificate>,
}

impl<'a> Terms<'a> {
    pub fn with(certificate: &'a Certificate) -> Self {
        Self { certificate, versions: rustls::ALL_VERSIONS, alpn: &[], clients: None }
    }

    fn config(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(self.versions).unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(vec![self.certificate.der()], self.certificate.key_der()).unwrap();
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

impl TlsFront {
    /// Passes what comes over TLS on to `origin`, in plain text.
    pub fn start(origin: SocketAddr, terms: &Terms<'_>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(terms.config()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shaken: Arc<Mutex<Vec<Shaken>>> = Arc::default();
        let seen = shaken.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, origin, acceptor.clone(), seen.clone()));
            }
        });
        Self { address, shaken, runtime: Some(runtime) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn shaken(&self) -> Vec<Shaken> {
        self.shaken.lock().unwrap().clone()
    }

    /// The only handshake so far.
    #[track_caller]
    pub fn only(&self) -> Shaken {
        eventually("a handshake at the origin", || !self.shaken().is_empty());
        let shaken = self.shaken();
        assert_eq!(shaken.len(), 1, "{shaken:?}");
        shaken[0].clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn pass(stream: TcpStream, origin: SocketAddr, acceptor: TlsAcceptor, seen: Arc<Mutex<Vec<Shaken>>>) {
    let _ = stream.set_nodelay(true);
    let Ok(mut tls) = acceptor.accept(stream).await else { return };
    let connection = tls.get_ref().1;
    let shaken = Shaken {
        sni: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned()),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        version: connection.protocol_version().unwrap(),
        shown: connection.peer_certificates().is_some(),
    };
    seen.lock().unwrap().push(shaken);
    let Ok(mut plain) = TcpStream::connect(origin).await else { return };
    let _ = copy_bidirectional(&mut tls, &mut plain).await;
}

/// A certificate for `backend.test`, `localhost` and 127.0.0.1.
pub fn backend_certificate(directory: &Path) -> Certificate {
    Certificate::make(directory, "backend", &["backend.test", "localhost", "127.0.0.1"])
}
