//! HTTP/2 origins: one on the `h2` crate that behaves, and one that does frame by frame what a test says.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::runtime::Runtime;

use super::{RawH2, eventually};

/// Listens until dropped.
pub struct H2Origin {
    address: SocketAddr,
    seen: Arc<Seen>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    heads: Mutex<Vec<Request<()>>>,
}

impl H2Origin {
    /// In plain text, with prior knowledge. Each request is a task of its own.
    pub fn start<F>(
        builder: &h2::server::Builder,
        script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Seen> = Arc::default();
        let (builder, noted) = (builder.clone(), seen.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                noted.connections.fetch_add(1, Ordering::SeqCst);
                noted.open.fetch_add(1, Ordering::SeqCst);
                let (builder, script, noted) = (builder.clone(), script.clone(), noted.clone());
                tokio::spawn(async move {
                    if let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await {
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            let mut head = Request::new(());
                            head.clone_from_request(&request);
                            noted.heads.lock().unwrap().push(head);
                            tokio::spawn(script(request, respond));
                        }
                    }
                    noted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, seen, runtime: Some(runtime) }
    }

    /// Sends the request's body and trailers back as they come, each piece as soon as it is there.
    pub fn echo() -> Self {
        Self::start(&h2::server::Builder::new(), echo)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn connections_open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    pub fn heads(&self) -> Vec<Request<()>> {
        let heads = self.seen.heads.lock().unwrap();
        heads.iter().map(|head| Request::new(()).with_head_of(head)).collect()
    }

    #[track_caller]
    pub fn last(&self) -> Request<()> {
        eventually("a request at the origin", || self.heads().pop())
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

trait CopyHead: Sized {
    fn clone_from_request<T>(&mut self, other: &Request<T>);
    fn with_head_of<T>(self, other: &Request<T>) -> Self;
}

impl CopyHead for Request<()> {
    fn clone_from_request<T>(&mut self, other: &Request<T>) {
        *self.method_mut() = other.method().clone();
        *self.uri_mut() = other.uri().clone();
        *self.headers_mut() = other.headers().clone();
    }

    fn with_head_of<T>(mut self, other: &Request<T>) -> Self {
        self.clone_from_request(other);
        self
    }
}

/// See [`H2Origin::echo`].
pub async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut send = respond.send_response(Response::new(()), false)?;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        send_all(&mut send, piece.clone()).await?;
        body.flow_control().release_capacity(piece.len())?;
    }
    match body.trailers().await? {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    }
}

/// Sends as flow control allows.
pub async fn send_all(send: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap_or(Ok(0))?;
        send.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

pub fn trailers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// An origin that does with each connection what `script` says, frame by frame. The number of the connection comes
/// along, from 0.
pub fn raw_h2_origin(script: impl Fn(RawH2, usize) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept() else { return };
            let script = script.clone();
            std::thread::spawn(move || script(RawH2::accept(stream), number));
        }
    });
    address
}
