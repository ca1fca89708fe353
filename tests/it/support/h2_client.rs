//! A well-behaved HTTP/2 client on the `h2` crate; its connection is driven by a thread of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use super::PATIENCE;
use super::client::Tls;

pub struct H2Client {
    requests: SendRequest<Bytes>,
    runtime: Runtime,
    closed: Option<oneshot::Receiver<Result<(), h2::Error>>>,
}

/// Read to its end.
#[derive(Debug)]
pub struct H2Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl H2Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

impl H2Client {
    #[track_caller]
    pub fn connect(address: SocketAddr, tls: Option<&Tls>) -> Self {
        Self::with(address, tls, &Builder::new())
    }

    #[track_caller]
    pub fn with(address: SocketAddr, tls: Option<&Tls>, builder: &Builder) -> Self {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (ended, closed) = oneshot::channel();
        let (builder, tls) = (builder.clone(), tls.cloned());
        std::thread::spawn(move || {
            runtime().block_on(async move {
                let tcp = TcpStream::connect(address).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                let stream: Box<dyn Stream> = match tls {
                    None => Box::new(tcp),
                    Some(tls) => {
                        let connector = tokio_rustls::TlsConnector::from(tls.config());
                        let stream = connector.connect(tls.server_name(), tcp).await.unwrap();
                        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        Box::new(stream)
                    }
                };
                let (requests, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
                ready.send(requests).unwrap();
                let _ = ended.send(connection.await);
            });
        });
        let requests = is_ready.recv_timeout(PATIENCE).expect("an HTTP/2 connection");
        Self { requests, runtime: runtime(), closed: Some(closed) }
    }

    /// Runs a future of this connection's streams, at most [`PATIENCE`].
    #[track_caller]
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.within(PATIENCE, future).expect("an HTTP/2 event in time")
    }

    pub fn within<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        self.runtime.block_on(async { tokio::time::timeout(time, future).await.ok() })
    }

    /// Opens a stream with this head.
    pub fn open(&mut self, head: Request<()>, end: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let requests = self.requests.clone();
        self.requests = self.wait(requests.ready())?;
        self.requests.send_request(head, end)
    }

    /// Whether the server's settings have come, and allow an Extended CONNECT (RFC 8441).
    pub fn knows_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// `https://test` and the path.
    pub fn try_get(&mut self, path: &str) -> Result<H2Response, h2::Error> {
        let head = Request::get(format!("https://test{path}")).body(()).unwrap();
        let (response, _) = self.open(head, true)?;
        self.read(response)
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> H2Response {
        self.try_get(path).unwrap()
    }

    /// Sends a body with or without trailers, as flow control allows.
    pub fn send(
        &mut self,
        head: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<H2Response, h2::Error> {
        let (response, mut stream) = self.open(head, false)?;
        let end = trailers.is_none();
        stream.send_data(Bytes::copy_from_slice(body), end)?;
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers)?;
        }
        self.read(response)
    }

    pub fn read(&self, response: ResponseFuture) -> Result<H2Response, h2::Error> {
        self.wait(async move {
            let response = response.await?;
            let (head, mut stream) = response.into_parts();
            let (body, trailers) = read_stream(&mut stream).await?;
            Ok(H2Response { status: head.status.as_u16(), headers: head.headers, body, trailers })
        })
    }

    /// Waits for the connection's end.
    #[track_caller]
    pub fn closed(&mut self) -> Result<(), h2::Error> {
        let closed = self.closed.take().unwrap();
        self.wait(closed).unwrap()
    }
}

async fn read_stream(stream: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok((body, stream.trailers().await?))
}

/// The error code of a stream or connection that was ended by the other side.
pub fn reason_of(error: &h2::Error) -> Option<Reason> {
    error.reason()
}

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
