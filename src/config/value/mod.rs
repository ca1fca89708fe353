//! Values as people write them: parsed once, typed from then on.
//!
//! Each is a [`Text`]: what may be written, what it means, and what to say when it is neither. Pure functions from a
//! string; places are the reader's concern.

mod acme;
mod address;
mod balance;
mod choice;
mod ciphers;
mod dns;
mod duration;
mod field;
mod file_mode;
mod host;
mod log;
mod number;
mod path;
mod plain;
mod size;

use serde_json::{Value as Json, json};

use super::diagnostic::quote;
use super::schema::Definitions;

pub(crate) use acme::{AskUrl, ByAcme, DirectoryUrl, Email, IssuerText};
pub(crate) use address::{
    EndpointAddress, HostHeader, IpListenAddress, ListenAddress, Network, ServerNameText, SourceAddress,
};
pub(crate) use balance::{CookieName, Factor, InstanceName, MIN_SECRET, SecretText};
pub(crate) use choice::{
    LogFormatName, PolicyName, Preference, ProtocolName, ProxyVersion, RetryCause, SecurityHeaders,
};
pub(crate) use ciphers::Ciphers;
pub(crate) use dns::{ServerAddress, ServiceName};
pub(crate) use duration::{Delay, Timeout};
pub(crate) use field::{ContentType, FieldName, FieldValue, RuleFieldName};
pub(crate) use file_mode::FileMode;
pub(crate) use host::HostName;
pub(crate) use number::{Flag, Number, Share, Workers};
pub(crate) use path::PathText;
pub(crate) use plain::{AccountName, FilePath, MethodName, Name, Pattern, RedirectStatus, RedirectTarget, Words};
pub(crate) use size::{ByteSize, OffOr};

/// A value that is written as a string.
pub(crate) trait Text: Sized {
    /// Its name in the schema's `$defs`; `None` writes the schema out at each key.
    const DEFINITION: Option<&'static str>;
    /// For "expected …, found a table".
    const EXPECTED: &'static str;
    /// A number may be written without quotes.
    const BARE_NUMBER: bool = false;
    /// `true` and `false` may be written without quotes.
    const BARE_BOOLEAN: bool = false;

    fn parse(text: &str) -> Result<Self, Complaint>;

    /// What may be written, as JSON Schema.
    fn json() -> Json;

    /// [`Text::json`], or a reference to it by name.
    fn named_json(definitions: &mut Definitions) -> Json {
        match Self::DEFINITION {
            Some(name) => definitions.refer(name, |_| Self::json()),
            None => Self::json(),
        }
    }
}

/// What is wrong with a value: the problem, a label beside the caret, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Complaint {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), label: String::new(), help: None }
    }

    /// `"5 parsecs" is not a duration`
    pub(crate) fn is_not(text: &str, what: &str) -> Self {
        Self::new(format!("{} is not {what}", quote(text)))
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The schema of a string with examples that must match a regex, unless a variable stands in it.
fn pattern_schema(description: &str, pattern: &str, examples: &[&str]) -> Json {
    let mut schema = string_schema(description, examples);
    schema["pattern"] = json!(format!(r"^{pattern}$|\$\{{"));
    schema
}

/// The schema of a string with examples.
fn string_schema(description: &str, examples: &[&str]) -> Json {
    json!({ "type": "string", "description": description, "examples": examples })
}

/// Every one of `good` parses to what stands beside it, and every one of `bad` is refused with what stands beside it. An
/// editor takes what is good, and where the schema has a pattern refuses what has not the form.
#[cfg(test)]
fn assert_parses<T: Text, V: PartialEq + std::fmt::Debug>(
    value: impl Fn(T) -> V,
    good: &[(&str, V)],
    bad: &[(&str, &str)],
) {
    let schema = T::json();
    for (text, expected) in good {
        match T::parse(text) {
            Ok(parsed) => assert_eq!(value(parsed), *expected, "{text}"),
            Err(complaint) => panic!("{text}: {complaint:?}"),
        }
        assert!(editor_takes(&schema, text), "{text} is none for an editor");
    }
    for (text, title) in bad {
        match T::parse(text) {
            Ok(_) => panic!("{text} was taken"),
            Err(complaint) => assert_eq!(complaint.title, *title, "{text}"),
        }
        let has_pattern = schema.to_string().contains(r#"$|\\$\\{"#);
        assert!(
            !(has_pattern && title.contains(" is not ") && editor_takes(&schema, text)),
            "{text} is one for an editor"
        );
    }
}

/// Whether a value written in quotes, or as a bare number, is one by its schema.
#[cfg(test)]
fn editor_takes(schema: &Json, text: &str) -> bool {
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().any(|choice| editor_takes(choice, text));
    }
    let is_string =
        schema["type"] == "string" || schema["type"].as_array().is_some_and(|t| t.contains(&json!("string")));
    match (schema.get("const"), schema["enum"].as_array(), schema["pattern"].as_str()) {
        (Some(only), ..) => only == text,
        (_, Some(list), _) => list.contains(&json!(text)),
        (.., Some(pattern)) => regex::Regex::new(pattern).unwrap().is_match(text),
        _ => is_string || text.parse::<f64>().is_ok_and(f64::is_finite),
    }
}
