//! Endpoints that DNS gives, and takes away again.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use crate::support::{
    Answer, Binary, DnsServer, Fault, Gate, Latch, Origin, Setup, eventually, get, refusing_address, scrape, sum_of,
};

/// Origins that share a port, each on an address of its own, which it answers with.
fn origins<const N: usize>() -> ([Origin; N], u16) {
    let first = Origin::start_at("127.0.0.10:0".parse().unwrap(), |_| Answer::ok("127.0.0.10"));
    let port = first.address().port();
    let mut origins = vec![first];
    for n in 11..10 + N as u8 {
        let ip = Ipv4Addr::new(127, 0, 0, n);
        origins.push(Origin::start_at((ip, port).into(), move |_| Answer::ok(ip.to_string())));
    }
    (origins.try_into().ok().unwrap(), port)
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, n)
}

fn to_name(dns: &DnsServer, port: u16) -> Setup {
    Setup::with_endpoints(&[format!("{{ address = \"app.internal:{port}\", resolve = true }}")]).and(&dns.resolver())
}

/// Who answers requests now, a few times each.
fn who_answers(gate: &Gate) -> HashSet<String> {
    let mut client = gate.client();
    (0..12).map(|_| client.get("/").text()).collect()
}

fn assert_eventually_answered_by(gate: &Gate, wanted: &[u8]) {
    let wanted: HashSet<String> = wanted.iter().map(|n| ip(*n).to_string()).collect();
    eventually(&format!("{wanted:?} answer"), || who_answers(gate) == wanted);
}

#[test]
fn endpoints_come_and_go_with_the_answer() {
    let (_origins, port) = origins::<3>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10), ip(11)]);
    let gate = to_name(&dns, port).start();
    assert_eq!(who_answers(&gate).len(), 2);
    dns.addresses("app.internal", &[ip(11), ip(12)]);
    assert_eventually_answered_by(&gate, &[11, 12]);
    dns.addresses("app.internal", &[ip(10)]);
    assert_eventually_answered_by(&gate, &[10]);
    let source = format!("source=\"dns:app.internal:{port}\"");
    assert_eq!(gate.metric(&format!("tidegate_discovery_endpoints{{{source}}}")), 1.0);
    assert_eq!(gate.metric(&format!("tidegate_discovery_changes_total{{{source}}}")), 3.0);
    assert_eq!(gate.metric(&format!("tidegate_discovery_failures_total{{{source}}}")), 0.0);
    assert!(gate.metric(&format!("tidegate_discovery_last_success_timestamp_seconds{{{source}}}")) > 1e9);
}

#[test]
fn the_last_good_answer_stays_whatever_goes_wrong() {
    let (_origins, port) = origins::<3>();
    let dns = DnsServer::start();
    let setup = Setup::with_endpoints(&[format!("{{ address = \"app.internal:{port}\", resolve = true }}")]);
    let setup = setup.and(&dns.resolver().replace("timeout = \"1s\"", "timeout = \"100ms\""));
    for fault in [Fault::NoSuchName, Fault::ServerFailure, Fault::Silence, Fault::Empty, Fault::Garbage, Fault::WrongId]
    {
        dns.heal("app.internal");
        dns.addresses("app.internal", &[ip(10), ip(11)]);
        let gate = setup.start();
        assert_eq!(who_answers(&gate).len(), 2, "{fault:?}");
        dns.addresses("app.internal", &[ip(12)]);
        dns.fail("app.internal", fault);
        eventually(&format!("{fault:?} counts"), || gate.metric("tidegate_discovery_failures_total") >= 2.0);
        assert_eq!(gate.metric("tidegate_discovery_failing"), 1.0);
        // The answer may have changed before it failed.
        let kept = who_answers(&gate);
        assert!(!kept.is_empty() && gate.metric("tidegate_discovery_endpoints") >= 1.0, "{fault:?}: {kept:?}");
        dns.heal("app.internal");
        assert_eventually_answered_by(&gate, &[12]);
        eventually("it is well again", || gate.metric("tidegate_discovery_failing") == 0.0);
    }
}

#[test]
fn a_failure_is_told_once_and_so_is_its_end() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10)]);
    let binary = Binary::start(&to_name(&dns, port));
    dns.fail("app.internal", Fault::ServerFailure);
    let failures = || sum_of(&scrape(binary.metrics()), "tidegate_discovery_failures_total");
    eventually("it failed some times", || failures() >= 4.0);
    dns.heal("app.internal");
    binary.wait_for_stderr("endpoints are found again");
    let stderr = binary.stderr();
    assert_eq!(stderr.matches("endpoints are not found; the last ones stay in use").count(), 1, "{stderr}");
    assert!(stderr.contains(&format!("dns:app.internal:{port}")) && stderr.contains("Server Failure"), "{stderr}");
    assert!(!stderr.contains("hickory"), "{stderr}");
    dns.addresses("app.internal", &[ip(10), ip(20)]);
    binary.wait_for_stderr(&format!("added=\"127.0.0.20:{port}\" removed=\"\" endpoints=2"));
}

#[test]
fn a_name_that_does_not_exist_at_the_start_is_found_later() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    let gate = to_name(&dns, port).start();
    let reply = gate.get("/");
    assert_eq!((reply.status, gate.logged_reason().as_str()), (502, "no_endpoint"));
    dns.addresses("app.internal", &[ip(10)]);
    eventually("it is found", || gate.get("/").status == 200);
}

#[test]
fn one_family_that_fails_takes_nothing_from_the_other() {
    let (_origins, port) = origins::<2>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10)]);
    dns.fail("app.internal", Fault::Ipv6Fails);
    let gate = to_name(&dns, port).start();
    assert_eq!(gate.get("/").text(), "127.0.0.10");
    dns.addresses("app.internal", &[ip(11)]);
    assert_eventually_answered_by(&gate, &[11]);
    assert_eq!(gate.metric("tidegate_discovery_failing"), 1.0);
    // Addresses of the family that fails stay as they were.
    dns.addresses("app.internal", &["127.0.0.11".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    dns.heal("app.internal");
    eventually("both are there", || gate.metric("tidegate_discovery_endpoints") == 2.0);
    dns.fail("app.internal", Fault::Ipv6Fails);
    eventually("it fails", || gate.metric("tidegate_discovery_failing") == 1.0);
    assert_eq!(gate.metric("tidegate_discovery_endpoints"), 2.0);
}

#[test]
fn an_answer_that_is_too_long_for_a_packet_comes_over_tcp() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    let many: Vec<Ipv4Addr> = (1..=200).map(|n| Ipv4Addr::new(127, 1, 0, n)).collect();
    dns.addresses("app.internal", &many);
    dns.fail("app.internal", Fault::Truncated);
    let gate = to_name(&dns, port).start();
    assert_eq!(gate.metric("tidegate_discovery_endpoints"), 200.0);
    assert!(dns.asked_over_tcp("app.internal"));
}

#[test]
fn an_alias_is_followed_to_its_end() {
    let (_origins, port) = origins::<2>();
    let dns = DnsServer::start();
    dns.alias("app.internal", "b.internal");
    dns.alias("b.internal", "c.internal");
    dns.addresses("c.internal", &[ip(10)]);
    let gate = to_name(&dns, port).start();
    assert_eq!(gate.get("/").text(), "127.0.0.10");
    dns.addresses("c.internal", &[ip(11)]);
    assert_eventually_answered_by(&gate, &[11]);
}

#[test]
fn srv_records_give_port_weight_and_who_comes_first() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let [pa, pb, pc] = [&a, &b, &c].map(|origin| origin.address().port());
    let dns = DnsServer::start();
    let name = "_http._tcp.app.internal";
    let services = [(10, 3, pa, "one.internal"), (10, 1, pb, "one.internal"), (20, 0, pc, "two.internal")];
    dns.services(name, &services);
    dns.addresses("one.internal", &[Ipv4Addr::LOCALHOST]);
    dns.addresses("two.internal", &[Ipv4Addr::LOCALHOST]);
    let setup = Setup::with_endpoints(&["{ address = \"app.internal\", service = \"http\" }".to_owned()]);
    let setup = setup.upstream("policy = \"round_robin\"\nhost = \"endpoint\"").and(&dns.resolver());
    let gate = setup.start();
    let mut client = gate.client();
    let answers: Vec<String> = (0..8).map(|_| client.get("/").text()).collect();
    let of = |name: &str| answers.iter().filter(|answer| *answer == name).count();
    assert_eq!((of("a"), of("b"), of("c")), (6, 2, 0), "{answers:?}");
    assert_eq!(a.last().field("host"), Some(&*format!("app.internal:{pa}")));
    // What was second comes first when the first are gone, and a target that is announced too early does no harm.
    dns.services(name, &[(30, 1, pb, "one.internal"), (20, 1, pc, "two.internal"), (20, 1, 9, "not-yet.internal")]);
    eventually("only c serves", || (0..8).all(|_| client.get("/").text() == "c"));
    // A service that is decidedly not there is no reason to have none.
    dns.services(name, &[(0, 0, 0, ".")]);
    eventually("it counts as a failure", || gate.metric("tidegate_discovery_failing") == 1.0);
    assert_eq!(client.get("/").text(), "c");
}

#[test]
fn no_request_fails_while_endpoints_change() {
    let (origins, port) = origins::<4>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10), ip(11)]);
    let gate = to_name(&dns, port).start();
    let address = gate.address();
    let stop = Latch::new();
    let load: Vec<_> = (0..3)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut client = crate::support::Client::connect(address);
                let mut count = 0;
                while !stop.wait_for(std::time::Duration::ZERO) {
                    assert_eq!(client.get("/").status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for pair in [[12, 13], [10, 13], [11, 12], [10, 11], [12, 13]] {
        let before = gate.metric("tidegate_discovery_changes_total");
        dns.addresses("app.internal", &pair.map(ip));
        eventually("the change counts", || gate.metric("tidegate_discovery_changes_total") > before);
    }
    eventually("the last ones serve", || origins[2].count() > 0 && origins[3].count() > 0);
    stop.open();
    let served: usize = load.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(served > 0);
    eventually("all of them are counted", || gate.metric("http_requests_total{status=\"200\"}") == served as f64);
    assert_eq!(gate.metric("tidegate_retries_total"), 0.0);
}

#[test]
fn who_leaves_finishes_its_requests_and_loses_its_idle_connections() {
    let (origins, port) = origins::<2>();
    let latch = Latch::new();
    let (dns, wait) = (DnsServer::start(), latch.clone());
    origins[0].answer_with(move |request| match request.target() {
        "/slow" => Answer::ok("slow").after(&wait),
        _ => Answer::ok("quick"),
    });
    dns.addresses("app.internal", &[ip(10)]);
    let gate = to_name(&dns, port).start();
    let mut slow = gate.client();
    slow.send(get("/slow"));
    origins[0].wait_for_requests(1);
    assert_eq!(gate.get("/").text(), "quick");
    assert_eq!(origins[0].connections_open(), 2);
    dns.addresses("app.internal", &[ip(11)]);
    assert_eventually_answered_by(&gate, &[11]);
    eventually("the idle connection is closed", || origins[0].connections_open() == 1);
    latch.open();
    assert_eq!(slow.response("GET").text(), "slow");
    eventually("the last one is closed, too", || origins[0].connections_open() == 0);
}

#[test]
fn who_returns_is_as_it_was() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    // Nobody listens on the second.
    dns.addresses("app.internal", &[ip(10), ip(99)]);
    let setup = to_name(&dns, port).upstream("fail_timeout = \"60s\"\nmin_available = 0");
    let gate = setup.start();
    let endpoint = format!("endpoint=\"127.0.0.99:{port}\"");
    let of = |metric: &str| gate.metric(&format!("{metric}{{{endpoint}}}"));
    eventually("it is ejected", || gate.get("/").status == 200 && of("tidegate_endpoint_ejected") == 1.0);
    dns.addresses("app.internal", &[ip(10)]);
    eventually("it has left", || !gate.metrics().contains(&format!("tidegate_endpoint_ejected{{{endpoint}")));
    eventually("it has left", || gate.metric("tidegate_discovery_endpoints") == 1.0);
    dns.addresses("app.internal", &[ip(10), ip(99)]);
    eventually("it is back", || gate.metric("tidegate_discovery_endpoints") == 2.0);
    assert_eq!((of("tidegate_endpoint_ejected"), of("tidegate_endpoint_failures_total")), (1.0, 1.0));
}

#[test]
fn a_reload_keeps_what_was_found_without_asking_again() {
    let (_origins, port) = origins::<2>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10), ip(11)]);
    let resolver = dns.resolver().replace("50ms", "1h").replace("90ms", "2h");
    let name = format!("{{ address = \"app.internal:{port}\", resolve = true }}");
    let setup = Setup::with_endpoints(&[name]).and(&resolver);
    let gate = setup.start();
    assert_eq!(who_answers(&gate).len(), 2);
    let asked = dns.asked("app.internal");
    dns.fail("app.internal", Fault::Silence);
    gate.reload(&setup.clone().upstream("max_fails = 5"));
    assert_eq!(who_answers(&gate).len(), 2);
    // Another upstream that wants the same has it at once.
    let other = format!("[upstream.v]\nendpoints = [{{ address = \"app.internal:{port}\", resolve = true }}]");
    gate.reload(&setup.clone().and(&other).sites(
        "[[site]]\nhosts = [\"test\"]\ndefault = true\n[[site.route]]\npath = \"/\"\nupstream = \"v\"\n\
         [[site.route]]\npath = \"/u\"\nupstream = \"u\"",
    ));
    assert_eq!(who_answers(&gate).len(), 2);
    assert_eq!(dns.asked("app.internal"), asked);
}

#[test]
fn other_servers_are_asked_at_once_after_a_reload() {
    let (_origins, port) = origins::<2>();
    let (before, after) = (DnsServer::start(), DnsServer::start());
    before.addresses("app.internal", &[ip(10)]);
    after.addresses("app.internal", &[ip(11)]);
    let rarely = |dns: &DnsServer| dns.resolver().replace("50ms", "1h").replace("90ms", "2h");
    let name = format!("{{ address = \"app.internal:{port}\", resolve = true }}");
    let setup = Setup::with_endpoints(&[name]);
    let gate = setup.clone().and(&rarely(&before)).start();
    assert_eq!(gate.get("/").text(), "127.0.0.10");
    gate.reload(&setup.and(&rarely(&after)));
    assert_eventually_answered_by(&gate, &[11]);
}

#[test]
fn the_next_server_is_asked_when_one_is_silent_or_gone() {
    let (_origins, port) = origins::<1>();
    let (silent, dns) = (DnsServer::start(), DnsServer::start());
    silent.fail("app.internal", Fault::Silence);
    dns.addresses("app.internal", &[ip(10)]);
    let servers = format!("[{:?}, {:?}, {:?}]", refusing_address(1), silent.address(), dns.address());
    let servers = servers.replace('[', "[\"").replace(", ", "\", \"").replace(']', "\"]");
    let resolver = format!("[resolver]\nservers = {servers}\nhosts_file = \"off\"\ntimeout = \"900ms\"");
    let name = format!("{{ address = \"app.internal:{port}\", resolve = true }}");
    let gate = Setup::with_endpoints(&[name]).and(&resolver).start();
    assert_eq!(gate.get("/").text(), "127.0.0.10");
    assert!(silent.asked("app.internal") > 0);
}

#[test]
fn names_of_the_hosts_file_are_not_asked_for() {
    let (_origins, port) = origins::<2>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(99)]);
    let directory = tempfile::TempDir::new().unwrap();
    let hosts = directory.path().join("hosts");
    std::fs::write(&hosts, "# ours\n127.0.0.10 app.internal app\n").unwrap();
    let resolver = dns.resolver().replace("\"off\"", &format!("{hosts:?}"));
    let name = format!("{{ address = \"app.internal:{port}\", resolve = true }}");
    let gate = Setup::with_endpoints(&[name]).and(&resolver).start();
    assert_eq!(gate.get("/").text(), "127.0.0.10");
    std::fs::write(&hosts, "127.0.0.10 app.internal\n127.0.0.11 app.internal\n").unwrap();
    assert_eventually_answered_by(&gate, &[10, 11]);
    std::fs::write(&hosts, "127.0.0.11 app.internal\n").unwrap();
    assert_eventually_answered_by(&gate, &[11]);
    assert_eq!(dns.asked("app.internal"), 0);
}

#[test]
fn more_endpoints_than_wanted_are_left_out_with_a_warning() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    let many: Vec<Ipv4Addr> = (10..60).map(ip).collect();
    dns.addresses("app.internal", &many);
    let binary = Binary::start(&to_name(&dns, port).upstream("max_endpoints = 7"));
    binary.wait_for_stderr("too many endpoints: some are not used");
    assert!(binary.stderr().contains("max_endpoints=7 left_out=43"), "{}", binary.stderr());
    let metrics = scrape(binary.metrics());
    let used = metrics.lines().filter(|line| line.starts_with("tidegate_endpoint_ejected{")).count();
    assert_eq!((used, sum_of(&metrics, "tidegate_discovery_endpoints")), (7, 50.0));
}

#[test]
fn many_records_times_many_addresses_are_not_all_taken() {
    let dns = DnsServer::start();
    let many: Vec<Ipv4Addr> = (1..=200).map(|n| Ipv4Addr::new(127, 1, 0, n)).collect();
    dns.addresses("one.internal", &many);
    let services: Vec<_> = (1..=60).map(|port| (if port > 3 { 1 } else { 2 }, 1, port, "one.internal")).collect();
    dns.services("_http._tcp.app.internal", &services);
    let setup = Setup::with_endpoints(&["{ address = \"app.internal\", service = \"http\" }".to_owned()]);
    let gate = setup.and(&dns.resolver()).start();
    eventually("they are found", || gate.metric("tidegate_discovery_endpoints") == 10_000.0);
    let asked = dns.asked("one.internal");
    eventually("they are looked for again", || dns.asked("one.internal") > asked + 4);
    assert_eq!(gate.metric("tidegate_discovery_changes_total"), 1.0);
}

#[test]
fn an_unchanged_answer_changes_nothing_whatever_its_order() {
    let (_origins, port) = origins::<2>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[ip(10), ip(11)]);
    let gate = to_name(&dns, port).start();
    dns.addresses("app.internal", &[ip(11), ip(10)]);
    let asked = dns.asked("app.internal");
    eventually("it is asked again", || dns.asked("app.internal") > asked + 4);
    assert_eq!(gate.metric("tidegate_discovery_changes_total"), 1.0);
}

#[test]
fn without_a_resolver_of_its_own_it_goes_by_the_machines_files() {
    let origin = Origin::named("a");
    let name = format!("{{ address = \"localhost:{}\", resolve = true }}", origin.address().port());
    let gate = Setup::with_endpoints(&[name]).start();
    assert_eq!(gate.get("/").text(), "a");
    assert_eq!(gate.metric("tidegate_discovery_failing"), 0.0);
}

#[test]
fn an_address_of_no_machine_is_no_endpoint() {
    let (_origins, port) = origins::<1>();
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[Ipv4Addr::UNSPECIFIED, ip(10), Ipv4Addr::new(224, 0, 0, 1)]);
    let gate = to_name(&dns, port).start();
    assert_eq!(gate.metric("tidegate_discovery_endpoints"), 1.0);
    // As some resolvers block a name.
    dns.addresses("app.internal", &[Ipv4Addr::UNSPECIFIED]);
    eventually("it counts as a failure", || gate.metric("tidegate_discovery_failing") == 1.0);
    assert_eq!(gate.get("/").text(), "127.0.0.10");
}
