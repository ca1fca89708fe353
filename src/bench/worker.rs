//! One thread that sends and receives: epoll, its connections, and what it counts.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::cpu::Cpu;
use super::exchange::{Done, Fault, InFlight};
use super::plan::{Load, Plan};
use super::progress::{Live, Recent};
use super::schedule::{Schedule, Ticket};
use super::slots::{Slot, Slots};
use super::tally::Tally;

/// The token of the [`mio::Waker`] that the schedule has; slots have theirs from 0.
pub(super) const WAKER: Token = Token(usize::MAX);

/// A worker before its thread starts.
pub(super) struct Worker<'a> {
    index: usize,
    plan: &'a Plan,
    schedule: &'a Schedule,
    live: Option<&'a Live>,
    poll: Poll,
    slots: Slots,
    tally: Tally,
    buffer: Box<[u8]>,
    done: Vec<Done>,
    /// Slots whose first connection is neither open nor has failed.
    opening: usize,
    opened: usize,
    /// The last time that a connection was open.
    last_open: Instant,
    last_done: Option<Instant>,
    /// What is published for the progress line, and when next.
    recent: Recent,
    publish_at: Instant,
}

/// What a worker brings back.
pub(super) struct Report {
    pub(super) tally: Tally,
    /// The thread's CPU time between the start of the clock and the end of the sending.
    pub(super) cpu: Duration,
    /// When the last request was over.
    pub(super) last: Instant,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        index: usize,
        plan: &'a Plan,
        schedule: &'a Schedule,
        live: Option<&'a Live>,
        poll: Poll,
    ) -> Self {
        let now = Instant::now();
        let connections = plan.connections / plan.threads + usize::from(index < plan.connections % plan.threads);
        Self {
            index,
            plan,
            schedule,
            live,
            poll,
            slots: Slots::new(connections, plan.keepalive, now),
            tally: Tally::new(),
            buffer: vec![0; READ_BUFFER].into(),
            done: Vec::new(),
            opening: connections,
            opened: 0,
            last_open: now,
            last_done: None,
            recent: Recent::default(),
            publish_at: now,
        }
    }

    /// Works until nothing is to be sent and nothing is awaited.
    ///
    /// # Errors
    /// What epoll refuses.
    pub(super) fn run(mut self) -> io::Result<Report> {
        self.open_first();
        let mut events = Events::with_capacity(1024);
        let mut cpu = Cpu::default();
        let mut next_tick = Instant::now();
        loop {
            let now = Instant::now();
            cpu.look(self.schedule, now);
            self.feed(now);
            if now >= next_tick {
                next_tick = now + TICK;
                self.tick(now);
            }
            let is_opening = self.opening > 0 && !self.schedule.is_stopped();
            if !is_opening && self.schedule.is_over(now) && self.is_finished(now) {
                break;
            }
            self.sleep(&mut events, next_tick)?;
            for event in events.iter().filter(|event| event.token() != WAKER) {
                let ends = event.is_read_closed() || event.is_error();
                self.serve(event.token().0, event.is_readable() || ends, ends);
            }
        }
        cpu.end();
        Ok(Report { tally: self.tally, cpu: cpu.spent(), last: self.last_done.unwrap_or_else(Instant::now) })
    }

    /// Opens the connections before the clock starts. Without keep-alive there is nothing to open before.
    fn open_first(&mut self) {
        if self.plan.keepalive {
            let now = Instant::now();
            (0..self.slots.len()).for_each(|slot| self.connect(slot, now));
        } else {
            self.opening = 0;
            // As if they were open: whether the server can be reached is seen by the requests.
            self.schedule.arrive(self.slots.len());
            (0..self.slots.len()).for_each(|slot| self.slots.offer(slot, Instant::now()));
        }
    }

    /// Waits for events, but no longer than until the next tick.
    fn sleep(&mut self, events: &mut Events, next_tick: Instant) -> io::Result<()> {
        let mut timeout = next_tick.saturating_duration_since(Instant::now());
        let is_hungry = matches!(self.plan.load, Load::Open { .. }) && self.slots.are_offered();
        if is_hungry && !self.schedule.may_sleep(self.index, Instant::now) {
            timeout = Duration::ZERO;
        }
        let polled = self.poll.poll(events, Some(timeout));
        if is_hungry {
            self.schedule.awake(self.index);
        }
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Gives due requests to slots that have room.
    fn feed(&mut self, now: Instant) {
        while let Some(slot) = self.slots.first(now) {
            let Some(ticket) = self.schedule.take(now) else { return };
            self.slots.take_first();
            self.send(slot, ticket, now);
            self.flush(slot, now);
            self.slots.offer(slot, now);
        }
    }

    /// Sends as many due requests as one slot has room for, in one write, and offers what room is left.
    fn refill(&mut self, slot: usize, now: Instant) {
        self.slots.note_room(slot, now);
        while self.slots.room(slot) > 0 && self.slots[slot].retry_at <= now {
            let Some(ticket) = self.schedule.take(now) else { break };
            self.send(slot, ticket, now);
        }
        self.flush(slot, now);
        self.slots.offer(slot, now);
    }

    /// Sends a request, or opens the connection for it.
    fn send(&mut self, slot: usize, ticket: Ticket, now: Instant) {
        let state = &mut self.slots[slot];
        if matches!(self.plan.load, Load::Open { .. }) {
            self.tally.lag.record(now.saturating_duration_since(ticket.intended));
            // Waiting for a connection is the server's doing, not the generator's.
            self.tally.own_lag.record(now.saturating_duration_since(ticket.intended.max(state.free_since)));
        }
        match &mut state.connection {
            Some(connection) => connection.start(ticket, now, self.plan),
            None => {
                state.ticket = Some(ticket);
                self.connect(slot, now);
            }
        }
    }

    fn flush(&mut self, slot: usize, now: Instant) {
        if let Some(connection) = &mut self.slots[slot].connection
            && connection.flush().is_err()
        {
            // What the server said before it closed may still be there to read, and tells more.
            self.serve_end(slot, now);
        }
    }

    /// Begins to connect.
    fn connect(&mut self, slot: usize, now: Instant) {
        self.slots[slot].has_served = false;
        match Connection::connect(self.plan, self.slots[slot].address, self.poll.registry(), Token(slot), now) {
            Ok(connection) => self.slots[slot].connection = Some(connection),
            Err(error) => self.connecting_failed(slot, &error, now),
        }
    }

    /// A connection could not be opened: it is tried again, later each time.
    fn connecting_failed(&mut self, slot: usize, error: &dyn std::fmt::Display, now: Instant) {
        self.schedule.tell_fault(|| error.to_string());
        let state = &mut self.slots[slot];
        state.connection = None;
        state.address += 1;
        state.tried += 1;
        if state.tried < self.plan.target.addresses() {
            return self.connect(slot, now);
        }
        self.tally.fault(Fault::Connect);
        if self.live.is_some() {
            self.recent.faults += 1;
        }
        // The request that it was opened for is lost with it, and is counted by that.
        self.slots[slot].ticket = None;
        self.pause(slot, now);
        self.first_attempt_is_over(slot, false, now);
    }

    /// Leaves a slot without a connection for a while, longer each time: a server that refuses isn't to be hammered, nor
    /// a core to be burnt on it.
    fn pause(&mut self, slot: usize, now: Instant) {
        let state = &mut self.slots[slot];
        state.tried = 0;
        state.retry_at = now + FIRST_BACKOFF.saturating_mul(1 << state.failures.min(8)).min(MAX_BACKOFF);
        state.failures += 1;
    }

    fn first_attempt_is_over(&mut self, slot: usize, opened: bool, now: Instant) {
        if self.plan.keepalive && !self.slots[slot].was_opened && self.opening > 0 {
            self.slots[slot].was_opened = true;
            self.opened += usize::from(opened);
            self.opening -= 1;
            if self.opening == 0 {
                self.schedule.arrive(self.opened);
                self.last_open = now;
            }
        }
    }

    /// Something happened on a slot's connection.
    fn serve(&mut self, slot: usize, is_readable: bool, ends: bool) {
        let Some(connection) = self.slots.get_mut(slot).and_then(|slot| slot.connection.as_mut()) else { return };
        if is_readable {
            connection.readable(ends);
        }
        let was_ready = connection.is_ready();
        match connection.open() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.connecting_failed(slot, &error, Instant::now()),
        }
        let received = connection.receive(self.plan, &mut self.buffer, &mut self.done);
        let is_ready = connection.is_ready();
        let now = Instant::now();
        if self.done.iter().any(|done| done.request.status != 0) {
            self.slots[slot].has_served = true;
            self.slots[slot].failures = 0;
        }
        if received.is_err() && !is_ready {
            return self.connecting_failed(slot, &"the server closed the connection at once", now);
        }
        if is_ready && !was_ready {
            self.opened(slot, now);
        }
        self.count(now);
        if received.is_err() {
            return self.close(slot, now);
        }
        self.replace_if_used_up(slot, now);
        self.refill(slot, now);
    }

    /// A connection is ready for requests.
    fn opened(&mut self, slot: usize, now: Instant) {
        self.tally.connections += 1;
        self.last_open = now;
        self.slots[slot].tried = 0;
        self.first_attempt_is_over(slot, true, now);
        if let Some(ticket) = self.slots[slot].ticket.take()
            && let Some(connection) = &mut self.slots[slot].connection
        {
            connection.start(ticket, now, self.plan);
        }
    }

    /// A write failed: what is there is read, and the connection is gone.
    fn serve_end(&mut self, slot: usize, now: Instant) {
        if let Some(connection) = &mut self.slots[slot].connection {
            connection.readable(true);
            let _ = connection.receive(self.plan, &mut self.buffer, &mut self.done);
            connection.fail(Fault::Closed, &mut self.done);
        }
        self.count(now);
        self.close(slot, now);
    }

    /// Counts the requests that are over.
    fn count(&mut self, now: Instant) {
        if self.done.is_empty() {
            return;
        }
        self.last_done = Some(now);
        let in_time = self.schedule.end().is_none_or(|end| now <= end);
        for done in self.done.drain(..) {
            self.tally.record(&done, now, in_time);
            if self.live.is_some() {
                self.recent.record(&done, now);
            }
        }
    }

    /// Replaces a connection that carries no further request.
    fn replace_if_used_up(&mut self, slot: usize, now: Instant) {
        let Some(connection) = &self.slots[slot].connection else { return };
        let served = !self.plan.keepalive && connection.is_ready() && connection.is_idle();
        if connection.is_used_up() || served {
            self.close(slot, now);
        }
    }

    /// Drops a connection and, with keep-alive, opens the next.
    fn close(&mut self, slot: usize, now: Instant) {
        self.slots[slot].connection = None;
        if self.schedule.is_over(now) {
            return;
        }
        if !self.slots[slot].has_served {
            return self.pause(slot, now);
        }
        if self.plan.keepalive {
            self.connect(slot, now);
        } else {
            self.refill(slot, now);
        }
    }

    /// What needn't be done at once: timeouts, new attempts to connect, the progress line.
    fn tick(&mut self, now: Instant) {
        let is_over = self.schedule.is_over(now);
        for slot in 0..self.slots.len() {
            let state = &mut self.slots[slot];
            match &mut state.connection {
                Some(connection) if !connection.is_ready() => {
                    if now.saturating_duration_since(connection.began()) >= self.plan.timeout {
                        self.connecting_failed(slot, &"no connection in time", now);
                    }
                }
                Some(connection) => {
                    self.last_open = now;
                    let lives = connection.expire(self.plan, now, &mut self.done);
                    self.count(now);
                    if lives { self.refill(slot, now) } else { self.close(slot, now) }
                }
                None if is_over || state.retry_at > now => {}
                None if self.plan.keepalive => self.connect(slot, now),
                None => self.slots.offer(slot, now),
            }
        }
        if let Some(live) = self.live
            && now >= self.publish_at
        {
            self.publish_at = now + PUBLISH;
            live.add(&mut self.recent);
        }
        // By number alone the run would never end once the server is gone for good.
        if self.plan.keepalive
            && self.plan.duration.is_none()
            && self.opening == 0
            && now.saturating_duration_since(self.last_open) >= self.plan.timeout
        {
            self.schedule.stop();
        }
    }

    /// Nothing is to be sent any more. Whether nothing is awaited any more either.
    fn is_finished(&mut self, now: Instant) -> bool {
        let is_idle = |slot: &Slot| slot.ticket.is_none() && slot.connection.as_ref().is_none_or(Connection::is_idle);
        if self.slots.iter().all(is_idle) {
            return true;
        }
        let given_up = self.schedule.is_abandoned(now);
        if given_up {
            for slot in self.slots.iter_mut() {
                if let Some(connection) = &mut slot.connection {
                    connection.fail(Fault::Closed, &mut self.done);
                }
                self.done.extend(slot.ticket.take().map(|ticket| InFlight::new(ticket, now).failed(Fault::Closed)));
            }
            self.tally.unfinished += self.done.len() as u64;
            self.done.clear();
        }
        given_up
    }
}

/// How often timeouts are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How long after a failure to connect the next attempt is made; doubled each time up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How often the progress line is told of what happened.
const PUBLISH: Duration = Duration::from_millis(200);
/// Bytes of one read at most.
const READ_BUFFER: usize = 64 << 10;
