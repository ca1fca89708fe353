//! Streams that ended lately: what may still come for them says nothing of their client.

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Both sides had sent all, or the client gave it up.
    Whole,
    /// This side cut it off: the client may have sent more before it knew.
    Cut,
}

/// The last [`REMEMBERED`] ones.
#[derive(Debug)]
pub(super) struct Closed {
    /// A client's identifiers are odd; the lowest bit is left out where the stream was cut.
    streams: [u32; REMEMBERED],
    next: usize,
}

impl Default for Closed {
    fn default() -> Self {
        Self { streams: [0; REMEMBERED], next: 0 }
    }
}

impl Closed {
    pub(super) fn note(&mut self, id: u32, how: How) {
        self.streams[self.next] = if how == How::Cut { id & !1 } else { id };
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// How it ended; `None`: too long ago, or it never was.
    pub(super) fn find(&self, id: u32) -> Option<How> {
        let found = self.streams.iter().find(|known| **known | 1 == id)?;
        Some(if found & 1 == 0 { How::Cut } else { How::Whole })
    }
}

const REMEMBERED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_with_their_ends() {
        let mut closed = Closed::default();
        closed.note(1, How::Cut);
        closed.note(3, How::Whole);
        assert_eq!([1, 3, 5].map(|id| closed.find(id)), [Some(How::Cut), Some(How::Whole), None]);
        (0..REMEMBERED as u32).for_each(|n| closed.note(101 + 2 * n, How::Whole));
        assert_eq!(closed.find(1), None);
    }
}
