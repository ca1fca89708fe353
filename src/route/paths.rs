//! One site's paths to its routes.
//!
//! Exact paths and prefixes are hashed, prefixes once for each length that occurs; all regexes of a site run as one
//! automaton. So a lookup costs the same with ten thousand routes as with ten, and allocates nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

use super::RouteIndex;
use crate::config::{PathMatch, Route};

/// The most memory that the automaton of one site's regexes may take, in bytes.
const REGEX_SIZE_LIMIT: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Paths {
    exact: HashMap<Box<[u8]>, Vec<RouteIndex>, RandomState>,
    prefixes: HashMap<Box<[u8]>, Routes, RandomState>,
    /// Lengths of the prefixes, longest first.
    prefix_lengths: Box<[usize]>,
    regexes: Option<Regexes>,
}

/// A route under a prefix.
#[derive(Clone, Copy, Debug)]
struct Prefixed {
    route: RouteIndex,
    before_regex: bool,
}

/// The routes of one prefix, in file order. Nearly always it is one, which then needs no memory of its own.
#[derive(Debug)]
enum Routes {
    One(Prefixed),
    Many(Vec<Prefixed>),
}

impl Routes {
    fn push(&mut self, route: Prefixed) {
        match self {
            Routes::One(first) => *self = Routes::Many(vec![*first, route]),
            Routes::Many(all) => all.push(route),
        }
    }

    fn as_slice(&self) -> &[Prefixed] {
        match self {
            Routes::One(one) => std::slice::from_ref(one),
            Routes::Many(all) => all,
        }
    }
}

impl Paths {
    /// `first` is the index of the site's first route.
    pub(super) fn compile(routes: &[Route], first: u32) -> Result<Self, regex::Error> {
        let mut exact: HashMap<Box<[u8]>, Vec<_>, _> = HashMap::default();
        let mut prefixes: HashMap<Box<[u8]>, Routes, _> = HashMap::default();
        let mut patterns = Vec::new();
        for (route, index) in routes.iter().zip((first..).map(RouteIndex)) {
            match &route.path {
                PathMatch::Exact(path) => exact.entry(path.as_bytes().into()).or_default().push(index),
                PathMatch::Prefix { path, before_regex } => {
                    let route = Prefixed { route: index, before_regex: *before_regex };
                    let prefix = prefixes.entry(path.as_bytes().into());
                    prefix.and_modify(|routes| routes.push(route)).or_insert(Routes::One(route));
                }
                PathMatch::Regex(pattern) => patterns.push((pattern.as_str(), index)),
            }
        }
        let mut prefix_lengths: Vec<_> = prefixes.keys().map(|path| path.len()).collect();
        prefix_lengths.sort_unstable_by(|a, b| b.cmp(a));
        prefix_lengths.dedup();
        let regexes = if patterns.is_empty() { None } else { Some(Regexes::compile(&patterns)?) };
        Ok(Self { exact, prefixes, prefix_lengths: prefix_lengths.into(), regexes })
    }

    /// nginx's `ngx_http_core_find_location`, over the routes that `admits` accepts: exact; else the longest prefix, if
    /// it comes before regexes; else the first regex; else that prefix.
    pub(super) fn find(&self, path: &[u8], admits: impl Fn(RouteIndex) -> bool) -> Option<RouteIndex> {
        let exact = self.exact.get(path).and_then(|routes| routes.iter().copied().find(|&route| admits(route)));
        if exact.is_some() {
            return exact;
        }
        let prefix = self.longest_prefix(path, &admits);
        if let Some(Prefixed { route, before_regex: true }) = prefix {
            return Some(route);
        }
        self.regexes.as_ref().and_then(|regexes| regexes.first(path, &admits)).or(prefix.map(|p| p.route))
    }

    fn longest_prefix(&self, path: &[u8], admits: impl Fn(RouteIndex) -> bool) -> Option<Prefixed> {
        self.prefix_lengths
            .iter()
            .filter(|&&length| ends_on_border(path, length))
            .filter_map(|&length| self.prefixes.get(&path[..length]))
            .find_map(|routes| routes.as_slice().iter().copied().find(|p| admits(p.route)))
    }
}

/// Whether the first `length` bytes end a segment: at the path's end, before a slash, or with one.
fn ends_on_border(path: &[u8], length: usize) -> bool {
    match path.get(length) {
        Some(b'/') => true,
        Some(_) => length > 0 && path[length - 1] == b'/',
        None => length == path.len(),
    }
}

/// A site's regexes as one automaton.
#[derive(Debug)]
struct Regexes {
    automaton: Regex,
    /// By pattern, in file order.
    routes: Box<[RouteIndex]>,
}

impl Regexes {
    fn compile(patterns: &[(&str, RouteIndex)]) -> Result<Self, regex::Error> {
        let config = meta::Config::new()
            .match_kind(MatchKind::All)
            .utf8_empty(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(REGEX_SIZE_LIMIT));
        // Bytes, as in nginx: a `[^/]+` that only matched UTF-8 could be evaded with `%ff`.
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let texts: Vec<_> = patterns.iter().map(|(text, _)| *text).collect();
        let automaton = meta::Builder::new().configure(config).syntax(syntax).build_many(&texts).map_err(explain)?;
        Ok(Self { automaton, routes: patterns.iter().map(|&(_, route)| route).collect() })
    }

    fn first(&self, path: &[u8], admits: impl Fn(RouteIndex) -> bool) -> Option<RouteIndex> {
        MATCHED.with_borrow_mut(|matched| {
            if matched.capacity() < self.routes.len() {
                *matched = PatternSet::new(self.routes.len());
            }
            matched.clear();
            self.automaton.which_overlapping_matches(&Input::new(path), matched);
            matched.iter().map(|pattern| self.routes[pattern.as_usize()]).find(|&route| admits(route))
        })
    }
}

thread_local! {
    /// Which patterns match: kept, so that a lookup need not allocate.
    static MATCHED: RefCell<PatternSet> = RefCell::new(PatternSet::new(0));
}

fn explain(error: meta::BuildError) -> regex::Error {
    match (error.size_limit(), error.syntax_error()) {
        (Some(limit), _) => regex::Error::CompiledTooBig(limit),
        (None, Some(syntax)) => regex::Error::Syntax(syntax.to_string()),
        (None, None) => regex::Error::Syntax(error.to_string()),
    }
}
