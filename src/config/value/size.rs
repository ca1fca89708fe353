//! Sizes in bytes: "64k", "10m", "1GiB"; and "off" where no bound is a choice.

use serde_json::{Value as Json, json};

use super::{Complaint, Text, pattern_schema};
use crate::config::diagnostic::quote;
use crate::config::schema::Definitions;

/// Bytes, counted in 1024s as nginx does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub(crate) u64);

impl ByteSize {
    /// For buffers: what fits in memory at all.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Text for ByteSize {
    const DEFINITION: Option<&'static str> = Some("Size");
    const EXPECTED: &'static str = "a size such as \"64k\"";
    const BARE_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Complaint> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim_start() {
            "" => 0,
            "k" | "K" | "KiB" => 10,
            "m" | "M" | "MiB" => 20,
            "g" | "G" | "GiB" => 30,
            other => {
                let letter = other.to_lowercase().chars().next().filter(|c| "kmg".contains(*c) && !number.is_empty());
                let help =
                    letter.map_or_else(|| HELP.to_owned(), |c| format!("write \"{number}{c}\": units are 1024s"));
                return Err(Complaint::is_not(text, "a size").help(help));
            }
        };
        if number.is_empty() {
            return Err(Complaint::is_not(text, "a size").help(HELP));
        }
        let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift)).filter(|n| *n <= LARGEST);
        let bytes = bytes.ok_or_else(|| {
            Complaint::new(format!("{} is too large", quote(text))).help("the largest is \"1048576g\"")
        })?;
        Ok(Self(bytes))
    }

    fn json() -> Json {
        let description = "A number of bytes, or with a unit: k, m or g (KiB, MiB, GiB), which are 1024s.";
        let mut schema = pattern_schema(description, "[0-9]+ *([kKmMgG]|[KMG]iB)?", EXAMPLES);
        schema["type"] = json!(["string", "integer"]);
        schema["minimum"] = json!(0);
        schema
    }
}

/// A value, or "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffOr<T>(pub(crate) Option<T>);

impl<T: Text> Text for OffOr<T> {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = T::EXPECTED;
    const BARE_NUMBER: bool = T::BARE_NUMBER;

    fn parse(text: &str) -> Result<Self, Complaint> {
        if text == "off" {
            return Ok(Self(None));
        }
        T::parse(text).map(|value| Self(Some(value)))
    }

    fn json() -> Json {
        json!({ "anyOf": [T::json(), { "const": "off" }] })
    }

    fn named_json(definitions: &mut Definitions) -> Json {
        json!({ "anyOf": [T::named_json(definitions), { "const": "off" }] })
    }
}

const LARGEST: u64 = 1 << 50;

const HELP: &str = "write it like \"8192\", \"64k\", \"10m\" or \"1g\"";

const EXAMPLES: &[&str] = &["8192", "64k", "10m", "1MiB", "1g"];

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn sizes_count_in_1024s() {
        assert_parses(
            |s: ByteSize| s.0,
            &[("0", 0), ("8192", 8192), ("64k", 65536), ("1MiB", 1 << 20), ("10m", 10 << 20), ("1 g", 1 << 30)],
            &[
                ("", "\"\" is not a size"),
                ("k", "\"k\" is not a size"),
                ("64kb", "\"64kb\" is not a size"),
                ("-1", "\"-1\" is not a size"),
                ("1048577g", "\"1048577g\" is too large"),
                ("99999999999999999999", "\"99999999999999999999\" is too large"),
            ],
        );
        assert_eq!(ByteSize::parse("64KB").unwrap_err().help.as_deref(), Some("write \"64k\": units are 1024s"));
    }

    #[test]
    fn off_is_no_bound() {
        assert_parses(|s: OffOr<ByteSize>| s.0.map(|s| s.0), &[("off", None), ("1k", Some(1024))], &[]);
    }
}
