//! dns-01: wildcards, by a program and by signed updates.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::ca::{Ca, Options};
use super::host::{Host, issued, shown, state};
use super::name_server::{KEY_NAME, NameServer, SECRET, has_no_text};
use crate::support::eventually;

#[test]
fn a_wildcard_and_its_parent_get_one_certificate_by_signed_updates() {
    let names = NameServer::start();
    let ca = Ca::with(Options { dns: Some(names.address()), ..Options::default() });
    let host = Host::of(&ca)
        .acme("challenges = \"dns-01\"")
        .and(&names.table(KEY_NAME, SECRET))
        .site(&["*.acme.test", "acme.test"], "");
    let _gate = host.start();
    let leaf = issued(&host, &ca, "any.acme.test");
    assert_eq!(issued(&host, &ca, "acme.test"), leaf);
    // Both names are shown by the same record, which has two texts for a while.
    assert_eq!(names.updates("adding an RR"), 2);
    eventually("the texts are gone", || has_no_text(names.address(), "_acme-challenge.acme.test"));
}

#[test]
fn a_name_that_leads_to_another_zone_is_shown_there() {
    let names = NameServer::start();
    let ca = Ca::with(Options { dns: Some(names.address()), ..Options::default() });
    let host =
        Host::of(&ca).acme("challenges = \"dns-01\"").and(&names.table(KEY_NAME, SECRET)).site(&["*.other.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "any.other.test");
    assert_eq!(names.updates("other.delegated.acme.test"), 2, "one to add it, one to take it away");
}

#[test]
fn what_is_wrong_with_an_update_is_told() {
    let names = NameServer::start();
    let ca = Ca::with(Options { dns: Some(names.address()), ..Options::default() });
    let wrong = "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I=";
    for (key, secret, told) in [
        (KEY_NAME, wrong, "doesn't know the key \"tidegate\" with this secret"),
        ("nobody", SECRET, "doesn't know the key \"nobody\""),
        ("stranger", SECRET, "the key \"stranger\" may not"),
    ] {
        let host =
            Host::of(&ca).acme("challenges = \"dns-01\"").and(&names.table(key, secret)).site(&["*.acme.test"], "");
        let gate = host.start();
        let store = gate.directory().join("acme");
        let trouble = eventually("the failure is noted", || state(&store)?.get("trouble").cloned());
        assert!(trouble["detail"].as_str().unwrap().contains(told), "{trouble}");
        assert_eq!(trouble["class"], "local", "{trouble}");
        assert!(!shown(host.tls(), "any.acme.test", &ca.issuer_roots(), &[]).unwrap().trusted);
    }
}

#[test]
fn a_program_of_the_users_sets_the_record_and_takes_it_away() {
    let ca = Ca::start();
    let directory = tempfile::TempDir::new().unwrap();
    let [hook, called] = ["hook", "called"].map(|name| directory.path().join(name));
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>{called:?}\n\
         case $2 in\npresent) curl -sS -f -d \"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" http://{dns}/set-txt ;;\n\
         cleanup) curl -sS -f -d \"{{\\\"host\\\":\\\"$3.\\\"}}\" http://{dns}/clear-txt ;;\nesac\n",
        dns = ca.dns_management
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let table = format!("[acme.dns.hook]\nexec = [{hook:?}, \"--zone\"]\nresolver = \"{}\"", ca.dns_server);
    let host = Host::of(&ca).acme("challenges = \"dns-01\"").and(&table).site(&["*.a.test"], "");
    let _gate = host.start();
    issued(&host, &ca, "any.a.test");
    let called = eventually("the record is taken away", || {
        let called = fs::read_to_string(&called).unwrap();
        called.contains("cleanup").then_some(called)
    });
    let lines: Vec<Vec<&str>> = called.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2, "{called}");
    assert_eq!(lines[0][..3], ["--zone", "present", "_acme-challenge.a.test"]);
    assert_eq!(lines[1][..3], ["--zone", "cleanup", "_acme-challenge.a.test"]);
    assert_eq!(lines[0][3], lines[1][3]);
}

#[test]
fn a_program_that_fails_tells_why() {
    let ca = Ca::start();
    for (command, told) in [
        ("[\"sh\", \"-c\", \"echo no such zone >&2; exit 3\"]", "no such zone"),
        ("\"/nowhere/hook\"", "/nowhere/hook present _acme-challenge.a.test: No such file"),
    ] {
        let table = format!("[acme.dns.hook]\nexec = {command}\nresolver = \"{}\"", ca.dns_server);
        let host = Host::of(&ca).acme("challenges = \"dns-01\"").and(&table).site(&["*.a.test"], "");
        let gate = host.start();
        let store = gate.directory().join("acme");
        let trouble = eventually("the failure is noted", || state(&store)?.get("trouble").cloned());
        assert!(trouble["detail"].as_str().unwrap().contains(told), "{trouble}");
    }
}
