//! Header rules of listener, site and route, compiled to bytes at load.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};

use crate::config::HeaderRule;
use crate::http::field::{FieldId, FieldSet};
use crate::http::head::Fields;

/// Rules of several layers, merged from the outside in.
///
/// Rules run in order, so an inner `set` or `remove` beats every outer rule of its name, and `add` accumulates until one
/// comes. `default` is looked at last: it holds if no field of its name came with the message and no rule gives one; an
/// inner default beats an outer one. Names are compared whatever their case, and written as the last rule wrote them.
///
/// Rules that name a field of [`RESERVED`] have no effect, nor have those whose name or value can't stand in a message.
#[derive(Clone, Debug, Default)]
pub struct HeaderRules {
    dropped: FieldSet,
    /// Dropped names without an id.
    dropped_others: Box<[Box<[u8]>]>,
    given: FieldSet,
    /// The lines that are always added, as HTTP/1 writes them.
    block: Box<[u8]>,
    /// The same as ids, names in lower case, and values.
    lines: Box<[(FieldId, HeaderName, HeaderValue)]>,
    fallbacks: Box<[Fallback]>,
}

/// Fields that frame a message or end at this hop: the codecs' own.
pub const RESERVED: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::ContentLength,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::Te,
    FieldId::Trailer,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
]);

impl HeaderRules {
    /// The layers from the outside in: listener, site, route.
    pub fn compile(layers: &[&[HeaderRule]]) -> Self {
        let mut names = Vec::new();
        for rule in layers.iter().copied().flatten() {
            apply(rule, &mut names);
        }
        Self::of(names)
    }

    /// The rules of nowhere: nothing is dropped, nothing added.
    pub fn none() -> &'static Self {
        static NONE: LazyLock<HeaderRules> = LazyLock::new(HeaderRules::default);
        &NONE
    }

    /// Whether no message is changed.
    pub fn is_empty(&self) -> bool {
        self.dropped == FieldSet::default()
            && self.dropped_others.is_empty()
            && self.lines.is_empty()
            && self.fallbacks.is_empty()
    }

    /// Whether a field that came with the message, or that Tidegate would write itself, is left out because a rule sets or
    /// removes it.
    pub fn drops(&self, id: FieldId, name: &[u8]) -> bool {
        match id {
            FieldId::Other => self.dropped_others.iter().any(|other| other.eq_ignore_ascii_case(name)),
            id => self.dropped.contains(id),
        }
    }

    /// Whether the rules give every message such a field.
    pub fn sets(&self, id: FieldId) -> bool {
        self.given.contains(id)
    }

    /// Appends the lines that the rules add, each with its line end. `fields` are those that came with the message.
    pub fn append_http1(&self, fields: &Fields, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.block);
        for fallback in self.missing(fields) {
            out.extend_from_slice(&fallback.line);
        }
    }

    /// The fields that [`HeaderRules::append_http1`] adds, in the same order: id, name in lower case, value.
    pub fn for_each(&self, fields: &Fields, mut add: impl FnMut(FieldId, &[u8], &[u8])) {
        for (id, name, value) in &self.lines {
            add(*id, name.as_str().as_bytes(), value.as_bytes());
        }
        for fallback in self.missing(fields) {
            add(fallback.id, fallback.name.as_str().as_bytes(), fallback.value.as_bytes());
        }
    }

    fn missing(&self, fields: &Fields) -> impl Iterator<Item = &Fallback> {
        self.fallbacks.iter().filter(|fallback| match fallback.id {
            FieldId::Other => fields.find(fallback.name.as_str().as_bytes()).is_none(),
            id => !fields.contains(id),
        })
    }

    fn of(names: Vec<Merged>) -> Self {
        let mut rules = Self::default();
        let (mut others, mut block, mut lines, mut fallbacks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Merged { id, name, written, drops, mut values, mut default } in names {
            match id {
                FieldId::Other if drops => others.push(name.as_str().as_bytes().into()),
                id if drops => rules.dropped.insert(id),
                _ => {}
            }
            if drops && values.is_empty() {
                values.extend(default.take());
            }
            if !values.is_empty() {
                default = None;
                if id != FieldId::Other {
                    rules.given.insert(id);
                }
            }
            for value in values {
                block.extend_from_slice(&line(&written, &value));
                lines.push((id, name.clone(), value));
            }
            if let Some(value) = default {
                fallbacks.push(Fallback { id, line: line(&written, &value).into(), name, value });
            }
        }
        rules.dropped_others = others.into();
        rules.block = block.into();
        rules.lines = lines.into();
        rules.fallbacks = fallbacks.into();
        rules
    }
}

/// A line that is added to a message without a field of its name.
#[derive(Clone, Debug)]
struct Fallback {
    id: FieldId,
    name: HeaderName,
    value: HeaderValue,
    line: Box<[u8]>,
}

/// What the rules of one name come to.
#[derive(Debug)]
struct Merged {
    id: FieldId,
    name: HeaderName,
    /// The name as the last rule wrote it.
    written: String,
    drops: bool,
    values: Vec<HeaderValue>,
    default: Option<HeaderValue>,
}

fn apply(rule: &HeaderRule, names: &mut Vec<Merged>) {
    let (name, value) = match rule {
        HeaderRule::Set { name, value } | HeaderRule::Add { name, value } | HeaderRule::Default { name, value } => {
            (name, HeaderValue::from_str(value).ok())
        }
        HeaderRule::Remove { name } => (name, None),
    };
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else { return };
    let id = FieldId::of(name.as_bytes());
    if RESERVED.contains(id) || (value.is_none() && !matches!(rule, HeaderRule::Remove { .. })) {
        return;
    }
    let place = names.iter().position(|merged| merged.name == parsed).unwrap_or_else(|| {
        let (values, default) = (Vec::new(), None);
        names.push(Merged { id, name: parsed, written: String::new(), drops: false, values, default });
        names.len() - 1
    });
    let merged = &mut names[place];
    merged.written.clone_from(name);
    match rule {
        HeaderRule::Set { .. } | HeaderRule::Remove { .. } => {
            merged.drops = true;
            merged.default = None;
            merged.values = value.into_iter().collect();
        }
        HeaderRule::Add { .. } => merged.values.extend(value),
        HeaderRule::Default { .. } => merged.default = value,
    }
}

fn line(name: &str, value: &HeaderValue) -> Vec<u8> {
    [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `set Name: value`, `add …`, `default …`, `remove Name`.
    fn rules(layers: &[&[&str]]) -> HeaderRules {
        let layers: Vec<Vec<HeaderRule>> =
            layers.iter().map(|layer| layer.iter().map(|text| rule(text)).collect()).collect();
        HeaderRules::compile(&layers.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn rule(text: &str) -> HeaderRule {
        let (verb, rest) = text.split_once(' ').unwrap();
        let (name, value) = rest.split_once(": ").unwrap_or((rest, ""));
        let (name, value) = (name.to_owned(), value.to_owned());
        match verb {
            "set" => HeaderRule::Set { name, value },
            "add" => HeaderRule::Add { name, value },
            "default" => HeaderRule::Default { name, value },
            "remove" => HeaderRule::Remove { name },
            _ => panic!("{text}"),
        }
    }

    /// A message's lines after the rules: what is kept of it, then what is added.
    fn result(rules: &HeaderRules, message: &[(&str, &str)]) -> Vec<String> {
        let mut fields = Fields::default();
        for (name, value) in message {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        for (id, name, value) in fields.iter() {
            if !rules.drops(id, name) {
                out.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
            }
        }
        let kept = out.len();
        rules.append_http1(&fields, &mut out);

        let mut added = Vec::new();
        rules.for_each(&fields, |id, name, value| {
            assert_eq!(id, FieldId::of(name));
            added.push(String::from_utf8([name, b": ", value].concat()).unwrap());
        });
        let text = String::from_utf8(out[kept..].to_vec()).unwrap();
        let names_lowered: Vec<_> = text
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| format!("{}: {value}", name.to_lowercase()))
            .collect();
        assert_eq!(added, names_lowered, "HTTP/1 and HTTP/2 add the same");
        String::from_utf8(out).unwrap().split_terminator("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn set_replaces_what_came_whatever_its_case() {
        let rules = rules(&[&["set X-Frame-Options: DENY", "set X-Own: 1"]]);
        let message = [("x-frame-options", "SAMEORIGIN"), ("X-FRAME-OPTIONS", "x"), ("x-own", "0"), ("Other", "1")];
        assert_eq!(result(&rules, &message), ["Other: 1", "X-Frame-Options: DENY", "X-Own: 1"]);
    }

    #[test]
    fn remove_drops_and_add_appends() {
        let rules = rules(&[&["remove Server", "remove X-Powered-By", "add Vary: Accept", "add vary: Origin"]]);
        let message = [("Server", "a"), ("x-powered-by", "b"), ("Vary", "Cookie")];
        assert_eq!(result(&rules, &message), ["Vary: Cookie", "vary: Accept", "vary: Origin"]);
    }

    #[test]
    fn default_holds_only_where_nothing_else_gives_the_field() {
        let rules =
            rules(&[&["default Cache-Control: no-store", "default X-Own: 1", "default X-Set: 1", "set X-Set: 2"]]);
        assert_eq!(result(&rules, &[]), ["X-Set: 2", "Cache-Control: no-store", "X-Own: 1"]);
        let message = [("cache-control", "public"), ("x-own", "0"), ("x-set", "0")];
        assert_eq!(result(&rules, &message), ["cache-control: public", "x-own: 0", "X-Set: 2"]);
    }

    #[test]
    fn a_default_yields_to_an_add_that_comes_later() {
        assert_eq!(result(&rules(&[&["default Vary: a", "add Vary: b"]]), &[]), ["Vary: b"]);
    }

    #[test]
    fn an_inner_set_or_remove_beats_every_outer_rule_of_its_name() {
        for outer in ["set X-A: outer", "add X-A: outer", "default X-A: outer", "remove X-A"] {
            let came = [("X-A", "came")];
            assert_eq!(result(&rules(&[&[outer], &["set x-a: inner"]]), &came), ["x-a: inner"], "{outer}");
            let removed = rules(&[&[outer], &["remove x-a"]]);
            assert_eq!((result(&removed, &came), result(&removed, &[])), (vec![], vec![]), "{outer}");
        }
    }

    #[test]
    fn add_accumulates_over_layers_until_a_set_comes() {
        assert_eq!(result(&rules(&[&["add A: 1"], &["add A: 2"], &["add A: 3"]]), &[]), ["A: 1", "A: 2", "A: 3"]);
        assert_eq!(result(&rules(&[&["add A: 1"], &["set A: 2"], &["add A: 3"]]), &[]), ["A: 2", "A: 3"]);
        let came = [("A", "0")];
        assert_eq!(result(&rules(&[&["remove A"], &["add A: 3"]]), &came), ["A: 3"]);
    }

    #[test]
    fn an_inner_default_beats_an_outer_one_and_follows_a_remove() {
        assert_eq!(result(&rules(&[&["default A: 1"], &["default A: 2"]]), &[]), ["A: 2"]);
        let replaced = rules(&[&["remove A"], &["default A: 2"]]);
        assert_eq!(result(&replaced, &[("A", "came")]), ["A: 2"]);
        assert_eq!(result(&replaced, &[]), ["A: 2"]);
        assert_eq!(result(&rules(&[&["set A: 1"], &["default A: 2"]]), &[]), ["A: 1"]);
    }

    #[test]
    fn sets_tells_which_known_fields_every_message_gets() {
        let rules = rules(&[&[
            "set Server: s",
            "add Vary: v",
            "remove Date",
            "default Etag: e",
            "remove Location",
            "default Location: l",
        ]]);
        for (id, want) in [
            (FieldId::Server, true),
            (FieldId::Vary, true),
            (FieldId::Location, true),
            (FieldId::Date, false),
            (FieldId::Etag, false),
            (FieldId::Other, false),
        ] {
            assert_eq!(rules.sets(id), want, "{id:?}");
        }
        assert!(rules.drops(FieldId::Date, b"Date"));
    }

    #[test]
    fn rules_on_framing_and_rules_that_would_break_a_message_have_no_effect() {
        let rules = rules(&[&[
            "set Content-Length: 5",
            "remove transfer-encoding",
            "add Connection: close",
            "default TE: trailers",
            "set Bad Name: x",
            "set : x",
            "set A: b\r\nInjected: c",
            "default B: \u{0}",
        ]]);
        assert!(rules.is_empty(), "{rules:?}");
    }

    #[test]
    fn no_rules_are_empty_and_one_of_any_kind_is_not() {
        assert!(rules(&[&[], &[]]).is_empty());
        for text in ["set A: b", "add A: b", "default A: b", "remove A", "remove Server"] {
            assert!(!rules(&[&[text]]).is_empty(), "{text}");
        }
    }
}
