//! What is known of a source: what it last found, and how it fares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::refresh::Refresh;
use super::{Answer, LookError};
use crate::config::{Address, EndpointSource};
use crate::metrics::DiscoverySample;
use crate::upstream::{Change, Found, Upstream};

/// A source that some upstream uses. It outlives reloads.
pub(super) struct Known {
    source: EndpointSource,
    /// As logs and metrics name it.
    name: String,
    state: Mutex<State>,
}

struct State {
    /// Empty: nothing so far.
    found: Arc<[Found]>,
    /// When to look again; `None` once the source says so.
    due: Option<Instant>,
    /// Why it last failed, if it did.
    failing: Option<String>,
    failures_in_a_row: u32,
    failures: u64,
    changes: u64,
    /// Seconds since 1970; 0 is never.
    last_success: u64,
}

impl Known {
    pub(super) fn new(source: EndpointSource) -> Self {
        let state = State {
            found: Arc::from([]),
            due: Some(Instant::now()),
            failing: None,
            failures_in_a_row: 0,
            failures: 0,
            changes: 0,
            last_success: 0,
        };
        Self { name: source.to_string(), source, state: Mutex::new(state) }
    }

    /// After a reload: what fails, or is asked of other servers now, is looked at at once.
    pub(super) fn begin(&self, otherwise: bool) {
        let mut state = self.lock();
        if otherwise || state.failing.is_some() {
            state.due = Some(Instant::now());
        }
    }

    pub(super) fn found(&self) -> Arc<[Found]> {
        Arc::clone(&self.lock().found)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// Gives the upstreams what was last found; false if that is nothing.
    pub(super) fn hand_out(&self, users: &[Arc<Upstream>]) -> bool {
        let found = self.found();
        for upstream in users {
            if let Some(change) = upstream.set_found(&self.source, &found) {
                self.tell(upstream, &change);
            }
        }
        !found.is_empty()
    }

    /// Takes in what came of looking. A failure changes nothing but the time of the next look; what has a flaw counts as
    /// long as it would without, unless a failure's pause is over sooner.
    pub(super) fn note(&self, outcome: Result<Answer, LookError>, refresh: &Refresh, users: &[Arc<Upstream>]) {
        match outcome {
            Ok(Answer { found, ttl, flaw }) if !found.is_empty() => {
                let mut state = self.lock();
                if *state.found != *found {
                    state.found = found.into();
                    state.changes += 1;
                }
                let counts = ttl.map(|ttl| refresh.after_answer(ttl));
                let due = match (counts, &flaw) {
                    (counts, None) => counts,
                    (None, Some(_)) => Some(refresh.after_failures(state.failures_in_a_row + 1)),
                    (Some(counts), Some(_)) => Some(counts.min(refresh.after_failures(state.failures_in_a_row + 1))),
                };
                state.due = due.map(|pause| Instant::now() + pause);
                match flaw {
                    None => self.note_success(state),
                    Some(flaw) => self.note_failure(state, &flaw),
                }
                self.hand_out(users);
            }
            // None that there is does this; what it would mean is clear.
            Ok(_) => self.fail(&LookError::NoAddress, refresh),
            Err(error) => self.fail(&error, refresh),
        }
    }

    fn fail(&self, error: &LookError, refresh: &Refresh) {
        let mut state = self.lock();
        state.due = Some(Instant::now() + refresh.after_failures(state.failures_in_a_row + 1));
        self.note_failure(state, error);
    }

    fn note_success(&self, mut state: MutexGuard<'_, State>) {
        state.last_success = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let failed = std::mem::take(&mut state.failures_in_a_row);
        let was_failing = state.failing.take().is_some();
        let endpoints = state.found.len();
        drop(state);
        if was_failing {
            tracing::info!(source = self.name, endpoints, failed, "endpoints are found again");
        }
    }

    /// Says so once for each cause, however often it comes.
    fn note_failure(&self, mut state: MutexGuard<'_, State>, error: &LookError) {
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        state.failures += 1;
        let error = error.to_string();
        let is_news = state.failing.as_ref() != Some(&error);
        let endpoints = state.found.len();
        state.failing = Some(error.clone());
        drop(state);
        match (is_news, endpoints) {
            (false, _) => tracing::debug!(source = self.name, error, "endpoints are still not found"),
            (true, 0) => tracing::warn!(source = self.name, error, "no endpoints are found so far"),
            (true, _) => {
                tracing::warn!(
                    source = self.name,
                    error,
                    endpoints,
                    "endpoints are not found; the last ones stay in use"
                );
            }
        }
    }

    fn tell(&self, upstream: &Upstream, change: &Change) {
        let (name, source) = (&**upstream.name(), &self.name);
        tracing::info!(
            upstream = name,
            source,
            added = listed(&change.added),
            removed = listed(&change.removed),
            endpoints = change.found,
            "endpoints changed"
        );
        if change.left_out > 0 {
            let (max_endpoints, left_out) = (upstream.config().max_endpoints, change.left_out);
            tracing::warn!(upstream = name, source, max_endpoints, left_out, "too many endpoints: some are not used");
        }
    }

    pub(super) fn sample(&self) -> DiscoverySample {
        let state = self.lock();
        DiscoverySample {
            source: self.name.clone(),
            endpoints: state.found.len() as u64,
            changes: state.changes,
            failures: state.failures,
            failing: state.failing.is_some(),
            last_success: state.last_success,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some of them by name; of many, a line should not be made.
fn listed(addresses: &[Address]) -> String {
    let named: Vec<String> = addresses.iter().take(NAMED).map(ToString::to_string).collect();
    match addresses.len().saturating_sub(NAMED) {
        0 => named.join(" "),
        more => format!("{} and {more} more", named.join(" ")),
    }
}

const NAMED: usize = 10;
