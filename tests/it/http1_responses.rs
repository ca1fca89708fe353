//! Upstreams that misbehave: a 502 or 504 with its reason, or a response cut short, and a connection that is never used
//! again.

use std::time::{Duration, Instant};

use crate::support::{Answer, Broken, Gate, Latch, Origin, Setup, eventually, get};

/// The status and reason of one request to an origin that answers so, and a second request that must work.
#[track_caller]
fn answer_is(answer: Answer) -> (u16, String) {
    let origin =
        Origin::start(move |request| if request.target() == "/bad" { answer.clone() } else { Answer::ok("good") });
    let setup =
        Setup::to(&[origin.address()]).upstream("timeouts.response = \"300ms\"\ntimeouts.between_bytes = \"300ms\"");
    let gate = setup.top("workers = 1").start();
    let mut client = gate.client();
    let first = client.get("/bad");
    let reason = gate.logged_reason();
    let mut client = gate.client();
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(origin.came_on(), [0, 1], "the connection was used again");
    (first.status, reason)
}

#[test]
fn bad_response_heads_are_502_and_their_connection_is_dropped() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let rows: &[(&str, String)] = &[
        ("length and chunked", format!("{ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two lengths", format!("{ok}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        ("a length with a sign", format!("{ok}Content-Length: +3\r\n\r\nabc")),
        ("an unknown coding", format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        ("no status line", "hello\r\n\r\n".into()),
        ("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n".into()),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n".into()),
        ("a status with a sign", "HTTP/1.1 +20 OK\r\n\r\n".into()),
        ("status 099", "HTTP/1.1 099 OK\r\n\r\n".into()),
        ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".into()),
        ("NUL in a value", format!("{ok}X: a\0b\r\nContent-Length: 0\r\n\r\n")),
        ("NUL in a name", format!("{ok}X\0Y: ab\r\nContent-Length: 0\r\n\r\n")),
        ("a blank before the colon", format!("{ok}X : ab\r\nContent-Length: 0\r\n\r\n")),
        ("a folded line", format!("{ok}X: a\r\n b\r\nContent-Length: 0\r\n\r\n")),
        ("no colon", format!("{ok}X\r\nContent-Length: 0\r\n\r\n")),
        ("bare LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n".into()),
        ("bare LF after a field", format!("{ok}X: a\nContent-Length: 0\r\n\r\n")),
        ("bare LF at the end", format!("{ok}Content-Length: 0\r\n\n")),
        ("bare CR in a value", format!("{ok}X: a\rb\r\nContent-Length: 0\r\n\r\n")),
    ];
    let mut wrong = Vec::new();
    for (name, bytes) in rows {
        let got = answer_is(Answer::raw(bytes));
        if got != (502, "bad_upstream_head".to_string()) {
            wrong.push((name, got));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_response_head_over_its_bound_is_502() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(33 << 10));
    assert_eq!(answer_is(Answer::raw(large)), (502, "upstream_head_too_large".to_string()));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(101));
    assert_eq!(answer_is(Answer::raw(many)), (502, "upstream_head_too_large".to_string()));
}

#[test]
fn an_upstream_that_closes_before_a_head_is_502() {
    for answer in [Answer::nothing().close(), Answer::raw("HTTP/1.1 200 OK\r\nX").close(), Answer::nothing().reset()] {
        assert_eq!(answer_is(answer), (502, "upstream_closed".to_string()));
    }
}

#[test]
fn a_hang_before_the_head_is_504_and_so_is_a_head_that_drips() {
    let timed_out = (504, "upstream_timed_out".to_string());
    assert_eq!(answer_is(Answer::nothing().hang()), timed_out);
    let started = Instant::now();
    let slow = "HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_eq!(answer_is(Answer::nothing().drip(slow, Duration::from_millis(100))), timed_out);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[test]
fn interim_responses_over_ten_and_a_101_nobody_asked_for_are_502() {
    let interim = (502, "upstream_interim".to_string());
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11);
    let origin = Origin::answering(Answer::raw(flood).send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let gate = Gate::to(&[origin.address()]);
    assert_eq!((gate.get("/").status, gate.logged_reason()), interim.clone());
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    assert_eq!(answer_is(Answer::raw(switch)), interim);
}

#[test]
fn early_hints_pass() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let origin = Origin::answering(Answer::raw(hints).send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"));
    let response = Gate::to(&[origin.address()]).get("/");
    assert_eq!((response.status, response.text()), (200, "a".to_string()));
    assert_eq!(response.interim.len(), 1, "{response:?}");
    assert_eq!(response.interim[0].field("link"), Some("</a.css>; rel=preload"));
}

#[test]
fn early_hints_are_kept_from_http_1_0_clients() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let origin = Origin::answering(Answer::raw(hints).send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"));
    let response = Gate::to(&[origin.address()]).send("GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

#[test]
fn more_bytes_than_content_length_are_cut_and_the_connection_dropped() {
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin = Origin::start(move |r| if r.target() == "/bad" { Answer::raw(more) } else { Answer::ok("good") });
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    assert_eq!(client.get("/bad").text(), "abc");
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(origin.came_on(), [0, 1]);
}

#[test]
fn bytes_on_an_idle_upstream_connection_make_it_unusable() {
    let (late, sent) = (Latch::new(), Latch::new());
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let answer = Answer::ok("a").wait(&late).send(evil).open(&sent);
    let origin = Origin::start(move |r| if r.target() == "/bad" { answer.clone() } else { Answer::ok("good") });
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    assert_eq!(gate.get("/bad").text(), "a");
    late.open();
    assert!(sent.wait_for(Duration::from_secs(5)));
    for _ in 0..3 {
        assert_eq!(gate.get("/").text(), "good");
    }
    assert!(!origin.came_on()[1..].contains(&0), "{:?}", origin.came_on());
}

#[test]
fn a_response_that_breaks_off_is_never_ended_as_if_complete() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for head in [length, chunks] {
        // A reset may overtake the bytes before it.
        for (answer, overtakes) in [(Answer::raw(head).close(), false), (Answer::raw(head).reset(), true)] {
            let origin = Origin::answering(answer);
            let gate = Setup::to(&[origin.address()]).upstream("retry = false").start();
            match gate.client().send(get("/")).try_response("GET") {
                Err(Broken::Cut(body)) => assert_eq!(body, b"abc"),
                Err(Broken::Reset) => {}
                Ok(response) if overtakes && response.status == 502 => continue,
                other => panic!("{head}: {other:?}"),
            }
            assert_eq!(gate.logged_reason(), "upstream_body_broken");
        }
    }
}

#[test]
fn bad_chunks_from_the_upstream_cut_the_response() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for bad in
        ["+1\r\na\r\n0\r\n\r\n", "x\r\n", "3\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "10000000000000000\r\n"]
    {
        let origin = Origin::answering(Answer::raw(head).send(bad).hang());
        let gate = Gate::to(&[origin.address()]);
        let cut = gate.client().send(get("/")).try_response("GET");
        assert!(matches!(cut, Err(Broken::Cut(_) | Broken::Reset)), "{bad:?}: {cut:?}");
        assert_eq!(gate.logged_reason(), "upstream_body_broken", "{bad:?}");
        eventually("the connection is dropped", || origin.connections_open() == 0);
    }
}

#[test]
fn a_body_that_stalls_is_cut_at_the_deadline_between_bytes() {
    let origin = Origin::answering(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").hang());
    let gate = Setup::to(&[origin.address()]).upstream("timeouts.between_bytes = \"200ms\"").start();
    let cut = gate.client().send(get("/")).try_response("GET");
    assert_eq!(cut.err(), Some(Broken::Cut(b"abc".to_vec())));
    assert_eq!(gate.logged_reason(), "upstream_body_timed_out");
}

#[test]
fn an_early_response_is_forwarded_while_the_body_is_still_being_sent() {
    let origin = Origin::mirror();
    origin.answer_heads_with(|_| Some(Answer::with_fields(403, "Connection: close\r\n", "no").close()));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nfirst");
    let response = client.response("POST");
    assert_eq!((response.status, response.text()), (403, "no".to_string()));
    // Whatever becomes of the connection, the rest of the body is never taken for a request.
    client.send("x".repeat(99_995));
    if !client.is_closed_within(Duration::from_millis(300)) {
        assert_eq!(client.get("/").status, 403);
    }
}

#[test]
fn a_final_response_before_the_body_leaves_no_request_in_the_upstream_connection() {
    let origin = Origin::mirror();
    origin.answer_heads_with(|r| (r.target() == "/early").then(|| Answer::status(403, "no")));
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    client.send("POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nfirst");
    assert_eq!(client.response("POST").status, 403);
    assert_eq!(gate.get("/after").status, 200);
    assert!(origin.requests().iter().any(|r| r.target() == "/after"));
}

#[test]
fn fields_of_the_response_that_frame_nothing_are_let_pass_on_head_and_304() {
    let origin =
        Origin::answering(Answer::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"a\"\r\n\r\n"));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.status, response.text()), (304, String::new()));
    }
    assert_eq!(origin.connections_opened(), 1);
}

#[test]
fn bytes_after_a_response_that_has_no_body_make_the_connection_unusable() {
    let bad = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let origin = Origin::start(move |r| if r.target() == "/bad" { Answer::raw(bad) } else { Answer::ok("good") });
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    assert_eq!(client.get("/bad").status, 204);
    assert_eq!(client.get("/").text(), "good");
}

#[test]
fn a_status_without_a_phrase_passes() {
    let origin = Origin::answering(Answer::raw("HTTP/1.1 299 \r\nContent-Length: 1\r\n\r\na"));
    assert_eq!(Gate::to(&[origin.address()]).get("/").status, 299);
}

#[test]
fn an_http_1_0_origin_is_understood() {
    let origin = Origin::answering(Answer::raw("HTTP/1.0 200 OK\r\n\r\nold").close());
    let response = Gate::to(&[origin.address()]).get("/");
    assert_eq!((response.status, response.text()), (200, "old".to_string()));
}
