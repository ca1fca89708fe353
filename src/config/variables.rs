//! `${NAME}` and `${NAME:-default}` in strings, `$$` for a dollar sign.
//!
//! Only strings are looked at, after TOML has taken their escapes out; keys and comments never are. A `$` before
//! anything else stands for itself, so that a regex may end in one. As in a shell, `:-` also serves an empty variable.

use std::ffi::OsString;

/// Looks a variable up.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// A string with its variables replaced, as far as that was possible.
pub(crate) struct Expanded {
    pub(crate) text: String,
    pub(crate) problems: Vec<Problem>,
}

/// A variable that couldn't be replaced.
pub(crate) struct Problem {
    /// The place as it was written: `${NAME}`.
    pub(crate) written: String,
    pub(crate) title: String,
    pub(crate) help: String,
}

pub(crate) fn expand(text: &str, environment: &Environment<'_>) -> Expanded {
    let mut out = Expanded { text: String::with_capacity(text.len()), problems: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(next) = after.strip_prefix('$') {
            out.text.push('$');
            rest = next;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some(end) = inner.find('}') else {
                out.fail(&rest[at..], "a variable's `}` is missing", "write `${NAME}`, or `$$` for a dollar sign");
                return out;
            };
            out.replace(&rest[at..at + end + 3], &inner[..end], environment);
            rest = &inner[end + 1..];
        } else {
            out.text.push('$');
            rest = after;
        }
    }
    out.text.push_str(rest);
    out
}

impl Expanded {
    fn replace(&mut self, written: &str, inner: &str, environment: &Environment<'_>) {
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            let help = "a name has letters, digits and `_`; write `$$` for a dollar sign";
            return self.fail(written, &format!("`{written}` names no variable"), help);
        }
        match environment(name).map(OsString::into_string) {
            Some(Err(_)) => self.fail(written, &format!("the variable `{name}` is not UTF-8"), "set it to plain text"),
            Some(Ok(value)) if !(value.is_empty() && default.is_some()) => self.text.push_str(&value),
            Some(Ok(_)) | None => match default {
                Some(default) => self.text.push_str(default),
                None => {
                    let help = format!("set it, or give a default: `${{{name}:-…}}`");
                    self.fail(written, &format!("the environment variable `{name}` is not set"), &help);
                }
            },
        }
    }

    fn fail(&mut self, written: &str, title: &str, help: &str) {
        self.problems.push(Problem { written: written.to_owned(), title: title.to_owned(), help: help.to_owned() });
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "HOST" => Some("example.com".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        };
        let out = expand(text, &lookup);
        match out.problems.into_iter().next() {
            Some(problem) => Err(problem.title),
            None => Ok(out.text),
        }
    }

    #[test]
    fn variables_defaults_and_dollar_signs_are_replaced() {
        for (text, expected) in [
            ("https://${HOST}/", "https://example.com/"),
            ("${HOST}${HOST}", "example.comexample.com"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY:-x}${EMPTY}", "x"),
            ("${HOST:-x}", "example.com"),
            (r"~ \.php$", r"~ \.php$"),
            ("$$", "$"),
            ("$${HOST}", "${HOST}"),
            ("$", "$"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_variable_is_an_error() {
        for (text, title) in [
            ("${NONE}", "the environment variable `NONE` is not set"),
            ("a ${HOST", "a variable's `}` is missing"),
            ("${}", "`${}` names no variable"),
            ("${1X}", "`${1X}` names no variable"),
            ("${A B}", "`${A B}` names no variable"),
        ] {
            assert_eq!(expanded(text).unwrap_err(), title, "{text}");
        }
    }
}
