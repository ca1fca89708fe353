//! `tidegate bench`: load a server and tell what it did, or compare two reports.

mod diff;
mod plan;
mod watch;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;

use super::{FAILED, OK, USAGE, text};
use crate::bench::progress::Live;
use crate::bench::report::report;
use crate::bench::run::Run;
use crate::bench::summary::summary;
use crate::bench::threshold::Threshold;
use crate::bench::{Outcome, Plan};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_help = AFTER_HELP)]
pub(super) struct Bench {
    #[command(subcommand)]
    other: Option<Other>,

    /// What to ask: http://host:port/path or https://…
    #[arg(required = true)]
    url: Option<String>,

    /// Open loop: this many requests a second, whether the server keeps up or not. The default, at 20000, unless -c is
    /// given alone
    #[arg(long, value_name = "PER_SECOND", value_parser = plan::rate)]
    rate: Option<f64>,
    /// Connections. Without --rate: closed loop, each sends its next request when the last is answered [default: 64]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    connections: Option<u32>,
    /// For how long requests are sent: 10s, 2m [default: 10s, unless -n is given]
    #[arg(short, long, visible_short_alias = 'z', value_name = "TIME", value_parser = plan::duration)]
    duration: Option<Duration>,
    /// How many requests are sent
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Requests in flight on one HTTP/2 connection at most
    #[arg(short = 'm', long, value_name = "N", requires = "http2",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    streams: Option<u32>,
    /// Threads that send, each with its share of the connections
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// The method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<http::Method>,
    /// A field of the request, as 'name: value'. May be given again
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The request's body, or @FILE
    #[arg(short, long, value_name = "BODY")]
    body: Option<String>,
    /// Speak HTTP/2: by ALPN on https://, by prior knowledge on http://
    #[arg(long)]
    http2: bool,
    /// Believe any certificate
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
    /// Believe the certificates of this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Open a connection for each request
    #[arg(long)]
    no_keepalive: bool,
    /// How long a connection may take to open, and a request to be answered
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = plan::duration)]
    timeout: Duration,
    /// The status that is no error [default: any below 400]
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..600))]
    expect_status: Option<u16>,
    /// Bytes that each body must have
    #[arg(long, value_name = "BYTES")]
    expect_length: Option<u64>,
    /// A rule such as 'p99<5ms', 'error-rate<0.1%', 'rps>10000': exit code 1 if it is missed. May be given again
    #[arg(long = "threshold", value_name = "RULE")]
    thresholds: Vec<Threshold>,
    /// Exit code 1 also for a run without thresholds that is void
    #[arg(long)]
    strict: bool,
    /// Print the run as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Compare two report.json of benches/compare: what changed beyond the spread of the rounds
    Diff(diff::Diff),
}

impl Bench {
    /// 0 if all thresholds are met, 1 if not, or if nothing could be measured; 2 for arguments that make no sense.
    pub(super) fn perform(self) -> u8 {
        if let Some(Other::Diff(diff)) = self.other {
            return diff.perform();
        }
        match self.plan() {
            Ok(plan) => self.run(plan),
            Err(fault) => {
                eprintln!("error: {fault:#}");
                USAGE
            }
        }
    }

    fn run(&self, plan: Plan) -> u8 {
        let live = io::stderr().is_terminal().then(|| Arc::new(Live::default()));
        let outcome = Run::new(plan, live.clone()).map_err(anyhow::Error::from);
        match outcome.and_then(|run| watch::watch(run, live.as_deref())) {
            Ok(outcome) => self.tell(&outcome),
            Err(fault) => {
                eprintln!("error: {fault:#}");
                FAILED
            }
        }
    }

    fn tell(&self, outcome: &Outcome) -> u8 {
        let judged: Vec<_> = self.thresholds.iter().map(|threshold| threshold.judge(outcome)).collect();
        let text = if self.json { report(outcome, &judged).to_string() } else { summary(outcome, &judged) };
        let printed = text::print(text.as_bytes());
        if self.json {
            judged.iter().filter(|judged| !judged.met).for_each(|judged| {
                eprintln!("threshold missed: {} ({})", judged.rule, judged.shown);
            });
        }
        let is_missed = judged.iter().any(|judged| !judged.met);
        // Rules held against figures of the generator's own making are neither met nor missed.
        let is_void = outcome.void.is_some() && (self.strict || !judged.is_empty());
        if is_void && !is_missed {
            let reason = outcome.void.as_deref().unwrap_or_default();
            eprintln!("failed, because the run is void: {reason}");
        }
        if is_missed || is_void || printed != OK { FAILED } else { OK }
    }
}

const AFTER_HELP: &str = "\
Latencies count from the time a request was meant to be sent in open loop, and from when it was sent in closed loop. A
run whose load generator was itself the bottleneck says so and calls itself void. docs/benchmarking.md tells how to read
the figures. Ctrl-C ends a run early and prints what it saw.
Exit codes: 0 fine, 1 a threshold was missed (or the run is void, with thresholds or --strict), or no connection could be
            opened at all, 2 wrong usage.";
