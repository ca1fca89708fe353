//! Durations: "250ms", "10s", "2m", "1h30m".

use std::time::Duration;

use serde_json::Value as Json;

use super::{Complaint, Text, pattern_schema};
use crate::config::diagnostic::quote;

/// A duration that is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Duration);

/// A duration that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delay(pub(crate) Duration);

impl Text for Timeout {
    const DEFINITION: Option<&'static str> = Some("Timeout");
    const EXPECTED: &'static str = "a duration such as \"10s\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match parse(text)? {
            Duration::ZERO => Err(Complaint::new(format!("{} is no time at all", quote(text)))
                .help("write a duration of at least \"1ms\"")),
            duration => Ok(Self(duration)),
        }
    }

    fn json() -> Json {
        pattern_schema("A duration with a unit: ms, s, m, h or d. Not zero.", PATTERN, EXAMPLES)
    }
}

impl Text for Delay {
    const DEFINITION: Option<&'static str> = Some("Delay");
    const EXPECTED: &'static str = Timeout::EXPECTED;

    fn parse(text: &str) -> Result<Self, Complaint> {
        parse(text).map(Self)
    }

    fn json() -> Json {
        pattern_schema("A duration with a unit: ms, s, m, h or d; \"0s\" is none.", PATTERN, EXAMPLES)
    }
}

fn parse(text: &str) -> Result<Duration, Complaint> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let (number, unit) = (&rest[..digits], &rest[digits..unit_end]);
        if number.is_empty() {
            return Err(Complaint::is_not(text, "a duration").help(HELP));
        }
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => {
                return Err(Complaint::new(format!("{} has no unit", quote(text))).help(format!("write \"{number}s\"")));
            }
            _ => return Err(Complaint::is_not(text, "a duration").help(HELP)),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).map(Duration::from_millis);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|sum| *sum <= LONGEST)
            .ok_or_else(|| Complaint::new(format!("{} is too long", quote(text))).help("the longest is \"365d\""))?;
        rest = &rest[unit_end..];
        if rest.is_empty() {
            return Ok(total);
        }
    }
}

/// Adding it to a point in time can't overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

const PATTERN: &str = "([0-9]+ *(ms|s|m|h|d) *)+";

const HELP: &str = "write it like \"250ms\", \"10s\", \"2m\", \"1h\" or \"1d\"";

const EXAMPLES: &[&str] = &["250ms", "10s", "2m", "1h", "1d"];

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_parses(
            |d: Delay| d.0.as_millis(),
            &[("250ms", 250), ("10s", 10_000), ("2m", 120_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)],
            &[
                ("10", "\"10\" has no unit"),
                ("1h30", "\"1h30\" has no unit"),
                ("", "\"\" is not a duration"),
                ("soon", "\"soon\" is not a duration"),
                ("-1s", "\"-1s\" is not a duration"),
                ("1.5s", "\"1.5s\" is not a duration"),
                ("10 parsecs", "\"10 parsecs\" is not a duration"),
                ("366d", "\"366d\" is too long"),
                ("99999999999999999999s", "\"99999999999999999999s\" is too long"),
            ],
        );
    }

    #[test]
    fn a_timeout_is_never_zero() {
        assert_parses(|t: Timeout| t.0.as_secs(), &[("1s", 1)], &[("0s", "\"0s\" is no time at all")]);
    }
}
