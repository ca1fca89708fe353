//! A run as JSON, for programs: schema `tidegate-bench-run/1`.

use serde_json::{Map, Value as Json, json};

use super::exchange::Fault;
use super::outcome::Outcome;
use super::tally::Times;
use super::threshold::Judged;

/// The whole run as one object. `docs/benchmarking.md` explains its keys.
pub fn report(outcome: &Outcome, thresholds: &[Judged]) -> Json {
    let plan = &outcome.plan;
    let tally = &outcome.tally;
    let statuses: Map<String, Json> =
        tally.statuses().map(|(status, count)| (status.to_string(), count.into())).collect();
    let errors: Map<String, Json> =
        Fault::ALL.iter().map(|fault| (fault.name().to_owned(), tally.faults(*fault).into())).collect();
    let lag = plan.load.rate().map(|_| times(&tally.lag));
    json!({
        "schema": SCHEMA,
        "url": plan.target.url(),
        "protocol": plan.protocol.as_str(),
        "tls": plan.tls.is_some(),
        "mode": plan.load.as_str(),
        "rate": plan.load.rate(),
        "connections": plan.connections,
        "streams": plan.streams,
        "threads": plan.threads,
        "keepalive": plan.keepalive,
        "duration_s": outcome.elapsed.as_secs_f64(),
        "interrupted": outcome.interrupted,
        "requests": tally.answered,
        "rps": outcome.rate(),
        "bytes": tally.bytes,
        "connections_opened": tally.connections,
        "statuses": statuses,
        "errors": errors,
        "error_percent": outcome.error_percent(),
        "unsent": outcome.unsent,
        "unfinished": tally.unfinished,
        "latency_us": times(&tally.latency),
        "send_lag_us": lag,
        "generator": {
            "cpu_percent_of_a_core": outcome.generator.cpu_percent,
            "cpu_us_per_request": outcome.generator.cpu_us_per_request,
            "own_lag_p99_us": outcome.generator.own_lag_p99_us,
        },
        "void": outcome.void,
        "thresholds": thresholds
            .iter()
            .map(|judged| json!({"rule": judged.rule, "value": judged.value, "met": judged.met}))
            .collect::<Vec<_>>(),
    })
}

fn times(times: &Times) -> Json {
    let mut object = Map::new();
    object.insert("min".to_owned(), times.min().into());
    object.insert("mean".to_owned(), times.mean().into());
    for (name, percent) in PERCENTILES {
        object.insert(name.to_owned(), times.percentile(percent).into());
    }
    object.insert("max".to_owned(), times.max().into());
    object.into()
}

const SCHEMA: &str = "tidegate-bench-run/1";

const PERCENTILES: [(&str, f64); 6] =
    [("p50", 50.0), ("p75", 75.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("p99_99", 99.99)];
