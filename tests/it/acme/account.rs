//! What an account is told after it was made, and what is corrected.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{Ca, EAB_HMAC_KEY, EAB_KEY_ID, Options};
use super::front::Fault;
use super::host::{Host, issued, state};
use crate::support::{Binary, eventually};

/// The contacts that a store's only account has, as far as this side knows.
fn contacts(store: &Path) -> Value {
    // Not one that is being written.
    let mut files = fs::read_dir(store.join("accounts")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    serde_json::from_slice::<Value>(&fs::read(file).unwrap()).unwrap()["contacts"].clone()
}

/// What the CA was told about accounts that it has.
fn told(ca: &Ca) -> Vec<Value> {
    ca.front.payloads("/my-account/").iter().map(|payload| payload["contact"].clone()).collect()
}

#[test]
fn another_address_is_told_to_the_ca_by_a_reload_and_only_once() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let toml = host.toml(store.path());
    let server = Binary::run_file(&toml);
    issued(&host, &ca, "a.test");
    assert_eq!(contacts(store.path()), json!(["mailto:ops@example.test"]));
    let changed = toml.replace("ops@example.test", "night@example.test");
    server.write(&changed);
    server.signal("HUP");
    let expected = json!(["mailto:night@example.test"]);
    eventually("the new address is stored", || contacts(store.path()) == expected);
    assert_eq!(told(&ca), [expected]);
    drop(server);
    ca.front.forget();
    let second = Host::of(&ca).site(&["a.test"], "").site(&["b.test"], "").toml(store.path());
    let _server = Binary::run_file(&second.replace("ops@example.test", "night@example.test"));
    issued(&host, &ca, "b.test");
    assert_eq!(told(&ca), Vec::<Value>::new());
}

#[test]
fn an_address_that_the_ca_refuses_keeps_nobody_from_a_certificate() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let server = Binary::run_file(&host.toml(store.path()));
    issued(&host, &ca, "a.test");
    let problem = r#"{"type":"urn:ietf:params:acme:error:invalidContact","detail":"never heard of it"}"#;
    let head = format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n", problem.len());
    let answer = format!("{head}Content-Type: application/problem+json\r\n\r\n{problem}");
    ca.front.set("/my-account/", Fault::Answer(answer));
    server.write(&host.site(&["b.test"], "").toml(store.path()).replace("ops@", "nobody@"));
    server.signal("HUP");
    let host = Host::of(&ca);
    issued(&host, &ca, "b.test");
    server.wait_for_stderr("the CA isn't told whom it may write to: never heard of it");
    assert_eq!(contacts(store.path()), json!(["mailto:ops@example.test"]));
}

#[test]
fn a_corrected_binding_is_tried_at_once() {
    let ca = Ca::with(Options { eab: true, ..Options::default() });
    let binding = |key: &str| format!("eab = {{ key_id = {EAB_KEY_ID:?}, hmac_key = {key:?} }}");
    let with = |key: &str| Host::of(&ca).and(&binding(key)).site(&["a.test"], "");
    let store = TempDir::new().unwrap();
    let server = Binary::run_file(&with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").toml(store.path()));
    eventually("the refusal is noted", || state(store.path())?.get("trouble").cloned());
    let corrected = with(EAB_HMAC_KEY);
    server.write(&corrected.toml(store.path()));
    server.signal("HUP");
    issued(&corrected, &ca, "a.test");
}
