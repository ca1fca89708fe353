//! TOML to typed values, with every complaint and its place.
//!
//! serde stops at the first error and forgets where values stood. Here each key is read on its own, so that one wrong
//! key hides no other; what is written is described once (see `table!`), for the reader and for the schema.

use std::borrow::Cow;
use std::ops::Deref;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, nearest, quote};
use super::schema::{self, Definitions};
use super::variables::{self, Environment};
use super::{nginx_names, value::Text};

/// A TOML value and where it stands.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// Something that can be read from a TOML value.
pub(crate) trait Read: Sized {
    /// `None`: it was wrong, and `reader` has the complaint.
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// What may be written, as JSON Schema.
    fn schema(definitions: &mut Definitions) -> Json;
}

/// A value that was read, and where it stood.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
    /// Something inside was wrong and has its complaint.
    pub(crate) wrong: bool,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place, wrong: false }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Reads one file's values and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    source: usize,
    text: &'a str,
    environment: &'a Environment<'a>,
    pub(crate) complaints: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: usize, text: &'a str, environment: &'a Environment<'a>) -> Self {
        Self { source, text, environment, complaints: Vec::new() }
    }

    pub(crate) fn place(&self, value: &Spanned<impl Sized>) -> Place {
        Place::new(self.source, value.span())
    }

    pub(crate) fn complain(&mut self, diagnostic: Diagnostic) {
        self.complaints.push(diagnostic);
    }

    /// Complains that another type of value is needed here.
    pub(crate) fn mismatch(&mut self, value: &Value<'_>, expected: &str) {
        let found = with_article(value.get_ref().type_str());
        self.complain(
            Diagnostic::error(format!("expected {expected}, found {found}")).at(self.place(value), "wrong type"),
        );
    }

    pub(crate) fn table<'v, 't>(&mut self, value: &'v Value<'t>, expected: &str) -> Option<&'v DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.mismatch(value, expected);
        }
        table
    }

    /// Complains about every key that isn't in `known`.
    pub(crate) fn refuse_unknown(&mut self, table: &DeTable<'_>, known: &[&str], top_level: &[&str]) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
            let name: &str = key.get_ref();
            let help = if let Some(hint) = nginx_names::hint(name, known) {
                hint
            } else if let Some(near) = nearest(name, known.iter().copied()) {
                format!("did you mean `{near}`?")
            } else if top_level.contains(&name) {
                format!("`{name}` is a top-level key: move it above the first [table]")
            } else {
                format!("known here are: {}", known.join(", "))
            };
            self.complain(
                Diagnostic::error(format!("unknown key `{}`", quote(name).trim_matches('"')))
                    .at(self.place(key), "not known here")
                    .help(help),
            );
        }
    }

    /// A key that may be left out. `None` as well if it is wrong.
    pub(crate) fn optional<T: Read>(&mut self, table: &DeTable<'_>, key: &str) -> Option<At<T>> {
        self.at(table.get(key)?)
    }

    /// A value with its place.
    fn at<T: Read>(&mut self, value: &Value<'_>) -> Option<At<T>> {
        let before = self.complaints.len();
        let read = T::read(value, self)?;
        Some(At { value: read, place: self.place(value), wrong: self.complaints.len() > before })
    }

    /// A key that may not be left out. `None` if it is or if it is wrong: in both cases there is a complaint.
    pub(crate) fn required<T: Read>(&mut self, table: &DeTable<'_>, key: &str, owner: &Value<'_>) -> Option<At<T>> {
        if !table.contains_key(key) {
            let missing = Diagnostic::error(format!("`{key}` is missing")).at(self.place(owner), "it belongs here");
            let example = schema::example::<T>();
            self.complain(Diagnostic { help: example.map(|e| format!("write it like `{key} = {e}`")), ..missing });
        }
        self.optional(table, key)
    }

    /// A key with a default, in TOML. The default also stands in for a wrong value.
    pub(crate) fn or_default<T: Read>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        default: &'static str,
        owner: &Value<'_>,
    ) -> Option<At<T>> {
        if let Some(read) = self.optional(table, key) {
            return Some(read);
        }
        let default = DeValue::parse(default).ok()?;
        Some(At::new(T::read(&default, self)?, self.place(owner)))
    }

    /// A string with its variables replaced.
    pub(crate) fn expand<'v>(&mut self, value: &Value<'_>, text: &'v str) -> Option<Cow<'v, str>> {
        if !text.contains('$') {
            return Some(Cow::Borrowed(text));
        }
        let expanded = variables::expand(text, self.environment);
        let ok = expanded.problems.is_empty();
        for problem in expanded.problems {
            let place = self.place_within(value, &problem.written);
            self.complain(Diagnostic::error(problem.title).at(place, "").help(problem.help));
        }
        ok.then_some(Cow::Owned(expanded.text))
    }

    /// Where `part` stands inside a string as it is written, escapes and all.
    fn place_within(&self, value: &Value<'_>, part: &str) -> Place {
        let span = value.span();
        let found = self.text.get(span.clone()).and_then(|raw| raw.find(part)).map(|at| span.start + at);
        Place::new(self.source, found.map_or(span, |start| start..start + part.len()))
    }
}

impl<T: Text> Read for T {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = match value.get_ref() {
            DeValue::String(text) => reader.expand(value, text)?,
            DeValue::Integer(number) if T::BARE_NUMBER => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Cow::Owned(number.to_string()),
                Err(_) => Cow::Borrowed(number.as_str()),
            },
            DeValue::Float(number) if T::BARE_NUMBER => Cow::Borrowed(number.as_str()),
            DeValue::Boolean(yes) if T::BARE_BOOLEAN => Cow::Borrowed(if *yes { "true" } else { "false" }),
            _ => {
                reader.mismatch(value, T::EXPECTED);
                return None;
            }
        };
        match T::parse(&text) {
            Ok(parsed) => Some(parsed),
            Err(complaint) => {
                let diagnostic = Diagnostic::error(complaint.title).at(reader.place(value), complaint.label);
                reader.complain(Diagnostic { help: complaint.help, ..diagnostic });
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        T::named_json(definitions)
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct Many<T> {
    pub(crate) items: Vec<At<T>>,
    /// None was left out for being wrong.
    pub(crate) complete: bool,
}

impl<T: Read> Read for Many<T> {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let (items, written) = match value.get_ref() {
            DeValue::Array(list) => (list.iter().filter_map(|v| reader.at(v)).collect::<Vec<_>>(), list.len()),
            _ => (Vec::from_iter(reader.at(value)), 1),
        };
        Some(Self { complete: items.len() == written, items })
    }

    fn schema(definitions: &mut Definitions) -> Json {
        let one = T::schema(definitions);
        json!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// `true`, `false`, or a table that means `true` and says more.
#[derive(Clone, Debug)]
pub(crate) struct Switch<T>(pub(crate) Option<T>);

impl<T: Read> Read for Switch<T> {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(false) => Some(Self(None)),
            DeValue::Boolean(true) => {
                let empty = Spanned::new(value.span(), DeValue::Table(DeTable::new()));
                Some(Self(Some(T::read(&empty, reader)?)))
            }
            DeValue::Table(_) => Some(Self(Some(T::read(value, reader)?))),
            _ => {
                reader.mismatch(value, "true, false or a table");
                None
            }
        }
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, T::schema(definitions)] })
    }
}

/// `[table.NAME]` entries, in the order of the file. A name whose table is wrong stays, so that references to it hold.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<String>, Option<T>)>);

impl<T: Read> Read for Named<T> {
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let table = reader.table(value, "a table")?;
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut named = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name: &str = key.get_ref();
            let place = reader.place(key);
            if let Err(complaint) = super::value::Name::parse(name) {
                reader.complain(Diagnostic::error(complaint.title).at(place, complaint.label));
            }
            named.push((At::new(name.to_owned(), place), T::read(value, reader)));
        }
        Some(Self(named))
    }

    fn schema(definitions: &mut Definitions) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_.-]{1,64}$" },
            "additionalProperties": T::schema(definitions),
        })
    }
}

/// A table with one entry, for a value that is written in short.
pub(crate) fn spell_out<'t>(value: &Value<'t>, key: &'static str) -> Option<Value<'t>> {
    value.get_ref().is_str().then(|| {
        let mut table = DeTable::new();
        table.insert(Spanned::new(value.span(), Cow::Borrowed(key)), value.clone());
        Spanned::new(value.span(), DeValue::Table(table))
    })
}

/// "integer" → "an integer".
fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}
