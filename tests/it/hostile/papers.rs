//! `docs/security.md` below its marker is made from the tables, so that it can't drift.
//!
//! What nginx and HAProxy did stands in the file, with the versions that were asked. They are asked again where these
//! versions are installed; others would answer otherwise, and their recorded answers stay.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;

use super::ask::{ask, is_reason};
use super::peers::{Listener, Who};
use super::world::{Told, told};
use super::{Table, bodies, floods, forwarded, frames, framing, heads, hosts, paths, responses, sections, time, tls};

const MARKER: &str = "<!-- From here on made from the tests: UPDATE=1 cargo test --test it hostile::papers -->\n";

const PEERS: [(Who, &str); 2] = [(Who::Nginx, "nginx"), (Who::Haproxy, "HAProxy")];

#[test]
fn the_paper_says_what_the_tests_hold() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let (by_hand, made) = written.split_once(MARKER).expect("the marker is gone");
    let updates = std::env::var_os("UPDATE").is_some();
    let recorded = recorded(made);
    let tables = tables();
    let columns = thread::scope(|scope| {
        let (tables, recorded) = (&tables, &recorded);
        PEERS
            .map(|(who, name)| scope.spawn(move || Column::of(who, name, tables, recorded, updates)))
            .map(|column| column.join().unwrap())
    });
    let paper = paper(&tables, &columns);
    if updates {
        std::fs::write(&path, format!("{by_hand}{MARKER}{paper}")).unwrap();
    } else {
        let differing: Vec<_> = made.lines().zip(paper.lines()).filter(|(is, should)| is != should).collect();
        assert!(made == paper, "run this test with UPDATE=1 and look at the difference: {differing:#?}");
    }
}

/// A test that is named in a paper has to be there.
#[test]
fn every_test_that_the_paper_names_is_there() {
    for Told { tests, .. } in told().into_iter().flat_map(|section| section.rows) {
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(text.contains(&format!("fn {name}(")), "{test}");
        }
    }
}

fn tables() -> Vec<Table> {
    let mut tables = vec![framing::table()];
    tables.extend(heads::tables());
    tables.extend([hosts::table(), paths::table(), bodies::table(), forwarded::table()]);
    tables.extend(responses::tables());
    tables.extend([sections::table(), frames::table(), floods::table(), time::table(), tls::table()]);
    tables
}

/// What one peer did.
struct Column {
    name: &'static str,
    version: String,
    answers: Vec<Vec<String>>,
}

impl Column {
    /// Asked, if the version that was recorded is there or the paper is written anew; else as recorded. What goes by time
    /// is asked only for a new paper: on a busy machine it would be another answer now and then.
    fn of(who: Who, name: &'static str, tables: &[Table], recorded: &Recorded, updates: bool) -> Self {
        let before = recorded.versions.get(name).cloned().unwrap_or_default();
        let version = who.version();
        if updates {
            assert!(version.is_some(), "{name} can't be run; `make test` installs it");
        }
        let asks = updates || version.as_ref() == Some(&before);
        let mut asked = if asks { asked(who, tables, updates) } else { HashMap::new() };
        let answers = tables.iter().map(|table| {
            let old = table.rows.iter().map(|row| recorded.answer(table.title, row.name, name));
            match asked.remove(table.title) {
                // What is now one thing and now another stands with both.
                Some(new) => {
                    new.into_iter().zip(old).map(|(new, old)| if is_among(&old, &new) { old } else { new }).collect()
                }
                None => old.collect(),
            }
        });
        let answers = answers.collect();
        Self { name, version: if updates { version.unwrap_or_default() } else { before }, answers }
    }
}

/// What a peer does, by title. The kinds of listeners are asked side by side.
fn asked(who: Who, tables: &[Table], updates: bool) -> HashMap<&'static str, Vec<String>> {
    thread::scope(|scope| {
        let kinds = Listener::ALL.into_iter().filter(|kind| updates || *kind != Listener::Slow);
        let threads: Vec<_> = kinds
            .map(|kind| {
                let tables: Vec<_> = tables.iter().filter(|table| table.listener() == kind).collect();
                scope.spawn(move || tables.iter().map(|table| table.title).zip(ask(who, &tables)).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn is_among(recorded: &str, answer: &str) -> bool {
    recorded.split(" or ").any(|one| one == answer)
}

/// What a paper says of the peers.
struct Recorded {
    versions: HashMap<String, String>,
    /// By title and case: a cell for each peer.
    answers: HashMap<(String, String), Vec<String>>,
}

impl Recorded {
    fn answer(&self, title: &str, case: &str, peer: &str) -> String {
        let index = PEERS.iter().position(|(_, name)| *name == peer).unwrap();
        let cells = self.answers.get(&(title.to_string(), case.to_string()));
        cells.and_then(|cells| cells.get(index)).cloned().unwrap_or_default()
    }
}

fn recorded(paper: &str) -> Recorded {
    let mut recorded = Recorded { versions: HashMap::new(), answers: HashMap::new() };
    let mut title = String::new();
    for line in paper.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            title = heading.to_string();
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) {
            let cells: Vec<_> = cells.split(" | ").map(str::to_string).collect();
            match &cells[..] {
                [name, version] => drop(recorded.versions.insert(name.clone(), version.clone())),
                [case, _, peers @ ..] => drop(recorded.answers.insert((title.clone(), case.clone()), peers.to_vec())),
                _ => {}
            }
        }
    }
    recorded
}

fn paper(tables: &[Table], columns: &[Column]) -> String {
    let mut out = String::from("\n## Who was asked\n\n| proxy | version |\n|---|---|\n");
    for column in columns {
        writeln!(out, "| {} | {} |", column.name, column.version).unwrap();
    }
    for (number, table) in tables.iter().enumerate() {
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        write!(
            out,
            "\n## {}\n\n{}\n\n| case | Tidegate | {} |\n|---|---|---|---|\n",
            table.title,
            table.about,
            names.join(" | ")
        )
        .unwrap();
        for (row, case) in table.rows.iter().enumerate() {
            let peers: Vec<_> = columns.iter().map(|column| column.answers[number][row].as_str()).collect();
            writeln!(out, "| {} | {} | {} |", case.name, quoted(case.wants), peers.join(" | ")).unwrap();
        }
    }
    for section in told() {
        write!(out, "\n## {}\n\n{}\n\n| case | Tidegate | held by |\n|---|---|---|\n", section.title, section.about)
            .unwrap();
        for Told { case, does, tests } in section.rows {
            let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
            writeln!(out, "| {case} | {does} | {} |", tests.join(", ")).unwrap();
        }
    }
    out
}

/// With a reason as code.
fn quoted(wants: &str) -> String {
    let word = |word: &str| if is_reason(word) { format!("`{word}`") } else { word.to_string() };
    wants.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
