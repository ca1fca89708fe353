//! Rules that a run has to keep: `p99<5ms`, `rps>=10000`, `error-rate<0.1%`.

use std::fmt;
use std::str::FromStr;

use super::outcome::Outcome;

/// One rule, as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    metric: Metric,
    comparison: Comparison,
    /// Microseconds, percent, or requests a second.
    bound: f64,
}

/// A rule and what the run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub rule: String,
    /// In the metric's unit: milliseconds, percent, or requests a second.
    pub value: f64,
    pub met: bool,
    /// The value with its unit, for people.
    pub shown: String,
}

/// Why a rule can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadThreshold {
    #[error("{0:?} is no threshold: write a metric, one of < <= > >=, and a bound, as 'p99<5ms'")]
    Shape(String),
    #[error("{0:?} is no metric; there are: {METRICS}")]
    Metric(String),
    #[error("{metric} needs a bound such as {example}, not {bound:?}")]
    Bound { metric: String, bound: String, example: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    Percentile(f64),
    Mean,
    Max,
    ErrorRate,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Threshold {
    /// Holds a run against it. A latency of a run without a single one is never met.
    pub fn judge(&self, outcome: &Outcome) -> Judged {
        let latency = &outcome.tally.latency;
        let (value, has_value) = match self.metric {
            Metric::Percentile(percent) => (latency.percentile(percent) as f64, latency.count() > 0),
            Metric::Mean => (latency.mean(), latency.count() > 0),
            Metric::Max => (latency.max() as f64, latency.count() > 0),
            Metric::ErrorRate => (outcome.error_percent(), outcome.attempts() > 0),
            Metric::Rate => (outcome.rate(), true),
        };
        let met = has_value
            && match self.comparison {
                Comparison::Less => value < self.bound,
                Comparison::AtMost => value <= self.bound,
                Comparison::More => value > self.bound,
                Comparison::AtLeast => value >= self.bound,
            };
        let (value, shown) = match self.metric {
            _ if !has_value => (value, "nothing measured".to_owned()),
            Metric::ErrorRate => (value, format!("{value:.3} %")),
            Metric::Rate => (value, format!("{value:.0} req/s")),
            _ => (value / 1e3, format!("{:.3} ms", value / 1e3)),
        };
        Judged { rule: self.text.clone(), value, met, shown }
    }
}

impl FromStr for Threshold {
    type Err = BadThreshold;

    fn from_str(text: &str) -> Result<Self, BadThreshold> {
        let shape = || BadThreshold::Shape(text.to_owned());
        let at = text.find(['<', '>']).ok_or_else(shape)?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (comparison, bound) = match (rest.strip_prefix("<="), rest.strip_prefix(">=")) {
            (Some(bound), _) => (Comparison::AtMost, bound),
            (_, Some(bound)) => (Comparison::AtLeast, bound),
            _ if rest.starts_with('<') => (Comparison::Less, &rest[1..]),
            _ => (Comparison::More, &rest[1..]),
        };
        let bound = bound.trim();
        if name.is_empty() || bound.is_empty() {
            return Err(shape());
        }
        let metric = Metric::parse(name).ok_or_else(|| BadThreshold::Metric(name.to_owned()))?;
        let number = metric.bound(bound).filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
            BadThreshold::Bound { metric: name.to_owned(), bound: bound.to_owned(), example: metric.example() }
        })?;
        let text = text.chars().filter(|character| !character.is_whitespace()).collect();
        Ok(Self { text, metric, comparison, bound: number })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Metric {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "p50" => Metric::Percentile(50.0),
            "p75" => Metric::Percentile(75.0),
            "p90" => Metric::Percentile(90.0),
            "p95" => Metric::Percentile(95.0),
            "p99" => Metric::Percentile(99.0),
            "p99.9" => Metric::Percentile(99.9),
            "p99.99" => Metric::Percentile(99.99),
            "mean" => Metric::Mean,
            "max" => Metric::Max,
            "error-rate" => Metric::ErrorRate,
            "rps" => Metric::Rate,
            _ => return None,
        })
    }

    /// A bound in the metric's unit.
    fn bound(self, text: &str) -> Option<f64> {
        match self {
            Metric::Rate => text.parse().ok(),
            Metric::ErrorRate => text.strip_suffix('%')?.trim_end().parse().ok(),
            _ => {
                let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
                let microseconds = match text[digits..].trim() {
                    "us" | "µs" => 1.0,
                    "ms" => 1e3,
                    "s" => 1e6,
                    _ => return None,
                };
                text[..digits].parse::<f64>().ok().map(|number| number * microseconds)
            }
        }
    }

    fn example(self) -> &'static str {
        match self {
            Metric::Rate => "10000",
            Metric::ErrorRate => "0.1%",
            _ => "5ms",
        }
    }
}

const METRICS: &str = "p50 p75 p90 p95 p99 p99.9 p99.99 mean max error-rate rps";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Metric, Comparison, f64) {
        let threshold: Threshold = text.parse().unwrap();
        (threshold.metric, threshold.comparison, threshold.bound)
    }

    #[test]
    fn rules_are_read_as_people_write_them() {
        assert_eq!(parse("p99<5ms"), (Metric::Percentile(99.0), Comparison::Less, 5_000.0));
        assert_eq!(parse("p99.9 <= 1.5 s"), (Metric::Percentile(99.9), Comparison::AtMost, 1_500_000.0));
        assert_eq!(parse("mean<250us"), (Metric::Mean, Comparison::Less, 250.0));
        assert_eq!(parse("error-rate<=0.1%"), (Metric::ErrorRate, Comparison::AtMost, 0.1));
        assert_eq!(parse("rps>=10000"), (Metric::Rate, Comparison::AtLeast, 10_000.0));
    }

    #[test]
    fn what_is_no_rule_is_told_what_would_be_one() {
        let fault = |text: &str| text.parse::<Threshold>().unwrap_err().to_string();
        assert!(fault("p99").contains("'p99<5ms'"));
        assert!(fault("<5ms").contains("'p99<5ms'"));
        assert!(fault("p98<5ms").contains(METRICS));
        assert!(fault("p99<5").contains("5ms"));
        assert!(fault("error-rate<1").contains("0.1%"));
        assert!(fault("rps>many").contains("10000"));
        assert!(fault("max<-1ms").contains("5ms"));
    }
}
