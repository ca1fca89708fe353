//! Frames of HTTP/2: RFC 9113 4 and 6.

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// `None`: of a kind to be ignored (RFC 9113 5.5).
    pub kind: Option<Kind>,
    pub flags: u8,
    pub stream: u32,
    pub payload: &'a [u8],
}

/// The kinds of frames that RFC 9113 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
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

/// Flags; a bit's meaning depends on the frame's kind.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Identifiers of settings: RFC 9113 6.5.2, RFC 8441 3.
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// An error code: RFC 9113 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    NoError = 0x0,
    Protocol = 0x1,
    Internal = 0x2,
    FlowControl = 0x3,
    StreamClosed = 0x5,
    FrameSize = 0x6,
    RefusedStream = 0x7,
    Cancel = 0x8,
    Compression = 0x9,
    EnhanceYourCalm = 0xb,
}

/// A frame is longer than this side allows.
#[derive(Debug)]
pub struct TooLong;

impl<'a> Frame<'a> {
    /// The first frame of `bytes` and what follows it. `None`: not all of it is there.
    ///
    /// # Errors
    /// It is longer than [`DEFAULT_MAX_FRAME`], told by its head alone.
    pub fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, TooLong> {
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

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The body's bytes of a DATA frame, without padding. `None`: more padding than frame.
    pub fn data(&self) -> Option<&'a [u8]> {
        if !self.has(flag::PADDED) {
            return Some(self.payload);
        }
        let (&padding, rest) = self.payload.split_first()?;
        rest.get(..rest.len().checked_sub(usize::from(padding))?)
    }

    /// The section's bytes of a HEADERS frame, without padding and priority.
    pub fn section(&self) -> Option<&'a [u8]> {
        let bytes = self.data()?;
        if self.has(flag::PRIORITY) { bytes.get(5..) } else { Some(bytes) }
    }

    /// Four bytes of the payload as a number.
    pub fn number(&self, at: usize) -> Option<u32> {
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
pub fn begin(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32) -> usize {
    let at = out.len();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, kind as u8, flags, s0, s1, s2, s3]);
    at
}

/// Everything written since [`begin`] is the frame's payload.
pub fn finish(out: &mut [u8], at: usize) {
    let length = ((out.len() - at - HEAD) as u32).to_be_bytes();
    out[at..at + 3].copy_from_slice(&length[1..]);
}

/// Appends a SETTINGS frame.
pub fn settings(out: &mut Vec<u8>, list: &[(u16, u32)]) {
    let at = begin(out, Kind::Settings, 0, 0);
    for (identifier, value) in list {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    finish(out, at);
}

/// Appends the acknowledgment of a SETTINGS frame.
pub fn settings_ack(out: &mut Vec<u8>) {
    begin(out, Kind::Settings, flag::ACK, 0);
}

/// Appends a PING frame, or the answer to one.
pub fn ping(out: &mut Vec<u8>, flags: u8, payload: &[u8]) {
    let at = begin(out, Kind::Ping, flags, 0);
    out.extend_from_slice(payload);
    finish(out, at);
}

/// Appends a WINDOW_UPDATE frame.
pub fn window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    let at = begin(out, Kind::WindowUpdate, 0, stream);
    out.extend_from_slice(&bytes.to_be_bytes());
    finish(out, at);
}

/// Appends a RST_STREAM frame.
pub fn reset(out: &mut Vec<u8>, stream: u32, code: Code) {
    let at = begin(out, Kind::ResetStream, 0, stream);
    out.extend_from_slice(&(code as u32).to_be_bytes());
    finish(out, at);
}

/// Appends a GOAWAY frame; `why` is for whoever debugs the client.
pub fn go_away(out: &mut Vec<u8>, last_stream: u32, code: Code, why: &str) {
    let at = begin(out, Kind::GoAway, 0, 0);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
    out.extend_from_slice(why.as_bytes());
    finish(out, at);
}

/// Identifiers and values of a SETTINGS frame. `None`: not a whole number of them.
pub fn each_setting(payload: &[u8]) -> Option<impl Iterator<Item = (u16, u32)>> {
    let (settings, rest) = payload.as_chunks::<6>();
    rest.is_empty().then(|| {
        settings
            .iter()
            .map(|[i0, i1, v0, v1, v2, v3]| (u16::from_be_bytes([*i0, *i1]), u32::from_be_bytes([*v0, *v1, *v2, *v3])))
    })
}

/// What a client's connection begins with: RFC 9113 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// Bytes of a frame that either side takes unless it says otherwise; this one doesn't.
pub const DEFAULT_MAX_FRAME: usize = 16 << 10;
/// The window that either side begins with.
pub const DEFAULT_WINDOW: u32 = 65_535;
/// The largest window: RFC 9113 6.9.1.
pub const MAX_WINDOW: u32 = STREAM_MASK;
/// The bits of a stream's identifier, of a window and of an increment; the first one is reserved.
pub const STREAM_MASK: u32 = 0x7fff_ffff;
