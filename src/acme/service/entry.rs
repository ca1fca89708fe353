//! One certificate that is kept: what it is served from, and what is done about it next.

use std::sync::Arc;

use crate::acme::board::Row;
use crate::acme::bundle::Bundle;
use crate::acme::state::{Phase, State};
use crate::acme::wanted::Wanted;
use crate::acme::{Moment, ari};
use crate::tls::Slot;

pub(super) struct Entry {
    pub(super) wanted: Wanted,
    pub(super) slot: Arc<Slot>,
    pub(super) state: State,
    pub(super) bundle: Option<Bundle>,
    pub(super) task: Option<Task>,
    /// For reasons that aren't in the state.
    pub(super) not_before: Option<Moment>,
    /// The store had no place for the certificate.
    pub(super) unsaved: bool,
    /// How often the store has failed, in a row.
    pub(super) store_failures: u32,
}

/// What is done about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Get it.
    Attempt,
    /// Ask the CA when it would like it renewed.
    Look,
    /// Store it.
    Save,
}

impl Entry {
    pub(super) fn new(wanted: Wanted, slot: Arc<Slot>, state: State, bundle: Option<Bundle>) -> Self {
        Self { wanted, slot, state, bundle, task: None, not_before: None, unsaved: false, store_failures: 0 }
    }

    fn due(&self, now: Moment) -> Moment {
        self.state.next(self.bundle.as_ref().map(|bundle| (bundle.validity, bundle.fingerprint)), now).at
    }

    /// What to do next, and when; nothing while something is done.
    pub(super) fn next(&self, now: Moment) -> Option<(Moment, Task)> {
        if self.task.is_some() {
            return None;
        }
        let attempt = (self.due(now), Task::Attempt);
        let look = self.bundle.as_ref().filter(|bundle| self.state.asks_for_suggestions(bundle.validity));
        // A CA's word holds for a day at most: a later time is that of a clock that has been set since.
        let check = self.state.suggestion.next_check.filter(|check| *check <= now + 2 * ari::LONGEST_WAIT);
        let look = look.map(|_| (check.unwrap_or(now), Task::Look));
        let (at, task) = match self.unsaved {
            true => (now, Task::Save),
            false => look.filter(|look| look.0 < attempt.0).unwrap_or(attempt),
        };
        Some((self.not_before.map_or(at, |not_before| at.max(not_before)), task))
    }

    /// The store has an old one, since it had no place for this.
    pub(super) fn unsaved_and_newer_than(&self, other: &Bundle, just_issued: bool) -> bool {
        let newer = self.bundle.as_ref().is_some_and(|own| own.validity.not_before > other.validity.not_before);
        self.unsaved && !just_issued && newer
    }

    /// How it stands, for whoever looks.
    pub(super) fn row(&self, now: Moment) -> Row {
        let validity = self.bundle.as_ref().map(|bundle| bundle.validity);
        let phase = match self.state.phase(validity, self.task == Some(Task::Attempt), now) {
            Phase::Absent | Phase::Valid if self.store_failures > 0 => Phase::Backoff,
            phase => phase,
        };
        let next = self.due(now).max(self.not_before.unwrap_or(now));
        Row { site: Arc::clone(&self.wanted.site), phase, next }
    }
}
