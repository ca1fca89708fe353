//! The clock that a service goes by: the system's, or one that a test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::watch;

use super::Moment;

/// No certificate can be had at an earlier time, whatever the clock says: a machine without a battery starts in 1970.
pub const EARLIEST: Moment = Moment::from_seconds(1_793_000_000);

/// Where time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Stands still until it is moved.
    Manual(Arc<Manual>),
}

/// A clock for tests.
#[derive(Debug)]
pub struct Manual {
    now: watch::Sender<i64>,
    awaited: AtomicI64,
}

impl Clock {
    pub fn now(&self) -> Moment {
        match self {
            Clock::System => Moment::now(),
            Clock::Manual(manual) => Moment::from_millis(*manual.now.borrow()),
        }
    }

    /// Says that nothing happens before this moment; `None`: something is under way.
    pub fn idle_until(&self, moment: Option<Moment>) {
        if let Clock::Manual(manual) = self {
            manual.awaited.store(moment.map_or(0, Moment::millis), SeqCst);
        }
    }

    /// Waits until then, or for `longest`: a clock that jumps is noticed after that.
    pub async fn sleep_until(&self, moment: Moment, longest: Duration) {
        match self {
            Clock::System => tokio::time::sleep(moment.since(Moment::now()).min(longest)).await,
            Clock::Manual(manual) => {
                let mut now = manual.now.subscribe();
                let asleep = *now.borrow();
                // The sender lives as long as the clock. One that is set back is looked at anew, as the system's is.
                let _ = now.wait_for(|now| *now >= moment.millis() || *now < asleep).await;
            }
        }
    }
}

impl Manual {
    pub fn at(moment: Moment) -> Arc<Self> {
        Arc::new(Self { now: watch::Sender::new(moment.millis()), awaited: AtomicI64::new(0) })
    }

    /// What is waited for, if nothing is under way.
    pub fn awaited(&self) -> Option<Moment> {
        let awaited = self.awaited.load(SeqCst);
        (awaited > *self.now.borrow()).then(|| Moment::from_millis(awaited))
    }

    pub fn set(&self, moment: Moment) {
        self.now.send_replace(moment.millis());
    }

    pub fn now(&self) -> Moment {
        Moment::from_millis(*self.now.borrow())
    }
}
