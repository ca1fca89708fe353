//! Frames of HTTP/2: RFC 9113 4 and 6.

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// `None`: of a kind to be ignored.
    pub(super) kind: Option<Kind>,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Data = 0,
    Headers = 1,
    Priority = 2,
    ResetStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
}

pub(super) mod flag {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

pub(super) mod setting {
    pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
    pub(crate) const ENABLE_PUSH: u16 = 2;
    pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(crate) const MAX_FRAME_SIZE: u16 = 5;
}

/// A frame is longer than this side allows.
#[derive(Debug)]
pub(super) struct TooLong;

impl<'a> Frame<'a> {
    /// The first frame of `bytes` and what follows it. `None`: not all of it is there.
    pub(super) fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, TooLong> {
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > DEFAULT_MAX_FRAME {
            return Err(TooLong);
        }
        let Some((payload, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & STREAM_MASK;
        Ok(Some((Self { kind: Kind::of(kind), flags, stream, payload }, rest)))
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The body's bytes of a DATA frame, without padding. `None`: more padding than frame.
    pub(super) fn data(&self) -> Option<&'a [u8]> {
        if !self.has(flag::PADDED) {
            return Some(self.payload);
        }
        let (&padding, rest) = self.payload.split_first()?;
        rest.get(..rest.len().checked_sub(usize::from(padding))?)
    }

    /// The section's bytes of a HEADERS frame, without padding and priority.
    pub(super) fn section(&self) -> Option<&'a [u8]> {
        let bytes = self.data()?;
        if self.has(flag::PRIORITY) { bytes.get(5..) } else { Some(bytes) }
    }

    /// Four bytes of the payload as a number.
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Kind::Data,
            Kind::Headers,
            Kind::Priority,
            Kind::ResetStream,
            Kind::Settings,
            Kind::PushPromise,
            Kind::Ping,
            Kind::GoAway,
            Kind::WindowUpdate,
            Kind::Continuation,
        ]
        .get(usize::from(byte))
        .copied()
    }
}

/// Writes a frame's head with no length yet, and says where it begins.
pub(super) fn begin(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, kind as u8, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    at
}

/// Everything written since [`begin`] is the frame's payload.
pub(super) fn finish(out: &mut [u8], at: usize) {
    let length = ((out.len() - at - HEAD) as u32).to_be_bytes();
    out[at..at + 3].copy_from_slice(&length[1..]);
}

pub(super) fn settings(out: &mut Vec<u8>, list: &[(u16, u32)]) {
    let at = begin(out, Kind::Settings, 0, 0);
    for (identifier, value) in list {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    finish(out, at);
}

pub(super) fn window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    let at = begin(out, Kind::WindowUpdate, 0, stream);
    out.extend_from_slice(&bytes.to_be_bytes());
    finish(out, at);
}

pub(super) fn reset(out: &mut Vec<u8>, stream: u32, reason: u32) {
    let at = begin(out, Kind::ResetStream, 0, stream);
    out.extend_from_slice(&reason.to_be_bytes());
    finish(out, at);
}

/// Identifiers and values of a SETTINGS frame. `None`: not a whole number of them.
pub(super) fn each_setting(payload: &[u8]) -> Option<impl Iterator<Item = (u16, u32)>> {
    let (settings, rest) = payload.as_chunks::<6>();
    rest.is_empty().then(|| {
        settings
            .iter()
            .map(|[i0, i1, v0, v1, v2, v3]| (u16::from_be_bytes([*i0, *i1]), u32::from_be_bytes([*v0, *v1, *v2, *v3])))
    })
}

const HEAD: usize = 9;
/// Bytes of a frame that either side takes unless it says otherwise; this one doesn't.
pub(super) const DEFAULT_MAX_FRAME: usize = 16 << 10;
/// The window that either side begins with.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;
pub(super) const STREAM_MASK: u32 = 0x7fff_ffff;
/// The error code of a stream that is no longer wanted.
pub(super) const CANCEL: u32 = 8;
