//! What a run came to, and whether it may be believed.

use std::time::Duration;

use super::exchange::Fault;
use super::plan::{Load, Plan};
use super::tally::Tally;

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub plan: Plan,
    pub tally: Tally,
    /// How long requests were sent; by number alone, until the last was answered.
    pub elapsed: Duration,
    /// Requests that were due and never sent, because no connection was free for them.
    pub unsent: u64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    pub generator: Generator,
    /// Why the figures tell more of the load generator than of the server.
    pub void: Option<String>,
}

/// What the load generator itself cost.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// The busiest thread's share of a core while requests were sent.
    pub cpu_percent: f64,
    /// CPU time of all threads, for each request that was answered.
    pub cpu_us_per_request: f64,
    /// How late requests left for which a connection was free: the 99th percentile. Open loop only.
    pub own_lag_p99_us: Option<u64>,
}

/// A generator thread that is busier than this part of a core may itself be what is slow.
pub const MAX_CPU_PERCENT: f64 = 90.0;
/// A generator that is later than this for one request in a hundred distorts what it measures.
pub const MAX_OWN_LAG_US: u64 = 1_000;

impl Outcome {
    pub(super) fn new(
        plan: Plan,
        elapsed: Duration,
        unsent: u64,
        interrupted: bool,
        generator: Generator,
        tally: Tally,
    ) -> Self {
        let void = why_void(&generator, plan.load);
        Self { plan, tally, elapsed, unsent, interrupted, generator, void }
    }

    /// Answers a second while requests were sent.
    pub fn rate(&self) -> f64 {
        self.tally.answered_in_time as f64 / self.elapsed.as_secs_f64()
    }

    /// Requests that were meant to be sent: answered, failed in any way, never sent.
    pub fn attempts(&self) -> u64 {
        let failed: u64 =
            Fault::ALL.iter().filter(|fault| **fault != Fault::Status).map(|fault| self.tally.faults(*fault)).sum();
        self.tally.answered + failed + self.unsent + self.tally.unfinished
    }

    /// Of those the part, in percent, without an answer, or with a wrong one.
    pub fn error_percent(&self) -> f64 {
        let failed = self.tally.all_faults() + self.unsent + self.tally.unfinished;
        100.0 * failed as f64 / self.attempts().max(1) as f64
    }
}

fn why_void(generator: &Generator, load: Load) -> Option<String> {
    let mut reasons = Vec::new();
    if generator.cpu_percent > MAX_CPU_PERCENT {
        let consequence = match load {
            Load::Open { .. } => "latencies include waiting for it",
            Load::Closed => "the rate is the load generator's, not the server's",
        };
        reasons.push(format!(
            "the load generator's busiest thread took {:.0} % of a core (more than {MAX_CPU_PERCENT:.0} %): {consequence}",
            generator.cpu_percent
        ));
    }
    if let Some(lag) = generator.own_lag_p99_us.filter(|lag| *lag > MAX_OWN_LAG_US) {
        reasons.push(format!(
            "one request in a hundred left more than {:.1} ms late (more than {} ms) although a connection was free",
            lag as f64 / 1e3,
            MAX_OWN_LAG_US / 1_000
        ));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn void(cpu_percent: f64, own_lag_p99_us: Option<u64>) -> Option<String> {
        let load = own_lag_p99_us.map_or(Load::Closed, |_| Load::Open { rate: 1.0 });
        why_void(&Generator { cpu_percent, cpu_us_per_request: 1.0, own_lag_p99_us }, load)
    }

    #[test]
    fn a_generator_that_was_the_bottleneck_voids_the_run() {
        assert_eq!(void(90.0, None), None);
        assert_eq!(void(50.0, Some(1_000)), None);
        assert!(void(90.5, None).unwrap().contains("the rate is the load generator's"));
        assert!(void(50.0, Some(1_500)).unwrap().contains("1.5 ms late"));
        let both = void(99.0, Some(2_000)).unwrap();
        assert!(both.contains("99 % of a core") && both.contains("; "), "{both}");
    }
}
