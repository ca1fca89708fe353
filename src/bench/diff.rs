//! Two reports of `benches/compare` side by side: what changed, and whether that is more than their rounds differ among
//! themselves. Schema `tidegate-bench-report/1`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

/// A report, as far as it is compared.
#[derive(Debug, Deserialize)]
pub struct Report {
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    name: String,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    proxy: String,
    metrics: BTreeMap<String, Spread>,
}

/// One metric over all rounds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum BadReport {
    #[error("no JSON: {0}")]
    Json(serde_json::Error),
    #[error("its schema is {found:?}, not {SCHEMA:?}{}", hint(.found))]
    Schema { found: String },
    #[error("it says {SCHEMA:?}, but isn't so: {0}")]
    Shape(serde_json::Error),
}

/// One metric in both reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub scenario: String,
    pub proxy: String,
    pub metric: String,
    pub old: f64,
    pub new: f64,
    pub verdict: Verdict,
}

/// What a change comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rounds of the two reports overlap: noise, as far as they tell.
    Within,
    /// Every new round is better than every old one.
    Better,
    /// Every new round is worse than every old one.
    Worse,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`BadReport`].
    pub fn parse(text: &str) -> Result<Self, BadReport> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(BadReport::Json)?;
        match json["schema"].as_str() {
            Some(SCHEMA) => serde_json::from_value(json).map_err(BadReport::Shape),
            other => Err(BadReport::Schema { found: other.unwrap_or("none").to_owned() }),
        }
    }

    fn metrics(&self) -> impl Iterator<Item = ((&str, &str, &str), Spread)> {
        self.scenarios.iter().flat_map(|scenario| {
            scenario.rows.iter().flat_map(move |row| {
                row.metrics.iter().map(move |(metric, spread)| {
                    ((scenario.name.as_str(), row.proxy.as_str(), metric.as_str()), *spread)
                })
            })
        })
    }
}

/// What both reports measured, in the order of the new one, and how many figures only one of them has.
pub fn compare(old: &Report, new: &Report) -> (Vec<Change>, usize) {
    let before: BTreeMap<_, _> = old.metrics().collect();
    let mut changes = Vec::new();
    let mut unmatched = 0;
    for ((scenario, proxy, metric), spread) in new.metrics() {
        let Some(earlier) = before.get(&(scenario, proxy, metric)) else {
            unmatched += 1;
            continue;
        };
        changes.push(Change {
            scenario: scenario.to_owned(),
            proxy: proxy.to_owned(),
            metric: metric.to_owned(),
            old: earlier.median,
            new: spread.median,
            verdict: judge(metric, *earlier, spread),
        });
    }
    let unmatched = unmatched + before.len() - changes.len();
    (changes, unmatched)
}

/// The changes as a table.
pub fn table(changes: &[Change], unmatched: usize) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write_table(&mut text, changes, unmatched);
    text
}

fn write_table(out: &mut String, changes: &[Change], unmatched: usize) -> std::fmt::Result {
    let width = |cell: fn(&Change) -> &str, least: usize| changes.iter().map(|c| cell(c).len()).fold(least, usize::max);
    let (scenario, proxy) = (width(|c| &c.scenario, 8), width(|c| &c.proxy, 5));
    let metric = width(|c| &c.metric, 6);
    writeln!(
        out,
        "{:<scenario$}  {:<proxy$}  {:<metric$}  {:>12}  {:>12}  {:>9}",
        "scenario", "proxy", "metric", "old", "new", "change"
    )?;
    for change in changes {
        let mark = match change.verdict {
            Verdict::Within => "",
            Verdict::Better => "  better",
            Verdict::Worse => "  WORSE",
        };
        writeln!(
            out,
            "{:<scenario$}  {:<proxy$}  {:<metric$}  {:>12}  {:>12}  {:>9}{mark}",
            change.scenario,
            change.proxy,
            change.metric,
            figure(change.old),
            figure(change.new),
            relative(change)
        )?;
    }
    let marked = |verdict| changes.iter().filter(|change| change.verdict == verdict).count();
    writeln!(
        out,
        "\n{} better, {} worse, {} within the spread of the rounds{}",
        marked(Verdict::Better),
        marked(Verdict::Worse),
        marked(Verdict::Within),
        if unmatched > 0 { format!("; {unmatched} in one report only") } else { String::new() }
    )
}

/// Beyond both spreads: not a single round of one report lies among the other's.
fn judge(metric: &str, old: Spread, new: Spread) -> Verdict {
    let more_is_better = metric == "rps";
    match () {
        () if new.min > old.max => {
            if more_is_better {
                Verdict::Better
            } else {
                Verdict::Worse
            }
        }
        () if new.max < old.min => {
            if more_is_better {
                Verdict::Worse
            } else {
                Verdict::Better
            }
        }
        () => Verdict::Within,
    }
}

fn relative(change: &Change) -> String {
    if change.old == 0.0 {
        return if change.new == 0.0 { "+0.0 %".to_owned() } else { "-".to_owned() };
    }
    format!("{:+.1} %", 100.0 * (change.new / change.old - 1.0))
}

/// With the digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn hint(found: &str) -> &'static str {
    if found.starts_with("tidegate-bench-run/") { ": that is a single run of `tidegate bench --json`" } else { "" }
}

const SCHEMA: &str = "tidegate-bench-report/1";

#[cfg(test)]
mod tests {
    use super::*;

    fn report(metrics: &str) -> Report {
        Report::parse(&format!(
            r#"{{"schema":"tidegate-bench-report/1","scenarios":[{{"name":"h1","rows":[{{"proxy":"nginx","metrics":{{{metrics}}}}}]}}]}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_change_beyond_both_spreads_is_marked() {
        let old = report(
            r#""cpu_us":{"median":10,"min":9,"max":11},"rps":{"median":100,"min":90,"max":110},"p50_ms":{"median":1,"min":0.9,"max":1.1}"#,
        );
        let new = report(
            r#""cpu_us":{"median":8,"min":7,"max":8.5},"rps":{"median":80,"min":79,"max":81},"p50_ms":{"median":1.1,"min":1,"max":1.2},"p99_ms":{"median":1,"min":1,"max":1}"#,
        );
        let (changes, unmatched) = compare(&old, &new);
        let verdicts: Vec<_> = changes.iter().map(|c| (c.metric.as_str(), c.verdict)).collect();
        assert_eq!(verdicts, [("cpu_us", Verdict::Better), ("p50_ms", Verdict::Within), ("rps", Verdict::Worse)]);
        assert_eq!(unmatched, 1);
        let text = table(&changes, unmatched);
        assert!(
            text.contains("-20.0 %  better") && text.contains("-20.0 %  WORSE") && text.contains("+10.0 %\n"),
            "{text}"
        );
        assert!(text.contains("1 better, 1 worse, 1 within the spread of the rounds; 1 in one report only"), "{text}");
    }

    #[test]
    fn another_schema_is_refused_by_name() {
        let fault = |text: &str| Report::parse(text).unwrap_err().to_string();
        assert!(fault(r#"{"schema":"tidegate-bench-run/1"}"#).contains("a single run"));
        assert!(fault(r#"{"schema":"other/2"}"#).contains("other/2"));
        assert!(fault("{}").contains("tidegate-bench-report/1"));
        assert!(fault("nothing").contains("no JSON"));
        assert!(fault(r#"{"schema":"tidegate-bench-report/1"}"#).contains("scenarios"));
    }
}
