//! One connection, and one exchange at a time on it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::trust::{BadRoots, Roots};
use crate::http::field::FieldId;
use crate::http::head::{ResponseHead, Version};
use crate::http::http1::{BodyReader, HeadLimits, HeadReader, Step};

/// For each address of a name.
const CONNECT_TAKES_AT_MOST: Duration = Duration::from_secs(10);
const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 64 << 10, max_fields: 200, max_target_bytes: 8 << 10 };
/// A directory, an order, or a chain: a few kilobytes each.
const LARGEST_BODY: usize = 1 << 20;
/// 100, 103 and the like.
const MOST_INTERIM: usize = 8;

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) authority: String,
    host: String,
    port: u16,
    tls: bool,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{url} is no URL that can be asked")]
    BadUrl { url: String },
    #[error(transparent)]
    Roots(#[from] BadRoots),
    #[error("{authority}: can't connect: {error}")]
    Connect { authority: String, error: std::io::Error },
    #[error("{authority}: no answer within 30 s")]
    TimedOut { authority: String },
    #[error("{authority}: the connection broke: {error}")]
    Broken { authority: String, error: std::io::Error },
    #[error("{authority}: the answer is no HTTP: {what}")]
    Nonsense { authority: String, what: &'static str },
}

/// An open connection to a target.
pub(super) struct Connection {
    target: Target,
    stream: Box<dyn Duplex>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, Fault> {
        let bad = || Fault::BadUrl { url: uri.to_string() };
        let authority = uri.authority().ok_or_else(bad)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }
}

impl Connection {
    pub(super) async fn open(target: &Target, roots: &Roots) -> Result<Self, Fault> {
        let failed = |error| Fault::Connect { authority: target.authority.clone(), error };
        let addresses = tokio::net::lookup_host((target.host.as_str(), target.port)).await.map_err(failed)?;
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
        for address in addresses.take(8) {
            match tokio::time::timeout(CONNECT_TAKES_AT_MOST, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Self::over(target, stream, roots).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last))
    }

    async fn over(target: &Target, stream: TcpStream, roots: &Roots) -> Result<Self, Fault> {
        let failed = |error| Fault::Connect { authority: target.authority.clone(), error };
        // An exchange is one write each way: waiting for more only delays it.
        stream.set_nodelay(true).map_err(failed)?;
        if !target.tls {
            return Ok(Self { target: target.clone(), stream: Box::new(stream) });
        }
        let name =
            ServerName::try_from(target.host.clone()).map_err(|_| Fault::BadUrl { url: target.authority.clone() })?;
        let stream = TlsConnector::from(roots.settings()?).connect(name, stream).await.map_err(failed)?;
        Ok(Self { target: target.clone(), stream: Box::new(stream) })
    }

    /// Itself, if it leads there and the other side has neither closed it nor said something that nobody asked for.
    pub(super) fn if_usable_for(mut self, target: &Target) -> Option<Self> {
        (self.target == *target && !self.has_ended()).then_some(self)
    }

    /// Sends a request, and reads the response to its end. `true`: another request may follow.
    pub(super) async fn exchange(&mut self, request: &Request<Bytes>) -> Result<(Response<Bytes>, bool), Fault> {
        let message = encode(request);
        self.stream.write_all(&message).await.map_err(|error| self.broken(error))?;
        self.stream.flush().await.map_err(|error| self.broken(error))?;
        let mut bytes = Vec::with_capacity(8 << 10);
        let head_only = request.method() == Method::HEAD;
        for _ in 0..MOST_INTERIM {
            let (head, length, used) = self.head(&mut bytes, head_only).await?;
            bytes.drain(..used);
            if head.status < 200 {
                continue;
            }
            let reader = BodyReader::new(length);
            let whole_by_itself = reader.unframed() != u64::MAX;
            let body = self.body(reader, bytes).await?;
            let may_stay_open = whole_by_itself && keeps_open(&head);
            return Ok((self.response(&head, body)?, may_stay_open));
        }
        Err(self.nonsense("too many interim responses"))
    }

    async fn head(
        &mut self,
        bytes: &mut Vec<u8>,
        head_only: bool,
    ) -> Result<(ResponseHead, crate::http::http1::BodyLength, usize), Fault> {
        let mut reader = HeadReader::default();
        loop {
            match reader.response(bytes, head_only, &LIMITS) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => self.more(bytes, false).await.map(drop)?,
                Err(_) => return Err(self.nonsense("a bad head")),
            }
        }
    }

    async fn body(&mut self, mut reader: BodyReader, mut bytes: Vec<u8>) -> Result<Bytes, Fault> {
        let mut body = Vec::new();
        loop {
            match reader.next(&bytes) {
                Ok(Step::End) => return Ok(body.into()),
                Ok(Step::Data(n)) => {
                    body.extend_from_slice(&bytes[..n]);
                    reader.advance(n);
                    bytes.drain(..n);
                }
                Ok(Step::Skip(n)) => drop(bytes.drain(..n)),
                Ok(Step::More) => {
                    let may_end = reader.may_end_now();
                    if !self.more(&mut bytes, may_end).await? {
                        return Ok(body.into());
                    }
                }
                Err(_) => return Err(self.nonsense("bad framing")),
            }
            if body.len() > LARGEST_BODY {
                return Err(self.nonsense("a body over 1 MiB"));
            }
        }
    }

    /// Reads on; `false` at the end of the stream, where that is allowed.
    async fn more(&mut self, bytes: &mut Vec<u8>, may_end: bool) -> Result<bool, Fault> {
        match self.stream.read_buf(bytes).await {
            Ok(0) if may_end => Ok(false),
            Ok(0) => Err(self.broken(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(true),
            // A server that closes without TLS's goodbye.
            Err(error) if may_end && error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn response(&self, head: &ResponseHead, body: Bytes) -> Result<Response<Bytes>, Fault> {
        let status = StatusCode::from_u16(head.status).map_err(|_| self.nonsense("a status that is none"))?;
        let mut response = Response::builder().status(status);
        for (_, name, value) in head.fields.iter() {
            response = response.header(name, value);
        }
        response.body(body).map_err(|_| self.nonsense("a field that is none"))
    }

    fn has_ended(&mut self) -> bool {
        let mut byte = [0; 1];
        let mut context = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
        !matches!(polled, Poll::Pending)
    }

    fn broken(&self, error: std::io::Error) -> Fault {
        Fault::Broken { authority: self.target.authority.clone(), error }
    }

    fn nonsense(&self, what: &'static str) -> Fault {
        Fault::Nonsense { authority: self.target.authority.clone(), what }
    }
}

fn keeps_open(head: &ResponseHead) -> bool {
    let closes =
        |value: &[u8]| value.split(|b| *b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
    head.version == Version::Http11 && !head.fields.get_all(FieldId::Connection).any(closes)
}

fn encode(request: &Request<Bytes>) -> Vec<u8> {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut message = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    if !request.body().is_empty() {
        message.extend_from_slice(format!("content-length: {}\r\n", request.body().len()).as_bytes());
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(request.body());
    message
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::{Client, Roots};
    use super::*;

    /// Answers each connection with what is given, once it has read a head.
    async fn answering(answers: Vec<&'static [u8]>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
                }
                stream.write_all(answer).await.unwrap();
            }
        });
        format!("http://{address}/x")
    }

    async fn got(answer: &'static [u8]) -> Result<(u16, String), String> {
        let client = Client::new(Roots::system().into());
        let (status, body) = client.get(&answering(vec![answer]).await).await.map_err(|fault| fault.to_string())?;
        Ok((status.as_u16(), String::from_utf8(body.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn a_body_is_read_however_it_is_framed() {
        let expected = Ok((200, "hello".to_owned()));
        assert_eq!(got(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await, expected);
        assert_eq!(got(b"HTTP/1.1 200 OK\r\n\r\nhello").await, expected);
        let chunked = b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        assert_eq!(got(chunked).await, expected);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_fault_that_says_why() {
        for (answer, what) in [
            (b"SSH-2.0-OpenSSH\r\n\r\n".as_slice(), "no HTTP: a bad head"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "the connection broke"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", "bad framing"),
            (b"", "the connection broke"),
        ] {
            let fault = got(answer).await.unwrap_err();
            assert!(fault.contains(what), "{fault}");
        }
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_off() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let endless: &'static [u8] = Vec::leak([head, vec![b'x'; 2 << 20]].concat());
        assert!(got(endless).await.unwrap_err().contains("over 1 MiB"));
    }

    #[tokio::test]
    async fn a_connection_that_has_ended_is_not_used_again() {
        let closing: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let url = answering(vec![closing, closing]).await;
        let client = Client::new(Roots::system().into());
        for _ in 0..2 {
            assert_eq!(client.get(&url).await.unwrap().0, 200);
            // The server closes each; wait until that has come.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let client = Client::new(Roots::system().into());
        let fault = client.get("http://127.0.0.1:1/x").await.unwrap_err().to_string();
        assert!(fault.starts_with("127.0.0.1:1: can't connect"), "{fault}");
        assert!(client.last().fault.is_some());
    }
}
