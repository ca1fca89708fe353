//! What is known of one certificate beside the certificate: stored, so that a restart or another instance goes on where
//! the last one was.
//!
//! Transitions only; who acts on them is [`super::service`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moment;
use super::backoff;
use super::due::{Due, SUGGESTED_RENEWALS_APART, Suggestion, Validity, Why, due};
use super::failure::{Class, Failure};
use crate::config::KeyType;

/// `state/<id>.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub names: Vec<String>,
    pub key: KeyType,
    /// Who issued the certificate that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<Moment>,
    /// The certificate that [`State::suggestion`] is about, as RFC 9773 names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    pub suggestion: Suggestion,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// Names that the CA's policy refuses, and that the certificate is got without.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Refused>,
    /// A renewal was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Moment>,
    /// How it is to be got, as a hash: a change of the configuration ends a wait.
    pub terms: String,
}

/// Failures since the last success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    pub class: Class,
    pub detail: String,
    pub issuer: String,
    /// In a row.
    pub count: u32,
    pub at: Moment,
    /// No attempt before this.
    pub until: Moment,
}

/// A name that the CA's policy refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    pub until: Moment,
    pub detail: String,
}

/// How a certificate stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// None yet.
    Absent,
    /// An order is under way.
    Ordering,
    Valid,
    /// An order is under way for the next one; this one serves.
    Renewing,
    /// The last attempt failed; the next comes by itself.
    Backoff,
    /// Policy forbids it: somebody has to change something. Tried daily.
    Blocked,
    /// Its time is over, and it is served for want of another.
    Expired,
}

impl Phase {
    pub const ALL: &[Phase] = &[
        Phase::Absent,
        Phase::Ordering,
        Phase::Valid,
        Phase::Renewing,
        Phase::Backoff,
        Phase::Blocked,
        Phase::Expired,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Absent => "absent",
            Phase::Ordering => "ordering",
            Phase::Valid => "valid",
            Phase::Renewing => "renewing",
            Phase::Backoff => "backoff",
            Phase::Blocked => "blocked",
            Phase::Expired => "expired",
        }
    }
}

/// The clocks of instances with one store may differ by this much.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);
/// How long a refused name is left out before it is tried again.
const REFUSED_FOR: Duration = Duration::from_secs(24 * 3600);

impl State {
    pub fn new(names: &[String], key: KeyType, terms: &str) -> Self {
        Self { names: names.to_vec(), key, terms: terms.to_owned(), ..Self::default() }
    }

    /// Fits what was stored to what is configured now: other terms are a reason to try at once.
    #[must_use]
    pub fn under(mut self, names: &[String], key: KeyType, terms: &str) -> Self {
        self.names = names.to_vec();
        self.key = key;
        if self.terms != terms {
            self.terms = terms.to_owned();
            self.trouble = None;
            self.refused.clear();
        }
        self
    }

    /// The names to order now: all but those that policy refuses. All, if that would leave none.
    pub fn names_to_order(&self, now: Moment) -> Vec<String> {
        let wanted = |name: &&String| self.refused.get(*name).is_none_or(|refused| refused.until <= now);
        let some: Vec<String> = self.names.iter().filter(wanted).cloned().collect();
        if some.is_empty() { self.names.clone() } else { some }
    }

    /// When to try next, for the certificate that is there, and why.
    pub fn next(&self, there: Option<(Validity, u64)>, now: Moment) -> Due {
        let wanted = match there {
            None => Due { at: now, why: Why::Asked },
            Some(_) if self.asked.is_some() => Due { at: now, why: Why::Asked },
            Some((validity, fingerprint)) => {
                let mut due = due(validity, fingerprint, &self.suggestion);
                // Where the clock is far ahead of the CA's, a new certificate is due already: that mustn't be a loop. One
                // that seems to have come later than now says that the clock was.
                if let Some(issued) = self.issued.filter(|issued| due.why == Why::Lifetime && *issued <= now) {
                    due.at = due.at.max(issued + validity.lifetime() / 10);
                }
                // A name that was left out is tried again.
                let again = self.refused.values().map(|refused| refused.until).min();
                match again.filter(|again| *again < due.at) {
                    Some(again) => Due { at: again, why: Why::Asked },
                    None => due,
                }
            }
        };
        // A failure that seems to lie ahead was noted by a clock that has been set since.
        match self.trouble.as_ref().filter(|trouble| trouble.at <= now + CLOCKS_DIFFER) {
            Some(trouble) => Due { at: wanted.at.max(trouble.until), why: wanted.why },
            None => wanted,
        }
    }

    pub fn phase(&self, validity: Option<Validity>, ordering: bool, now: Moment) -> Phase {
        let serves = validity.is_some_and(|validity| !validity.is_over(now));
        match &self.trouble {
            _ if ordering && serves => Phase::Renewing,
            _ if ordering => Phase::Ordering,
            Some(trouble) if trouble.class == Class::Policy => Phase::Blocked,
            Some(_) if !serves && validity.is_some() => Phase::Expired,
            Some(_) => Phase::Backoff,
            None if serves => Phase::Valid,
            None if validity.is_some() => Phase::Expired,
            None => Phase::Absent,
        }
    }

    /// Whether a CA's suggestion could change anything.
    pub fn asks_for_suggestions(&self, validity: Validity) -> bool {
        self.issuer.is_some() && validity.lifetime() > 2 * SUGGESTED_RENEWALS_APART
    }

    /// How often the CA couldn't see that the names are ours, in a row.
    pub fn failed_validations(&self) -> u32 {
        self.trouble.as_ref().filter(|t| t.class == Class::Validation).map_or(0, |trouble| trouble.count)
    }

    /// Notes a failed attempt.
    pub fn failed(&mut self, failure: &Failure, issuer: &str, now: Moment, chance: f64) {
        let before = self.trouble.as_ref().filter(|trouble| trouble.class == failure.class);
        let count = before.map_or(1, |trouble| trouble.count.saturating_add(1));
        self.trouble = Some(Trouble {
            class: failure.class,
            detail: failure.detail.clone(),
            issuer: issuer.to_owned(),
            count,
            at: now,
            until: now + backoff::wait(failure, count, chance),
        });
    }

    /// Notes names that policy refuses. `false` if they are all that there is, or if none is one of ours: then there is
    /// nothing to go on with.
    pub fn refuse(&mut self, names: &[String], detail: &str, now: Moment) -> bool {
        let left = |name: &&String| !names.contains(*name) && !self.refused.contains_key(*name);
        if !self.names.iter().any(|name| names.contains(name)) || !self.names.iter().any(|name| left(&name)) {
            return false;
        }
        for name in names.iter().filter(|name| self.names.contains(name)) {
            let refused = Refused { until: now + REFUSED_FOR, detail: detail.to_owned() };
            self.refused.insert(name.clone(), refused);
        }
        true
    }

    /// Notes a new certificate with these names.
    pub fn issued(&mut self, issuer: &str, certificate: Option<String>, names: &[String], why: Why, now: Moment) {
        self.suggestion = self.suggestion.after_renewal(why, now);
        self.certificate = certificate;
        self.issuer = Some(issuer.to_owned());
        self.issued = Some(now);
        self.trouble = None;
        self.asked = None;
        self.refused.retain(|name, _| !names.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn start() -> Moment {
        Moment::from_seconds(1_800_000_000)
    }

    fn state() -> State {
        State::new(&["a.b".into(), "c.d".into()], KeyType::P256, "terms")
    }

    fn valid() -> Validity {
        Validity { not_before: start(), not_after: start() + 90 * DAY }
    }

    #[test]
    fn without_a_certificate_it_is_tried_at_once_and_after_failures_ever_later() {
        let mut state = state();
        assert_eq!(state.next(None, start()).at, start());
        for (failures, minutes) in [(1, 1), (2, 2), (3, 5)] {
            state.failed(&Failure::new(Class::Transport, "down"), "ca", start(), 0.0);
            assert_eq!(state.next(None, start()).at, start() + minutes * MINUTE, "after {failures}");
        }
        state.failed(&Failure::new(Class::Validation, "no"), "ca", start(), 0.0);
        assert_eq!(state.next(None, start()).at, start() + 15 * MINUTE, "another class begins its own ladder");
        assert_eq!(state.failed_validations(), 1);
    }

    #[test]
    fn a_failed_renewal_waits_though_it_is_due() {
        let mut state = state();
        let late = start() + 70 * DAY;
        assert!(state.next(Some((valid(), 0)), late).at < late);
        state.failed(&Failure::new(Class::Server, "500"), "ca", late, 0.0);
        assert_eq!(state.next(Some((valid(), 0)), late).at, late + MINUTE);
        assert_eq!(state.phase(Some(valid()), false, late), Phase::Backoff);
    }

    #[test]
    fn a_clock_far_ahead_makes_no_loop_and_one_set_back_no_end() {
        let mut state = state();
        // The CA dates the certificate as of today, which is 70 days ago by this clock.
        let ahead = start() + 70 * DAY;
        state.issued("ca", None, &["a.b".into()], Why::Lifetime, ahead);
        assert_eq!(state.next(Some((valid(), 0)), ahead).at, ahead + 9 * DAY);
        // Set right again, all is as it would have been.
        assert_eq!(state.next(Some((valid(), 0)), start()).at, start() + 60 * DAY);
        state.failed(&Failure::new(Class::Policy, "no"), "ca", ahead, 0.0);
        assert_eq!(state.next(None, ahead).at, ahead + DAY);
        assert_eq!(state.next(None, start()).at, start());
    }

    #[test]
    fn a_restart_reads_what_was_waited_for() {
        let mut before = state();
        before.failed(&Failure::new(Class::RateLimited, "too many"), "ca", start(), 0.0);
        let text = serde_json::to_string(&before).unwrap();
        let after: State = serde_json::from_str(&text).unwrap();
        assert_eq!(after, before);
        let after = after.under(&before.names, KeyType::P256, "terms");
        assert_eq!(after.next(None, start()).at, start() + 60 * MINUTE);
    }

    #[test]
    fn other_terms_end_a_wait() {
        let mut state = state();
        state.failed(&Failure::new(Class::Policy, "no such profile"), "ca", start(), 0.0);
        assert_eq!(state.phase(None, false, start()), Phase::Blocked);
        assert_eq!(state.next(None, start()).at, start() + DAY);
        let state = state.clone().under(&state.names, KeyType::P256, "other terms");
        assert_eq!(state.next(None, start()).at, start());
    }

    #[test]
    fn a_refused_name_is_left_out_for_a_day() {
        let mut state = state();
        assert!(state.refuse(&["c.d".into()], "forbidden", start()));
        assert_eq!(state.names_to_order(start()), ["a.b"]);
        assert_eq!(state.next(Some((valid(), 0)), start()).at, start() + DAY);
        assert_eq!(state.names_to_order(start() + DAY), ["a.b", "c.d"]);
        assert!(!state.refuse(&["a.b".into()], "forbidden", start()), "none would be left");
        assert!(!state.refuse(&["x.y".into()], "forbidden", start()), "that is none of ours");
        state.issued("ca", None, &["a.b".into(), "c.d".into()], Why::Asked, start() + DAY);
        assert!(state.refused.is_empty());
    }

    #[test]
    fn a_certificate_ends_all_trouble() {
        let mut state = state();
        state.failed(&Failure::new(Class::Server, "500"), "ca", start(), 0.0);
        state.asked = Some(start());
        state.issued("ca", Some("id".into()), &["a.b".into()], Why::Suggested, start());
        assert_eq!((&state.trouble, state.asked), (&None, None));
        assert_eq!(state.suggestion.last_renewal, Some(start()));
        assert_eq!(state.phase(Some(valid()), false, start()), Phase::Valid);
        assert_eq!(state.phase(Some(valid()), false, start() + 91 * DAY), Phase::Expired);
        assert_eq!(state.phase(Some(valid()), true, start()), Phase::Renewing);
        assert_eq!(state.phase(None, true, start()), Phase::Ordering);
    }
}
