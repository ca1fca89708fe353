//! Reloads: one snapshot swapped, connections and live state kept.

use crate::support::{Answer, Binary, Latch, Origin, Setup, eventually, get, run, scrape, sum_of};

#[test]
fn new_requests_see_the_new_configuration_on_the_same_connection() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gate = Setup::to(&[a.address()]).start();
    let address = gate.address();
    let mut client = gate.client();
    assert_eq!(client.get("/").text(), "a");
    gate.reload(&Setup::to(&[b.address()]));
    assert_eq!(client.get("/").text(), "b");
    assert_eq!(gate.address(), address);
    assert_eq!(gate.get("/").text(), "b");
    assert_eq!(gate.metric("tidegate_config_reloads_total{result=\"succeeded\"}"), 1.0);
}

#[test]
fn a_request_in_flight_ends_as_it_began() {
    let latch = Latch::new();
    let (a, b) = (Origin::answering(Answer::ok("a").after(&latch)), Origin::named("b"));
    let gate = Setup::to(&[a.address()]).site("response_headers.set = { X-Generation = \"1\" }").start();
    let mut client = gate.client();
    client.send(get("/"));
    a.wait_for_heads(1);
    gate.reload(&Setup::to(&[b.address()]).site("response_headers.set = { X-Generation = \"2\" }"));
    latch.open();
    let response = client.response("GET");
    assert_eq!((response.text().as_str(), response.field("x-generation")), ("a", Some("1")));
    assert_eq!(client.get("/").field("x-generation"), Some("2"));
}

#[test]
fn limiter_ejection_and_in_flight_state_outlive_a_reload() {
    let latch = Latch::new();
    let (a, b) = (Origin::answering(Answer::nothing().close()), Origin::answering(Answer::ok("b").after(&latch)));
    let setup = Setup::to(&[a.address(), b.address()])
        .upstream("fail_timeout = \"60s\"")
        .route("limit = \"l\"")
        .and("[limit.l]\nrate = \"1/m\"\nburst = 1");
    let gate = setup.start();
    let mut client = gate.client();
    client.send(get("/"));
    b.wait_for_heads(1);
    assert_eq!(gate.metric("tidegate_endpoint_ejected"), f64::from(u8::from(a.heads() == 1)));
    let ejected = gate.metric("tidegate_endpoint_ejected");
    gate.reload(&setup.clone().route("response_headers.set = { X-New = \"1\" }"));
    assert_eq!(gate.metric("tidegate_endpoint_ejected"), ejected);
    assert_eq!(gate.metric("tidegate_endpoint_in_flight"), 1.0);
    latch.open();
    assert_eq!(client.response("GET").status, 200);
    assert_eq!([gate.get("/").status, gate.get("/").status], [200, 429]);
    eventually("nothing is in flight", || gate.metric("tidegate_endpoint_in_flight") == 0.0);
}

#[test]
fn listeners_are_added_and_removed() {
    let origin = Origin::named("a");
    let one = Setup::to(&[origin.address()]);
    let two = one.clone().and("[[listener]]\naddress = \"127.0.0.7:0\"");
    let gate = one.start();
    gate.reload(&two);
    let second = gate.listener(1);
    assert_eq!(crate::support::Client::connect(second).get("/").text(), "a");
    gate.reload(&one);
    eventually("the second is closed", || std::net::TcpStream::connect(second).is_err());
    assert_eq!(gate.get("/").text(), "a");
}

#[test]
fn a_kept_listener_takes_a_new_backlog_over() {
    let origin = Origin::named("a");
    let setup = |backlog: u32| Setup::to(&[origin.address()]).listener(&format!("backlog = {backlog}"));
    let gate = setup(100).top("workers = 1").start();
    let port = format!("sport = :{}", gate.address().port());
    // The kernel shows a listening socket's backlog as the size of its send queue.
    let backlog = || run("ss", |c| c.args(["-Hltn", &port])).stdout.split_whitespace().nth(2).map(str::to_owned);
    assert_eq!(backlog().as_deref(), Some("100"));
    gate.reload(&setup(50).top("workers = 1"));
    assert_eq!(backlog().as_deref(), Some("50"));
}

#[test]
fn idle_connections_to_an_endpoint_that_is_taken_out_are_closed() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let setup = Setup::to(&[a.address(), b.address()]);
    let gate = setup.start();
    let mut client = gate.client();
    eventually("both have served", || client.get("/").status == 200 && a.count() > 0 && b.count() > 0);
    gate.reload(&Setup::to(&[b.address()]));
    eventually("a is left alone", || a.connections_open() == 0);
    assert_eq!(client.get("/").text(), "b");
    assert_eq!(b.connections_opened(), b.connections_open(), "those to b are kept");
}

#[test]
fn certificates_are_read_again() {
    let origin = Origin::named("a");
    let (gate, first) = Setup::to(&[origin.address()]).start_tls();
    let tls = |c: &crate::support::Certificate| crate::support::Tls::new(&[c], "test");
    assert!(crate::support::Client::try_tls(gate.address(), &tls(&first)).is_ok());
    let (chain, key) = (first.chain.clone(), first.key.clone());
    let second = crate::support::Certificate::make(gate.directory(), "second", &["test"]);
    let setup = Setup::to(&[origin.address()]).listener("tls = true").site(&format!("certificate = {}", second.toml()));
    gate.reload(&setup);
    assert!(crate::support::Client::try_tls(gate.address(), &tls(&second)).is_ok());
    assert!(chain.exists() && key.exists());
}

#[test]
fn what_is_fixed_while_the_process_runs_is_named_and_nothing_changes() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let gate = Setup::to(&[a.address()]).top("workers = 2").start();
    let refusal = |setup: Setup| gate.try_reload(&setup).unwrap_err();
    let other = || Setup::to(&[b.address()]).top("workers = 2");
    let log = refusal(other().and("[log]\nlevel = \"debug\""));
    assert_eq!(log, "`[log]` can't change while the process runs: restart it");
    let all = refusal(Setup::to(&[b.address()]).top("workers = 1").log("format = \"combined\""));
    assert_eq!(all, "`workers` and `[access_log]` can't change while the process runs: restart it");
    assert_eq!(gate.get("/").text(), "a");
    assert_eq!(gate.metric("tidegate_config_reloads_total{result=\"failed\"}"), 2.0);
}

#[test]
fn no_request_fails_while_reloads_go_on() {
    let origin = Origin::named("a");
    let setup = Setup::to(&[origin.address()]);
    let gate = setup.start();
    let address = gate.address();
    let stop = Latch::new();
    let stopped = stop.clone();
    let load = std::thread::spawn(move || {
        let mut count = 0;
        while !stopped.wait_for(std::time::Duration::from_millis(1)) {
            let mut client = crate::support::Client::connect(address);
            assert_eq!((client.get("/").status, client.get("/").status), (200, 200));
            count += 1;
        }
        count
    });
    for n in 0..30 {
        gate.reload(&setup.clone().site(&format!("response_headers.set = {{ X-N = \"{n}\" }}")));
    }
    stop.open();
    assert!(load.join().unwrap() > 0);
    assert_eq!(gate.get("/").field("x-n"), Some("29"));
}

#[test]
fn hup_reads_the_file_again() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let binary = Binary::start(&Setup::to(&[a.address()]));
    let address = binary.address();
    let mut client = binary.client();
    assert_eq!(client.get("/").text(), "a");
    binary.rewrite(&Setup::to(&[b.address()]));
    binary.signal("HUP");
    eventually("the new file counts", || client.get("/").text() == "b");
    assert_eq!(binary.address(), address);
}

#[test]
fn a_bad_file_keeps_the_old_and_every_error_is_told() {
    let origin = Origin::named("a");
    let mut binary = Binary::start(&Setup::to(&[origin.address()]));
    binary.write("workrs = 3\n[[listener]]\naddress = \"nowhere\"\n");
    binary.signal("HUP");
    binary.wait_for_stderr("workrs");
    binary.wait_for_stderr("nowhere");
    assert!(binary.is_running());
    assert_eq!(binary.client().get("/").text(), "a");
    let metrics = scrape(binary.metrics());
    assert_eq!(sum_of(&metrics, "tidegate_config_reloads_total{result=\"failed\"}"), 1.0);
    assert_eq!(sum_of(&metrics, "tidegate_config_last_reload_successful"), 0.0);
}
