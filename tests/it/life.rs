//! The program: signals, exit codes, draining.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{
    Answer, Binary, Certificate, DnsServer, Ended, Fault, Gate, Latch, Origin, Setup, eventually, get, program,
    refusing_address, run,
};

fn holding() -> (Origin, Latch) {
    let latch = Latch::new();
    (Origin::answering(Answer::ok("late").after(&latch)), latch)
}

#[test]
fn term_and_quit_finish_what_is_in_flight_and_exit_with_0() {
    for signal in ["TERM", "QUIT"] {
        let (origin, latch) = holding();
        let mut binary = Binary::start(&Setup::to(&[origin.address()]));
        let address = binary.address();
        let mut client = binary.client();
        client.send(get("/"));
        origin.wait_for_heads(1);
        let mut idle = binary.client();
        binary.signal(signal);
        eventually("the listener is closed", || std::net::TcpStream::connect(address).is_err());
        idle.assert_closed();
        assert!(binary.is_running());
        latch.open();
        let response = client.response("GET");
        assert_eq!((response.text().as_str(), response.field("connection")), ("late", Some("close")));
        client.assert_closed();
        assert_eq!(binary.ended(), Ended::Code(0), "{signal}: {}", binary.stderr());
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (origin, _latch) = holding();
    let mut binary = Binary::start(&Setup::to(&[origin.address()]));
    let address = binary.address();
    let mut client = binary.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    binary.signal("TERM");
    eventually("the drain begins", || std::net::TcpStream::connect(address).is_err());
    let since = Instant::now();
    binary.signal("TERM");
    binary.ended();
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn int_does_not_wait() {
    let (origin, _latch) = holding();
    let mut binary = Binary::start(&Setup::to(&[origin.address()]));
    let mut client = binary.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    let since = Instant::now();
    binary.signal("INT");
    binary.ended();
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn term_does_not_wait_for_a_reload_that_looks_for_names() {
    let origin = Origin::named("a");
    let mut binary = Binary::start(&Setup::to(&[origin.address()]));
    let dns = DnsServer::start();
    dns.fail("new.internal", Fault::Silence);
    // Longer than a start or a reload waits for names.
    let resolver = dns.resolver().replace("timeout = \"1s\"", "timeout = \"60s\"");
    let name = "{ address = \"new.internal:80\", resolve = true }".to_owned();
    binary.rewrite(&Setup::with_endpoints(&[name]).and(&resolver));
    binary.signal("HUP");
    eventually("the reload looks for the name", || dns.asked("new.internal") > 0);
    assert_eq!(binary.client().get("/").text(), "a");
    binary.signal("TERM");
    assert_eq!(binary.ended(), Ended::Code(0), "{}", binary.stderr());
    let said = binary.stderr();
    assert!(!said.contains("no endpoints are found so far"), "it has waited until the reload gave the name up: {said}");
}

#[test]
fn a_drain_ends_after_its_time_whatever_is_in_flight() {
    let (origin, _latch) = holding();
    let mut binary = Binary::start(&Setup::to(&[origin.address()]).top("drain_timeout = \"500ms\""));
    let mut client = binary.client();
    client.send(get("/"));
    origin.wait_for_heads(1);
    let since = Instant::now();
    binary.signal("TERM");
    binary.ended();
    assert!((400..4000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
}

#[test]
fn readiness_is_false_during_the_lame_duck_and_requests_are_served() {
    let origin = Origin::named("a");
    let mut binary = Binary::start(&Setup::to(&[origin.address()]).top("lame_duck = \"1500ms\""));
    let metrics = binary.metrics();
    let ready = || crate::support::Client::connect(metrics).get("/readyz").status;
    eventually("it is ready", || ready() == 200);
    binary.signal("TERM");
    eventually("it is not ready", || ready() == 503);
    assert_eq!(binary.client().get("/").text(), "a");
    assert_eq!(binary.ended(), Ended::Code(0));
}

#[test]
fn a_websocket_is_given_the_drains_time() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    let origin = Origin::answering(Answer::raw(switched).echo());
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.try_head("GET").unwrap().status, 101);
    let down = gate.shutdown(Duration::from_millis(600));
    client.send("still");
    assert_eq!(client.take(5).unwrap(), b"still");
    client.assert_closed();
    down.join().unwrap();
}

#[test]
fn usr1_opens_the_access_log_anew() {
    let origin = Origin::named("a");
    let binary = Binary::start(&Setup::to(&[origin.address()]));
    let (log, moved) = (binary.directory().join("access.log"), binary.directory().join("moved.log"));
    let lines = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    binary.client().get("/");
    eventually("a line", || lines(&log) == 1);
    fs::rename(&log, &moved).unwrap();
    binary.signal("USR1");
    eventually("the file is there again", || log.exists());
    binary.client().get("/");
    eventually("the next line", || lines(&log) == 1);
    assert_eq!(lines(&moved), 1);
}

#[test]
fn winch_does_nothing() {
    let origin = Origin::named("a");
    let mut binary = Binary::start(&Setup::to(&[origin.address()]));
    binary.signal("WINCH");
    assert_eq!(binary.client().get("/").text(), "a");
    assert!(binary.is_running());
}

#[test]
fn a_bad_configuration_is_78_and_tells_every_error() {
    let setup = Setup::to(&[refusing_address(1)]).route("limit = \"missing\"").top("max_connection = 5");
    let mut binary = Binary::spawn(&setup, |c| c);
    assert_eq!(binary.ended(), Ended::Code(78));
    let said = binary.stderr();
    assert!(said.contains("missing") && said.contains("max_connections"), "{said}");
}

#[test]
fn a_port_in_use_is_one_clear_line_and_78() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::to(&[refusing_address(1)]).and(&format!("[[listener]]\naddress = \"{address}\""));
    let mut binary = Binary::spawn(&setup, |c| c);
    assert_eq!(binary.ended(), Ended::Code(78));
    assert!(binary.stderr().contains(&address), "{}", binary.stderr());
}

#[test]
fn a_certificate_that_cannot_be_read_is_told_with_its_path() {
    let setup = Setup::to(&[refusing_address(1)])
        .listener("tls = true")
        .site("certificate = { chain = \"/nowhere/cert.pem\", key = \"/nowhere/key.pem\" }");
    let mut binary = Binary::spawn(&setup, |c| c);
    assert_eq!(binary.ended(), Ended::Code(78));
    assert!(binary.stderr().contains("/nowhere/cert.pem"), "{}", binary.stderr());
}

#[test]
fn faults_of_named_files_are_told_with_all_others_where_the_files_are_named() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("tidegate.toml");
    let text = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n[access_log]\noutput = \"missing/access.log\"\n\
                [[site]]\nhosts = \"a.test\"\ncertificate = { chain = \"cert.cert.pem\", key = \"/nowhere/key.pem\" }\n\
                [[site.route]]\npath = \"/\"\nupstream = \"nobody\"\n";
    fs::write(&file, text).unwrap();
    Certificate::make(directory.path(), "cert", &["a.test"]);

    for verb in ["check", "run"] {
        let ran = std::process::Command::new(program()).args([verb, "-c", file.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        for place in ["tidegate.toml:5:10", "tidegate.toml:8:48", "tidegate.toml:11:12"] {
            assert!(said.contains(place), "{verb} doesn't tell {place}:\n{said}");
        }
        assert!(said.contains("/nowhere/key.pem: No such file"), "{said}");
    }
}

#[test]
fn check_says_0_or_1_and_wrong_usage_is_2() {
    let directory = tempfile::TempDir::new().unwrap();
    let (good, bad) = (directory.path().join("good.toml"), directory.path().join("bad.toml"));
    fs::write(&good, Setup::to(&[refusing_address(1)]).toml(directory.path())).unwrap();
    fs::write(&bad, "nonsense = 1\n").unwrap();
    let code =
        |arguments: &[&str]| std::process::Command::new(program()).args(arguments).output().unwrap().status.code();
    assert_eq!(code(&["check", "-c", good.to_str().unwrap()]), Some(0));
    assert_eq!(code(&["check", "-c", bad.to_str().unwrap()]), Some(1));
    assert_eq!(code(&["flurble"]), Some(2));
    assert_eq!(code(&["run", "-c", "/nowhere.toml"]), Some(78));
}

#[test]
fn healthcheck_asks_the_running_one() {
    let origin = Origin::named("a");
    let binary = Binary::start(&Setup::to(&[origin.address()]));
    let url = format!("http://{}/readyz", binary.metrics());
    assert!(eventually("healthy", || run(program(), |c| c.args(["healthcheck", &url])).success.then_some(true)));
    let nobody = format!("http://{}/readyz", refusing_address(1));
    assert!(!run(program(), |c| c.args(["healthcheck", &nobody])).success);
}
