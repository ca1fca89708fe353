//! HTTP/2 from clients: what works, and what hostile frames come to.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request};

use crate::support::{
    Answer, Fate, Framing, Gate, H2Client, Latch, Origin, RawH2, Setup, error, eventually, flag, kind, reason_of, run,
};

fn h2c(origin: &Origin) -> Setup {
    Setup::to(&[origin.address()]).listener("h2c = true")
}

fn post(path: &str) -> Request<()> {
    Request::post(format!("http://test{path}")).body(()).unwrap()
}

#[test]
fn requests_and_responses_pass() {
    let origin =
        Origin::start(|r| Answer::with_fields(201, "X-Own: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n", r.target()));
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let head = Request::get("http://test/a?b=c").header("cookie", "x=1").header("cookie", "y=2").body(()).unwrap();
    let (response, _) = client.open(head, true).unwrap();
    let response = client.read(response).unwrap();
    assert_eq!((response.status, response.text().as_str(), response.field("x-own")), (201, "/a?b=c", Some("1")));
    assert_eq!(response.headers.get_all("set-cookie").iter().count(), 2);
    let request = origin.request();
    assert_eq!(request.start, "GET /a?b=c HTTP/1.1");
    assert_eq!((request.field("host"), request.field("cookie")), (Some("test"), Some("x=1; y=2")));
    assert_eq!(request.framing, Framing::None);
}

#[test]
fn http2_is_served_over_tls_by_alpn() {
    let origin = Origin::named("a");
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    assert_eq!(gate.h2(&certificate).get("/").text(), "a");
    let record = &gate.records(1)[0];
    assert_eq!((&record["version"], &record["tls_version"]), (&"HTTP/2.0".into(), &"TLSv1.3".into()));
}

#[test]
fn many_streams_run_side_by_side() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("a").after(&latch));
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let responses: Vec<_> = (0..50)
        .map(|n| client.open(Request::get(format!("http://test/{n}")).body(()).unwrap(), true).unwrap().0)
        .collect();
    origin.wait_for_heads(50);
    latch.open();
    assert!(responses.into_iter().all(|r| client.read(r).unwrap().status == 200));
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let origin = Origin::start(|r| {
        let sum = r.trailers.first().map_or("none", |t| t.1.as_str());
        Answer::chunked(&[&r.text()], &format!("X-Sum: {sum}\r\n"))
    });
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let response = client.send(post("/"), b"hello", Some(trailers)).unwrap();
    assert_eq!(response.text(), "hello");
    assert_eq!(response.trailers.unwrap()["x-sum"], "42");
    assert_eq!(origin.request().framing, Framing::Chunked);
}

#[test]
fn a_body_with_content_length_keeps_it() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).start();
    let head = Request::post("http://test/").header("content-length", "5").body(()).unwrap();
    assert_eq!(gate.h2c().send(head, b"hello", None).unwrap().text(), "hello");
    assert_eq!(origin.request().framing, Framing::Length(5));
}

#[test]
fn a_large_body_passes_both_ways() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).route("max_body_size = \"off\"").start();
    let body: Vec<u8> = (0..3 << 20).map(|i| (i * 7) as u8).collect();
    assert!(gate.h2c().send(post("/"), &body, None).unwrap().body == body);
}

#[test]
fn a_stream_that_is_not_read_holds_the_origin_back_and_no_other_stream() {
    let written = Latch::new();
    let large = Answer::ok(vec![b'x'; 64 << 20]).open(&written);
    let origin = Origin::start(move |r| if r.target() == "/large" { large.clone() } else { Answer::ok("small") });
    let gate = h2c(&origin).start();
    // The connection's window has room for more than the one stream's.
    let builder = h2::client::Builder::new().initial_connection_window_size(1 << 20).to_owned();
    let mut client = H2Client::with(gate.address(), None, &builder);
    let (large, request) = client.open(Request::get("http://test/large").body(()).unwrap(), true).unwrap();
    let unread = client.wait(large).unwrap();
    assert_eq!(client.get("/small").text(), "small");
    assert!(!written.wait_for(Duration::from_millis(300)), "somebody took 64 MiB");
    drop((unread, request, client));
    eventually("the origin is let go", || origin.connections_open() <= 1);
}

#[test]
fn an_origin_that_reads_nothing_holds_the_stream_back() {
    let latch = Latch::new();
    let hold = latch.clone();
    let origin = Origin::mirror();
    origin.answer_heads_with(move |_| {
        hold.wait();
        None
    });
    let gate = h2c(&origin).route("max_body_size = \"off\"").start();
    let mut client = gate.h2c();
    let (response, mut stream) = client.open(post("/"), false).unwrap();
    stream.send_data(Bytes::from(vec![b'x'; 32 << 20]), true).unwrap();
    origin.wait_for_heads(1);
    // All of it can only have left if somebody between client and origin stored it.
    assert!(client.within(Duration::from_millis(300), response).is_none());
    latch.open();
    origin.wait_for_requests(1);
    assert_eq!(origin.request().body.len(), 32 << 20);
}

#[test]
fn a_reset_by_the_client_ends_the_attempt() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let (response, mut stream) = client.open(post("/"), false).unwrap();
    origin.wait_for_heads(1);
    stream.send_reset(Reason::CANCEL);
    drop(response);
    let record = &gate.records(1)[0];
    assert_eq!((&record["status"], &record["reason"]), (&499.into(), &"client_gone".into()));
    eventually("nothing is in flight", || gate.metric("tidegate_endpoint_in_flight") == 0.0);
    latch.open();
    eventually("the upstream connection is closed", || origin.connections_open() == 0);
}

#[test]
fn a_response_that_breaks_off_resets_its_stream_only() {
    let cut = Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").close();
    let origin = Origin::start(move |r| if r.target() == "/cut" { cut.clone() } else { Answer::ok("whole") });
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let error = client.try_get("/cut").unwrap_err();
    assert_eq!(reason_of(&error), Some(Reason::INTERNAL_ERROR), "{error}");
    assert_eq!(client.get("/").text(), "whole");
}

#[test]
fn own_replies_are_made_in_http2_too() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).route("max_body_size = \"3\"").start();
    let mut client = gate.h2c();
    let head = Request::post("http://test/").header("content-length", "5").body(()).unwrap();
    assert_eq!(client.send(head, b"hello", None).unwrap().status, 413);
    assert_eq!(client.send(post("/"), b"hello", None).unwrap().status, 413);
    let unknown = Request::builder().method("CONNECT").uri("test:80").body(()).unwrap();
    let (response, _) = client.open(unknown, true).unwrap();
    assert!(client.read(response).map_or(true, |r| r.status == 405));
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_client_may_end_its_upload_after_an_early_response_and_is_reset_only_if_it_does_not() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).route("max_body_size = \"3\"").start();
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "test"), (":path", "/")];
    for ends in [true, false] {
        let mut raw = RawH2::connect(gate.address());
        raw.headers(1, &head, false);
        raw.send(kind::DATA, 0, 1, b"hello");
        assert_eq!(raw.fate_of(1), Fate::Status(413));
        if ends {
            raw.send(kind::DATA, flag::END_STREAM, 1, b"and the rest");
            raw.send(kind::PING, 0, 0, b"all read");
        }
        let frame = loop {
            let frame = raw.frame().unwrap();
            if matches!(frame.kind, kind::PING | kind::RST_STREAM) {
                break frame;
            }
        };
        match ends {
            true => assert_eq!(frame.kind, kind::PING),
            false => {
                assert_eq!((frame.kind, frame.payload), (kind::RST_STREAM, error::NO_ERROR.to_be_bytes().to_vec()))
            }
        }
    }
}

#[test]
fn head_204_and_304_have_no_body() {
    let origin = Origin::start(|r| match (r.method(), r.target()) {
        ("HEAD", _) => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        (_, path) => Answer::status(path[1..].parse().unwrap(), ""),
    });
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let (response, _) = client.open(Request::head("http://test/").body(()).unwrap(), true).unwrap();
    let head = client.read(response).unwrap();
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("100"), 0));
    assert_eq!((client.get("/204").status, client.get("/304").status), (204, 304));
}

#[test]
fn connection_fields_of_the_origin_do_not_reach_a_stream() {
    let fields =
        "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: a\r\nX-End: 1\r\n";
    let origin = Origin::answering(Answer::with_fields(200, fields, "a"));
    let gate = h2c(&origin).start();
    let response = gate.h2c().get("/");
    for name in ["connection", "keep-alive", "x-hop", "proxy-connection", "transfer-encoding"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-end"), Some("1"));
}

#[test]
fn a_drain_says_goaway_and_finishes_what_is_in_flight() {
    let latch = Latch::new();
    let origin = Origin::answering(Answer::ok("late").after(&latch));
    let gate = h2c(&origin).start();
    let mut client = gate.h2c();
    let (response, _) = client.open(Request::get("http://test/").body(()).unwrap(), true).unwrap();
    origin.wait_for_heads(1);
    let down = gate.shutdown(Duration::from_secs(10));
    eventually("no further streams are taken", || {
        client.open(Request::get("http://test/").body(()).unwrap(), true).is_err() || origin.heads() > 40
    });
    latch.open();
    assert_eq!(client.read(response).unwrap().text(), "late");
    down.join().unwrap();
}

#[test]
fn an_idle_connection_is_ended_with_goaway() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).listener("http.idle_timeout = \"300ms\"").start();
    let mut client = gate.h2c();
    client.get("/");
    client.closed().unwrap();
}

#[test]
fn a_body_that_drips_is_ended() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).listener("http.body_grace = \"300ms\"\nhttp.min_body_rate = \"1k\"").start();
    let mut client = gate.h2c();
    let (response, mut stream) = client.open(post("/"), false).unwrap();
    stream.send_data(Bytes::from_static(b"x"), false).unwrap();
    assert!(client.read(response).map_or(true, |r| r.status == 408));
    assert_eq!(gate.logged_reason(), "body_timed_out");
}

#[test]
fn h2load_finds_every_request_answered() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let ran = run("h2load", |c| c.args(["-n500", "-c4", "-m10", &format!("http://{}/", gate.address())]));
    assert!(ran.stdout.contains("500 succeeded, 0 failed, 0 errored"), "{ran:?}");
}

/// Clients that others wrote, by ALPN and by prior knowledge, with bodies of several windows both ways.
#[test]
fn curl_and_nghttp_send_bodies_and_get_them_back() {
    let origin = Origin::mirror();
    let (gate, certificate) = Setup::to(&[origin.address()]).route("max_body_size = \"off\"").start_tls();
    let plain = h2c(&origin).route("max_body_size = \"off\"").start();
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    let sent = "a line of a body that is longer than a window\n".repeat(20_000);
    std::fs::write(&body, &sent).unwrap();
    let port = gate.address().port();
    let ran = run("curl", |c| {
        c.args(["-sS", "--http2", "-w", "%{stderr}%{http_version}", "--cacert"]).arg(&certificate.chain);
        c.args(["--connect-to", &format!("test:443:127.0.0.1:{port}"), "--data-binary"]);
        c.arg(format!("@{}", body.display())).arg("https://test/")
    });
    assert!(ran.stdout == sent && ran.stderr == "2", "{} bytes, {:?}", ran.stdout.len(), ran.stderr);
    let ran = run("nghttp", |c| c.arg("-d").arg(&body).arg(format!("http://{}/", plain.address())));
    assert!(ran.stdout == sent, "{} bytes, {:?}", ran.stdout.len(), ran.stderr);
    assert_eq!(origin.count(), 2);
}

#[test]
fn wrong_pseudo_headers_and_fields_are_stream_errors() {
    let (method, scheme, path, authority) =
        ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "test"));
    let all = [method, scheme, authority, path];
    let and = |field: (&'static str, &'static str)| [&all[..], &[field]].concat();
    let rows: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("no method", vec![scheme, path, authority]),
        ("no scheme", vec![method, path, authority]),
        ("no path", vec![method, scheme, authority]),
        ("an empty path", vec![method, scheme, authority, (":path", "")]),
        ("two paths", and((":path", "/x"))),
        ("two methods", vec![method, method, scheme, path, authority]),
        ("a pseudo-header after a field", vec![method, scheme, path, ("x", "y"), authority]),
        ("a pseudo-header that is unknown", and((":proto", "x"))),
        ("a response's pseudo-header", and((":status", "200"))),
        ("an upper-case name", and(("X-Upper", "y"))),
        ("connection", and(("connection", "close"))),
        ("keep-alive", and(("keep-alive", "1"))),
        ("transfer-encoding", and(("transfer-encoding", "chunked"))),
        ("upgrade", and(("upgrade", "h2c"))),
        ("proxy-connection", and(("proxy-connection", "x"))),
        ("te other than trailers", and(("te", "gzip"))),
        ("NUL in a value", and(("x", "a\0b"))),
        ("LF in a value", and(("x", "a\nb"))),
        ("CR in a value", and(("x", "a\rb"))),
        ("a blank before a value", and(("x", " a"))),
        ("a tab behind a value", and(("x", "a\t"))),
        ("an empty name", and(("", "y"))),
        ("a blank in a name", and(("a b", "y"))),
        ("a relative path", vec![method, scheme, authority, (":path", "x")]),
        ("host that disagrees with :authority", and(("host", "other"))),
        ("no authority and no host", vec![method, scheme, path]),
        ("a bad authority", vec![method, scheme, path, (":authority", "te/st")]),
        ("content-length with END_STREAM", and(("content-length", "5"))),
        ("a bad content-length", and(("content-length", "+0"))),
        ("two content-lengths", [&all[..], &[("content-length", "0"), ("content-length", "1")]].concat()),
    ];
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut wrong = Vec::new();
    for (name, fields) in &rows {
        let mut raw = RawH2::connect(gate.address());
        raw.headers(1, fields, true);
        match raw.fate_of(1) {
            Fate::Reset(error::PROTOCOL_ERROR) | Fate::GoAway(error::PROTOCOL_ERROR) | Fate::Status(400) => {}
            other => wrong.push((name, other)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(origin.heads(), 0, "{:?}", origin.requests());
}

#[test]
fn te_trailers_is_fine() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    let mut raw = RawH2::connect(gate.address());
    raw.headers(
        1,
        &[(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"), ("te", "trailers")],
        true,
    );
    assert_eq!(raw.fate_of(1), Fate::Status(200));
}

#[test]
fn content_length_that_disagrees_with_data_is_a_stream_error_and_no_request() {
    let origin = Origin::mirror();
    let gate = h2c(&origin).start();
    for (length, data) in [("5", "abc"), ("2", "abc")] {
        let mut raw = RawH2::connect(gate.address());
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "test"),
            (":path", "/"),
            ("content-length", length),
        ];
        raw.headers(1, &head, false);
        raw.send(kind::DATA, flag::END_STREAM, 1, data.as_bytes());
        let fate = raw.fate_of(1);
        assert!(matches!(fate, Fate::Reset(error::PROTOCOL_ERROR) | Fate::Status(400)), "{length}: {fate:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn without_h2c_the_preface_is_refused() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").response("PRI").status, 400);
    client.assert_closed();
}

#[test]
fn http_1_is_served_beside_h2c() {
    let origin = Origin::named("a");
    let gate = h2c(&origin).start();
    assert_eq!(
        (gate.get("/").text(), H2Client::connect(gate.address(), None).get("/").text()),
        ("a".into(), "a".into())
    );
}
