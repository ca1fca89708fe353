//! A run as text, for people.

use std::fmt::Write;

use super::exchange::Fault;
use super::outcome::Outcome;
use super::plan::Load;
use super::tally::Times;
use super::threshold::Judged;

/// Everything that a run came to, with its latencies drawn.
pub fn summary(outcome: &Outcome, thresholds: &[Judged]) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = write_summary(&mut text, outcome, thresholds);
    text
}

fn write_summary(out: &mut String, outcome: &Outcome, thresholds: &[Judged]) -> std::fmt::Result {
    let (plan, tally) = (&outcome.plan, &outcome.tally);
    writeln!(out, "{}", heading(outcome))?;
    writeln!(
        out,
        "\n  requests   {} answered in {:.2} s, {:.0} a second, {} of bodies",
        tally.answered,
        outcome.elapsed.as_secs_f64(),
        outcome.rate(),
        size(tally.bytes)
    )?;
    let statuses: Vec<String> = tally.statuses().map(|(status, count)| format!("{status}: {count}")).collect();
    writeln!(out, "  statuses   {}", if statuses.is_empty() { "none".to_owned() } else { statuses.join("  ") })?;
    writeln!(out, "  errors     {}", errors(outcome))?;
    if outcome.interrupted {
        writeln!(out, "  ended      before its time, by an interruption")?;
    }
    if tally.latency.count() > 0 {
        let from = match plan.load {
            Load::Open { .. } => "from the intended send time",
            Load::Closed => "from the send time: what waits behind a slow answer is never sent, and so never measured",
        };
        writeln!(out, "\n  latency    {from}")?;
        write_times(out, &tally.latency)?;
        writeln!(out)?;
        write_histogram(out, &tally.latency)?;
    }
    if plan.load.rate().is_some() && tally.lag.count() > 0 {
        writeln!(
            out,
            "\n  send lag   p50 {}  p99 {}  max {}; of it the generator's own p99 {}",
            milliseconds(tally.lag.percentile(50.0)),
            milliseconds(tally.lag.percentile(99.0)),
            milliseconds(tally.lag.max()),
            milliseconds(tally.own_lag.percentile(99.0))
        )?;
    }
    writeln!(
        out,
        "\n  generator  {:.0} % of a core in its busiest thread, {:.2} us of CPU a request",
        outcome.generator.cpu_percent, outcome.generator.cpu_us_per_request
    )?;
    for judged in thresholds {
        let verdict = if judged.met { "met   " } else { "MISSED" };
        writeln!(out, "  threshold  {verdict} {} ({})", judged.rule, judged.shown)?;
    }
    if let Some(reason) = &outcome.void {
        writeln!(out, "\n  VOID: {reason}")?;
    }
    Ok(())
}

/// How it was loaded, in words.
fn heading(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let load = match plan.load {
        Load::Open { rate } => format!("open loop, {rate} requests a second"),
        Load::Closed => "closed loop (as fast as the answers come)".to_owned(),
    };
    let tls = if plan.tls.is_some() { " over TLS" } else { "" };
    let streams = if plan.streams > 1 { format!(" of {} streams", plan.streams) } else { String::new() };
    let keepalive = if plan.keepalive { "" } else { ", a new one for each request" };
    let threads = if plan.threads > 1 { format!(", {} threads", plan.threads) } else { String::new() };
    format!(
        "{}: {load}, {}{tls}, {} connection{}{streams}{keepalive}{threads}",
        plan.target.url(),
        plan.protocol.as_str(),
        plan.connections,
        if plan.connections == 1 { "" } else { "s" }
    )
}

fn errors(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let faults = Fault::ALL.iter().map(|fault| (fault.name(), tally.faults(*fault)));
    let others = [("unsent", outcome.unsent), ("unfinished", tally.unfinished)];
    let seen: Vec<String> =
        faults.chain(others).filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}: {count}")).collect();
    if seen.is_empty() {
        return "none".to_owned();
    }
    format!("{}  ({:.3} % of {})", seen.join("  "), outcome.error_percent(), outcome.attempts())
}

fn write_times(out: &mut String, times: &Times) -> std::fmt::Result {
    let shown = [50.0, 75.0, 90.0, 99.0, 99.9, 99.99].map(|percent| times.percentile(percent));
    writeln!(out, "  {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}", "p50", "p75", "p90", "p99", "p99.9", "p99.99")?;
    let [p50, p75, p90, p99, p999, p9999] = shown.map(milliseconds);
    writeln!(out, "  {p50:>11} {p75:>11} {p90:>11} {p99:>11} {p999:>11} {p9999:>11}")?;
    writeln!(
        out,
        "  min {}  mean {:.3} ms  max {}",
        milliseconds(times.min()),
        times.mean() / 1e3,
        milliseconds(times.max())
    )
}

/// A bar for each step of a logarithmic scale, three steps to a factor of ten: tails stay visible beside the bulk.
fn write_histogram(out: &mut String, times: &Times) -> std::fmt::Result {
    let mut rows = Vec::new();
    let mut low = 0;
    for high in steps() {
        let count = if low <= times.max() { times.count_between(low, high - 1) } else { 0 };
        rows.push((low, high, count));
        low = high;
    }
    let Some(first) = rows.iter().position(|(_, _, count)| *count > 0) else { return Ok(()) };
    let last = rows.iter().rposition(|(_, _, count)| *count > 0).unwrap_or(first);
    let most = rows.iter().map(|(_, _, count)| *count).max().unwrap_or(1);
    for (low, high, count) in &rows[first..=last] {
        let eighths = (count * 8 * BAR).div_ceil(most);
        let full = usize::try_from(eighths / 8).unwrap_or(0);
        let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][usize::try_from(eighths % 8).unwrap_or(0)];
        let bar = "█".repeat(full) + part;
        let share = 100.0 * *count as f64 / times.count() as f64;
        let end = if bar.is_empty() { String::new() } else { format!("  {bar}") };
        writeln!(out, "  {:>9} - {:<9} {count:>9} {share:>7.3} %{end}", step(*low), step(*high))?;
    }
    Ok(())
}

/// 10, 20, 50, 100, … microseconds up to more than an hour.
fn steps() -> impl Iterator<Item = u64> {
    (1..10).flat_map(|power| [1, 2, 5].map(|digit| digit * 10u64.pow(power)))
}

/// One of [`steps`], in the unit that needs no fraction.
fn step(microseconds: u64) -> String {
    match microseconds {
        0..1_000 => format!("{microseconds} us"),
        1_000..1_000_000 => format!("{} ms", microseconds / 1_000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

fn milliseconds(microseconds: u64) -> String {
    format!("{:.3} ms", microseconds as f64 / 1e3)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Characters of the longest bar.
const BAR: u64 = 40;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_histogram_draws_bulk_and_tail() {
        let mut times = Times::new();
        (0..99).for_each(|_| times.record(Duration::from_micros(150)));
        times.record(Duration::from_millis(300));
        let mut text = String::new();
        write_histogram(&mut text, &times).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("100 us - 200 us") && lines[0].contains("99.000 %"), "{text}");
        assert_eq!(lines[0].matches('█').count(), 40);
        assert!(lines.last().unwrap().contains("200 ms - 500 ms"), "{text}");
        assert!(lines.last().unwrap().ends_with('▍') || lines.last().unwrap().ends_with('▌'), "{text}");
        assert_eq!(lines.len(), 11, "{text}");
    }
}
