//! HTTP/2 endpoints that leave, refuse, reset, stall, or break the rules.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{H2Origin, Latch, RawH2, Setup, error, eventually, flag, kind, raw_h2_origin};

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

fn h2c(addresses: &[SocketAddr]) -> Setup {
    Setup::to(addresses).top("workers = 1").upstream("protocol = \"h2c\"\npolicy = \"round_robin\"")
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    [last.to_be_bytes(), code.to_be_bytes()].concat()
}

#[test]
fn a_goaway_that_leaves_the_request_out_lets_any_method_be_tried_elsewhere() {
    let leaving = raw_h2_origin(|mut raw, _| {
        raw.settle();
        raw.send(kind::GOAWAY, 0, 0, &goaway(0, error::NO_ERROR));
    });
    let other = H2Origin::echo();
    let gate = h2c(&[leaving, other.address()]).start();
    for _ in 0..4 {
        assert_eq!(gate.send(POST).text(), "hi");
    }
    // It leaves in order: no failure of its own.
    assert_eq!(gate.metric("tidegate_endpoint_failures_total"), 0.0);
    assert!(gate.metric("tidegate_upstream_requests_total{outcome=\"refused\"}") >= 1.0);
}

#[test]
fn a_request_under_the_goaway_is_finished_and_the_next_one_gets_another_connection() {
    let (release, first) = (Latch::new(), Latch::new());
    let (released, seen) = (release.clone(), first.clone());
    let origin = raw_h2_origin(move |mut raw, number| {
        let stream = raw.settle().unwrap();
        if number == 0 {
            raw.send(kind::GOAWAY, 0, 0, &goaway(stream, error::NO_ERROR));
            seen.open();
            released.wait();
        }
        raw.answer(stream, if number == 0 { "first" } else { "second" });
        raw.request();
    });
    let gate = h2c(&[origin]).start();
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    first.wait();
    assert_eq!(gate.get("/").text(), "second");
    release.open();
    assert_eq!(client.response("GET").text(), "first");
}

#[test]
fn a_kept_connection_that_leaves_costs_no_try_and_no_failure() {
    let origin = raw_h2_origin(|mut raw, number| {
        let first = raw.settle().unwrap();
        raw.answer(first, "a");
        let Some(second) = raw.request() else { return };
        if number == 0 {
            raw.send(kind::GOAWAY, 0, 0, &goaway(first, error::NO_ERROR));
        } else {
            raw.answer(second, "b");
        }
        raw.request();
    });
    let gate = h2c(&[origin]).upstream("retry.budget = \"0%\"").start();
    assert_eq!(gate.get("/").text(), "a");
    assert_eq!(gate.send(POST).text(), "a");
    assert_eq!(gate.metric("tidegate_endpoint_failures_total"), 0.0);
}

#[test]
fn a_refused_stream_is_tried_elsewhere_whatever_the_method_and_counts() {
    let refusing = raw_h2_origin(|mut raw, _| {
        let mut stream = raw.settle();
        while let Some(refused) = stream {
            raw.send(kind::RST_STREAM, 0, refused, &error::REFUSED_STREAM.to_be_bytes());
            stream = raw.request();
        }
    });
    let other = H2Origin::echo();
    let gate = h2c(&[refusing, other.address()]).upstream("max_fails = 0").start();
    for _ in 0..4 {
        assert_eq!(gate.send(POST).text(), "hi");
    }
    assert_eq!(gate.metric("tidegate_endpoint_failures_total"), 2.0);
    let alone = h2c(&[refusing]).start();
    assert_eq!((alone.get("/").status, &*alone.logged_reason()), (502, "upstream_refused"));
}

#[test]
fn a_reset_stream_is_retried_by_the_rules() {
    let resetting = raw_h2_origin(|mut raw, _| {
        let mut stream = raw.settle();
        while let Some(reset) = stream {
            raw.send(kind::RST_STREAM, 0, reset, &2u32.to_be_bytes());
            stream = raw.request();
        }
    });
    let other = H2Origin::echo();
    let gate = h2c(&[resetting, other.address()]).upstream("max_fails = 0").start();
    let statuses: Vec<u16> = (0..4).map(|_| gate.send(POST).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    for _ in 0..4 {
        assert_eq!(gate.get("/").status, 200);
    }
    assert_eq!(gate.records(1)[0]["reason"].as_str().unwrap_or("upstream_reset"), "upstream_reset");
}

#[test]
fn without_an_acknowledgement_of_settings_all_goes_on() {
    let origin = raw_h2_origin(|mut raw, _| {
        raw.send(kind::SETTINGS, 0, 0, b"");
        let mut stream = raw.request();
        while let Some(number) = stream {
            raw.answer(number, "ok");
            stream = raw.request();
        }
    });
    let gate = h2c(&[origin]).start();
    assert_eq!(gate.get("/").text(), "ok");
    assert_eq!(gate.get("/").text(), "ok");
}

#[test]
fn a_window_of_nothing_times_out() {
    let origin = raw_h2_origin(|mut raw, _| {
        // SETTINGS_INITIAL_WINDOW_SIZE
        raw.send(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        raw.send(kind::SETTINGS, flag::ACK, 0, b"");
        while raw.request().is_some() {}
    });
    let gate = h2c(&[origin]).upstream("timeouts.between_bytes = \"200ms\"\ntimeouts.response = \"200ms\"").start();
    let large = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    assert_eq!((gate.send(large).status, &*gate.logged_reason()), (504, "upstream_timed_out"));
}

#[test]
fn a_head_over_the_bound_is_refused_and_the_connection_lives_on() {
    let origin = raw_h2_origin(|mut raw, _| {
        let stream = raw.settle().unwrap();
        let large = "x".repeat(1500);
        raw.headers(stream, &[(":status", "200"), ("x-large", &large)], true);
        let Some(stream) = raw.request() else { return };
        raw.answer(stream, "ok");
        raw.request();
    });
    let gate = h2c(&[origin]).upstream("max_head_size = \"1k\"").start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_head_too_large"));
    assert_eq!(gate.get("/").text(), "ok");
    assert_eq!(gate.metric("tidegate_upstream_connections_total{state=\"opened\"}"), 1.0);
}

#[test]
fn interim_heads_pass_up_to_a_bound() {
    let origin = raw_h2_origin(|mut raw, _| {
        let mut stream = raw.settle();
        while let Some(number) = stream {
            raw.headers(number, &[(":status", "103"), ("link", "</a>")], false);
            raw.answer(number, "ok");
            stream = raw.request();
        }
    });
    let gate = h2c(&[origin]).start();
    let mut client = gate.client();
    let early = client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").try_head("GET").unwrap();
    assert_eq!((early.status, early.field("link")), (103, Some("</a>")));
    assert_eq!(client.response("GET").text(), "ok");

    let flooding = raw_h2_origin(|mut raw, _| {
        let stream = raw.settle().unwrap();
        for _ in 0..11 {
            raw.headers(stream, &[(":status", "103")], false);
        }
        raw.answer(stream, "ok");
        raw.request();
    });
    let gate = h2c(&[flooding]).start();
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let last = loop {
        let head = client.try_head("GET").unwrap();
        if head.status >= 200 {
            break head.status;
        }
    };
    assert_eq!((last, &*gate.logged_reason()), (502, "upstream_interim"));
}

#[test]
fn a_body_that_breaks_off_is_not_taken_for_whole() {
    let origin = raw_h2_origin(|mut raw, _| {
        let stream = raw.settle().unwrap();
        raw.headers(stream, &[(":status", "200")], false);
        raw.send(kind::DATA, 0, stream, b"half");
        raw.send(kind::RST_STREAM, 0, stream, &2u32.to_be_bytes());
        raw.request();
    });
    let gate = h2c(&[origin]).start();
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.try_response("GET").is_err());
    assert_eq!(gate.logged_reason(), "upstream_body_broken");
}

#[test]
fn garbage_and_broken_rules_are_bad_heads() {
    let answers: [fn(&mut RawH2, u32) -> bool; 4] = [
        |raw, stream| raw.headers(stream, &[(":status", "200"), ("connection", "close")], true),
        |raw, stream| raw.headers(stream, &[(":status", "200"), ("content-length", "5")], true),
        |raw, stream| raw.headers(stream, &[("x", "y")], true),
        |raw, stream| raw.headers(stream, &[(":status", "200"), ("content-length", "1, 2")], true),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let origin = raw_h2_origin(move |mut raw, _| {
            let Some(stream) = raw.settle() else { return };
            answer(&mut raw, stream);
            raw.request();
        });
        let gate = h2c(&[origin]).start();
        assert_eq!(gate.get("/").status, 502, "{number}");
        let reason = gate.logged_reason();
        assert!(reason == "bad_upstream_head" || reason == "upstream_no_http2", "{number}: {reason}");
    }
}

#[test]
fn after_a_timeout_no_request_goes_over_a_connection_that_answers_no_ping() {
    let (pinged, asked) = (Latch::new(), Latch::new());
    let (told, used) = (pinged.clone(), asked.clone());
    let origin = raw_h2_origin(move |mut raw, number| {
        let Some(stream) = raw.settle() else { return };
        if number > 0 {
            raw.answer(stream, "new");
            raw.request();
            return;
        }
        // From here on it is dead: it reads, and says nothing.
        while let Ok(frame) = raw.frame() {
            match frame.kind {
                kind::PING => told.open(),
                kind::HEADERS => used.open(),
                _ => {}
            }
        }
    });
    let keys = "timeouts.response = \"200ms\"\nretry = false\nmax_fails = 0\nhttp2 = { ping_timeout = \"20s\" }";
    let gate = h2c(&[origin]).upstream(keys).start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (504, "upstream_timed_out"));
    assert!(pinged.wait_for(Duration::from_secs(5)));
    assert_eq!(gate.get("/").text(), "new");
    assert!(!asked.wait_for(Duration::ZERO));
}

#[test]
fn a_connection_that_is_only_slow_is_used_again_once_it_answers_a_ping() {
    let origin = raw_h2_origin(move |mut raw, number| {
        assert_eq!(number, 0);
        raw.settle();
        // The first request gets no answer, the PINGs do.
        while let Some(stream) = raw.request() {
            raw.answer(stream, "ok");
        }
    });
    let gate = h2c(&[origin]).upstream("timeouts.response = \"200ms\"\nretry = false\nmax_fails = 0").start();
    assert_eq!(gate.get("/").status, 504);
    eventually("the PING is answered", || gate.get("/").status == 200);
}

#[test]
fn silence_with_a_request_in_flight_is_ended_by_a_ping() {
    let origin = raw_h2_origin(|mut raw, _| {
        raw.settle();
        while raw.frame().is_ok() {}
    });
    let keys = "http2 = { ping_interval = \"100ms\", ping_timeout = \"100ms\" }";
    let gate = h2c(&[origin]).upstream(keys).start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_closed"));
}

#[test]
fn of_requests_that_wait_for_a_connection_that_leaves_none_tries_more_than_twice() {
    let release = Latch::new();
    let hold = release.clone();
    let leaving = raw_h2_origin(move |mut raw, _| {
        let Some(_) = raw.request() else { return };
        hold.wait();
        raw.send(kind::SETTINGS, 0, 0, b"");
        raw.send(kind::SETTINGS, flag::ACK, 0, b"");
        // By the second answer, those who waited have come.
        for _ in 0..2 {
            raw.send(kind::PING, 0, 0, b"settled?");
            while raw.frame().is_ok_and(|frame| frame.kind != kind::PING) {}
        }
        raw.send(kind::GOAWAY, 0, 0, &goaway(0, error::NO_ERROR));
    });
    let gate = h2c(&[leaving]).start();
    let mut clients: Vec<_> = (0..8).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    eventually("all are under way", || gate.metric("tidegate_endpoint_in_flight") == 8.0);
    release.open();
    for mut client in clients {
        assert_eq!(client.response("GET").status, 502);
    }
    let refused = gate.metric("tidegate_upstream_requests_total{outcome=\"refused\"}");
    assert!(refused <= 16.0, "{refused}");
}

/// Allows one stream at a time. The first connection says so when `release` opens, and refuses what has come by then.
fn late_and_narrow(release: &Latch) -> SocketAddr {
    let release = release.clone();
    raw_h2_origin(move |mut raw, number| {
        let Some(first) = raw.request() else { return };
        if number == 0 {
            release.wait();
        }
        // SETTINGS_MAX_CONCURRENT_STREAMS
        raw.send(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]);
        raw.send(kind::SETTINGS, flag::ACK, 0, b"");
        raw.send(kind::PING, 0, 0, b"settled?");
        while let Ok(frame) = raw.frame() {
            match frame.kind {
                kind::HEADERS => {
                    raw.send(kind::RST_STREAM, 0, frame.stream, &error::REFUSED_STREAM.to_be_bytes());
                }
                kind::PING => break,
                _ => {}
            }
        }
        raw.answer(first, "ok");
        while let Some(stream) = raw.request() {
            raw.answer(stream, "ok");
        }
    })
}

#[test]
fn until_an_endpoint_has_said_how_many_streams_it_takes_it_gets_one() {
    let release = Latch::new();
    // With one endpoint there is no other try.
    let gate = h2c(&[late_and_narrow(&release)]).start();
    let mut clients: Vec<_> = (0..10).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    eventually("all are under way", || gate.metric("tidegate_endpoint_in_flight") == 10.0);
    release.open();
    for mut client in clients {
        assert_eq!(client.response("GET").text(), "ok");
    }
    assert_eq!(gate.metric("tidegate_upstream_requests_total{outcome=\"refused\"}"), 0.0);
}

#[test]
fn an_endpoint_that_never_says_how_many_streams_it_takes_gets_another_connection() {
    let origin = raw_h2_origin(|mut raw, number| {
        if number == 0 {
            while raw.frame().is_ok() {}
        }
        let mut stream = raw.settle();
        while let Some(number) = stream {
            raw.answer(number, "ok");
            stream = raw.request();
        }
    });
    let gate = h2c(&[origin]).upstream("timeouts.connect = \"200ms\"\nmax_fails = 0").start();
    let mut held = gate.client();
    held.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    eventually("it is under way", || gate.metric("tidegate_endpoint_in_flight") == 1.0);
    eventually("another is opened", || gate.get("/").status == 200);
    assert_eq!(gate.metric("tidegate_upstream_connections_total{state=\"opened\"}"), 2.0);
}

#[test]
fn an_endpoint_that_allows_fewer_streams_than_were_opened_is_served_in_turn() {
    let origin = raw_h2_origin(|mut raw, _| {
        // SETTINGS_MAX_CONCURRENT_STREAMS
        raw.send(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]);
        raw.send(kind::SETTINGS, flag::ACK, 0, b"");
        let mut stream = raw.request();
        while let Some(number) = stream {
            raw.answer(number, "ok");
            stream = raw.request();
        }
    });
    let gate = h2c(&[origin]).start();
    let mut clients: Vec<_> = (0..10).map(|_| gate.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    for mut client in clients {
        assert_eq!(client.response("GET").text(), "ok");
    }
}
