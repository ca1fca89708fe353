//! Templates: text with `{field}` places, parsed once at load.

use std::fmt;

use super::record::{FIELDS, Field};

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub(super) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Literal(Box<[u8]>),
    Field(Field),
}

/// What is wrong with a template. `at` is a byte offset into it.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplateError {
    UnknownField {
        name: String,
        at: usize,
    },
    /// `{` without `}`.
    Unclosed {
        at: usize,
    },
    /// `}` without `{`.
    Unopened {
        at: usize,
    },
    /// A line break or other control character: a record is one line.
    Control {
        at: usize,
    },
    Empty,
}

/// Parses a template. `{{` and `}}` stand for the braces themselves.
pub fn parse_template(text: &str) -> Result<Template, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::Empty);
    }
    if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
        return Err(TemplateError::Control { at });
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '}']) {
        let brace = at + found;
        let after = &text[brace + 1..];
        literal.push_str(&text[at..brace]);
        let opens = text[brace..].starts_with('{');
        if after.starts_with(if opens { '{' } else { '}' }) {
            literal.push(if opens { '{' } else { '}' });
            at = brace + 2;
            continue;
        }
        if !opens {
            return Err(TemplateError::Unopened { at: brace });
        }
        let name = after.split_once('}').ok_or(TemplateError::Unclosed { at: brace })?.0;
        let field = Field::ALL.iter().find(|field| field.name() == name).copied();
        let field = field.ok_or_else(|| TemplateError::UnknownField { name: name.into(), at: brace })?;
        push_literal(&mut parts, &mut literal);
        parts.push(Part::Field(field));
        at = brace + name.len() + 2;
    }
    literal.push_str(&text[at..]);
    push_literal(&mut parts, &mut literal);
    Ok(Template { parts })
}

fn push_literal(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into_bytes().into()));
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::UnknownField { name, .. } => {
                write!(f, "no log field is named \"{name}\"; the fields are {}", FIELDS.join(", "))
            }
            TemplateError::Unclosed { .. } => f.write_str("\"{\" has no \"}\"; for the brace itself write \"{{\""),
            TemplateError::Unopened { .. } => f.write_str("\"}\" has no \"{\"; for the brace itself write \"}}\""),
            TemplateError::Control { .. } => f.write_str("a log line can't hold a line break or control character"),
            TemplateError::Empty => f.write_str("the template is empty; name a field, as in \"{client} {status}\""),
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_fields_alternate() {
        let template = parse_template("a {client}{status} {{x}} {time}").unwrap();
        assert_eq!(
            template.parts,
            [
                Part::Literal((*b"a ").into()),
                Part::Field(Field::Client),
                Part::Field(Field::Status),
                Part::Literal((*b" {x} ").into()),
                Part::Field(Field::Time),
            ]
        );
    }

    #[test]
    fn an_unknown_field_is_named_with_its_place_and_the_known_ones() {
        let error = parse_template("{client} {ip}").unwrap_err();
        assert_eq!(error, TemplateError::UnknownField { name: "ip".into(), at: 9 });
        let message = error.to_string();
        assert!(message.contains("\"ip\"") && FIELDS.iter().all(|field| message.contains(field)), "{message}");
    }

    #[test]
    fn braces_must_pair_and_lines_must_stay_one() {
        for (text, error) in [
            ("x {client", TemplateError::Unclosed { at: 2 }),
            ("{", TemplateError::Unclosed { at: 0 }),
            ("client}", TemplateError::Unopened { at: 6 }),
            ("{client}\n", TemplateError::Control { at: 8 }),
            ("", TemplateError::Empty),
        ] {
            assert_eq!(parse_template(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn every_field_can_be_named() {
        for name in FIELDS {
            assert_eq!(parse_template(&format!("{{{name}}}")).unwrap().parts.len(), 1, "{name}");
        }
    }
}
