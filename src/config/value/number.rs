//! Numbers, shares, rates, yes and no.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Complaint, Text, pattern_schema};
use crate::config::diagnostic::quote;
use crate::config::model::Rate;

/// A whole number within bounds. Quotes are allowed, so that a variable can give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    pub(crate) fn size(self) -> usize {
        self.0 as usize
    }

    /// `None` for 0, which `MIN` should have excluded.
    pub(crate) fn non_zero(self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.0)
    }
}

impl<const MIN: u32, const MAX: u32> Text for Number<MIN, MAX> {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a whole number";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let number: i128 = text.parse().map_err(|_| Complaint::is_not(text, "a whole number"))?;
        match u32::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(Complaint::new(format!("{number} is out of bounds")).label(format!("{MIN} to {MAX}"))),
        }
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": VARIABLE },
        ] })
    }
}

/// `true` or `false`. Quotes are allowed, so that a variable can give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl Text for Flag {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "true or false";
    const BARE_BOOLEAN: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "true" => Ok(Self(true)),
            "false" => Ok(Self(false)),
            _ => Err(Complaint::is_not(text, "true or false")),
        }
    }

    fn json() -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": VARIABLE }] })
    }
}

/// Worker threads; "auto" is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Option<NonZeroUsize>);

impl Text for Workers {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "a number of threads or \"auto\"";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let number = Number::<1, 1024>::parse(text)
            .map_err(|complaint| complaint.help("write \"auto\" for one a usable core"))?;
        Ok(Self(NonZeroUsize::new(number.size())))
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": 1, "maximum": 1024 },
            { "type": "string", "pattern": VARIABLE },
        ] })
    }
}

/// A part of a whole, 0.0 to 1.0: `0.5` or "50%".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl Text for Share {
    const DEFINITION: Option<&'static str> = Some("Share");
    const EXPECTED: &'static str = "a share such as \"50%\" or 0.5";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let (number, whole) = match text.strip_suffix('%') {
            Some(number) => (number.trim_end(), 100.0),
            None => (text, 1.0),
        };
        let number: f64 = number.parse().map_err(|_| Complaint::is_not(text, "a share").help(SHARE_HELP))?;
        if whole == 1.0 && (1.0..=100.0).contains(&number) && number != 1.0 {
            return Err(Complaint::new(format!("{text} is more than a whole")).help(format!("write \"{text}%\"")));
        }
        if number.is_nan() || !(0.0..=whole).contains(&number) {
            return Err(Complaint::new(format!("{} is more than a whole, or less than nothing", quote(text)))
                .label("0% to 100%")
                .help(SHARE_HELP));
        }
        Ok(Self(number / whole))
    }

    fn json() -> Json {
        json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            pattern_schema("A percentage.", r"(0|1|0?\.[0-9]+|[0-9]+(\.[0-9]+)? *%)", &["20%", "50%"]),
        ], "description": "A part of a whole: \"50%\", or a number from 0 to 1." })
    }
}

impl Text for Rate {
    const DEFINITION: Option<&'static str> = Some("Rate");
    const EXPECTED: &'static str = "a rate such as \"10/s\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let wrong = || Complaint::is_not(text, "a rate").help(RATE_HELP);
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        // nginx writes "10r/s".
        let number = number.strip_suffix('r').unwrap_or(number).trim_end();
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let requests = u32::try_from(number).ok().filter(|n| *n <= MAX_RATE).and_then(NonZeroU32::new);
        let requests = requests.ok_or_else(|| {
            Complaint::new(format!("{} lets {} through", quote(text), if number == 0 { "nothing" } else { "too much" }))
                .label(format!("1 to {MAX_RATE} requests"))
                .help(if number == 0 {
                    "to refuse everything, use a route with a `reply`"
                } else {
                    "leave the limit out"
                })
        })?;
        Ok(Self { requests, per: Duration::from_secs(seconds) })
    }

    fn json() -> Json {
        let description = "Requests in a time: a second, a minute or an hour.";
        pattern_schema(description, "[0-9]+ *r?/[smh]", &["10/s", "300/m", "1000/h"])
    }
}

/// What an editor accepts in place of a number or a flag.
const VARIABLE: &str = r"\$\{";

/// At this rate a request every microsecond passes.
const MAX_RATE: u32 = 1_000_000;

const SHARE_HELP: &str = "write it like \"50%\" or 0.5";

const RATE_HELP: &str = "write it like \"10/s\", \"300/m\" or \"1000/h\"";

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_parses(
            |n: Number<1, 10>| n.0,
            &[("1", 1), ("10", 10)],
            &[
                ("0", "0 is out of bounds"),
                ("11", "11 is out of bounds"),
                ("-1", "-1 is out of bounds"),
                ("9999999999", "9999999999 is out of bounds"),
                ("x", "\"x\" is not a whole number"),
                ("1.5", "\"1.5\" is not a whole number"),
            ],
        );
    }

    #[test]
    fn shares_are_percentages_or_fractions() {
        assert_parses(
            |s: Share| s.0,
            &[("50%", 0.5), ("0", 0.0), ("0.25", 0.25), ("1", 1.0), ("100 %", 1.0)],
            &[
                ("50", "50 is more than a whole"),
                ("101%", "\"101%\" is more than a whole, or less than nothing"),
                ("-1%", "\"-1%\" is more than a whole, or less than nothing"),
                ("nan", "\"nan\" is more than a whole, or less than nothing"),
                ("half", "\"half\" is not a share"),
            ],
        );
    }

    #[test]
    fn rates_are_requests_in_a_time() {
        assert_parses(
            |r: Rate| (r.requests.get(), r.per.as_secs()),
            &[("10/s", (10, 1)), ("300/m", (300, 60)), ("1000/h", (1000, 3600)), ("10r/s", (10, 1))],
            &[
                ("10", "\"10\" is not a rate"),
                ("10/d", "\"10/d\" is not a rate"),
                ("/s", "\"/s\" is not a rate"),
                ("0/s", "\"0/s\" lets nothing through"),
                ("1000001/s", "\"1000001/s\" lets too much through"),
            ],
        );
    }

    #[test]
    fn workers_are_auto_or_a_number() {
        assert_parses(
            |w: Workers| w.0.map(NonZeroUsize::get),
            &[("auto", None), ("4", Some(4))],
            &[("0", "0 is out of bounds"), ("many", "\"many\" is not a whole number")],
        );
    }
}
