//! A worker's idle upstream connections. Never shared: a connection is used where it was opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::endpoint::Live;
use super::{Announced, Endpoint};

/// Idle connections by endpoint and by how they were made; the one used last is taken first, so that the rest can age out.
pub struct Pool {
    slots: HashMap<u64, Slot, foldhash::fast::RandomState>,
    /// When it was last swept: how old connections are counts from there, and no request reads a clock for it.
    swept: Instant,
}

struct Slot {
    live: Arc<Live>,
    idle: Vec<Connection>,
    idle_timeout: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self { slots: HashMap::default(), swept: Instant::now() }
    }
}

impl Pool {
    /// The idle connection used last that still lives, and was made for this client if the upstream announces them.
    pub fn take(&mut self, endpoint: &Arc<Endpoint>, client: Option<Announced>) -> Option<Connection> {
        let slot = self.slots.get_mut(&endpoint.connection_key())?;
        while let Some(at) = slot.idle.iter().rposition(|idle| idle.announced.as_deref() == client.as_ref()) {
            let mut connection = slot.idle.remove(at);
            if !connection.is_spoiled() {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last response was read to its end. Past `at_most` the oldest goes.
    pub fn put(
        &mut self,
        endpoint: &Arc<Endpoint>,
        mut connection: Connection,
        at_most: usize,
        idle_timeout: Duration,
    ) {
        if at_most == 0 {
            return;
        }
        connection.idle_since = self.swept;
        let slot = self.slots.entry(endpoint.connection_key()).or_insert_with(|| Slot {
            live: Arc::clone(&endpoint.live),
            idle: Vec::new(),
            idle_timeout,
        });
        slot.idle_timeout = idle_timeout;
        if slot.idle.len() >= at_most {
            slot.idle.remove(0);
        }
        slot.idle.push(connection);
    }

    /// Closes what has been idle for too long, was closed by its endpoint, or leads to one that has left. Called about once a second.
    pub fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.slots.retain(|_, slot| {
            if slot.live.is_gone() {
                return false;
            }
            let timeout = slot.idle_timeout;
            slot.idle.retain_mut(|c| now.saturating_duration_since(c.idle_since) < timeout && !c.is_spoiled());
            !slot.idle.is_empty()
        });
    }

    /// Idle connections held.
    pub fn len(&self) -> usize {
        self.slots.values().map(|s| s.idle.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Closes every idle connection.
    pub fn clear(&mut self) {
        self.slots.clear();
    }
}
