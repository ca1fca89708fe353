//! A client's first flight, read for the name that it asks for.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use crate::http::stream::Stream;
use crate::proxy::local::Local;
use crate::reason::Reason;
use crate::tls::client_hello::{self, ClientHello, HelloFault};

/// Reads into `early` until the ClientHello is whole; what has come goes to the endpoint first.
///
/// # Errors
/// It is none, it doesn't come in time, or the client is gone.
pub(super) async fn read_hello(
    local: &Rc<Local>,
    client: &mut Stream,
    early: &mut Vec<u8>,
    patience: Duration,
) -> Result<ClientHello, Reason> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let _entered = local.enter(waker);
    let mut chunk = [0; CHUNK_BYTES];
    let read = async {
        loop {
            let seen = poll_fn(|cx| match client.poll_read(cx, &mut chunk) {
                // Nobody waits for an answer yet.
                Poll::Pending if local.is_draining() && early.is_empty() => Poll::Ready(Err(Reason::Stopped)),
                read => Poll::Ready(ready!(read).map_err(|_| Reason::ClientGone)),
            })
            .await?;
            if seen == 0 {
                return Err(if early.is_empty() { Reason::ClientGone } else { Reason::NotTls });
            }
            early.extend_from_slice(&chunk[..seen]);
            match client_hello::read_hello(early) {
                Ok(Some(hello)) => return Ok(hello),
                Ok(None) => {}
                Err(fault) => {
                    tracing::debug!(%fault, "a connection is refused");
                    return Err(match fault {
                        HelloFault::NotTls | HelloFault::Malformed | HelloFault::TooLong => Reason::NotTls,
                    });
                }
            }
        }
    };
    timeout(patience, read).await.unwrap_or(Err(Reason::HelloTimedOut))
}

/// A usual ClientHello is read at once.
const CHUNK_BYTES: usize = 4096;
