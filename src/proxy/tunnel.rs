//! After a 101: bytes both ways until both sides are done, or neither says anything for too long.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::context::RequestContext;
use super::exchange::Exchange;
use crate::http::stream::READ_BUFFER_BYTES;
use crate::http::timer::Timer;
use crate::reason::Reason;
use crate::upstream::connection::Connection;

/// How much may wait for the endpoint before the client is read again.
const MAX_WAITING_BYTES: usize = 64 << 10;

/// How long one side may be silent once the other has ended.
const HALF_CLOSED: Duration = Duration::from_secs(30);

/// Relays both ways. Each side's end is passed on to the other.
pub async fn tunnel<E: Exchange>(
    cx: &mut RequestContext,
    exchange: &mut E,
    mut connection: Connection,
    idle: Duration,
    timer: &mut Timer,
) {
    exchange.start_tunnel();
    let mut tunnel = Tunnel { up: Direction::default(), down: Direction::default() };
    let result = poll_fn(|task| {
        let before = tunnel.progress();
        let up = tunnel.poll_up(task, exchange, &mut connection);
        let down = tunnel.poll_down(task, exchange, &mut connection);
        match (up, down) {
            (Poll::Ready(Err(reason)), _) | (_, Poll::Ready(Err(reason))) => return Poll::Ready(Err(reason)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        if timer.deadline().is_none() || before != tunnel.progress() {
            let half_closed = tunnel.up.closed || tunnel.down.closed;
            timer.set_after(Instant::now(), if half_closed { idle.min(HALF_CLOSED) } else { idle });
        }
        timer.poll_expired(task).map(|()| Ok(()))
    })
    .await;
    timer.set(None);
    cx.body_received = tunnel.up.bytes;
    cx.body_sent = tunnel.down.bytes;
    cx.reason = result.err();
    exchange.abort();
}

struct Tunnel {
    up: Direction,
    down: Direction,
}

#[derive(Default)]
struct Direction {
    bytes: u64,
    source_ended: bool,
    closed: bool,
}

impl Tunnel {
    fn progress(&self) -> (u64, bool, u64, bool) {
        (self.up.bytes, self.up.closed, self.down.bytes, self.down.closed)
    }

    fn poll_up<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Poll<Result<(), Reason>> {
        let direction = &mut self.up;
        while !direction.closed {
            let mut waiting = false;
            if !direction.source_ended && connection.output.len() < MAX_WAITING_BYTES {
                match exchange.poll_body(cx)? {
                    Poll::Ready(0) => direction.source_ended = true,
                    Poll::Ready(n) => {
                        connection.output.buffer().extend_from_slice(exchange.body());
                        exchange.consume_body(n);
                        direction.bytes += n as u64;
                    }
                    Poll::Pending => waiting = true,
                }
            }
            ready!(connection.output.poll_write_all(cx, &mut connection.stream))
                .map_err(|_| Reason::UpstreamBodyBroken)?;
            ready!(connection.stream.poll_flush(cx)).map_err(|_| Reason::UpstreamBodyBroken)?;
            if direction.source_ended {
                // The endpoint may have closed already; then there is nobody to tell.
                let _ = ready!(connection.stream.poll_shutdown(cx));
                direction.closed = true;
            } else if waiting {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down<E: Exchange>(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut E,
        connection: &mut Connection,
    ) -> Poll<Result<(), Reason>> {
        let direction = &mut self.down;
        while !direction.closed {
            let input = &mut connection.input;
            if !input.is_empty() {
                let taken = ready!(exchange.poll_send(cx, input.bytes()))?;
                input.consume(taken);
                direction.bytes += taken as u64;
            } else if direction.source_ended {
                ready!(exchange.poll_finish(cx, None))?;
                direction.closed = true;
            } else {
                match input.poll_fill(cx, &mut connection.stream, READ_BUFFER_BYTES) {
                    Poll::Ready(Ok(0) | Err(_)) => direction.source_ended = true,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => {
                        ready!(exchange.poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
