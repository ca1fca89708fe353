//! Where log lines go, and how an access record looks.

use serde_json::Value as Json;

use super::{Complaint, FilePath, Text, string_schema};
use crate::access_log::{self, TemplateError};
use crate::config::diagnostic::{nearest, quote};
use crate::config::model::{LogFormat, LogOutput};

impl Text for LogOutput {
    const DEFINITION: Option<&'static str> = None;
    const EXPECTED: &'static str = "\"stdout\", \"stderr\" or a file";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "stdout" => Ok(LogOutput::Stdout),
            "stderr" => Ok(LogOutput::Stderr),
            // A word alone is a typo rather than a file.
            _ if !text.contains(['/', '.']) => Err(Complaint::is_not(text, "a place for a log")
                .label("known are: stdout, stderr, or a file")
                .help(format!("write \"./{text}\" for a file of that name"))),
            _ => FilePath::parse(text).map(|file| LogOutput::File(file.0)),
        }
    }

    fn json() -> Json {
        string_schema("\"stdout\", \"stderr\", or a file.", &["stdout", "stderr", "/var/log/tidegate/access.log"])
    }
}

impl Text for LogFormat {
    const DEFINITION: Option<&'static str> = Some("LogFormat");
    const EXPECTED: &'static str = "\"json\", \"combined\" or a template";

    fn parse(text: &str) -> Result<Self, Complaint> {
        match text {
            "json" => return Ok(LogFormat::Json),
            "combined" => return Ok(LogFormat::Combined),
            // A word alone is a typo rather than a template that says the same for every request.
            _ if !text.contains(['{', '}']) => {
                return Err(Complaint::is_not(text, "a log format")
                    .label("known are: json, combined, or a template")
                    .help("a template has fields in braces: \"{client} {status} {duration}\""));
            }
            _ => {}
        }
        match access_log::parse_template(text) {
            Ok(_) => Ok(LogFormat::Template(text.to_owned())),
            Err(error) => Err(explain(&error, text)),
        }
    }

    fn json() -> Json {
        let description = format!(
            "\"json\", \"combined\", or a template, where `{{field}}` is one of: {}. `{{{{` and `}}}}` are braces.",
            access_log::FIELDS.join(", ")
        );
        string_schema(&description, &["json", "combined", "{client} {status} {duration}"])
    }
}

fn explain(error: &TemplateError, text: &str) -> Complaint {
    match error {
        TemplateError::UnknownField { name, .. } => {
            let complaint = Complaint::new(format!("no field of the access log is named {}", quote(name)));
            complaint.help(match nearest(name, access_log::FIELDS.iter().copied()) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!("known are: {}", access_log::FIELDS.join(", ")),
            })
        }
        TemplateError::Unclosed { .. } => {
            Complaint::new(format!("a `{{` in {} is not closed", quote(text))).help("a brace itself is written `{{`")
        }
        TemplateError::Unopened { .. } => {
            Complaint::new(format!("a `}}` in {} closes nothing", quote(text))).help("a brace itself is written `}}`")
        }
        TemplateError::Control { .. } => Complaint::new("a log record is one line").help("remove the line break"),
        TemplateError::Empty => Complaint::new("the template is empty").help("write \"json\" or \"combined\""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn a_log_goes_to_a_stream_or_a_file() {
        assert_parses(
            |o: LogOutput| o,
            &[("stdout", LogOutput::Stdout), ("/var/log/a", LogOutput::File("/var/log/a".into()))],
            &[("stduot", "\"stduot\" is not a place for a log")],
        );
    }

    #[test]
    fn a_template_has_fields_of_the_access_log() {
        assert_parses(
            |f: LogFormat| f,
            &[("combined", LogFormat::Combined), ("{{{status}}}", LogFormat::Template("{{{status}}}".to_owned()))],
            &[
                ("jsn", "\"jsn\" is not a log format"),
                ("{status", "a `{` in \"{status\" is not closed"),
                ("status}", "a `}` in \"status}\" closes nothing"),
                ("{statsu}", "no field of the access log is named \"statsu\""),
                ("{status}\n", "a log record is one line"),
            ],
        );
    }
}
