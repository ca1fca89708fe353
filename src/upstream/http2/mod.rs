//! HTTP/2 connections to endpoints: each is shared by many requests of one worker.
//!
//! Owns which connection a request gets, when another is opened, and when one takes no further request. Never reads or
//! writes a stream: `proxy` does, on the [`Place`] that it gets here.

mod drive;
mod session;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use self::session::{Session, negotiates};
use super::Endpoint;
use super::connect::{ConnectError, FAR, Handshake, connect};
use super::endpoint::Live;
use crate::config;

pub use self::session::Place;

/// A worker's HTTP/2 connections, by endpoint and by how they were made.
pub struct Sessions {
    slots: RefCell<HashMap<u64, Slot, foldhash::fast::RandomState>>,
    draining: Cell<bool>,
}

struct Slot {
    live: Arc<Live>,
    sessions: Vec<Rc<Session>>,
    /// Held by whoever opens a connection, so that the requests that come meanwhile share it.
    opening: Rc<Mutex<()>>,
    idle_timeout: Duration,
    idle_at_most: usize,
    max_lifetime: Option<Duration>,
}

/// A place on a connection, and whether it was opened for it.
pub struct Reached {
    pub place: Place,
    /// Opened for this request; with the TLS handshake, if there was one.
    pub opened: Option<Option<Handshake>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { slots: RefCell::default(), draining: Cell::new(false) }
    }
}

impl Sessions {
    /// A place on a connection that has room and was opened no earlier than `since`, or on a new one.
    ///
    /// # Errors
    /// As [`connect`]; and an endpoint that doesn't agree on HTTP/2.
    pub async fn reach(
        &self,
        endpoint: &Arc<Endpoint>,
        upstream: &config::Upstream,
        terms: &config::UpstreamHttp2,
        since: Option<Instant>,
    ) -> Result<Reached, ConnectError> {
        if let Some(place) = self.find(endpoint, terms, since) {
            return Ok(Reached { place, opened: None });
        }
        let now = Instant::now();
        let deadline = now.checked_add(upstream.timeouts.connect).unwrap_or(now + FAR);
        let opening = self.opening(endpoint, upstream, terms);
        let _turn = timeout_at(deadline, opening.lock()).await.map_err(|_| ConnectError::TimedOut)?;
        loop {
            if let Some(place) = self.find(endpoint, terms, since) {
                return Ok(Reached { place, opened: None });
            }
            let Some(session) = self.promising(endpoint, since) else { break };
            if timeout_at(deadline, session.news()).await.is_err() {
                if session.age(Instant::now()) >= upstream.timeouts.connect {
                    session.retire();
                }
                return Err(ConnectError::TimedOut);
            }
        }
        let opened = connect(endpoint, None, deadline.saturating_duration_since(Instant::now())).await?;
        if opened.handshake.is_some() && !negotiates(&opened.stream) {
            return Err(ConnectError::NoHttp2);
        }
        let max_head = upstream.max_head_bytes;
        let session = timeout_at(deadline, Session::open(opened.stream, terms, max_head)).await;
        let session = Rc::new(session.map_err(|_| ConnectError::TimedOut)??);
        let place = session.place(false);
        if let Some(slot) = self.slots.borrow_mut().get_mut(&endpoint.connection_key()).filter(|_| !self.draining.get())
        {
            slot.sessions.push(session);
        }
        Ok(Reached { place, opened: Some(opened.handshake) })
    }

    /// The first connection with room, so that those opened for a rush become idle again and end.
    fn find(&self, endpoint: &Endpoint, terms: &config::UpstreamHttp2, since: Option<Instant>) -> Option<Place> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(&endpoint.connection_key())?;
        slot.sessions.retain(|session| session.is_open());
        let mut fit = slot.sessions.iter().filter(|session| session.is_of(since));
        fit.find(|session| session.has_room(terms.max_streams)).map(|session| session.place(since.is_none()))
    }

    /// A connection that may soon have room: what is opened beside it would not be needed.
    fn promising(&self, endpoint: &Endpoint, since: Option<Instant>) -> Option<Rc<Session>> {
        let slots = self.slots.borrow();
        let mut sessions = slots.get(&endpoint.connection_key())?.sessions.iter();
        sessions.find(|session| session.is_of(since) && session.is_promising()).map(Rc::clone)
    }

    fn opening(
        &self,
        endpoint: &Endpoint,
        upstream: &config::Upstream,
        terms: &config::UpstreamHttp2,
    ) -> Rc<Mutex<()>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry(endpoint.connection_key()).or_insert_with(|| Slot {
            live: Arc::clone(&endpoint.live),
            sessions: Vec::new(),
            opening: Rc::default(),
            idle_timeout: upstream.timeouts.idle,
            idle_at_most: upstream.idle_connections,
            max_lifetime: terms.max_lifetime,
        });
        slot.idle_timeout = upstream.timeouts.idle;
        slot.idle_at_most = upstream.idle_connections;
        slot.max_lifetime = terms.max_lifetime;
        Rc::clone(&slot.opening)
    }

    /// Gives up what is closed, has been idle for too long, has lived long enough, or leads to an endpoint that has left.
    /// Requests on it are finished. Called about once a second.
    pub fn sweep(&self, now: Instant) {
        self.slots.borrow_mut().retain(|_, slot| {
            if slot.live.is_gone() {
                return false;
            }
            let (mut idle, timeout, at_most) = (0, slot.idle_timeout, slot.idle_at_most);
            let lifetime = slot.max_lifetime;
            slot.sessions.retain(|session| {
                let is_young = lifetime.is_none_or(|lifetime| session.age(now) < lifetime);
                let idle_for = session.idle_for(now);
                idle += usize::from(idle_for.is_some());
                session.is_open() && is_young && idle_for.is_none_or(|time| time < timeout && idle <= at_most)
            });
            !slot.sessions.is_empty() || Rc::strong_count(&slot.opening) > 1
        });
    }

    /// Connections held.
    pub fn len(&self) -> usize {
        self.slots.borrow().values().map(|slot| slot.sessions.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives up every connection, now and from now on; requests on them are finished.
    pub fn drain(&self) {
        self.draining.set(true);
        self.slots.borrow_mut().clear();
    }
}
