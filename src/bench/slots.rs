//! A worker's places for connections, and which of them have room for a request.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::connection::Connection;
use super::schedule::Ticket;

/// All places of a worker.
pub(super) struct Slots {
    all: Box<[Slot]>,
    /// Those that have room for a request. Those that have waited longest are first, so that all connections are used.
    free: VecDeque<usize>,
    keepalive: bool,
}

/// A place for one connection, which is replaced when it ends.
pub(super) struct Slot {
    pub(super) connection: Option<Connection>,
    /// Without keep-alive: the request that this connection is opened for.
    pub(super) ticket: Option<Ticket>,
    /// Which of the target's addresses is tried, and how many were since the last pause.
    pub(super) address: usize,
    pub(super) tried: usize,
    /// When another attempt to connect may be made.
    pub(super) retry_at: Instant,
    /// Pauses in a row without an answer between them.
    pub(super) failures: u32,
    /// Whether this connection has brought an answer.
    pub(super) has_served: bool,
    /// Since when it has had room for a request.
    pub(super) free_since: Instant,
    is_in_free: bool,
    pub(super) was_opened: bool,
}

impl Slots {
    pub(super) fn new(count: usize, keepalive: bool, now: Instant) -> Self {
        Self { all: (0..count).map(|_| Slot::new(now)).collect(), free: VecDeque::new(), keepalive }
    }

    /// How many requests a slot can take now.
    pub(super) fn room(&self, slot: usize) -> usize {
        let slot = &self.all[slot];
        match &slot.connection {
            Some(_) if slot.ticket.is_some() => 0,
            Some(connection) if self.keepalive => connection.room(),
            Some(_) => 0,
            None => usize::from(!self.keepalive && slot.ticket.is_none()),
        }
    }

    /// Puts a slot with room into the queue of those.
    pub(super) fn offer(&mut self, slot: usize, now: Instant) {
        if self.room(slot) > 0 && !self.all[slot].is_in_free {
            self.all[slot].is_in_free = true;
            self.all[slot].free_since = now;
            self.free.push_back(slot);
        }
    }

    /// Whether any stands in the queue.
    pub(super) fn are_offered(&self) -> bool {
        !self.free.is_empty()
    }

    /// The first in the queue that can take a request at `now`. Those before it leave the queue; it stays until
    /// [`Slots::take_first`].
    pub(super) fn first(&mut self, now: Instant) -> Option<usize> {
        while let Some(&slot) = self.free.front() {
            if self.room(slot) > 0 && self.all[slot].retry_at <= now {
                return Some(slot);
            }
            self.take_first();
        }
        None
    }

    /// The first one leaves the queue.
    pub(super) fn take_first(&mut self) {
        if let Some(slot) = self.free.pop_front() {
            self.all[slot].is_in_free = false;
        }
    }

    /// A slot is looked at that may have got room since. One with room is always in the queue: any other has had none
    /// until now.
    pub(super) fn note_room(&mut self, slot: usize, now: Instant) {
        if !self.all[slot].is_in_free {
            self.all[slot].free_since = now;
        }
    }
}

impl Deref for Slots {
    type Target = [Slot];

    fn deref(&self) -> &[Slot] {
        &self.all
    }
}

impl DerefMut for Slots {
    fn deref_mut(&mut self) -> &mut [Slot] {
        &mut self.all
    }
}

impl Slot {
    fn new(now: Instant) -> Self {
        Self {
            connection: None,
            ticket: None,
            address: 0,
            tried: 0,
            retry_at: now,
            failures: 0,
            has_served: false,
            free_since: now,
            is_in_free: false,
            was_opened: false,
        }
    }
}
