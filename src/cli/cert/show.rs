//! How certificates stand, in words or as JSON.

use std::time::Duration;

use super::super::{FAILED, text};
use crate::acme::Moment;
use crate::acme::standing::Standing;

/// A line each, and a second one where something is wrong.
pub(super) fn all(standings: &[Standing], now: Moment, json: bool) -> u8 {
    if json {
        return print_json(&standings);
    }
    if standings.is_empty() {
        return text::print(b"no certificates");
    }
    let mut out = String::new();
    let width = |of: fn(&Standing) -> &str, least: usize| {
        standings.iter().map(|standing| of(standing).len()).max().unwrap_or(0).max(least)
    };
    let site = width(|standing| standing.site.as_deref().unwrap_or("-"), 4);
    let issuer = width(|standing| standing.issuer.as_deref().unwrap_or("-"), 6);
    out.push_str(&format!(
        "{:<site$}  {:<9}  {:<issuer$}  {:<14}  {:<14}  names\n",
        "site", "state", "issuer", "expires", "next try"
    ));
    for standing in standings {
        let expires = standing.not_after.map_or_else(|| "-".to_owned(), |end| distance(now, end));
        let next = standing.next.at.map_or_else(|| "-".to_owned(), |next| distance(now, next));
        out.push_str(&format!(
            "{:<site$}  {:<9}  {:<issuer$}  {expires:<14}  {next:<14}  {}\n",
            standing.site.as_deref().unwrap_or("-"),
            standing.state.name(),
            standing.issuer.as_deref().unwrap_or("-"),
            standing.names.join(" "),
        ));
        if let Some(trouble) = &standing.trouble {
            out.push_str(&format!("  {} at {}: {}\n", trouble.class.name(), trouble.issuer, trouble.detail));
        }
        for (name, refused) in &standing.refused {
            out.push_str(&format!("  without {name}: {}\n", refused.detail));
        }
    }
    text::print(out.as_bytes())
}

/// All about one.
pub(super) fn one(standing: &Standing, now: Moment, json: bool) -> u8 {
    if json {
        return print_json(standing);
    }
    let mut out = String::new();
    let mut line = |what: &str, value: &str| out.push_str(&format!("{what:<11} {value}\n"));
    let at = |moment: Moment| format!("{moment} ({})", distance(now, moment));
    line("id", &standing.id);
    line("site", standing.site.as_deref().unwrap_or("-"));
    line("names", &standing.names.join(" "));
    line("key", standing.key);
    line("state", standing.state.name());
    line("issuer", standing.issuer.as_deref().unwrap_or("-"));
    if let (Some(start), Some(end)) = (standing.not_before, standing.not_after) {
        line("good from", &at(start));
        line("until", &at(end));
    }
    if let Some(certificate) = &standing.certificate {
        line("certificate", certificate);
    }
    if let Some(suggested) = standing.suggested {
        line("suggested", &at(suggested));
    }
    match standing.next.at {
        Some(next) => line("next try", &format!("{}: {}", at(next), standing.next.why)),
        None => line("next try", &standing.next.why),
    }
    if let Some(trouble) = &standing.trouble {
        line("trouble", &format!("{} failures in a row, the last one {}", trouble.count, at(trouble.at)));
    }
    for (name, refused) in &standing.refused {
        line("without", &format!("{name} until {}: {}", at(refused.until), refused.detail));
    }
    text::print(out.as_bytes())
}

fn print_json(value: &impl serde::Serialize) -> u8 {
    match serde_json::to_string_pretty(value) {
        Ok(json) => text::print(json.as_bytes()),
        Err(_) => FAILED,
    }
}

/// "in 29 days", "5 minutes ago", "now".
fn distance(now: Moment, then: Moment) -> String {
    let (ahead, behind) = (then.since(now), now.since(then));
    match (ahead.as_secs(), behind.as_secs()) {
        (0, 0) => "now".to_owned(),
        (0, _) => format!("{} ago", span(behind)),
        _ => format!("in {}", span(ahead)),
    }
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_the_unit_that_fits() {
        let now = Moment::from_seconds(1_800_000_000);
        for (seconds, text) in [
            (0, "now"),
            (1, "in 1 second"),
            (119, "in 119 seconds"),
            (120, "in 2 minutes"),
            (7200, "in 2 hours"),
            (60 * 86_400 + 5, "in 60 days"),
            (-90, "90 seconds ago"),
            (-4 * 86_400, "4 days ago"),
        ] {
            assert_eq!(distance(now, Moment::from_seconds(1_800_000_000 + seconds)), text);
        }
    }
}
