//! A route's path, with nginx's signs before it.

use regex::RegexBuilder;
use serde_json::Value as Json;

use super::{Complaint, Text, string_schema};
use crate::config::diagnostic::quote;
use crate::config::model::PathMatch;

/// `"/x"`, `"= /x"`, `"^~ /x"`, `"~ regex"` or `"~* regex"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PathText {
    pub(crate) matches: PathMatch,
    /// As written; the route's name if it has no other.
    pub(crate) written: String,
}

impl Text for PathText {
    const DEFINITION: Option<&'static str> = Some("Path");
    const EXPECTED: &'static str = "a path such as \"/api\"";

    fn parse(text: &str) -> Result<Self, Complaint> {
        let text = text.trim();
        let matches = if let Some(pattern) = text.strip_prefix("~*") {
            PathMatch::Regex(regex(&format!("(?i){}", pattern.trim_start()))?)
        } else if let Some(pattern) = text.strip_prefix('~') {
            PathMatch::Regex(regex(pattern.trim_start())?)
        } else if let Some(path) = text.strip_prefix("^~") {
            PathMatch::Prefix { path: plain(path.trim_start())?, before_regex: true }
        } else if let Some(path) = text.strip_prefix('=') {
            PathMatch::Exact(plain(path.trim_start())?)
        } else {
            PathMatch::Prefix { path: plain(text)?, before_regex: false }
        };
        Ok(Self { matches, written: text.to_owned() })
    }

    fn json() -> Json {
        string_schema(
            "A prefix that ends on a segment border, `= /x` exactly this path, `^~ /x` a prefix that no regex is tried \
             after, `~ regex` or, in any case, `~* regex`. Matched on the decoded, normalized path, with nginx's \
             precedence: exact, `^~` prefix, regexes in file order, longest prefix.",
            &["/", "/api", "= /health", "^~ /static/", r"~ \.php$", "~* ^/docs/v[0-9]+/"],
        )
    }
}

/// A path as it looks after decoding and normalizing: what isn't in that form could never match.
fn plain(path: &str) -> Result<String, Complaint> {
    let never =
        |why: &str, help: &str| Err(Complaint::new(format!("{} can never match", quote(path))).label(why).help(help));
    if !path.starts_with('/') {
        let help = if path.contains(['*', '^', '$', '(']) {
            "a regex is written with `~` before it: \"~ ^/x\""
        } else {
            "write it like \"/api\""
        };
        return Err(Complaint::new(format!("{} does not begin with `/`", quote(path))).help(help));
    }
    if path.contains(['?', '#']) {
        return never("a path has no query and no fragment", "leave out what follows the path");
    }
    if path.contains("//") || path.split('/').any(|segment| segment == "." || segment == "..") {
        return never("paths are normalized before they are matched", "write it without `//`, `.` and `..`");
    }
    if path.bytes().any(|b| b.is_ascii_control()) {
        return never("it holds a control character", "remove it");
    }
    if has_escape(path) {
        return never("paths are decoded before they are matched", "write the character itself instead of its %-code");
    }
    if path.ends_with('*') {
        return Err(Complaint::new(format!("{} has a wildcard", quote(path)))
            .label("a path is a prefix already")
            .help(format!("write {}", quote(path.trim_end_matches('*')))));
    }
    Ok(path.to_owned())
}

/// Whether there is a `%` and two hexadecimal digits.
fn has_escape(path: &str) -> bool {
    path.as_bytes().windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

fn regex(pattern: &str) -> Result<String, Complaint> {
    if pattern.is_empty() || pattern == "(?i)" {
        return Err(Complaint::new("the regex is empty").help("write \"/\" to match every path"));
    }
    match RegexBuilder::new(pattern).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build() {
        Ok(_) => Ok(pattern.to_owned()),
        Err(regex::Error::CompiledTooBig(_)) => Err(Complaint::new("the regex is too large")
            .label("compiled, it is over 1 MiB")
            .help("use smaller repetitions, or several routes")),
        Err(error) => {
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            let complaint = Complaint::new(format!("{} is not a valid regex", quote(pattern))).label(why);
            if why.contains("look-around") || why.contains("backreferences") {
                return Err(complaint.help("regexes run in linear time here, without look-around and backreferences"));
            }
            Err(complaint)
        }
    }
}

/// A compiled regex, in bytes.
const MAX_REGEX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::assert_parses;
    use super::*;

    #[test]
    fn paths_are_written_as_in_nginx() {
        let prefix = |path: &str, before_regex| PathMatch::Prefix { path: path.to_owned(), before_regex };
        assert_parses(
            |p: PathText| p.matches,
            &[
                ("/", prefix("/", false)),
                ("/a b", prefix("/a b", false)),
                ("/100%", prefix("/100%", false)),
                ("= /x", PathMatch::Exact("/x".to_owned())),
                ("=/x", PathMatch::Exact("/x".to_owned())),
                ("^~ /static/", prefix("/static/", true)),
                (r"~ \.php$", PathMatch::Regex(r"\.php$".to_owned())),
                ("~* ^/DOCS", PathMatch::Regex("(?i)^/DOCS".to_owned())),
            ],
            &[
                ("", "\"\" does not begin with `/`"),
                ("api", "\"api\" does not begin with `/`"),
                ("^/x", "\"^/x\" does not begin with `/`"),
                ("/a?b", "\"/a?b\" can never match"),
                ("/a//b", "\"/a//b\" can never match"),
                ("/a/../b", "\"/a/../b\" can never match"),
                ("/a%20b", "\"/a%20b\" can never match"),
                ("/a\u{7}", "\"/a\\u{7}\" can never match"),
                ("/api/*", "\"/api/*\" has a wildcard"),
                ("~", "the regex is empty"),
                ("~*", "the regex is empty"),
                ("~ (", "\"(\" is not a valid regex"),
                ("~ (?=x)", "\"(?=x)\" is not a valid regex"),
                ("~ (a{1000}){1000}", "the regex is too large"),
            ],
        );
    }
}
