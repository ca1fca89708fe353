//! The HTTP client that CAs are spoken to with: HTTP/1.1, bounded in time and size, and with a memory for what
//! `instant-acme` forgets of a response.
//!
//! One for each attempt: what it remembers is about that attempt alone.

mod connection;
mod trust;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use self::connection::{Connection, Fault, Target};

pub use self::trust::{BadRoots, Roots};

/// From the first byte sent to the last one read.
const REQUEST_TAKES_AT_MOST: Duration = Duration::from_secs(30);

/// Asks one CA, over one connection at a time.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    roots: Arc<Roots>,
    /// Left open by the last response.
    idle: Mutex<Option<Connection>>,
    last: Mutex<Last>,
}

/// What is remembered of the last response.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// `None`: there was none.
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
    /// Why there was none.
    pub fault: Option<String>,
}

impl Client {
    pub fn new(roots: Arc<Roots>) -> Self {
        Self { inner: Arc::new(Inner { roots, idle: Mutex::default(), last: Mutex::default() }) }
    }

    /// What came back last.
    pub fn last(&self) -> Last {
        lock(&self.inner.last).clone()
    }

    /// `GET`: status and body.
    ///
    /// # Errors
    /// There was no response, or none that makes sense.
    pub async fn get(&self, url: &str) -> Result<(StatusCode, Bytes), Fault> {
        let uri: Uri = url.parse().map_err(|_| Fault::BadUrl { url: url.to_owned() })?;
        let request =
            Request::builder().uri(uri).body(Bytes::new()).map_err(|_| Fault::BadUrl { url: url.to_owned() })?;
        let response = self.inner.send(request).await?;
        Ok((response.status(), response.into_body()))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // A response's body is the only one that gives its bytes away.
            let body = BytesResponse::from(Response::new(body)).body.into_bytes().await;
            let body = body.map_err(instant_acme::Error::Other)?;
            match inner.send(Request::from_parts(parts, body)).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    Ok(BytesResponse { parts, body: Box::new(body) })
                }
                Err(fault) => Err(instant_acme::Error::Other(Box::new(fault))),
            }
        })
    }
}

impl Inner {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Fault> {
        let target = Target::of(request.uri())?;
        let host =
            HeaderValue::from_str(&target.authority).map_err(|_| Fault::BadUrl { url: target.authority.clone() })?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let outcome = match tokio::time::timeout(REQUEST_TAKES_AT_MOST, self.exchange(&target, &request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::TimedOut { authority: target.authority.clone() }),
        };
        *lock(&self.last) = match &outcome {
            Ok(response) => Last {
                status: Some(response.status().as_u16()),
                retry_after: response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| retry_after(value, SystemTime::now())),
                fault: None,
            },
            Err(fault) => Last { status: None, retry_after: None, fault: Some(fault.to_string()) },
        };
        outcome
    }

    async fn exchange(&self, target: &Target, request: &Request<Bytes>) -> Result<Response<Bytes>, Fault> {
        let idle = lock(&self.idle).take();
        let mut connection = match idle.and_then(|idle| idle.if_usable_for(target)) {
            Some(idle) => idle,
            None => Connection::open(target, &self.roots).await?,
        };
        let (response, may_stay_open) = connection.exchange(request).await?;
        if may_stay_open {
            *lock(&self.idle) = Some(connection);
        }
        Ok(response)
    }
}

/// Seconds, or a date (RFC 9110 10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let value = value.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"), " instant-acme");

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        for (text, expected) in [
            ("120", Some(120)),
            (" 5 ", Some(5)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(retry_after(&value, now), expected.map(Duration::from_secs), "{text}");
        }
    }
}
