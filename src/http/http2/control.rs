//! Frames that carry neither a request nor a body: RFC 9113 6.3 to 6.9.

use tokio::time::Instant;

use super::closed::How;
use super::connection::{Connection, Farewell, Fault, SHUTDOWN_PING};
use super::frame::{self, Code, Frame, Kind, flag, setting};
use super::ledger::{self, Overdrawn};
use super::streams::Gone;

impl Connection {
    pub(super) fn take_reset(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        if self.is_idle(frame.stream) {
            return Err(protocol("RST_STREAM on an idle stream"));
        }
        if frame.payload.len() != 4 {
            return Err(fault(Code::FrameSize, "RST_STREAM of another length than 4"));
        }
        self.charge(1, now)?;
        let Some(key) = self.streams.find(frame.stream) else { return Ok(()) };
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.gone.is_none()) else { return Ok(()) };
        stream.gone = Some(Gone::ByClient);
        stream.wake();
        let was_answered = stream.finished;
        self.closed.note(frame.stream, How::Whole);
        if was_answered {
            return Ok(());
        }
        self.ledger.reset(now).map_err(|Overdrawn| calm("too many streams reset"))
    }

    pub(super) fn take_settings(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        if frame.stream != 0 {
            return Err(protocol("SETTINGS on a stream"));
        }
        if frame.has(flag::ACK) {
            if !frame.payload.is_empty() {
                return Err(fault(Code::FrameSize, "an acknowledgment with settings"));
            }
            return self.charge(1, now);
        }
        self.charge(ledger::SETTINGS, now)?;
        let settings = frame::each_setting(frame.payload).ok_or(fault(Code::FrameSize, "SETTINGS cut short"))?;
        for (identifier, value) in settings {
            match identifier {
                setting::HEADER_TABLE_SIZE => self.encoder.resize(value as usize),
                setting::ENABLE_PUSH | setting::ENABLE_CONNECT_PROTOCOL if value > 1 => {
                    return Err(protocol("a setting that is neither 0 nor 1"));
                }
                setting::INITIAL_WINDOW_SIZE => self.resize_windows(value)?,
                setting::MAX_FRAME_SIZE if !(0x4000..=0xff_ffff).contains(&value) => {
                    return Err(protocol("a bad SETTINGS_MAX_FRAME_SIZE"));
                }
                _ => {}
            }
        }
        frame::settings_ack(self.out.buffer());
        self.touch();
        Ok(())
    }

    /// RFC 9113 6.9.2: the change holds for the streams there are as well.
    pub(super) fn resize_windows(&mut self, value: u32) -> Result<(), Fault> {
        if value > frame::MAX_WINDOW {
            return Err(fault(Code::FlowControl, "a bad SETTINGS_INITIAL_WINDOW_SIZE"));
        }
        let change = i64::from(value) - self.initial_send_window;
        self.initial_send_window = i64::from(value);
        for stream in self.streams.iter_mut() {
            stream.send_window += change;
            if stream.send_window > i64::from(frame::MAX_WINDOW) {
                return Err(fault(Code::FlowControl, "a window that overflows"));
            }
            if change > 0 {
                stream.wake();
            }
        }
        Ok(())
    }

    pub(super) fn take_ping(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        if frame.stream != 0 {
            return Err(protocol("PING on a stream"));
        }
        if frame.payload.len() != 8 {
            return Err(fault(Code::FrameSize, "PING of another length than 8"));
        }
        self.charge(1, now)?;
        if !frame.has(flag::ACK) {
            frame::ping(self.out.buffer(), flag::ACK, frame.payload);
            self.touch();
        } else if self.farewell == Farewell::Announced && frame.payload == SHUTDOWN_PING {
            self.finish_shutdown();
        }
        Ok(())
    }

    pub(super) fn take_window_update(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        if frame.payload.len() != 4 {
            return Err(fault(Code::FrameSize, "WINDOW_UPDATE of another length than 4"));
        }
        if frame.stream != 0 && self.is_idle(frame.stream) {
            return Err(protocol("WINDOW_UPDATE on an idle stream"));
        }
        self.charge(1, now)?;
        let more = i64::from(frame.number(0).unwrap_or(0) & frame::STREAM_MASK);
        if frame.stream == 0 {
            if more == 0 {
                return Err(protocol("a window update of 0"));
            }
            self.send_window += more;
            if self.send_window > i64::from(frame::MAX_WINDOW) {
                return Err(fault(Code::FlowControl, "a window that overflows"));
            }
            self.give_turn();
            return Ok(());
        }
        let Some(key) = self.streams.find(frame.stream) else { return Ok(()) };
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.gone.is_none()) else { return Ok(()) };
        stream.send_window += more;
        stream.wake();
        match stream.send_window {
            _ if more == 0 => self.misbehaved(key, Code::Protocol, now),
            window if window > i64::from(frame::MAX_WINDOW) => self.misbehaved(key, Code::FlowControl, now),
            _ => Ok(()),
        }
    }

    /// RFC 9113 5.3.2: read, and nothing made of it.
    pub(super) fn take_priority(&mut self, frame: Frame<'_>, now: Instant) -> Result<(), Fault> {
        if frame.stream == 0 {
            return Err(protocol("PRIORITY on stream 0"));
        }
        self.charge(1, now)?;
        let code = match frame.payload.len() {
            5 if !depends_on_itself(&frame) => return Ok(()),
            5 => Code::Protocol,
            _ => Code::FrameSize,
        };
        match self.streams.find(frame.stream) {
            Some(key) => self.misbehaved(key, code, now),
            // A stream that isn't open can't be reset: RFC 9113 6.4.
            None if self.is_idle(frame.stream) => Err(fault(code, "a bad PRIORITY frame")),
            None => Ok(()),
        }
    }
}

/// The first four bytes of what PRIORITY and HEADERS say of it, behind the padding's length.
pub(super) fn depends_on_itself(frame: &Frame<'_>) -> bool {
    let at = usize::from(frame.kind == Some(Kind::Headers) && frame.has(flag::PADDED));
    frame.number(at).is_some_and(|on| on & frame::STREAM_MASK == frame.stream)
}

pub(super) const fn fault(code: Code, why: &'static str) -> Fault {
    Fault { code, why }
}

pub(super) const fn protocol(why: &'static str) -> Fault {
    fault(Code::Protocol, why)
}

pub(super) const fn calm(why: &'static str) -> Fault {
    fault(Code::EnhanceYourCalm, why)
}
