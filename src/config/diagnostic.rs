//! What is wrong with a configuration: place, problem, remedy.
//!
//! A [`Diagnostic`] is one complaint, [`Diagnostics`] all of them together with the texts that they point into. Drawn
//! with the line and a caret, so that nobody has to search.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Message, Renderer, Snippet};

use super::secrets::hide_secrets;

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// Where, if it stands somewhere.
    pub mark: Option<Mark>,
    /// Other places that explain it, such as the first of two definitions.
    pub related: Vec<Mark>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether a configuration with this complaint may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It may not.
    Error,
    /// It may, but hardly does what was meant.
    Warning,
}

/// A place and a few words that stand beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub place: Place,
    /// May be empty.
    pub label: String,
}

/// A range of bytes in one of the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index into [`Diagnostics::sources`].
    pub source: usize,
    pub start: usize,
    pub end: usize,
}

/// A text that a configuration was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As complaints name it: the path as given.
    pub path: PathBuf,
    pub text: String,
}

/// Complaints and the texts they point into, in the order of the texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    sources: Arc<Vec<Source>>,
    list: Vec<Diagnostic>,
}

impl Diagnostic {
    pub fn error(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into())
    }

    pub fn warning(title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into())
    }

    /// Says where, with a label that may be empty.
    #[must_use]
    pub fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.mark = Some(Mark { place, label: label.into() });
        self
    }

    /// Names another place that belongs to it.
    #[must_use]
    pub fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push(Mark { place, label: label.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn new(severity: Severity, title: String) -> Self {
        Self { severity, title, mark: None, related: Vec::new(), help: None }
    }
}

impl Place {
    pub(crate) fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }
}

impl Diagnostics {
    /// Sorts by place; what has none comes first. Secrets in the texts are made unreadable.
    pub fn new(mut sources: Vec<Source>, mut list: Vec<Diagnostic>) -> Self {
        for source in &mut sources {
            hide_secrets(&mut source.text);
        }
        list.sort_by_key(|d| d.mark.as_ref().map(|m| m.place));
        list.dedup();
        Self { sources: Arc::new(sources), list }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Line and column of a place's start, both from 1; the column counts characters.
    pub fn line_column(&self, place: Place) -> (usize, usize) {
        let text = self.sources.get(place.source).map_or("", |s| s.text.as_str());
        let before = &text[..text.floor_char_boundary(place.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The first complaint as compilers write it: `file:line:column: what (what to do)`, and how many more there are.
    pub fn in_one_line(&self) -> String {
        let Some(first) = self.list.first() else { return String::new() };
        let mut line = String::new();
        if let Some((mark, source)) = first.mark.as_ref().and_then(|m| Some((m, self.sources.get(m.place.source)?))) {
            let (row, column) = self.line_column(mark.place);
            line = format!("{}:{row}:{column}: ", source.path.display());
        }
        line.push_str(&first.title);
        if let Some(help) = &first.help {
            line.push_str(&format!(" ({help})"));
        }
        match self.list.len() {
            1 => line,
            all => format!("{line}; and {} more", all - 1),
        }
    }

    /// All complaints as text that ends in a newline; with `color`, for a terminal.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for (index, diagnostic) in self.list.iter().enumerate() {
            if index == MAX_DRAWN {
                out.push_str(&format!("… and {} more\n", self.list.len() - MAX_DRAWN));
                break;
            }
            if index > 0 {
                out.push('\n');
            }
            out.push_str(&self.draw(diagnostic, &renderer));
            out.push('\n');
        }
        out
    }

    fn draw(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level.primary_title(printable(&diagnostic.title)).elements(Vec::<Message<'_>>::new());
        for excerpt in self.excerpts(diagnostic) {
            let path = printable(&excerpt.source.path.to_string_lossy());
            let marks = excerpt.marks.iter().map(|(mark, kind)| {
                let label = Some(printable(&mark.label)).filter(|l| !l.is_empty());
                kind.span(excerpt.span(mark.place)).label(label)
            });
            let snippet = Snippet::source(excerpt.text()).line_start(excerpt.first_line).path(path).annotations(marks);
            group = group.element(snippet);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[group])
    }

    /// A diagnostic's marks by source, each with the part of the text that is drawn.
    fn excerpts<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Excerpt<'a>> {
        let primary = diagnostic.mark.iter().map(|m| (m, AnnotationKind::Primary));
        let related = diagnostic.related.iter().map(|m| (m, AnnotationKind::Context));
        let mut excerpts: Vec<Excerpt<'a>> = Vec::new();
        for (mark, kind) in primary.chain(related) {
            let Some(source) = self.sources.get(mark.place.source) else { continue };
            match excerpts.iter_mut().find(|e| std::ptr::eq(e.source, source)) {
                Some(excerpt) => excerpt.marks.push((mark, kind)),
                None => excerpts.push(Excerpt { source, range: 0..0, first_line: 1, marks: vec![(mark, kind)] }),
            }
        }
        for excerpt in &mut excerpts {
            excerpt.cut();
        }
        excerpts
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The lines of one source that a diagnostic speaks of.
struct Excerpt<'a> {
    source: &'a Source,
    range: Range<usize>,
    first_line: usize,
    marks: Vec<(&'a Mark, AnnotationKind)>,
}

impl<'a> Excerpt<'a> {
    /// Takes whole lines, so that the renderer doesn't scan a large file for every complaint.
    fn cut(&mut self) {
        let text = &self.source.text;
        let start = self.marks.iter().map(|(m, _)| m.place.start).min().unwrap_or(0);
        let end = self.marks.iter().map(|(m, _)| m.place.end).max().unwrap_or(0);
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let last = text[end..].find('\n').map_or(text.len(), |at| end + at);
        self.range = first..last;
        self.first_line = text[..first].matches('\n').count() + 1;
    }

    fn text(&self) -> &'a str {
        &self.source.text[self.range.clone()]
    }

    /// A place within [`Excerpt::text`].
    fn span(&self, place: Place) -> Range<usize> {
        let text = self.text();
        let within = |at: usize| text.floor_char_boundary(at.saturating_sub(self.range.start));
        within(place.start)..within(place.end).max(within(place.start))
    }
}

/// Quotes what a user wrote, in one line of bounded length.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        quoted.push('…');
    }
    format!("\"{}\"", quoted.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\"))
}

/// The known name nearest to a wrong one, if one is near enough to be meant.
pub(crate) fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (likeness, name) = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness >= 0.8).then_some(name)
}

/// A file name may hold control bytes; a terminal must not see them.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Complaints drawn at most; further ones are counted.
const MAX_DRAWN: usize = 100;

/// Characters of a quoted value.
const MAX_QUOTED: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn one(diagnostic: Diagnostic, texts: &[(&str, &str)]) -> Diagnostics {
        let sources = texts.iter().map(|(p, t)| Source { path: p.into(), text: (*t).to_owned() }).collect();
        Diagnostics::new(sources, vec![diagnostic])
    }

    #[test]
    fn an_error_names_the_place_and_the_remedy() {
        let diagnostic = Diagnostic::error("no upstream is named \"api-v2\"")
            .at(Place::new(0, 17..25), "defined are: api, static")
            .help("did you mean \"api\"?");
        let drawn = one(diagnostic, &[("tidegate.toml", "a = 1\nupstream = \"api-v2\"\nb = 2\n")]).render(false);
        assert_eq!(
            drawn,
            "error: no upstream is named \"api-v2\"\n --> tidegate.toml:2:12\n  |\n2 | upstream = \"api-v2\"\n  \
             |            ^^^^^^^^ defined are: api, static\n  |\n  = help: did you mean \"api\"?\n"
        );
    }

    #[test]
    fn a_complaint_over_two_files_shows_both() {
        let diagnostic =
            Diagnostic::warning("twice").at(Place::new(1, 0..1), "again").also(Place::new(0, 2..3), "first here");
        let drawn = one(diagnostic, &[("a.toml", "x\ny"), ("b.toml", "z")]).render(false);
        assert!(drawn.contains("b.toml:1:1") && drawn.contains("a.toml:2:1"), "{drawn}");
        assert!(drawn.contains("again") && drawn.contains("first here"), "{drawn}");
    }

    #[test]
    fn colors_are_only_there_on_request() {
        let all = one(Diagnostic::error("e").at(Place::new(0, 0..1), ""), &[("f", "x")]);
        assert!(all.render(true).contains('\u{1b}'));
        assert!(!all.render(false).contains('\u{1b}'));
    }

    #[test]
    fn control_bytes_never_reach_the_terminal() {
        let all =
            one(Diagnostic::error("bad \u{1b}[2J").at(Place::new(0, 0..3), "\u{7}"), &[("f\u{1b}", "\u{1b}]0;x")]);
        assert!(!all.render(false).contains(['\u{1b}', '\u{7}']), "{:?}", all.render(false));
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        let known = ["api", "static", "backend"];
        assert_eq!(nearest("api-v2", known), Some("api"));
        assert_eq!(nearest("bakend", known), Some("backend"));
        assert_eq!(nearest("zzz", known), None);
    }
}
