//! Listeners on Unix sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Answer, Binary, Client, Ended, Gate, Latch, Origin, Setup, Tls, eventually, get, run};

/// One more listener, at `path`.
fn at(path: &Path) -> String {
    format!("[[listener]]\naddress = \"unix:{}\"", path.display())
}

/// The second listener's path.
fn socket() -> (TempDir, std::path::PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.sock");
    (directory, path)
}

#[test]
fn its_clients_are_nginxs_unix_and_curl_is_served() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let gate = Setup::to(&[origin.address()]).and(&at(&path)).start();
    let answer = run("curl", |c| c.args(["-sS", "--unix-socket"]).arg(&path).arg("http://test/"));
    assert_eq!(answer.stdout, "a", "{}", answer.stderr);
    let request = origin.last();
    assert_eq!((request.field("x-real-ip"), request.field("x-forwarded-for")), (Some("unix:"), Some("unix:")));
    let record = gate.records(1).remove(0);
    assert_eq!((&record["client"], &record["peer"]), (&"unix:".into(), &"unix:".into()));
    assert_eq!(gate.metric(&format!("tidegate_connections_total{{listener=\"unix:{}\"}}", path.display())), 1.0);
}

#[test]
fn every_worker_serves_it_and_keeps_connections_alive() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let _gate = Setup::to(&[origin.address()]).top("workers = 3").and(&at(&path)).start();
    let mut clients: Vec<_> = (0..30).map(|_| Client::unix(&path)).collect();
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "a");
        }
    }
}

#[test]
fn trusted_as_unix_its_word_about_clients_counts() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let _gate = Setup::to(&[origin.address()]).top("trusted_proxies = [\"unix:\"]").and(&at(&path)).start();
    let mut client = Client::unix(&path);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    let request = origin.last();
    assert_eq!(request.field("x-real-ip"), Some("198.51.100.7"));
    assert_eq!(request.field("x-forwarded-for"), Some("6.6.6.6, 198.51.100.7, unix:"));
}

#[test]
fn tls_and_proxy_headers_are_spoken_there_too() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let more = format!("{}\ntls = true\nproxy_protocol = {{ from = \"unix:\" }}", at(&path));
    let (_gate, certificate) = Setup::to(&[origin.address()]).and(&more).start_tls();
    let tls = Tls::new(&[&certificate], "test");
    let mut client = Client::unix_tls_after(&path, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n", &tls);
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.last().field("x-real-ip"), Some("198.51.100.7"));
}

#[test]
fn the_file_has_its_mode_and_goes_when_the_gate_does() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let gate = Setup::to(&[origin.address()]).and(&format!("{}\nmode = \"0600\"", at(&path))).start();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    gate.shutdown(Duration::ZERO).join().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_reload_changes_the_mode_of_a_file_that_is_there() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let setup = |mode: &str| Setup::to(&[origin.address()]).and(&format!("{}\nmode = {mode:?}", at(&path)));
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let gate = setup("0666").start();
    let mut client = Client::unix(&path);
    assert_eq!((mode(), client.get("/").text().as_str()), (0o666, "a"));
    gate.reload(&setup("0600"));
    assert_eq!((mode(), client.get("/").text().as_str()), (0o600, "a"));
    // One that has been put in its place is somebody else's.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    gate.reload(&setup("0666"));
    assert_eq!(mode(), 0o640);
}

#[test]
fn what_a_killed_process_left_is_replaced_and_a_living_one_is_not() {
    let origin = Origin::named("a");
    let (_directory, path) = socket();
    let setup = Setup::to(&[origin.address()]).and(&at(&path));
    let mut killed = Binary::start(&setup);
    killed.signal("KILL");
    killed.ended();
    assert!(path.exists());
    let _gate = setup.start();
    assert_eq!(Client::unix(&path).get("/").text(), "a");
    let mut second = Binary::spawn(&setup, |c| c);
    assert_eq!(second.ended(), Ended::Code(78));
    assert!(second.stderr().contains("is in use by another process"), "{}", second.stderr());
    assert_eq!(Client::unix(&path).get("/").text(), "a");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let (_directory, path) = socket();
    fs::write(&path, "precious").unwrap();
    let mut binary = Binary::spawn(
        &Setup::to(&[]).and(&at(&path)).sites("[[site]]\n[[site.route]]\npath = \"/\"\nreply = \"x\""),
        |c| c,
    );
    assert_eq!(binary.ended(), Ended::Code(78));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_reload_keeps_adds_and_removes_it() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("a").after(&latch));
    let (_directory, path) = socket();
    let with = Setup::to(&[origin.address()]).and(&at(&path));
    let gate = with.start();
    let number = fs::symlink_metadata(&path).map(|m| std::os::unix::fs::MetadataExt::ino(&m)).unwrap();
    let mut client = Client::unix(&path);
    client.send(get("/"));
    origin.wait_for_heads(1);
    gate.reload(&with.clone().route("response_headers.set = { X-New = \"1\" }"));
    assert_eq!(fs::symlink_metadata(&path).map(|m| std::os::unix::fs::MetadataExt::ino(&m)).unwrap(), number);
    gate.reload(&Setup::to(&[origin.address()]));
    assert!(!path.exists());
    // The request that was in flight has outlived both, and its listener.
    latch.open();
    assert_eq!(client.response("GET").text(), "a");
    gate.reload(&with);
    assert_eq!(Client::unix(&path).get("/").text(), "a");
    failed_reload_removes_what_it_bound(&gate, &with);
}

fn failed_reload_removes_what_it_bound(gate: &Gate, with: &Setup) {
    let (_directory, other) = socket();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup =
        with.clone().and(&at(&other)).and(&format!("[[listener]]\naddress = \"{}\"", taken.local_addr().unwrap()));
    assert!(gate.try_reload(&setup).is_err());
    eventually("the file is gone again", || !other.exists());
}

#[test]
fn tcp_listeners_take_keepalive_and_user_timeout_over_at_a_reload() {
    let origin = Origin::named("a");
    let setup = Setup::to(&[origin.address()]);
    let gate = setup
        .clone()
        .listener("tcp_keepalive = { idle = \"61s\", interval = \"7s\", count = 3 }\ntcp_user_timeout = \"9s\"")
        .start();
    let shown = |client: &Client| {
        let port = client.local_address().port();
        let ss = run("ss", |c| c.args(["-Htno", &format!("dport = :{port}")]));
        ss.stdout
    };
    let mut client = gate.client();
    client.get("/");
    assert!(shown(&client).contains("timer:(keepalive,"), "{}", shown(&client));
    gate.reload(&setup);
    let mut plain = gate.client();
    plain.get("/");
    assert!(!shown(&plain).contains("keepalive"), "{}", shown(&plain));
}
