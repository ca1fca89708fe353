//! When requests are meant to leave, and who takes which.
//!
//! In open loop, request `k` is meant to leave at `start + k / rate`: a pure function of its number. So there is no queue.
//! What is due is a number that the clock gives, what was taken is a counter, and the difference is the backlog, which
//! takes no memory however long it grows. A worker that is awake takes what is due by itself; a request that finds no free
//! connection simply isn't taken yet, and its latency still counts from the time it was meant to leave.
//!
//! The [pacer](Schedule::pace), a thread of its own, sleeps until the next request is due and wakes a worker only if one
//! sleeps that has a free connection. So a wake-up is never paid for a worker that is busy anyway. Wake-ups are coalesced
//! to one in [`COALESCE`]: at 10,000 requests a second and below each request is sent at its own time, and above that a
//! wake-up releases several, whose lag of up to that long stands in the histogram of send lags.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::plan::{Load, Plan};

/// The shortest time between two wake-ups by the pacer.
pub const COALESCE: Duration = Duration::from_micros(100);

/// How long answers are waited for after an interruption.
const GRACE: Duration = Duration::from_secs(1);

/// What all workers share.
#[derive(Debug)]
pub struct Schedule {
    load: Load,
    duration: Option<Duration>,
    /// Requests in all, at most.
    limit: u64,
    /// Set once all workers have opened their connections.
    start: OnceLock<Instant>,
    taken: AtomicU64,
    /// Nothing is sent any more, whatever is due.
    stopped: AtomicBool,
    /// When somebody asked for the end.
    interrupted: OnceLock<Instant>,
    /// Workers that are still opening their first connections.
    opening: AtomicUsize,
    /// Connections that could be opened before the start.
    opened: AtomicUsize,
    first_fault: Mutex<Option<String>>,
    sleepers: Vec<Sleeper>,
}

/// A worker, as the pacer sees it.
#[derive(Debug)]
struct Sleeper {
    waker: mio::Waker,
    /// It sleeps and has a free connection. Whoever swaps it to false has to wake it.
    hungry: AtomicBool,
}

/// A request that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// When it was meant to leave; in closed loop, when it was taken.
    pub intended: Instant,
}

impl Schedule {
    /// A schedule for workers that are woken by `wakers`.
    pub fn new(plan: &Plan, wakers: Vec<mio::Waker>) -> Self {
        Self {
            load: plan.load,
            duration: plan.duration,
            limit: plan.requests.unwrap_or(u64::MAX),
            start: OnceLock::new(),
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            interrupted: OnceLock::new(),
            opening: AtomicUsize::new(wakers.len()),
            opened: AtomicUsize::new(0),
            first_fault: Mutex::new(None),
            sleepers: wakers.into_iter().map(|waker| Sleeper { waker, hungry: AtomicBool::new(false) }).collect(),
        }
    }

    /// A worker has tried to open all of its connections, `opened` of them with success. The last one to say so starts
    /// the clock.
    pub fn arrive(&self, opened: usize) {
        self.opened.fetch_add(opened, Ordering::SeqCst);
        if self.opening.fetch_sub(1, Ordering::SeqCst) == 1 {
            if self.opened.load(Ordering::SeqCst) == 0 {
                self.stopped.store(true, Ordering::SeqCst);
            }
            let _ = self.start.set(Instant::now());
            self.wake_all();
        }
    }

    /// When the clock was started, if it was.
    pub fn started(&self) -> Option<Instant> {
        self.start.get().copied()
    }

    /// Keeps the first reason why a connection could not be opened.
    pub fn tell_fault(&self, fault: impl FnOnce() -> String) {
        self.first_fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(fault);
    }

    /// The first reason why a connection could not be opened.
    pub fn first_fault(&self) -> Option<String> {
        self.first_fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the sending; what is in flight may still be answered.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    /// Ends a run that never became one: a thread could not be had.
    pub fn fail(&self) {
        self.opening.store(0, Ordering::SeqCst);
        let _ = self.start.set(Instant::now());
        self.stop();
    }

    /// Ends the run before its time: what is in flight is waited for only a second longer.
    pub fn interrupt(&self) {
        let _ = self.interrupted.set(Instant::now());
        self.stop();
    }

    /// Whether the run was ended before its time.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.get().is_some()
    }

    /// Whether what is in flight is no longer waited for.
    pub fn is_abandoned(&self, now: Instant) -> bool {
        self.interrupted.get().is_some_and(|interrupted| now >= *interrupted + GRACE)
    }

    /// Whether nothing is sent any more, whatever is due.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether nothing will be sent any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.is_stopped() || self.is_exhausted() || self.end().is_some_and(|end| now >= end)
    }

    /// Whether as many requests were taken as were asked for.
    pub fn is_exhausted(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limit
    }

    /// When sending ends or ended: after its duration, if one was given, or by an interruption.
    pub fn end(&self) -> Option<Instant> {
        let regular = self.duration.and_then(|duration| Some(*self.start.get()? + duration));
        let interrupted = self.interrupted.get().copied();
        regular.into_iter().chain(interrupted).min()
    }

    /// The next request, if one is due.
    pub fn take(&self, now: Instant) -> Option<Ticket> {
        let start = *self.start.get()?;
        if self.is_stopped() || self.duration.is_some_and(|duration| now >= start + duration) {
            return None;
        }
        let due = self.due(start, now);
        let number = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| (taken < due).then_some(taken + 1))
            .ok()?;
        Some(Ticket { intended: self.intended(start, number).unwrap_or(now) })
    }

    /// Requests that were due by `now` and that nobody took. Of a run that ends by number, all that is missing.
    pub fn unsent(&self, now: Instant) -> u64 {
        let Some(start) = self.started() else { return 0 };
        let taken = self.taken.load(Ordering::SeqCst);
        let end = self.end().map_or(now, |end| end.min(now));
        let due = match self.load {
            // Due at the very end is not due any more.
            Load::Open { .. } if end > start => self.due(start, end - Duration::from_nanos(1)),
            Load::Open { .. } => 0,
            Load::Closed if self.limit == u64::MAX || self.end().is_some() => taken,
            Load::Closed => self.limit,
        };
        due.saturating_sub(taken)
    }

    /// Whether request number `taken` is due already.
    fn is_any_due(&self, now: Instant) -> bool {
        self.started().is_some_and(|start| self.taken.load(Ordering::Relaxed) < self.due(start, now))
    }

    /// How many requests were meant to leave by `now`.
    fn due(&self, start: Instant, now: Instant) -> u64 {
        match self.load {
            Load::Open { rate } => {
                let elapsed = now.saturating_duration_since(start).as_secs_f64();
                ((elapsed * rate) as u64).saturating_add(1).min(self.limit)
            }
            Load::Closed => self.limit,
        }
    }

    fn intended(&self, start: Instant, number: u64) -> Option<Instant> {
        self.load.rate().map(|rate| start + Duration::from_secs_f64(number as f64 / rate))
    }

    /// Worker `index` is about to sleep, with a free connection. False: it had better not, for something is due.
    pub fn may_sleep(&self, index: usize, now: impl Fn() -> Instant) -> bool {
        let hungry = &self.sleepers[index].hungry;
        hungry.store(true, Ordering::SeqCst);
        // Looked at after the store: either the pacer sees the flag, or this sees what is due.
        if self.is_any_due(now()) {
            hungry.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Worker `index` is awake, or has no connection free.
    pub fn awake(&self, index: usize) {
        self.sleepers[index].hungry.store(false, Ordering::Relaxed);
    }

    /// The pacer's thread: wakes workers as requests become due, until the end. Returns at once in closed loop.
    pub fn pace(&self) {
        let Load::Open { rate } = self.load else { return };
        // The kernel may add up to 50 us to each sleep, so that wake-ups share an interrupt.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let start = loop {
            match self.started() {
                Some(start) => break start,
                None if self.is_stopped() => return,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let period = Duration::from_secs_f64(1.0 / rate).max(COALESCE);
        let mut next = start;
        loop {
            let now = Instant::now();
            if self.is_over(now) {
                return self.wake_all();
            }
            if let Some(wait) = next.checked_duration_since(now).filter(|wait| !wait.is_zero()) {
                // Short enough to see the end in time, however low the rate.
                std::thread::sleep(wait.min(Duration::from_millis(20)));
                continue;
            }
            self.wake_for(now, start);
            next = (next + period).max(now);
        }
    }

    /// Wakes as many sleeping workers as there are requests that nobody has taken.
    fn wake_for(&self, now: Instant, start: Instant) {
        let due = self.due(start, now).saturating_sub(self.taken.load(Ordering::SeqCst));
        let mut left = usize::try_from(due).unwrap_or(usize::MAX);
        for sleeper in &self.sleepers {
            if left == 0 {
                return;
            }
            if sleeper.hungry.swap(false, Ordering::SeqCst) {
                let _ = sleeper.waker.wake();
                left -= 1;
            }
        }
    }

    fn wake_all(&self) {
        for sleeper in &self.sleepers {
            let _ = sleeper.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(load: Load, duration: Option<Duration>, limit: u64) -> (Schedule, Instant) {
        let start = Instant::now();
        let schedule = Schedule {
            load,
            duration,
            limit,
            start: OnceLock::from(start),
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            interrupted: OnceLock::new(),
            opening: AtomicUsize::new(0),
            opened: AtomicUsize::new(1),
            first_fault: Mutex::new(None),
            sleepers: Vec::new(),
        };
        (schedule, start)
    }

    const OPEN: Load = Load::Open { rate: 100.0 };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn open_requests_are_due_at_their_own_time_whenever_they_are_taken() {
        let (schedule, start) = schedule(OPEN, None, u64::MAX);
        let taken =
            |at| std::iter::from_fn(|| schedule.take(start + at)).map(|t| t.intended - start).collect::<Vec<_>>();
        assert_eq!(taken(ms(0)), [ms(0)]);
        assert!(taken(ms(9)).is_empty());
        assert_eq!(taken(ms(35)), [ms(10), ms(20), ms(30)]);
    }

    #[test]
    fn closed_requests_are_always_due() {
        let (schedule, start) = schedule(Load::Closed, None, 2);
        assert_eq!(schedule.take(start + ms(5)).unwrap().intended, start + ms(5));
        assert!(!schedule.is_over(start + ms(5)));
        assert!(schedule.take(start).is_some() && schedule.take(start).is_none());
        assert!(schedule.is_over(start));
    }

    #[test]
    fn what_was_due_before_the_end_and_not_taken_is_unsent() {
        let (schedule, start) = schedule(OPEN, Some(ms(500)), u64::MAX);
        assert!(schedule.take(start + ms(15)).is_some());
        assert_eq!(schedule.unsent(start + ms(15)), 1);
        assert_eq!(schedule.take(start + ms(500)), None);
        assert_eq!(schedule.unsent(start + ms(900)), 49);
    }

    #[test]
    fn a_run_by_number_lacks_what_was_never_sent() {
        let (open, start) = schedule(OPEN, None, 10);
        assert_eq!(open.unsent(start + ms(900)), 10);
        let (closed, start) = schedule(Load::Closed, None, 10);
        assert!(closed.take(start).is_some());
        assert_eq!(closed.unsent(start + ms(900)), 9);
        closed.interrupt();
        assert_eq!(closed.unsent(start + ms(900)), 0, "nobody wants them any more");
    }

    #[test]
    fn an_interruption_ends_the_sending() {
        let (schedule, start) = schedule(OPEN, Some(ms(60_000)), u64::MAX);
        schedule.interrupt();
        let end = schedule.end().unwrap();
        assert!(end < start + ms(60_000) && schedule.is_over(end));
        assert!(!schedule.is_abandoned(end) && schedule.is_abandoned(end + GRACE));
    }
}
