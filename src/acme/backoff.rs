//! How long to wait after a failure. Pure: time and chance are handed in.

use std::time::Duration;

use super::Moment;
use super::failure::{Class, Failure};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// For a CA that fails.
const CA_FAILS: &[Duration] = &[
    MINUTE,
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(20 * 60),
    Duration::from_secs(40 * 60),
    HOUR,
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(6 * 3600),
];

/// For names that can't be validated: Let's Encrypt forgives five failures an hour a name.
const VALIDATION_FAILS: &[Duration] = &[
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    HOUR,
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(8 * 3600),
    Duration::from_secs(12 * 3600),
];

/// For a store that fails: nobody is asked, and whoever makes room shall not wait long.
const STORE_FAILS: &[Duration] = &[
    Duration::from_secs(5),
    Duration::from_secs(30),
    MINUTE,
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
];

/// Longer than any CA needs; a date far away must not end the trying.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long to wait after the `count`th failure in a row, from 1.
///
/// `chance` (0 to 1) spreads what would come together: up to a tenth is added, so that the ladder never gets steeper than
/// it says.
pub fn wait(failure: &Failure, count: u32, chance: f64) -> Duration {
    let step = |ladder| step(ladder, count);
    let base = match failure.class {
        // What the CA asks for is never shortened; nor is it the end of the ladder.
        Class::RateLimited => failure.retry_after.map_or(HOUR, |asked| asked.min(LONGEST_RETRY_AFTER)),
        Class::Transport | Class::Server | Class::BadNonce | Class::NoAccount | Class::Replaces | Class::Local => {
            step(CA_FAILS).max(failure.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
        }
        Class::Validation => step(VALIDATION_FAILS),
        Class::Policy => DAY,
    };
    base + base.mul_f64(0.1 * chance.clamp(0.0, 1.0))
}

/// How long to wait after the store has failed for the `count`th time in a row, from 1.
pub fn wait_for_store(count: u32) -> Duration {
    step(STORE_FAILS, count)
}

fn step(ladder: &[Duration], count: u32) -> Duration {
    ladder[(count.max(1) as usize - 1).min(ladder.len() - 1)]
}

/// Keeps everybody from a CA that fails whoever asks. One for each CA, in memory: a restart may ask once.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    closed_until: Option<Moment>,
    /// One tries whether the CA is back.
    trial: bool,
}

/// How long the others wait for the one that tries whether a CA is back.
const TRIAL: Duration = Duration::from_secs(120);

impl Breaker {
    /// Lets an attempt begin: any while the CA works; one alone, when it may be back.
    ///
    /// # Errors
    /// When to come again.
    pub fn enter(&mut self, now: Moment) -> Result<(), Moment> {
        match self.closed_until {
            Some(until) if until > now => Err(until),
            Some(_) => {
                self.closed_until = Some(now + TRIAL);
                self.trial = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure, if it is one of the CA's. `now` is when the attempt ended.
    pub fn failed(&mut self, failure: &Failure, now: Moment, chance: f64) {
        if !failure.class.concerns_the_whole_ca() {
            // It answered.
            return self.succeeded();
        }
        // Those that began together fail together: that is one failure.
        if self.closed_until.is_none() || self.trial {
            self.trial = false;
            self.failures += 1;
            self.closed_until = Some(now + wait(failure, self.failures, chance));
        }
    }

    /// The attempt never came to ask.
    pub fn give_back(&mut self) {
        if self.failures == 0 {
            self.closed_until = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(class: Class, count: u32) -> u64 {
        wait(&Failure::new(class, ""), count, 0.0).as_secs() / 60
    }

    #[test]
    fn a_failing_ca_is_asked_ever_more_rarely_but_at_least_four_times_a_day() {
        let waits: Vec<u64> = (1..=12).map(|count| minutes(Class::Transport, count)).collect();
        assert_eq!(waits, [1, 2, 5, 10, 20, 40, 60, 120, 240, 360, 360, 360]);
        assert_eq!(minutes(Class::Server, 0), 1);
    }

    #[test]
    fn failed_validations_stay_below_five_an_hour() {
        let waits: Vec<u64> = (1..=8).map(|count| minutes(Class::Validation, count)).collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 720, 720]);
    }

    #[test]
    fn what_the_ca_asks_for_is_waited_and_never_shortened() {
        let asked = |seconds| Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Failure::new(Class::RateLimited, "")
        };
        assert_eq!(wait(&asked(90), 5, 0.0), Duration::from_secs(90));
        assert!(wait(&asked(90), 1, 1.0) > Duration::from_secs(90));
        assert_eq!(wait(&asked(u64::MAX / 2), 1, 0.0), LONGEST_RETRY_AFTER);
        assert_eq!(minutes(Class::RateLimited, 3), 60, "without Retry-After: an hour");
        let down = Failure { retry_after: Some(Duration::from_secs(900)), ..Failure::new(Class::Server, "") };
        assert_eq!(wait(&down, 1, 0.0), Duration::from_secs(900));
    }

    #[test]
    fn a_store_is_tried_again_soon_and_then_every_ten_minutes() {
        let waits: Vec<u64> = (0..=8).map(|count| wait_for_store(count).as_secs()).collect();
        assert_eq!(waits, [5, 5, 30, 60, 120, 300, 600, 600, 600]);
    }

    #[test]
    fn what_policy_forbids_is_tried_daily() {
        assert_eq!(minutes(Class::Policy, 1), 24 * 60);
        assert_eq!(minutes(Class::Policy, 9), 24 * 60);
    }

    #[test]
    fn chance_adds_a_tenth_at_most() {
        let failure = Failure::new(Class::Transport, "");
        for chance in [0.0, 0.5, 1.0, 7.0] {
            let wait = wait(&failure, 1, chance).as_secs();
            assert!((60..=66).contains(&wait), "{wait}");
        }
    }

    #[test]
    fn a_breaker_lets_one_try_whether_the_ca_is_back() {
        let now = Moment::from_seconds(1_000_000);
        let down = Failure::new(Class::Transport, "");
        let mut breaker = Breaker::default();
        for _ in 0..8 {
            assert_eq!(breaker.enter(now), Ok(()));
        }
        for _ in 0..8 {
            breaker.failed(&down, now, 0.0);
        }
        assert_eq!(breaker.enter(now), Err(now + MINUTE), "eight that failed together are one failure");
        let later = now + MINUTE;
        assert_eq!(breaker.enter(later), Ok(()), "one may try");
        assert_eq!(breaker.enter(later), Err(later + TRIAL), "and the others wait for it");
        breaker.failed(&down, later, 0.0);
        assert_eq!(breaker.enter(later), Err(later + 2 * MINUTE));
    }

    #[test]
    fn a_breaker_opens_at_the_first_answer() {
        let now = Moment::from_seconds(1_000_000);
        let mut breaker = Breaker::default();
        breaker.failed(&Failure::new(Class::Server, ""), now, 0.0);
        breaker.failed(&Failure::new(Class::Validation, ""), now, 0.0);
        assert_eq!(breaker.enter(now), Ok(()));
    }
}
