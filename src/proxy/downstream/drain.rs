//! What is left of a request's body when its response is over.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::timer::Timer;
use crate::proxy::exchange::Exchange;

/// How long a client may go on sending after a response that didn't wait for its body.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// Body bytes that are read and dropped.
const MAX_DRAINED_BYTES: usize = 256 << 10;

/// Reads on to the end of a body that nobody wants, within bounds. Whether it came to its end.
pub(super) async fn drain_body(exchange: &mut impl Exchange) -> bool {
    let mut timer = Timer::new();
    timer.set_after(Instant::now(), LINGER);
    let mut drained = 0;
    exchange.limit_body(None);
    poll_fn(|cx| {
        while drained <= MAX_DRAINED_BYTES {
            match exchange.poll_body(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(true),
                Poll::Ready(Ok(n)) => {
                    exchange.consume_body(n);
                    drained += n;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return timer.poll_expired(cx).map(|()| false),
            }
        }
        Poll::Ready(false)
    })
    .await
}
