//! A run from its first thread to its last: the workers, the pacer, and what they bring back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Poll, Waker};

use super::cpu::Cpu;
use super::outcome::{Generator, Outcome};
use super::plan::{Load, Plan};
use super::progress::Live;
use super::schedule::Schedule;
use super::tally::Tally;
use super::worker::{Report, WAKER, Worker};

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("can't connect to {target}: {fault}")]
    Unreachable { target: String, fault: String },
    #[error("the system refuses what a run needs: {0}")]
    System(#[from] io::Error),
    #[error("a worker of the load generator has died")]
    Panicked,
}

/// A run that can be watched and ended from another thread.
pub struct Run {
    plan: Arc<Plan>,
    schedule: Arc<Schedule>,
    live: Option<Arc<Live>>,
    polls: Vec<Poll>,
}

/// Ends a run before its time.
#[derive(Clone)]
pub struct Interrupt(Arc<Schedule>);

impl Interrupt {
    pub fn interrupt(&self) {
        self.0.interrupt();
    }

    /// When the clock was started: after all connections were opened.
    pub fn started(&self) -> Option<Instant> {
        self.0.started()
    }
}

impl Run {
    /// Prepares a run. `live` is told while it lasts.
    ///
    /// # Errors
    /// [`RunError::System`] if there is no epoll to be had.
    pub fn new(plan: Plan, live: Option<Arc<Live>>) -> Result<Self, RunError> {
        let polls = (0..plan.threads).map(|_| Poll::new()).collect::<io::Result<Vec<Poll>>>()?;
        let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), WAKER)).collect::<io::Result<Vec<_>>>()?;
        let schedule = Arc::new(Schedule::new(&plan, wakers));
        Ok(Self { plan: Arc::new(plan), schedule, live, polls })
    }

    /// What ends it before its time.
    pub fn interrupt(&self) -> Interrupt {
        Interrupt(self.schedule.clone())
    }

    /// Runs to the end. Blocks.
    ///
    /// # Errors
    /// [`RunError`]: in particular if not a single connection could be opened at the start.
    pub fn finish(self) -> Result<Outcome, RunError> {
        let (plan, schedule, live) = (&*self.plan, &*self.schedule, self.live.as_deref());
        let (reports, pacer) = std::thread::scope(|scope| -> Result<_, RunError> {
            let workers: Vec<_> = self
                .polls
                .into_iter()
                .enumerate()
                .map(|(index, poll)| {
                    let worker = Worker::new(index, plan, schedule, live, poll);
                    let run = move || worker.run().inspect_err(|_| schedule.stop());
                    std::thread::Builder::new().name(format!("bench-{index}")).spawn_scoped(scope, run)
                })
                .collect();
            let pacer = std::thread::Builder::new().name("bench-pacer".to_owned()).spawn_scoped(scope, || {
                let mut cpu = Cpu::begin();
                schedule.pace();
                cpu.end();
                cpu.spent()
            });
            if workers.iter().any(Result::is_err) || pacer.is_err() {
                schedule.fail();
            }
            let mut reports = Vec::with_capacity(workers.len());
            for worker in workers {
                reports.push(worker?.join().map_err(|_| RunError::Panicked)??);
            }
            Ok((reports, pacer?.join().map_err(|_| RunError::Panicked)?))
        })?;
        if reports.iter().all(|report| report.tally.connections == 0) && !schedule.is_interrupted() {
            let fault = schedule.first_fault().unwrap_or_else(|| "no connection".to_owned());
            return Err(RunError::Unreachable { target: plan.target.url().to_owned(), fault });
        }
        Ok(merge(plan, schedule, &reports, pacer))
    }
}

fn merge(plan: &Plan, schedule: &Schedule, reports: &[Report], pacer: Duration) -> Outcome {
    let mut tally = Tally::new();
    reports.iter().for_each(|report| tally.add(&report.tally));
    let now = Instant::now();
    let start = schedule.started().unwrap_or(now);
    let last = reports.iter().map(|report| report.last).max().unwrap_or(now);
    let end = match schedule.end() {
        Some(end) if schedule.is_exhausted() => end.min(last),
        Some(end) => end,
        None => last,
    };
    let elapsed = end.saturating_duration_since(start).max(Duration::from_millis(1));
    let cpus = reports.iter().map(|report| report.cpu).chain([pacer]);
    let busiest = cpus.clone().max().unwrap_or_default();
    let share = 100.0 * busiest.as_secs_f64() / elapsed.as_secs_f64();
    let total: Duration = cpus.sum();
    Outcome::new(
        plan.clone(),
        elapsed,
        schedule.unsent(now),
        schedule.is_interrupted(),
        Generator {
            cpu_percent: share,
            cpu_us_per_request: total.as_secs_f64() * 1e6 / tally.answered.max(1) as f64,
            own_lag_p99_us: matches!(plan.load, Load::Open { .. }).then(|| tally.own_lag.percentile(99.0)),
        },
        tally,
    )
}

/// Runs a plan to its end. Blocks.
///
/// # Errors
/// [`RunError`].
pub fn run(plan: Plan) -> Result<Outcome, RunError> {
    Run::new(plan, None)?.finish()
}
