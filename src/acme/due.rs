//! When a certificate is renewed. Pure: time and chance are handed in.
//!
//! What the CA suggests (ARI, RFC 9773) counts if it makes sense; else two thirds of the lifetime, or half of it below ten
//! days; always by five sixths. All instances of one store come to the same answer: what chance decides is stored, and
//! jitter comes from the certificate itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moment;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validity {
    pub not_before: Moment,
    pub not_after: Moment,
}

/// A window that a CA suggests for renewing one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub start: Moment,
    pub end: Moment,
}

/// What is known of a certificate's suggested window, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// What the CA said last.
    pub window: Option<Window>,
    /// The point chosen in it, unless the window is ignored.
    pub chosen: Option<Moment>,
    /// When to ask again.
    pub next_check: Option<Moment>,
    /// The last renewal that a window was the reason for.
    pub last_renewal: Option<Moment>,
}

/// When to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: Moment,
    pub why: Why,
}

/// The reason for the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The CA suggests it.
    Suggested,
    /// Enough of the lifetime is over.
    Lifetime,
    /// Somebody asked for it, or the names have changed.
    Asked,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::Suggested => "the CA suggests it",
            Why::Lifetime => "enough of its lifetime is over",
            Why::Asked => "it was asked for",
        }
    }
}

/// Below this, half of the lifetime is used instead of two thirds.
const SHORT_LIVED: Duration = Duration::from_secs(10 * 24 * 3600);
/// Jitter takes this share of the lifetime at most.
const JITTER: f64 = 0.05;
/// How often a window may be the reason for a renewal, at most; or a tenth of the lifetime, if that is longer. A stale
/// window would otherwise make a loop.
pub const SUGGESTED_RENEWALS_APART: Duration = Duration::from_secs(3600);

impl Validity {
    pub fn lifetime(self) -> Duration {
        self.not_after.since(self.not_before)
    }

    pub fn is_over(self, now: Moment) -> bool {
        now >= self.not_after
    }
}

/// When to renew a certificate. `fingerprint` is any hash of it.
pub fn due(validity: Validity, fingerprint: u64, suggestion: &Suggestion) -> Due {
    let lifetime = validity.lifetime();
    let share = if lifetime < SHORT_LIVED { 0.5 } else { 2.0 / 3.0 };
    let jitter = JITTER * (fingerprint as f64 / u64::MAX as f64);
    let own = Due { at: validity.not_before + lifetime.mul_f64(share + jitter), why: Why::Lifetime };
    let latest = validity.not_before + lifetime.mul_f64(5.0 / 6.0);
    let Some(chosen) = suggestion.chosen else { return own };
    let apart = SUGGESTED_RENEWALS_APART.max(lifetime / 10);
    match suggestion.last_renewal.map(|last| last + apart).filter(|free| *free > chosen) {
        // Renewed for a window not long ago: whichever comes first.
        Some(free) if free < own.at => Due { at: free, why: Why::Suggested },
        Some(_) => own,
        None if chosen < latest => Due { at: chosen, why: Why::Suggested },
        None => Due { at: latest, why: Why::Lifetime },
    }
}

impl Suggestion {
    /// Takes over what the CA says of a certificate. `chance` is 0 to 1, `wait` how long the CA's word holds.
    ///
    /// A window that ends before it starts, or starts after the certificate's end, is none. One that is open when the
    /// certificate has only just been issued is ignored until it changes: believed, it would have every new certificate
    /// renewed at once.
    pub fn update(&mut self, window: Option<Window>, validity: Validity, now: Moment, wait: Duration, chance: f64) {
        self.next_check = Some(now + wait);
        let sane = window.filter(|w| w.start < w.end && w.start < validity.not_after);
        let Some(window) = sane else {
            self.window = None;
            self.chosen = None;
            return;
        };
        if self.window == Some(window) {
            return;
        }
        let is_first = self.window.is_none();
        self.window = Some(window);
        let was_open_at_issuance = window.start <= validity.not_before + ISSUANCE_TAKES;
        self.chosen = match is_first && was_open_at_issuance {
            true => None,
            false => Some(window.start + window.end.since(window.start).mul_f64(chance.clamp(0.0, 1.0))),
        };
    }

    /// What the certificate that replaces this one begins with.
    pub fn after_renewal(&self, why: Why, now: Moment) -> Self {
        let last_renewal = if why == Why::Suggested { Some(now) } else { self.last_renewal };
        Self { last_renewal, ..Self::default() }
    }
}

/// CAs date certificates back by up to an hour.
const ISSUANCE_TAKES: Duration = Duration::from_secs(2 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const HOUR: Duration = Duration::from_secs(3600);

    fn start() -> Moment {
        Moment::from_seconds(1_800_000_000)
    }

    fn valid_for(lifetime: Duration) -> Validity {
        Validity { not_before: start(), not_after: start() + lifetime }
    }

    fn window(from: Duration, to: Duration) -> Window {
        Window { start: start() + from, end: start() + to }
    }

    fn after(due: Due) -> Duration {
        due.at.since(start())
    }

    #[test]
    fn without_a_suggestion_it_is_two_thirds_or_half_of_a_short_life() {
        let none = Suggestion::default();
        assert_eq!(after(due(valid_for(90 * DAY), 0, &none)), 60 * DAY);
        assert_eq!(after(due(valid_for(6 * DAY), 0, &none)), 3 * DAY);
        assert_eq!(after(due(valid_for(Duration::from_secs(8)), 0, &none)), Duration::from_secs(4));
    }

    #[test]
    fn jitter_comes_from_the_certificate_and_keeps_before_five_sixths() {
        let none = Suggestion::default();
        let one = due(valid_for(90 * DAY), u64::MAX / 2, &none);
        assert_eq!(one, due(valid_for(90 * DAY), u64::MAX / 2, &none));
        assert!(after(one) > 62 * DAY);
        assert!(after(due(valid_for(90 * DAY), u64::MAX, &none)) < 75 * DAY);
    }

    #[test]
    fn a_suggested_window_decides_by_one_stored_point() {
        let validity = valid_for(90 * DAY);
        let mut suggestion = Suggestion::default();
        suggestion.update(Some(window(30 * DAY, 32 * DAY)), validity, start(), 6 * HOUR, 0.5);
        assert_eq!(due(validity, 7, &suggestion), Due { at: start() + 31 * DAY, why: Why::Suggested });
        // Asking again with other luck doesn't move it.
        suggestion.update(Some(window(30 * DAY, 32 * DAY)), validity, start() + DAY, 6 * HOUR, 0.9);
        assert_eq!(after(due(validity, 7, &suggestion)), 31 * DAY);
        assert_eq!(suggestion.next_check, Some(start() + DAY + 6 * HOUR));
    }

    #[test]
    fn a_window_moved_into_the_past_means_now() {
        let validity = valid_for(90 * DAY);
        let mut suggestion = Suggestion::default();
        suggestion.update(Some(window(60 * DAY, 62 * DAY)), validity, start(), HOUR, 0.5);
        suggestion.update(Some(window(Duration::ZERO, HOUR)), validity, start() + 10 * DAY, HOUR, 0.5);
        let due = due(validity, 0, &suggestion);
        assert!(due.at < start() + 10 * DAY && due.why == Why::Suggested, "{due:?}");
    }

    #[test]
    fn windows_that_make_no_sense_are_none() {
        let validity = valid_for(90 * DAY);
        let own = due(validity, 0, &Suggestion::default());
        for nonsense in [window(32 * DAY, 30 * DAY), window(30 * DAY, 30 * DAY), window(91 * DAY, 95 * DAY)] {
            let mut suggestion = Suggestion::default();
            suggestion.update(Some(nonsense), validity, start(), HOUR, 0.5);
            assert_eq!(due(validity, 0, &suggestion), own, "{nonsense:?}");
        }
    }

    #[test]
    fn a_window_open_at_issuance_is_ignored_until_it_changes() {
        let validity = valid_for(90 * DAY);
        let mut suggestion = Suggestion::default();
        let open = Window { start: start() - DAY, end: start() + DAY };
        suggestion.update(Some(open), validity, start(), HOUR, 0.5);
        suggestion.update(Some(open), validity, start() + HOUR, HOUR, 0.5);
        assert_eq!(due(validity, 0, &suggestion).why, Why::Lifetime);
        suggestion.update(Some(window(DAY, 2 * DAY)), validity, start() + 2 * HOUR, HOUR, 0.0);
        assert_eq!(due(validity, 0, &suggestion), Due { at: start() + DAY, why: Why::Suggested });
    }

    #[test]
    fn a_window_after_five_sixths_is_not_waited_for() {
        let validity = valid_for(90 * DAY);
        let mut suggestion = Suggestion::default();
        suggestion.update(Some(window(80 * DAY, 89 * DAY)), validity, start(), HOUR, 1.0);
        let due = due(validity, 0, &suggestion);
        assert_eq!((after(due), due.why), (75 * DAY, Why::Lifetime));
    }

    #[test]
    fn a_stale_window_makes_no_loop() {
        let validity = valid_for(90 * DAY);
        let mut suggestion = Suggestion::default();
        suggestion.update(Some(window(60 * DAY, 61 * DAY)), validity, start(), HOUR, 0.5);
        let renewed = start() + 10 * DAY;
        let mut next = suggestion.after_renewal(Why::Suggested, renewed);
        let replacement = Validity { not_before: renewed, not_after: renewed + 90 * DAY };
        // The CA goes on to say "now", each time with another window.
        let past = |n| Window { start: renewed - HOUR * n, end: renewed - HOUR * n + HOUR };
        next.update(Some(past(5)), replacement, renewed, HOUR, 0.5);
        next.update(Some(past(4)), replacement, renewed, HOUR, 0.5);
        assert_eq!(due(replacement, 0, &next), Due { at: renewed + 9 * DAY, why: Why::Suggested });
    }

    #[test]
    fn a_short_life_is_renewed_by_its_own_clock_whatever_is_suggested() {
        let validity = valid_for(Duration::from_secs(9));
        let suggestion = Suggestion { chosen: Some(start()), last_renewal: Some(start()), ..Suggestion::default() };
        let due = due(validity, 0, &suggestion);
        assert_eq!((after(due), due.why), (Duration::from_millis(4500), Why::Lifetime));
    }
}
