//! The papers tell the truth: links lead somewhere, paths exist, and each reason and metric is explained.

use std::collections::BTreeSet;

use regex::Regex;
use tidegate::reason::Reason;

use crate::support::{files, read, root};

fn papers() -> Vec<String> {
    let mut papers = files("docs", "md");
    papers.extend(["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SECURITY"].map(|name| format!("{name}.md")));
    papers
}

/// The text outside of fenced blocks.
fn prose(text: &str) -> String {
    let mut inside = false;
    let outside = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// What forges make of a heading: lower case, spaces to dashes, punctuation gone.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn headings(text: &str) -> Vec<String> {
    prose(text).lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim().to_owned()).collect()
}

#[test]
fn links_in_the_papers_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut broken = Vec::new();
    for paper in papers() {
        let text = read(&paper);
        let directory = root().join(&paper).parent().unwrap().to_owned();
        for target in link.captures_iter(&prose(&text)).map(|c| c[1].to_owned()) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { root().join(&paper) } else { directory.join(file) };
            if !path.exists() {
                broken.push(format!("{paper}: {target}"));
            } else if !fragment.is_empty() {
                let anchors: Vec<String> =
                    headings(&std::fs::read_to_string(&path).unwrap()).iter().map(|h| anchor(h)).collect();
                if !anchors.iter().any(|anchor| anchor == fragment) {
                    broken.push(format!("{paper}: {target} has no such heading"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn paths_that_the_papers_name_exist() {
    let path = Regex::new(r"`((?:src|tests|scripts|config|deploy|docs|benches)/[a-z0-9_./-]*)`").unwrap();
    let mut missing = Vec::new();
    for paper in papers().iter().filter(|paper| *paper != "CHANGELOG.md") {
        for named in path.captures_iter(&read(paper)) {
            if !root().join(&named[1]).exists() {
                missing.push(format!("{paper}: {}", &named[1]));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn troubleshooting_explains_every_reason_and_no_other() {
    let text = read("docs/troubleshooting.md");
    let row = Regex::new(r"(?m)^\| `([a-z0-9_]+)` \| ([0-9]+) \|").unwrap();
    let explained: BTreeSet<(String, u16)> =
        row.captures_iter(&text).map(|c| (c[1].to_owned(), c[2].parse().unwrap())).collect();
    let all: BTreeSet<(String, u16)> = Reason::ALL.iter().map(|r| (r.name().to_owned(), r.status())).collect();
    assert_eq!(explained, all);
}

#[test]
fn the_metrics_paper_names_every_metric_and_no_other() {
    let defined = Regex::new(r#"= "((?:http|tidegate)_[a-z_]+)""#).unwrap();
    let named = Regex::new(r"(?m)^\| `([a-z_]+)` \|").unwrap();
    let names = read("src/metrics/name.rs");
    let defined: BTreeSet<String> = defined.captures_iter(&names).map(|c| c[1].to_owned()).collect();
    let paper = read("docs/metrics.md");
    let named: BTreeSet<String> = named.captures_iter(&paper).map(|c| c[1].to_owned()).collect();
    assert!(!defined.is_empty());
    assert_eq!(named, defined);
}

#[test]
fn the_readme_shows_the_shipped_configuration() {
    let readme = read("README.md");
    let shown = readme.split("cat > tidegate.toml <<'EOF'\n").nth(1).unwrap().split("\nEOF\n").next().unwrap();
    let shown: toml::Table = shown.replace("\"tls/", "\"/etc/tidegate/tls/").parse().unwrap();
    let shipped: toml::Table = read("config/tidegate.toml").parse().unwrap();
    assert_eq!(shown, shipped);
}

#[test]
fn the_map_shows_what_is_there() {
    let text = read("ARCHITECTURE.md");
    let map = text.split("```\nsrc/\n").nth(1).unwrap().split("```").next().unwrap();
    let mut room = String::new();
    let mut shown = BTreeSet::new();
    for line in map.lines() {
        let name = line.split_whitespace().next().unwrap();
        let inside = line.starts_with("    ");
        let path = if inside { format!("src/{room}{name}") } else { format!("src/{name}") };
        assert!(root().join(&path).exists(), "{path} is on the map only");
        if !inside {
            name.clone_into(&mut room);
            shown.insert(name.trim_end_matches('/').to_owned());
        }
    }
    let there = std::fs::read_dir(root().join("src")).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(shown, there);
}

#[test]
fn the_architecture_fits_on_200_lines() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}
