//! `docs/configuration.md` below its marker is made from the schema, so that it can't drift.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{GUIDE, STRICT};
use super::file::ConfigFile;
use super::nginx_names;
use super::read::{Read, Reader};
use super::schema::{json_schema, name_of};

const MARKER: &str = "<!-- From here on made from the schema: UPDATE=1 cargo test --lib config::reference -->\n";

#[test]
fn the_reference_has_every_key_of_the_schema() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (by_hand, made) = written.split_once(MARKER).expect("the marker is gone");
    let reference = reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{by_hand}{MARKER}{reference}")).unwrap();
    } else {
        assert_eq!(made, reference, "\nrun this test with UPDATE=1 and look at the difference");
    }
}

#[test]
fn every_example_in_the_reference_is_written_rightly() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let examples: Vec<&str> = text.split("```toml\n").skip(1).map(|e| e.split("```").next().unwrap()).collect();
    assert!(examples.len() > 15);
    for example in examples {
        let table = DeTable::parse(example).unwrap_or_else(|e| panic!("{e}\n{example}"));
        let mut reader = Reader::new(0, example, &|_| None);
        let root = Spanned::new(0..0, DeValue::Table(table.into_inner()));
        ConfigFile::read(&root, &mut reader).unwrap();
        let wrong: Vec<_> = reader.complaints.iter().filter(|c| !c.title.ends_with("is missing")).collect();
        assert!(wrong.is_empty(), "{wrong:?}\n{example}");
    }
}

/// A table of the file: its schema's name and where it may stand.
struct Section {
    name: String,
    headings: Vec<String>,
}

fn reference() -> String {
    let schema = json_schema();
    let mut sections = vec![Section { name: String::new(), headings: Vec::new() }];
    collect(&schema, &schema, "", &mut sections);
    let mut out = String::new();
    for section in &sections {
        let table = if section.name.is_empty() { &schema } else { &schema["$defs"][&section.name] };
        let title = match section.headings.first() {
            None => "Top level".to_owned(),
            Some(_) if section.headings.len() > 1 => "Header changes".to_owned(),
            Some(heading) => format!("`{heading}`"),
        };
        write!(out, "\n## {title}\n\n").unwrap();
        if section.headings.len() > 1 {
            let places: Vec<String> = section.headings.iter().map(|h| format!("`{h}`")).collect();
            write!(out, "{}\n\n", places.join(", ")).unwrap();
        }
        write!(out, "{}\n\n", table["description"].as_str().unwrap()).unwrap();
        out.push_str(&keys(table, &schema, &sections));
    }
    out.push_str(&values(&schema));
    out.push_str(&security_headers());
    out.push_str(&coming_from_nginx());
    out
}

/// Adds the tables that stand in a table, in the order of its keys, each followed by its own.
fn collect(table: &Json, schema: &Json, path: &str, sections: &mut Vec<Section>) {
    for (key, property) in properties(table) {
        let Some((name, opening, suffix)) = table_in(property, schema) else { continue };
        let dotted = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let closing = opening.replace('[', "]");
        let heading = format!("{opening}{dotted}{suffix}{closing}");
        if let Some(section) = sections.iter_mut().find(|s| s.name == name) {
            section.headings.push(heading);
            continue;
        }
        sections.push(Section { name: name.clone(), headings: vec![heading] });
        collect(&schema["$defs"][&name], schema, &format!("{dotted}{suffix}"), sections);
    }
}

/// The table that a key holds, the brackets of its header, and what follows its name there.
fn table_in(property: &Json, schema: &Json) -> Option<(String, &'static str, &'static str)> {
    let table = |s: &Json| name_of(s).filter(|n| properties(&schema["$defs"][*n]).next().is_some()).map(str::to_owned);
    if let Some(name) = table(property) {
        return Some((name, "[", ""));
    }
    if let Some(name) = property.get("additionalProperties").and_then(table) {
        return Some((name, "[", ".NAME"));
    }
    let choices = property.get("anyOf")?.as_array()?;
    let nested = choices.iter().filter_map(|c| c["anyOf"].as_array()).flatten();
    let name = choices.iter().chain(nested).find_map(table)?;
    let is_list = choices.iter().any(|c| c["type"] == "array");
    Some((name, if is_list { "[[" } else { "[" }, ""))
}

fn properties(table: &Json) -> impl Iterator<Item = (&String, &Json)> {
    let object = table.get("properties").or_else(|| table.get("anyOf")?.get(1)?.get("properties"));
    object.and_then(Json::as_object).into_iter().flatten()
}

fn keys(table: &Json, schema: &Json, sections: &[Section]) -> String {
    let mut out = "| key | type | default | |\n|---|---|---|---|\n".to_owned();
    let required = table.get("required").or_else(|| table.get("anyOf")?.get(1)?.get("required"));
    for (key, property) in properties(table) {
        let is_required = required.is_some_and(|r| r.as_array().unwrap().contains(&Json::from(key.as_str())));
        let default = match property.get("default") {
            Some(Json::Object(_)) => String::new(),
            Some(default) => format!("`{default}`"),
            None if is_required => "**required**".to_owned(),
            None => "none".to_owned(),
        };
        let text = property["description"].as_str().unwrap().replace('\n', " ").replace('|', "\\|");
        writeln!(out, "| `{key}` | {} | {default} | {text} |", kind(property, schema, sections)).unwrap();
    }
    out
}

/// A schema in a few words.
fn kind(schema: &Json, root: &Json, sections: &[Section]) -> String {
    if let Some(name) = name_of(schema) {
        let Some(section) = sections.iter().find(|s| s.name == name) else {
            return format!("[{}](#{})", spaced(name), anchor(&spaced(name)));
        };
        let title = if section.headings.len() > 1 { "Header changes" } else { &section.headings[0] };
        let short = root["$defs"][name].get("anyOf").map(|any| kind(&any[0], root, sections) + " or ");
        return format!("{}[table](#{})", short.unwrap_or_default(), anchor(title));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(word) = schema.get("const") {
        return format!("`{word}`");
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        // A variable in place of a number is told of once, by hand.
        let choices = choices.iter().filter(|c| c["pattern"] != r"\$\{");
        let words = |c: &Json| if c["type"] == "array" { "a list".to_owned() } else { kind(c, root, sections) };
        return choices.map(words).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
        return format!("table of {}", kind(values, root, sections));
    }
    match schema["type"].as_str() {
        Some("integer") => format!("integer, {} to {}", schema["minimum"], schema["maximum"]),
        other => other.unwrap_or("any").to_owned(),
    }
}

/// "ListenAddress" → "listen address".
fn spaced(name: &str) -> String {
    let mut out = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_uppercase() && index > 0 {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

/// As GitHub makes it from a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn values(schema: &Json) -> String {
    let mut out = "\n## Values\n".to_owned();
    let definitions: BTreeMap<_, _> = schema["$defs"].as_object().unwrap().iter().collect();
    for (name, definition) in definitions {
        if properties(definition).next().is_some() {
            continue;
        }
        let title = spaced(name);
        write!(out, "\n### {}{}\n\n", title[..1].to_uppercase(), &title[1..]).unwrap();
        writeln!(out, "{}", definition["description"].as_str().unwrap()).unwrap();
        let examples: Vec<String> = definition["examples"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| format!("`{}`", e.as_str().unwrap()))
            .collect();
        if !examples.is_empty() {
            write!(out, "\nFor example: {}\n", examples.join(", ")).unwrap();
        }
    }
    out
}

fn security_headers() -> String {
    let mut out = "\n## Security headers\n\n`security_headers` is a set of fields in one word. The innermost one wins: a route's \
                   `\"off\"` takes out what its site sets. All are set in the place of what the upstream sends.\n\n\
                   | field | value | `\"guide\"` | `\"strict\"` |\n|---|---|---|---|\n"
        .to_owned();
    for (bundle, in_guide) in [(GUIDE, "yes"), (STRICT, "")] {
        for (name, value) in bundle {
            writeln!(out, "| `{name}` | `{value}` | {in_guide} | yes |").unwrap();
        }
    }
    out
}

fn coming_from_nginx() -> String {
    let mut out = "\n## Coming from nginx\n\n| directive | key |\n|---|---|\n".to_owned();
    for (directive, key) in nginx_names::NAMES {
        writeln!(out, "| `{directive}` | `{key}` |").unwrap();
    }
    out
}
