//! What the fuzzer runs for long, run for moments: every target over its corpus, over changes of it, and over noise.
//!
//! `FUZZ_TIMES=100` makes a hundred times as many inputs, `FUZZ_SEED=8` others: for where there is no nightly compiler.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]
#![allow(unreachable_pub, reason = "the bodies are the fuzzer's as well")]

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Inputs made of each corpus; a whole exchange takes about a millisecond.
const CASES: u32 = 400;
const EXCHANGES: u32 = 150;

#[test]
fn every_target_holds_over_its_corpus() {
    for (name, run) in bodies::TARGETS {
        for (file, bytes) in corpus(name) {
            eprintln!("{name}: {file}");
            run(&bytes);
        }
    }
}

#[test]
fn every_target_holds_over_changes_of_its_corpus_and_noise() {
    for (name, run) in bodies::TARGETS {
        let seeds: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let cases = if matches!(*name, "exchange" | "response") { EXCHANGES } else { CASES };
        let cases = cases * number("FUZZ_TIMES").unwrap_or(1);
        // The same inputs each time: what fails here fails for everyone.
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[number("FUZZ_SEED").unwrap_or(7) as u8; 32]);
        let mut runner =
            TestRunner::new_with_rng(Config { cases, failure_persistence: None, ..Config::default() }, rng);
        let held = runner.run(&input(seeds), |bytes| {
            run(&bytes);
            Ok(())
        });
        held.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn each_target_has_a_corpus_and_a_fuzzer() {
    let listed = |directory: &str, strip: &str| {
        let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.map(|name| name.trim_end_matches(strip).to_owned()).collect();
        names.sort();
        names
    };
    let mut names: Vec<&str> = bodies::TARGETS.iter().map(|target| target.0).collect();
    names.sort_unstable();
    assert_eq!(listed("fuzz/corpus", ""), names);
    assert_eq!(listed("fuzz/fuzz_targets", ".rs"), names);
}

fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Mostly what is known with a few things put in its place, now and then anything at all.
fn input(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        2 => prop::collection::vec(any::<u8>(), 0..4),
        1 => prop::sample::select(seeds.clone()),
    ];
    let change = (any::<prop::sample::Index>(), 0usize..8, piece);
    let changed =
        (prop::sample::select(seeds), prop::collection::vec(change, 0..5)).prop_map(|(mut bytes, changes)| {
            for (at, length, piece) in changes {
                let start = at.index(bytes.len() + 1);
                let end = (start + length).min(bytes.len());
                bytes.splice(start..end, piece);
            }
            bytes
        });
    prop_oneof![8 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// What parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\"",
    b"=",
    b"%2f",
    b"%2e",
    b"..",
    b"//",
    b"\\",
    b"%00",
    b"0",
    b"-1",
    b"ffffffffffffffff",
    b"0x5",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"chunked",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x80",
    b"\xff",
];

/// File names and contents, in order.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no corpus");
    let read = |path: &std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
    };
    files.iter().map(read).collect()
}
