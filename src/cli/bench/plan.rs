//! From arguments to a plan: defaults, and everything that can be wrong before the first byte is sent.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::bench::plan::{Expect, Load, Plan, Protocol};
use crate::bench::request::Request;
use crate::bench::target::Target;
use crate::bench::trust::{Trust, client_config};

impl Bench {
    /// What these arguments ask for.
    pub(super) fn plan(&self) -> Result<Plan> {
        let protocol = if self.http2 { Protocol::Http2 } else { Protocol::Http1 };
        let target = Target::parse(self.url.as_deref().unwrap_or_default(), protocol)?;
        let keepalive = !self.no_keepalive;
        let method = self.method.as_ref().map(http::Method::as_str);
        let request = Request::new(&target, method, &self.headers, self.read_body()?, keepalive)?;
        let tls = if target.is_tls() { Some(client_config(self.trust(), protocol)?) } else { None };
        let connections = self.connections.unwrap_or(CONNECTIONS);
        if self.threads > connections {
            bail!("{} threads can't share {connections} connections: ask for as many with -c", self.threads);
        }
        Ok(Plan {
            target,
            request,
            protocol,
            tls,
            load: self.load(),
            duration: self.duration.or_else(|| self.requests.is_none().then_some(DURATION)),
            requests: self.requests,
            connections: connections as usize,
            streams: if keepalive { self.streams.unwrap_or(1) as usize } else { 1 },
            threads: self.threads as usize,
            keepalive,
            timeout: self.timeout,
            expect: Expect { status: self.expect_status, length: self.expect_length },
        })
    }

    /// Connections asked for without a rate mean a closed loop; anything else is open.
    fn load(&self) -> Load {
        match (self.rate, self.connections) {
            (None, Some(_)) => Load::Closed,
            (rate, _) => Load::Open { rate: rate.unwrap_or(RATE) },
        }
    }

    fn trust(&self) -> Trust<'_> {
        match &self.cacert {
            _ if self.insecure => Trust::Anyone,
            Some(file) => Trust::File(file),
            None => Trust::System,
        }
    }

    fn read_body(&self) -> Result<Vec<u8>> {
        match &self.body {
            None => Ok(Vec::new()),
            Some(body) => match body.strip_prefix('@') {
                Some(file) => std::fs::read(file).with_context(|| format!("can't read the body from {file}")),
                None => Ok(body.clone().into_bytes()),
            },
        }
    }
}

/// Requests a second.
///
/// # Errors
/// What is no number above zero, or more than a clock of nanoseconds can tell apart.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err(format!("expected a number above 0 and up to {MAX_RATE}")),
    }
}

/// A duration with a unit, or a number of seconds.
///
/// # Errors
/// Anything else, and zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("expected a duration such as 500ms, 10s, 2m".to_owned()),
    };
    let seconds = text[..digits].parse::<f64>().map(|number| number * unit).unwrap_or(0.0);
    if seconds > 0.0 && seconds <= LONGEST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("expected a duration such as 500ms, 10s, 2m; not zero, and a week at most".to_owned())
    }
}

const RATE: f64 = 20_000.0;
const MAX_RATE: f64 = 10_000_000.0;
const CONNECTIONS: u32 = 64;
const DURATION: Duration = Duration::from_secs(10);
/// Seconds.
const LONGEST: f64 = 7.0 * 86_400.0;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn plan(line: &str) -> Result<Plan> {
        Line::try_parse_from(format!("bench {line}").split(' ')).unwrap().bench.plan()
    }

    #[test]
    fn the_loop_is_open_unless_connections_are_given_alone() {
        assert_eq!(plan("127.0.0.1").unwrap().load, Load::Open { rate: 20_000.0 });
        assert_eq!(plan("127.0.0.1 --rate 50 -c 2").unwrap().load, Load::Open { rate: 50.0 });
        assert_eq!(plan("127.0.0.1 -n 5").unwrap().load, Load::Open { rate: 20_000.0 });
        assert_eq!(plan("127.0.0.1 -c 2").unwrap().load, Load::Closed);
    }

    #[test]
    fn a_run_ends_after_ten_seconds_unless_a_number_is_given() {
        assert_eq!(plan("127.0.0.1").unwrap().duration, Some(Duration::from_secs(10)));
        assert_eq!(plan("127.0.0.1 -n 5").unwrap().duration, None);
        assert_eq!(plan("127.0.0.1 -n 5 -z 2m").unwrap().duration, Some(Duration::from_secs(120)));
    }

    #[test]
    fn durations_and_rates_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(["0s", "", "ten", "-1s", "8d", "1e9s"].iter().all(|text| duration(text).is_err()));
        assert!(["0", "-5", "NaN", "inf", "fast"].iter().all(|text| rate(text).is_err()));
    }

    #[test]
    fn what_can_not_work_is_told_before_anything_is_sent() {
        crate::cli::crypto::install();
        let fault = |line: &str| format!("{:#}", plan(line).unwrap_err());
        assert!(fault("127.0.0.1 -b @/nowhere/body").contains("/nowhere/body"));
        assert!(fault("127.0.0.1 -t 4 -c 2").contains("-c"));
        assert!(fault("ftp://127.0.0.1").contains("http://host:port/path"));
        assert!(fault("127.0.0.1 -H nonsense").contains("name: value"));
        assert!(fault("https://127.0.0.1 --cacert /nowhere/ca.pem").contains("/nowhere/ca.pem"));
    }
}
