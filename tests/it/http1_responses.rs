//! Upstreams that misbehave over time; what they get wrong in their bytes is in the tables of `hostile`.

use std::time::{Duration, Instant};

use crate::support::{Answer, Broken, Gate, Latch, Origin, Setup, get};

#[test]
fn a_head_that_drips_is_504_after_its_total_time() {
    let started = Instant::now();
    let slow = "HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let origin = Origin::answering(Answer::nothing().drip(slow, Duration::from_millis(100)));
    let gate = Setup::to(&[origin.address()]).upstream("timeouts.response = \"300ms\"").start();
    assert_eq!((gate.get("/").status, gate.logged_reason().as_str()), (504, "upstream_timed_out"));
    assert!(started.elapsed() < Duration::from_secs(3));
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
