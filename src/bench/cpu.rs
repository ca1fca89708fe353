//! What a thread costs.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::schedule::Schedule;

/// The thread's CPU time while requests are sent.
#[derive(Default)]
pub(super) struct Cpu {
    begin: Option<Duration>,
    spent: Option<Duration>,
}

impl Cpu {
    pub(super) fn begin() -> Self {
        Self { begin: Some(thread_cpu()), spent: None }
    }

    /// Notices the start and the end of the sending.
    pub(super) fn look(&mut self, schedule: &Schedule, now: Instant) {
        if schedule.started().is_none() || self.spent.is_some() {
            return;
        }
        self.begin.get_or_insert_with(thread_cpu);
        if schedule.is_over(now) {
            self.end();
        }
    }

    pub(super) fn end(&mut self) {
        self.spent.get_or_insert_with(|| thread_cpu().saturating_sub(self.begin.unwrap_or_default()));
    }

    pub(super) fn spent(&self) -> Duration {
        self.spent.unwrap_or_default()
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
