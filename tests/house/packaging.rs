//! What is shipped beside the code.

use std::process::Command;

use regex::Regex;

use crate::support::{read, root, tidegate};

#[test]
fn the_systemd_unit_scores_at_most_1_5() {
    let output = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "deploy/tidegate.service"])
        .env("LC_ALL", "C.UTF-8")
        .current_dir(root())
        .output()
        .expect("systemd-analyze, of Debian's systemd, is needed here: `make test` installs it");
    let text = String::from_utf8_lossy(&output.stdout);
    let score = Regex::new(r"Overall exposure level for tidegate.service: ([0-9.]+)").unwrap();
    let score: f64 = score.captures(&text).unwrap_or_else(|| panic!("{text}{output:?}"))[1].parse().unwrap();
    assert!(score <= 1.5, "the score is {score}\n{text}");
}

#[test]
fn the_systemd_unit_keeps_what_the_server_relies_on() {
    let unit = read("deploy/tidegate.service");
    for line in [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "RestartPreventExitStatus=2 78",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    // A user namespace of its own takes CAP_NET_BIND_SERVICE away from the host's ports.
    assert!(!unit.contains("PrivateUsers=yes"));
}

#[test]
fn packaging_calls_verbs_that_exist() {
    let verb = Regex::new(r#"/usr/bin/tidegate"?,? "?([a-z-]+)"#).unwrap();
    let texts = [read("deploy/tidegate.service"), read("Dockerfile")].concat();
    let lines: Vec<&str> = texts.lines().filter(|line| !line.starts_with('#')).collect();
    let lines = lines.join("\n");
    let verbs: Vec<&str> = verb.captures_iter(&lines).map(|c| c.get(1).unwrap().as_str()).collect();
    assert_eq!(verbs, ["run", "healthcheck"]);
    for verb in verbs {
        assert!(tidegate(&[verb, "--help"]).status.success(), "{verb}");
    }
}

#[test]
fn the_image_runs_without_root_and_stops_by_term() {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.starts_with("scratch\n"));
    for line in ["USER 65532:65532", "STOPSIGNAL SIGTERM"] {
        assert!(last_stage.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn what_is_known_of_dependencies_is_the_same_to_both_checkers() {
    let advisory = Regex::new(r"RUSTSEC-\d{4}-\d{4}").unwrap();
    let ids = |text: &str| {
        let mut ids: Vec<String> = advisory.find_iter(text).map(|id| id.as_str().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&read("deny.toml")), ids(&read(".cargo/audit.toml")));
}
