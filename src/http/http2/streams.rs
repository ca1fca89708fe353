//! The streams of a connection: a place for each while somebody works on it.

use std::task::{Context, Waker};

use crate::http::head::Fields;

/// Names a stream to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    place: u32,
    id: u32,
}

/// Why a stream is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The client gave it up, or the connection is gone.
    ByClient,
    /// The client broke the rules on it.
    Malformed,
}

/// One stream. It lives until its task lets go of it, whatever becomes of it in between.
pub(super) struct Stream {
    pub(super) id: u32,
    waker: Option<Waker>,
    pub(super) gone: Option<Gone>,
    /// What has come of the request's body, and is still to be taken.
    pub(super) body: Vec<u8>,
    /// What content-length still announces.
    pub(super) announced: Option<u64>,
    /// The client has sent all.
    pub(super) ended: bool,
    pub(super) trailers: Option<Fields>,
    /// Bytes that the client may still send, and that it is still to be told of.
    pub(super) receive_window: u32,
    pub(super) unreported: u32,
    /// Bytes that may be sent; negative after the client has made its windows smaller.
    pub(super) send_window: i64,
    /// The response's end is on its way.
    pub(super) finished: bool,
    /// Where its last DATA frame began among the bytes going out.
    pub(super) last_data: Option<u64>,
    /// It waits for its turn to send.
    pub(super) is_waiting: bool,
}

impl Stream {
    pub(super) fn new(id: u32, ended: bool, announced: Option<u64>, receive_window: u32, send_window: i64) -> Self {
        Self {
            id,
            waker: None,
            gone: None,
            body: Vec::new(),
            announced,
            ended,
            trailers: None,
            receive_window,
            unreported: 0,
            send_window,
            finished: false,
            last_data: None,
            is_waiting: false,
        }
    }

    /// The client's side isn't over, and nobody gave it up.
    pub(super) fn is_open(&self) -> bool {
        self.gone.is_none() && !(self.ended && self.finished)
    }

    /// Has the task polled again when anything changes.
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// All streams that somebody works on.
#[derive(Default)]
pub(super) struct Streams {
    places: Vec<Option<Stream>>,
    /// Identifiers by place, 0 where there is none: what a frame is for is found without a look at the streams.
    ids: Vec<u32>,
    free: Vec<u32>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Those that count against the client's bound: RFC 9113 5.1.2.
    pub(super) fn open(&self) -> usize {
        self.iter().filter(|stream| stream.is_open()).count()
    }

    pub(super) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(stream);
                self.ids[place as usize] = id;
                place
            }
            None => {
                self.places.push(Some(stream));
                self.ids.push(id);
                (self.places.len() - 1) as u32
            }
        };
        Key { place, id }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Stream> {
        self.get_mut(key)?;
        self.free.push(key.place);
        self.ids[key.place as usize] = 0;
        self.places[key.place as usize].take()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Stream> {
        self.places.get(key.place as usize)?.as_ref().filter(|stream| stream.id == key.id)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.places.get_mut(key.place as usize)?.as_mut().filter(|stream| stream.id == key.id)
    }

    pub(super) fn find(&self, id: u32) -> Option<Key> {
        let place = self.ids.iter().position(|known| *known == id)?;
        Some(Key { place: place as u32, id })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.places.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.places.iter_mut().flatten()
    }
}
