//! Stores that fail: full, read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::ca::{Ca, ISSUANCE};
use super::front::Fault;
use super::host::{Host, change_state, issued, shown, state, within};
use crate::support::{Binary, Gate, eventually};

/// A small file system of its own, gone when it is dropped.
struct Mounted(TempDir);

impl Mounted {
    /// `None`, with the reason printed: this user may not mount.
    fn new(test: &str) -> Option<Self> {
        let place = TempDir::new().unwrap();
        let mounted = Self(place);
        if !mounted.run("mount", &["-t", "tmpfs", "-o", "size=256k", "tidegate"]) {
            eprintln!("skipped {test}: this user may not mount a small file system");
            return None;
        }
        Some(mounted)
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("acme")
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Leaves no room: what is written from now on fails.
    fn fill(&self) {
        assert!(fs::write(self.filler(), vec![0; 512 << 10]).is_err());
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// `"ro"`, `"rw"`
    #[track_caller]
    fn remount(&self, how: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{how}")]));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        Command::new(program).args(arguments).arg(self.0.path()).output().is_ok_and(|ran| ran.status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

/// The certificate that a store has.
fn stored(store: &Path) -> Option<String> {
    let directory = fs::read_dir(store.join("certs")).ok()?.next()?.ok()?.path();
    fs::read_to_string(directory.join("bundle.pem")).ok()
}

fn nothing_begun(store: &Path) -> bool {
    fs::read_dir(store.join("orders")).unwrap().next().is_none()
}

const ERRORS: &str = "tidegate_acme_store_errors_total";

#[track_caller]
fn failing(gate: &Gate) {
    eventually("the store's failure is counted", || gate.metric(ERRORS) > 0.0);
    eventually("its certificate waits", || {
        gate.metric(r#"tidegate_acme_certificates{name="a.test",state="backoff"}"#) == 1.0
    });
}

/// Has a store whose only certificate is to be renewed with the next start.
fn due(store: &Path, host: &Host, ca: &Ca) {
    let gate = host.start_with(store);
    issued(host, ca, "a.test");
    eventually("all is stored", || nothing_begun(store));
    drop(gate);
    change_state(store, |state| state["asked"] = json!("2026-11-01T00:00:00Z"));
}

#[test]
fn a_store_without_room_orders_nothing_and_keeps_serving() {
    let Some(mounted) = Mounted::new("a store without room") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    let host = Host::of(&ca).site(&["a.test"], "");
    due(&store, &host, &ca);
    mounted.fill();
    let before = stored(&store).unwrap();
    ca.front.forget();
    let gate = host.start_with(&store);
    failing(&gate);
    assert!(shown(host.tls(), "a.test", &ca.issuer_roots(), &[]).unwrap().trusted);
    assert_eq!(gate.metric(r#"tidegate_acme_attempts_total{name="a.test",outcome="local"}"#), 1.0);
    assert!(stored(&store).unwrap() == before && before.contains("END CERTIFICATE"));
    assert_eq!(ca.front.total(), 0, "nobody is asked for what there is no room for");
    // With room again it is renewed by itself.
    mounted.make_room();
    within("it is renewed", ISSUANCE, || (stored(&store)? != before).then_some(()));
    assert_eq!(ca.orders(), 1);
}

#[test]
fn a_store_that_is_read_only_orders_nothing_and_keeps_serving() {
    let Some(mounted) = Mounted::new("a store that is read-only") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    let host = Host::of(&ca).site(&["a.test"], "");
    due(&store, &host, &ca);
    mounted.remount("ro");
    let before = stored(&store).unwrap();
    ca.front.forget();
    let gate = host.start_with(&store);
    failing(&gate);
    assert!(shown(host.tls(), "a.test", &ca.issuer_roots(), &[]).unwrap().trusted);
    assert_eq!(ca.front.total(), 0);
    mounted.remount("rw");
    within("it is renewed", ISSUANCE, || (stored(&store)? != before).then_some(()));
    assert_eq!(ca.orders(), 1);
}

#[test]
fn a_start_says_that_a_store_cant_be_written_long_before_a_certificate_is_due() {
    let Some(mounted) = Mounted::new("a store that is read-only from the start") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    let host = Host::of(&ca).site(&["a.test"], "");
    drop(host.start_with(&store));
    mounted.remount("ro");
    let server = Binary::run_file(&host.toml(&store));
    server.wait_for_stderr("the certificate store can't be written: nothing can be ordered");
    assert!(server.stderr().contains("Read-only file system"), "{}", server.stderr());
    drop(server);
}

#[test]
fn a_certificate_that_comes_when_the_store_is_full_is_served_and_stored_when_there_is_room() {
    let Some(mounted) = Mounted::new("a certificate that comes when the store is full") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    ca.front.set("/certZ/", Fault::Hold);
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start_with(&store);
    eventually("the certificate is ready", || ca.front.requests("/certZ/") > 0);
    mounted.fill();
    ca.front.clear();
    let leaf = issued(&host, &ca, "a.test");
    failing(&gate);
    assert_eq!(stored(&store), None);
    mounted.make_room();
    within("it is stored", ISSUANCE, || stored(&store).map(drop));
    eventually("the order is over", || nothing_begun(&store));
    assert_eq!(state(&store).unwrap()["issuer"], "ca");
    assert_eq!(ca.orders(), 1);
    drop(gate);
    let _gate = host.start_with(&store);
    assert_eq!(shown(host.tls(), "a.test", &ca.issuer_roots(), &[]).unwrap().chain[0], leaf);
}

#[test]
fn a_certificate_that_was_served_from_memory_alone_is_fetched_again_after_a_crash_and_not_ordered_again() {
    let Some(mounted) = Mounted::new("a crash when the store is full") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    ca.front.set("/certZ/", Fault::Hold);
    let host = Host::of(&ca).site(&["a.test"], "");
    let server = Binary::run_file(&host.toml(&store));
    eventually("the certificate is ready", || ca.front.requests("/certZ/") > 0);
    mounted.fill();
    ca.front.clear();
    let leaf = issued(&host, &ca, "a.test");
    server.signal("KILL");
    drop(server);
    // Still no room.
    let _server = Binary::run_file(&host.toml(&store));
    assert_eq!(issued(&host, &ca, "a.test"), leaf);
    mounted.make_room();
    within("it is stored", ISSUANCE, || stored(&store).map(drop));
    assert_eq!(ca.orders(), 1);
}

#[test]
fn an_order_that_there_is_no_room_for_is_not_placed_again_with_every_try() {
    let Some(mounted) = Mounted::new("no room for an order's URL") else { return };
    let (ca, store) = (Ca::start(), mounted.store());
    // The key is written ahead, and then the disk is full.
    ca.front.set("/order-plz", Fault::Hold);
    let host = Host::of(&ca).site(&["a.test"], "");
    let gate = host.start_with(&store);
    eventually("an order is placed", || ca.front.requests("/order-plz") > 0);
    mounted.fill();
    ca.front.clear();
    failing(&gate);
    assert_eq!(ca.orders(), 1);
    drop(gate);
    let gate = host.start_with(&store);
    failing(&gate);
    assert_eq!(ca.orders(), 1, "that it can't be written is known before it is placed");
    mounted.make_room();
    drop(gate);
    let _gate = host.start_with(&store);
    issued(&host, &ca, "a.test");
}
