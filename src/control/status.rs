//! `/metrics`, `/livez` (also `/healthz`) and `/readyz`, on their own listener.
//!
//! One small HTTP/1 answer a connection: a scraper asks every few seconds, and nothing here may cost a worker time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::http::head::{Method, RequestHead};
use crate::http::http1::{HeadLimits, HeadReader};
use crate::metrics::Metrics;
use crate::reason::Reason;

/// Connections served at once.
const MAX_CONNECTIONS: usize = 32;
/// From accept to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 8 << 10, max_fields: 64, max_target_bytes: 4 << 10 };

/// Answers until dropped; for ever idle without a socket.
pub async fn serve(socket: Option<std::net::TcpListener>, metrics: &Arc<Metrics>, ready: &AtomicBool) {
    let Some(listener) = socket.and_then(|socket| TcpListener::from_std(socket).ok()) else {
        return std::future::pending().await;
    };
    let places = Semaphore::new(MAX_CONNECTIONS);
    let mut connections = futures_util::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if places.available_permits() > 0 => match accepted {
                Ok((stream, _)) => {
                    let permit = places.try_acquire();
                    connections.push(async {
                        // A scraper that is slow or gone is its own trouble.
                        let _ = timeout(PATIENCE, answer(stream, metrics, ready)).await;
                        drop(permit);
                    });
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(()) = futures_util::StreamExt::next(&mut connections) => {}
        }
    }
}

async fn answer(mut stream: TcpStream, metrics: &Metrics, ready: &AtomicBool) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let head_only = head.as_ref().is_ok_and(|head| head.method == Method::Head);
    let (status, content_type, body) = match head {
        Err(reason) => (reason.status(), "text/plain", format!("{}\n", reason.name()).into_bytes()),
        Ok(head) if !matches!(head.method, Method::Get | Method::Head) => (405, "text/plain", b"use GET\n".to_vec()),
        Ok(head) => match head.path() {
            b"/metrics" => (200, Metrics::CONTENT_TYPE, metrics.render()),
            b"/livez" | b"/healthz" => (200, "text/plain", b"ok\n".to_vec()),
            b"/readyz" if ready.load(Relaxed) => (200, "text/plain", b"ready\n".to_vec()),
            b"/readyz" => (503, "text/plain", b"not ready\n".to_vec()),
            _ => (404, "text/plain", b"here are /metrics, /livez and /readyz\n".to_vec()),
        },
    };
    let phrase = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    let mut response = format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    if !head_only {
        response.extend_from_slice(&body);
    }
    stream.write_all(&response).await?;
    stream.shutdown().await
}

async fn read_head(stream: &mut TcpStream) -> io::Result<Result<RequestHead, Reason>> {
    let mut reader = HeadReader::default();
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match reader.request(&bytes, &LIMITS) {
            Ok(Some((head, _, _))) => return Ok(Ok(head)),
            Ok(None) => {}
            Err(reason) => return Ok(Err(reason)),
        }
    }
}
