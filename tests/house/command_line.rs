//! Verbs, nginx's forms and exit codes, on the program as built.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{text, tidegate};

const GOOD: &str = "\
[[listener]]
address = \"127.0.0.1:0\"

[[site]]
hosts = [\"localhost\"]

[[site.route]]
path = \"/\"
upstream = \"backend\"

[upstream.backend]
endpoints = [\"127.0.0.1:1\"]
";

fn file(content: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tidegate.toml");
    fs::write(&path, content).unwrap();
    (directory, path)
}

/// The same file with two mistakes.
fn broken() -> String {
    GOOD.replace("upstream = \"backend\"", "upstream = \"backnd\"").replace("hosts =", "hots =")
}

#[test]
fn check_accepts_a_good_file_and_says_what_it_sets_up() {
    let (_directory, path) = file(GOOD);
    let output = tidegate(&["check", "-c", path.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.starts_with("ok: ") && said.contains("127.0.0.1:0") && said.contains("MiB"), "{said}");
}

#[test]
fn check_names_what_each_listener_speaks() {
    let listeners = "\
[[listener]]
address = \"127.0.0.1:0\"
h2c = true

[[listener]]
address = \"127.0.0.1:0\"
redirect = \"https\"

";
    let (_directory, path) = file(&format!("{listeners}{GOOD}"));
    let said = text(&tidegate(&["check", "-c", path.to_str().unwrap()]).stdout);
    for kind in ["(plain, HTTP/2 and HTTP/1.1)", "(plain, redirects to https)", "(plain, HTTP/1.1)"] {
        assert!(said.contains(kind), "{kind} in {said}");
    }
}

#[test]
fn check_tells_every_error_at_once_and_exits_with_1() {
    let (_directory, path) = file(&broken());
    let output = tidegate(&["check", "-c", path.to_str().unwrap()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("hots") && said.contains("backnd"), "{said}");
    assert!(!said.contains('\u{1b}'), "color without a terminal: {said}");
}

#[test]
fn run_refuses_a_bad_file_with_78() {
    let (_directory, path) = file(&broken());
    assert_eq!(tidegate(&["run", "-c", path.to_str().unwrap()]).status.code(), Some(78));
    assert_eq!(tidegate(&["-c", path.to_str().unwrap()]).status.code(), Some(78));
    assert_eq!(tidegate(&["run", "-c", "/nowhere/tidegate.toml"]).status.code(), Some(78));
}

#[test]
fn nginx_forms_work() {
    let (_directory, path) = file(GOOD);
    assert_eq!(tidegate(&["-t", "-c", path.to_str().unwrap()]).status.code(), Some(0));
    let (_directory, path) = file(&broken());
    assert_eq!(tidegate(&["-t", "-c", path.to_str().unwrap()]).status.code(), Some(1));
    assert_eq!(text(&tidegate(&["-v"]).stdout), concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn the_configuration_may_come_from_the_environment() {
    let (_directory, path) = file(GOOD);
    for arguments in [&["check"][..], &["-t"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = command.args(arguments).env("TIDEGATE_CONFIG", &path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [&[][..], &["--nonsense"], &["serve"], &["reverse-proxy"], &["-t", "demo"]] {
        assert_eq!(tidegate(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_program_uses_aws_lc_rs() {
    assert!(text(&tidegate(&["-V"]).stdout).contains("crypto provider: AwsLcRs"));
}

#[test]
fn prints_schema_completions_and_manual() {
    let schema: serde_json::Value = serde_json::from_slice(&tidegate(&["schema"]).stdout).unwrap();
    assert!(schema["properties"]["listener"].is_object());
    for shell in ["bash", "fish", "zsh"] {
        assert!(text(&tidegate(&["completions", shell]).stdout).contains("reverse-proxy"), "{shell}");
    }
    assert!(text(&tidegate(&["man"]).stdout).contains(".TH tidegate 1"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let mut child = command.arg("schema").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn healthcheck_fails_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = tidegate(&["healthcheck", &format!("http://{free}/readyz")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&free.to_string()));
    assert_eq!(tidegate(&["healthcheck", "https://127.0.0.1/"]).status.code(), Some(2));
}

#[test]
fn reverse_proxy_prints_its_flags_as_a_file_that_checks() {
    let printed =
        tidegate(&["reverse-proxy", "--from", ":8080", "--to", "127.0.0.1:3000", "--limit", "10/s", "--print"]);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
    let (_directory, path) = file(&text(&printed.stdout));
    assert_eq!(tidegate(&["check", "-c", path.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(tidegate(&["reverse-proxy", "--to", ":3000", "--limit", "many"]).status.code(), Some(78));
}
