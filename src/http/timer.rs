//! A deadline that is moved with every request and almost never expires.
//!
//! Arming a runtime timer for each wait costs more than the wait's other work. So one timer a connection stays armed at
//! the earliest deadline it has seen; when it fires early, it is armed again for the one that counts. Moving a deadline
//! later is a store.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Timers a worker keeps for reuse.
const POOLED_TIMERS: usize = 1024;

/// A timer lives and dies with its runtime. A worker's thread has one for life; a unit test's may see several.
const POOLING: bool = !cfg!(test);

thread_local! {
    static FREE: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// One deadline at a time; polled by the task that owns it.
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Timer {
    pub fn new() -> Self {
        Self { sleep: None, deadline: None }
    }

    /// Replaces the deadline. `None` is none.
    pub fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    pub fn set_after(&mut self, now: Instant, timeout: Duration) {
        self.deadline = now.checked_add(timeout);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ready once the deadline has passed. Registers the task otherwise.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| take_sleep(deadline));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if Instant::now() >= deadline => return Poll::Ready(()),
                Poll::Ready(()) => sleep.as_mut().reset(deadline),
            }
        }
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take().filter(|sleep| POOLING && !sleep.is_elapsed()) {
            // The pool may be gone already when a thread ends.
            let _ = FREE.try_with(|free| {
                let mut free = free.borrow_mut();
                if free.len() < POOLED_TIMERS {
                    free.push(sleep);
                }
            });
        }
    }
}

fn take_sleep(deadline: Instant) -> Pin<Box<Sleep>> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::pin(tokio::time::sleep_until(deadline)))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn expires_at_the_last_deadline_set_not_the_first() {
        let mut timer = Timer::new();
        let start = Instant::now();
        timer.set_after(start, Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_pending())).await);
        timer.set_after(start, Duration::from_secs(5));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_earlier_expires_earlier() {
        let mut timer = Timer::new();
        let start = Instant::now();
        timer.set_after(start, Duration::from_secs(60));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_pending())).await);
        timer.set_after(start, Duration::from_secs(2));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
