//! `tidegate bench`: what is counted is what happened, and nothing is left out.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{Answer, Certificate, Latch, Origin, Ran, Setup, eventually, program, refusing_address, run};

/// Runs `tidegate bench` against an origin, with words split at spaces.
#[track_caller]
fn bench(origin: &Origin, arguments: &str) -> Ran {
    bench_url(&format!("http://{}/", origin.address()), arguments)
}

#[track_caller]
fn bench_url(url: &str, arguments: &str) -> Ran {
    run(program(), |c| c.arg("bench").arg(url).args(arguments.split_whitespace()))
}

/// The same with `--json`, which has to be well.
#[track_caller]
fn json(origin: &Origin, arguments: &str) -> Json {
    parse(&bench(origin, &format!("{arguments} --json")))
}

#[track_caller]
fn parse(ran: &Ran) -> Json {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Every kind of error that is not zero.
fn errors(run: &Json) -> Vec<(String, u64)> {
    let counts = run["errors"].as_object().unwrap().iter();
    counts.map(|(kind, count)| (kind.clone(), count.as_u64().unwrap())).filter(|(_, count)| *count > 0).collect()
}

fn only(kind: &str, count: u64) -> Vec<(String, u64)> {
    vec![(kind.to_owned(), count)]
}

/// Every `n`th call does something else.
fn every_nth(n: usize, usual: Answer, other: Answer) -> Origin {
    let calls = AtomicUsize::new(0);
    Origin::start(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call.is_multiple_of(n) { other.clone() } else { usual.clone() }
    })
}

#[test]
fn as_many_requests_are_sent_as_were_asked_for() {
    for (load, mode) in [("-c 4", "closed"), ("--rate 2000 -c 4", "open"), ("-c 4 -t 2", "closed")] {
        let origin = Origin::answering(Answer::ok("hello"));
        let run = json(&origin, &format!("-n 103 {load}"));
        assert_eq!((origin.count(), &run["requests"]), (103, &103.into()), "{load}");
        assert_eq!((&run["statuses"], errors(&run)), (&serde_json::json!({"200": 103}), vec![]), "{load}");
        assert_eq!((&run["mode"], &run["bytes"], &run["unsent"]), (&mode.into(), &515.into(), &0.into()), "{load}");
        assert_eq!(origin.connections_opened(), 4, "{load}");
    }
}

#[test]
fn the_json_has_every_key_of_its_schema() {
    let ran = bench(&Origin::named("a"), "-n 20 --rate 500 -c 2 --threshold max<20s --json");
    let run: Json = serde_json::from_str(&ran.stdout).unwrap();
    // On a busy machine the generator may be late, and says so.
    assert_eq!(ran.code, Some(i32::from(!run["void"].is_null())), "{ran:?}");
    assert_eq!((&run["schema"], &run["protocol"]), (&"tidegate-bench-run/1".into(), &"http/1.1".into()));
    assert_eq!((&run["tls"], &run["keepalive"], &run["rate"]), (&false.into(), &true.into(), &500.0.into()));
    assert_eq!((&run["connections"], &run["streams"], &run["threads"]), (&2.into(), &1.into(), &1.into()));
    for times in ["latency_us", "send_lag_us"] {
        for key in ["min", "mean", "p50", "p75", "p90", "p99", "p99_9", "p99_99", "max"] {
            assert!(run[times][key].is_number(), "{times}.{key}: {run}");
        }
    }
    assert!(run["duration_s"].as_f64().unwrap() > 0.0 && run["rps"].as_f64().unwrap() > 0.0, "{run}");
    assert!(run["generator"]["cpu_percent_of_a_core"].is_number(), "{run}");
    assert!(run["generator"]["cpu_us_per_request"].is_number() && run.get("void").is_some(), "{run}");
    assert_eq!((&run["thresholds"][0]["rule"], &run["thresholds"][0]["met"]), (&"max<20s".into(), &true.into()));
}

#[test]
fn statuses_are_counted_and_those_from_400_are_errors() {
    let origin = every_nth(4, Answer::ok("a"), Answer::status(503, "no"));
    let run = json(&origin, "-n 40 -c 1");
    assert_eq!(run["statuses"], serde_json::json!({"200": 30, "503": 10}));
    assert_eq!((errors(&run), &run["requests"]), (only("status", 10), &40.into()));
    let run = json(&origin, "-n 40 -c 1 --expect-status 503");
    assert_eq!(errors(&run), only("status", 30));
}

#[test]
fn a_connection_that_the_origin_closes_costs_one_request_and_is_opened_again() {
    let origin = every_nth(5, Answer::ok("a"), Answer::nothing().close());
    let run = json(&origin, "-n 50 -c 1");
    assert_eq!((&run["requests"], errors(&run)), (&40.into(), only("closed", 10)));
    // The last one is closed when nothing is left to be sent.
    assert_eq!(origin.connections_opened(), 10);
}

#[test]
fn a_close_that_was_announced_costs_nothing() {
    let origin = Origin::answering(Answer::with_fields(200, "Connection: close\r\n", "a").close());
    let run = json(&origin, "-n 20 -c 1");
    assert_eq!((&run["requests"], errors(&run), origin.connections_opened()), (&20.into(), vec![], 20));
}

#[test]
fn an_answer_that_does_not_come_is_a_timeout_and_counts_as_latency() {
    let origin = every_nth(2, Answer::ok("a"), Answer::nothing().hang());
    let run = json(&origin, "-n 4 -c 1 --timeout 200ms");
    assert_eq!((&run["requests"], errors(&run)), (&2.into(), only("timeout", 2)));
    assert!(run["latency_us"]["max"].as_u64().unwrap() >= 199_000, "{run}");
}

#[test]
fn a_body_that_is_too_short_or_too_long_is_an_error() {
    let short = Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").close();
    let run = json(&Origin::answering(short), "-n 3 -c 1");
    assert_eq!((&run["requests"], errors(&run)), (&0.into(), only("length", 3)));
    let cut = Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").close();
    assert_eq!(errors(&json(&Origin::answering(cut), "-n 3 -c 1")), only("length", 3));
    let long = Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").hang();
    assert_eq!(errors(&json(&Origin::answering(long), "-n 1 -c 1")), only("length", 1));
    let run = json(&Origin::named("abc"), "-n 3 -c 1 --expect-length 4");
    assert_eq!(errors(&run), only("length", 3));
}

#[test]
fn what_is_not_http_is_an_error() {
    let run = json(&Origin::answering(Answer::raw("SSH-2.0-OpenSSH_9\r\n\r\n").hang()), "-n 3 -c 1");
    assert_eq!((&run["requests"], errors(&run)), (&0.into(), only("protocol", 3)));
}

#[test]
fn a_server_that_nobody_reaches_is_said_to_be_so() {
    for more in ["", "--no-keepalive -n 2"] {
        let ran = bench_url(&format!("http://{}/", refusing_address(1)), &format!("-c 2 {more}"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("can't connect") && ran.stderr.contains("refused"), "{ran:?}");
    }
}

#[test]
fn a_server_that_closes_every_connection_at_once_is_not_hammered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    std::thread::spawn(move || {
        while listener.accept().is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let run = parse(&bench_url(&url, "-c 4 -d 500ms --rate 100 --json"));
    assert_eq!(run["requests"], 0);
    let accepted = accepted.load(Ordering::SeqCst);
    assert!((4..200).contains(&accepted), "{accepted} connections");
}

/// The origin stalls once, for 300 ms, while 60 further requests become due.
fn stalled_once(arguments: &str) -> Json {
    let calls = AtomicUsize::new(0);
    let origin = Origin::start(move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            Latch::new().wait_for(Duration::from_millis(300));
        }
        Answer::ok("a")
    });
    json(&origin, arguments)
}

#[test]
fn an_open_loop_shows_what_waited_behind_a_stall() {
    let run = stalled_once("-n 100 --rate 200 -c 1");
    assert_eq!(run["requests"], 100);
    assert!(run["latency_us"]["p75"].as_u64().unwrap() > 50_000, "{run}");
    assert!(run["send_lag_us"]["p75"].as_u64().unwrap() > 50_000, "{run}");
    // It is the server that was late: the only connection was busy.
    assert!(run["generator"]["own_lag_p99_us"].as_u64().unwrap() < 50_000, "{run}");
}

#[test]
fn a_closed_loop_hides_it() {
    let run = stalled_once("-n 100 -c 1");
    assert!(run["latency_us"]["max"].as_u64().unwrap() >= 299_000, "{run}");
    assert!(run["latency_us"]["p90"].as_u64().unwrap() < 50_000, "{run}");
    assert_eq!(run["send_lag_us"], Json::Null);
}

#[test]
fn requests_for_which_no_connection_became_free_are_counted_as_unsent() {
    let origin = Origin::answering(Answer::nothing().hang());
    let run = json(&origin, "-d 500ms --rate 100 -c 1 --timeout 100ms");
    let (timeouts, unsent) = (run["errors"]["timeout"].as_u64().unwrap(), run["unsent"].as_u64().unwrap());
    assert_eq!(timeouts + unsent, 50, "{run}");
    assert!((1..=5).contains(&timeouts), "{run}");
    assert_eq!(run["error_percent"], 100.0);
}

#[test]
fn thresholds_decide_the_exit_code() {
    // Slow enough that the generator idles: a run that is void keeps no threshold.
    let origin = Origin::start(|_| {
        Latch::new().wait_for(Duration::from_millis(5));
        Answer::ok("a")
    });
    let met = bench(&origin, "-n 10 -c 1 --threshold p50<10s --threshold rps>0 --threshold error-rate<=0%");
    assert_eq!((met.code, met.stdout.matches("met ").count()), (Some(0), 3), "{met:?}");
    let missed = bench(&origin, "-n 10 -c 1 --threshold p50<10s --threshold p99<1us");
    assert_eq!(missed.code, Some(1));
    assert!(missed.stdout.contains("MISSED p99<1us"), "{missed:?}");
    let failing = Origin::answering(Answer::status(500, ""));
    assert_eq!(bench(&failing, "-n 10 -c 1 --threshold error-rate<1%").code, Some(1));
    assert_eq!(bench(&failing, "-n 10 -c 1").code, Some(0), "without thresholds, whatever was measured is fine");
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_would() {
    for (url, arguments, said) in [
        ("http://127.0.0.1/", "--threshold p98<5ms", "p50 p75 p90 p95 p99 p99.9 p99.99 mean max error-rate rps"),
        ("http://127.0.0.1/", "--threshold p99<5", "5ms"),
        ("http://127.0.0.1/", "--rate 0", "above 0"),
        ("http://127.0.0.1/", "-d 10parsecs", "500ms"),
        ("http://127.0.0.1/", "-b @/nowhere/body", "/nowhere/body"),
        ("http://127.0.0.1/", "-m 4", "--http2"),
        ("ftp://127.0.0.1/", "", "http://host:port/path"),
        ("http://no-such-host.invalid/", "", "no-such-host.invalid"),
    ] {
        let ran = bench_url(url, arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(said), "{said:?} in {ran:?}");
    }
}

#[test]
fn the_summary_is_for_people() {
    let ran = bench(&Origin::named("a"), "-n 50 -c 2");
    for part in ["closed loop", "2 connections", "200: 50", "errors     none", "p99.99", "█", "generator"] {
        assert!(ran.stdout.contains(part), "{part:?} in {}", ran.stdout);
    }
    assert_eq!(ran.stderr, "", "no progress line without a terminal");
    let ran = bench(&Origin::named("a"), "-n 50 --rate 500");
    assert!(ran.stdout.contains("open loop, 500 requests a second") && ran.stdout.contains("send lag"), "{ran:?}");
}

#[test]
fn method_fields_and_body_arrive() {
    let origin = Origin::mirror();
    let directory = TempDir::new().unwrap();
    let body = directory.path().join("body");
    std::fs::write(&body, "x".repeat(100_000)).unwrap();
    let file = format!("@{}", body.display());
    let url = format!("http://{}/a?b=c", origin.address());
    let ran = run(program(), |c| {
        c.args(["bench", &url, "-n", "1", "-c", "1", "--json", "-X", "PUT", "-H", "X-Own: a b", "-b", &file])
    });
    assert_eq!(parse(&ran)["bytes"], 100_000);
    let request = origin.request();
    assert_eq!((request.start.as_str(), request.field("x-own")), ("PUT /a?b=c HTTP/1.1", Some("a b")));
    assert_eq!(request.body.len(), 100_000);
}

#[test]
fn without_keep_alive_each_request_has_its_own_connection() {
    let origin = Origin::named("a");
    for arguments in ["-n 20 -c 3 --no-keepalive", "-n 20 -c 3 --no-keepalive --rate 500"] {
        let before = origin.connections_opened();
        let run = json(&origin, arguments);
        assert_eq!((&run["requests"], errors(&run)), (&20.into(), vec![]));
        assert_eq!(origin.connections_opened() - before, 20);
        assert_eq!(run["connections_opened"], 20);
    }
    assert_eq!(origin.last().field("connection"), Some("close"));
}

#[test]
fn http2_is_spoken_by_prior_knowledge() {
    let origin = Origin::mirror();
    let gate = Setup::to(&[origin.address()]).listener("h2c = true").route("max_body_size = \"off\"").start();
    let url = format!("http://{}/", gate.address());
    let run = parse(&bench_url(&url, "-n 200 -c 2 -m 8 --http2 --json"));
    assert_eq!((&run["requests"], errors(&run)), (&200.into(), vec![]));
    assert_eq!((&run["protocol"], &run["streams"], &run["connections_opened"]), (&"h2".into(), &8.into(), &2.into()));
    assert_eq!(gate.records(1)[0]["version"], "HTTP/2.0");
    // More than the server's windows take at once.
    let directory = TempDir::new().unwrap();
    let body = directory.path().join("body");
    std::fs::write(&body, "x".repeat(300_000)).unwrap();
    let run = parse(&bench_url(&url, &format!("-n 6 -c 1 -m 3 --http2 --json -b @{}", body.display())));
    assert_eq!((&run["requests"], &run["bytes"], errors(&run)), (&6.into(), &1_800_000.into(), vec![]));
}

#[test]
fn tls_is_spoken_and_certificates_are_verified_unless_told_otherwise() {
    let origin = Origin::named("a");
    let directory = TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "local", &["localhost"]);
    let site = format!("certificate = {}", certificate.toml());
    let gate = Setup::to(&[origin.address()]).listener("tls = true").site(&site).start();
    let url = format!("https://localhost:{}/", gate.address().port());
    let trusted = format!("--cacert {}", certificate.chain.display());
    for (more, protocol) in
        [("-n 20 -c 2", "http/1.1"), ("-n 20 -c 2 --no-keepalive", "http/1.1"), ("-n 20 -c 2 -m 4 --http2", "h2")]
    {
        let run = parse(&bench_url(&url, &format!("{more} --json {trusted}")));
        assert_eq!((&run["requests"], &run["tls"], errors(&run)), (&20.into(), &true.into(), vec![]), "{more}");
        assert_eq!(run["protocol"], protocol);
        assert_eq!(parse(&bench_url(&url, &format!("{more} --json --insecure")))["requests"], 20);
    }
    let doubted = bench_url(&url, "-n 1 -c 1");
    assert_eq!(doubted.code, Some(1), "{doubted:?}");
    assert!(doubted.stderr.contains("certificate"), "{doubted:?}");
}

#[test]
fn an_interruption_ends_the_run_and_what_was_seen_is_told() {
    let origin = Origin::named("a");
    let url = format!("http://{}/", origin.address());
    let mut command = Command::new(program());
    command.args(["bench", &url, "-c", "1", "-d", "60s", "--json"]).stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    origin.wait_for_requests(5);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let run: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(run["interrupted"], true);
    assert!(run["requests"].as_u64().unwrap() >= 4 && run["duration_s"].as_f64().unwrap() < 30.0, "{run}");
    eventually("no connection is left", || origin.connections_open() == 0);
}

#[test]
fn two_reports_are_compared_and_another_schema_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, schema: &str, median: f64| {
        let spread = serde_json::json!({"median": median, "min": median - 0.1, "max": median + 0.1});
        let row = serde_json::json!({"proxy": "nginx", "metrics": {"cpu_us": spread}});
        let report = serde_json::json!({"schema": schema, "scenarios": [{"name": "h1", "rows": [row]}]});
        let path = directory.path().join(name);
        std::fs::write(&path, report.to_string()).unwrap();
        path
    };
    let old = file("old.json", "tidegate-bench-report/1", 10.0);
    let new = file("new.json", "tidegate-bench-report/1", 12.0);
    let other = file("other.json", "tidegate-bench-run/1", 1.0);
    let diff = |new: &std::path::Path| run(program(), |c| c.args(["bench", "diff"]).arg(&old).arg(new));
    let ran = diff(&new);
    assert!(ran.success && ran.stdout.contains("+20.0 %  WORSE"), "{ran:?}");
    let ran = diff(&other);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("other.json") && ran.stderr.contains("tidegate-bench-report/1"), "{ran:?}");
}
