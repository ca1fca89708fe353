//! A file and all that it includes → a checked [`Config`]. The place in `config` where files are read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check;
use super::diagnostic::{Diagnostic, Diagnostics, Place, Source, nearest, quote};
use super::file::ConfigFile;
use super::include::{self, Found};
use super::machine::Machine;
use super::model::Config;
use super::read::{At, Read, Reader};
use super::value::Pattern;
use super::variables::Environment;

/// A configuration that may run.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What can hardly be meant, but may run.
    pub warnings: Diagnostics,
    /// Every file that was read: the one asked for first, then includes and bodies of replies. Certificates are not
    /// among them: `tls` reads those.
    pub files: Vec<PathBuf>,
}

/// Loads a file for a machine, with `${VARIABLES}` from the process's environment.
///
/// # Errors
/// Every complaint, warnings included, if one of them is an error.
pub fn load(path: &Path, machine: &dyn Machine) -> Result<Loaded, Diagnostics> {
    load_with(path, machine, &|name| std::env::var_os(name))
}

/// [`load`] with the variables handed in.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: &Path,
    machine: &dyn Machine,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Loaded, Diagnostics> {
    let mut loading = Loading::new(machine, environment);
    match read_text(path, MAX_FILE) {
        Ok(text) => loading.main(path, text),
        Err(why) => Err(Diagnostics::new(Vec::new(), vec![unreadable(path, why)])),
    }
}

/// Loads a text as if it stood in a file called `name`, which need not exist; includes and bodies are looked for in its
/// directory.
///
/// # Errors
/// As [`load`].
pub fn load_str(name: &str, text: &str, machine: &dyn Machine) -> Result<Loaded, Diagnostics> {
    Loading::new(machine, &|name| std::env::var_os(name)).main(Path::new(name), text.to_owned())
}

struct Loading<'a> {
    machine: &'a dyn Machine,
    environment: &'a Environment<'a>,
    sources: Vec<Source>,
    /// The same files without symbolic links, so that a circle is seen.
    canonical: Vec<PathBuf>,
    complaints: Vec<Diagnostic>,
    /// A file couldn't be parsed: what refers to it would be complained about without a cause.
    incomplete: bool,
}

impl<'a> Loading<'a> {
    fn new(machine: &'a dyn Machine, environment: &'a Environment<'a>) -> Self {
        Self {
            machine,
            environment,
            sources: Vec::new(),
            canonical: Vec::new(),
            complaints: Vec::new(),
            incomplete: false,
        }
    }

    fn main(&mut self, path: &Path, text: String) -> Result<Loaded, Diagnostics> {
        let file = self.file(path, text, 0);
        let mut files: Vec<PathBuf> = self.sources.iter().map(|s| s.path.clone()).collect();
        let mut config = None;
        if let Some(file) = file.filter(|_| !self.incomplete) {
            let mut read_body = |path: &Path| {
                files.push(path.to_owned());
                read_bytes(path, MAX_BODY)
            };
            let outside = check::Outside { machine: self.machine, read_body: &mut read_body };
            config = Some(check::check(&file, &self.sources, outside, &mut self.complaints));
        }
        let warnings = Diagnostics::new(std::mem::take(&mut self.sources), std::mem::take(&mut self.complaints));
        match config {
            Some(config) if !warnings.has_errors() => Ok(Loaded { config, warnings, files }),
            _ => Err(warnings),
        }
    }

    /// Reads a text and what it includes into one [`ConfigFile`].
    fn file(&mut self, path: &Path, text: String, depth: usize) -> Option<ConfigFile> {
        let source = self.sources.len();
        self.canonical.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        self.sources.push(Source { path: path.to_owned(), text: text.clone() });
        let (table, syntax_errors) = DeTable::parse_recoverable(&text);
        let mut reader = Reader::new(source, &text, self.environment);
        if depth > 0 {
            refuse_main_only(&table, &mut reader);
        }
        let root = Spanned::new(0..0, DeValue::Table(table.into_inner()));
        let file = ConfigFile::read(&root, &mut reader);
        let mut complaints = reader.complaints;
        if !syntax_errors.is_empty() {
            self.incomplete = true;
            let syntax_errors: Vec<_> = syntax_errors.iter().map(|e| syntax_error(e, source, &text)).collect();
            // What the parser made up to go on with is no fault of the user's.
            complaints.retain(|c| !syntax_errors.iter().any(|e| is_overshadowed(c, e, &text)));
            self.complaints.extend(syntax_errors);
        }
        self.complaints.extend(complaints);
        let mut file = file?;
        for pattern in std::mem::take(&mut file.include.value.items) {
            for included in self.include(&pattern, path, depth) {
                file.listener.value.items.extend(included.listener.value.items);
                file.listener.value.complete &= included.listener.value.complete;
                file.tcp.value.items.extend(included.tcp.value.items);
                file.tcp.value.complete &= included.tcp.value.complete;
                file.site.value.items.extend(included.site.value.items);
                file.site.value.complete &= included.site.value.complete;
                file.upstream.value.0.extend(included.upstream.value.0);
                file.limit.value.0.extend(included.limit.value.0);
            }
        }
        Some(file)
    }

    fn include(&mut self, pattern: &At<Pattern>, from: &Path, depth: usize) -> Vec<ConfigFile> {
        let paths = match include::find(&pattern.0, from.parent().unwrap_or(Path::new(""))) {
            Found::Files(paths) => paths,
            Found::Unlisted(why) => {
                self.fail_include(pattern.place, why, "");
                return Vec::new();
            }
        };
        let mut files = Vec::new();
        for path in paths {
            if depth + 1 > MAX_DEPTH || self.sources.len() >= MAX_FILES {
                let title = format!("too many includes: {}", quote(&path.to_string_lossy()));
                self.fail_include(pattern.place, title, &format!("at most {MAX_FILES} files, {MAX_DEPTH} deep"));
                break;
            }
            if self.canonical.contains(&path.canonicalize().unwrap_or_else(|_| path.clone())) {
                let title = format!("{} is included already", quote(&path.to_string_lossy()));
                self.fail_include(pattern.place, title, "a file can be read only once");
                continue;
            }
            match read_text(&path, MAX_FILE) {
                Ok(text) => files.extend(self.file(&path, text, depth + 1)),
                Err(why) => self.fail_include(pattern.place, unreadable(&path, String::new()).title, &why),
            }
        }
        files
    }

    fn fail_include(&mut self, place: Place, title: String, label: &str) {
        self.incomplete = true;
        self.complaints.push(Diagnostic::error(title).at(place, label));
    }
}

/// Complains about keys that only the main file may have.
fn refuse_main_only(table: &Spanned<DeTable<'_>>, reader: &mut Reader<'_>) {
    for (key, _) in table.get_ref().iter() {
        let name: &str = key.get_ref();
        if ConfigFile::KEYS.contains(&name) && !ConfigFile::INCLUDED_KEYS.contains(&name) {
            let place = reader.place(key);
            reader.complain(
                Diagnostic::error(format!("`{name}` can't stand in an included file"))
                    .at(place, "")
                    .help("move it to the main file: it holds for everything"),
            );
        }
    }
}

pub(super) fn syntax_error(error: &toml::de::Error, source: usize, text: &str) -> Diagnostic {
    let message = error.message();
    let span = error.span().unwrap_or(0..0);
    let written = text.get(span.clone()).unwrap_or_default();
    let (title, label) = message.split_once(", ").unwrap_or((message, ""));
    let place = Place::new(source, span);
    if title == "string values must be quoted" {
        return match written {
            "" => Diagnostic::error("the value is missing").at(place, "").help("write it behind the `=`"),
            _ => Diagnostic::error(title).at(place, "").help(format!("write {}", quote(written))),
        };
    }
    let mut diagnostic = Diagnostic::error(title).at(place, label);
    if title == "invalid boolean" {
        let word = nearest(&written.to_lowercase(), ["true", "false"]);
        diagnostic.help = word.map(|word| format!("write `{word}`"));
    } else if title == "duplicate key" {
        diagnostic = diagnostic.help("a key or `[table]` may stand in one place only; lists of tables are `[[table]]`");
    }
    diagnostic
}

/// Whether a complaint may only come from a syntax error: it is in the same line or, if that is a `[table]`, below it.
fn is_overshadowed(complaint: &Diagnostic, error: &Diagnostic, text: &str) -> bool {
    let (Some(complaint), Some(error)) = (&complaint.mark, &error.mark) else { return false };
    let at = text.floor_char_boundary(error.place.start);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = if text[start..].starts_with('[') { text[at..].find("\n[") } else { text[at..].find('\n') };
    let end = end.map_or(text.len(), |length| at + length);
    complaint.place.start <= end && complaint.place.end >= start
}

pub(super) fn unreadable(path: &Path, why: String) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("can't read {}", quote(&path.to_string_lossy())));
    if why.is_empty() { diagnostic } else { diagnostic.help(why) }
}

pub(super) fn read_text(path: &Path, max: u64) -> Result<String, String> {
    String::from_utf8(read_bytes(path, max)?).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
        format!("it is not UTF-8 (line {line})")
    })
}

/// A whole file of bounded size.
fn read_bytes(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    // A FIFO would block for ever, a device never end.
    let is_file = std::fs::metadata(path).map_err(|e| explain(&e))?.is_file();
    if !is_file {
        return Err(if path.is_dir() { "it is a directory" } else { "it is not a regular file" }.to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| explain(&e))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| explain(&e))?;
    if bytes.len() as u64 > max {
        return Err(format!("it is larger than {} MiB", max >> 20));
    }
    Ok(bytes)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied: this user may not read it".to_owned(),
        _ => error.to_string(),
    }
}

/// One configuration file.
const MAX_FILE: u64 = 16 << 20;

/// The body of a reply.
const MAX_BODY: u64 = 1 << 20;

/// Files in all.
const MAX_FILES: usize = 1000;

/// Includes within includes.
const MAX_DEPTH: usize = 8;
