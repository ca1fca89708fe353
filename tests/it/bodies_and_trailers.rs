//! Bodies both ways: sizes, framings, trailers, bounds, back-pressure.

use std::time::Duration;

use crate::support::{Answer, Framing, Gate, Latch, Origin, Setup, eventually, get};

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn bodies_of_all_sizes_pass_unchanged_both_ways() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for length in [0, 1, 2, 1000, 4095, 4096, 16383, 16384, 16385, 65536, 200_000, 1 << 20] {
        let body = pattern(length);
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")).send(&body);
        let response = client.response("POST");
        assert_eq!(response.framing, Framing::Length(length as u64));
        assert!(response.body == body, "{length} bytes differ");
    }
}

#[test]
fn get_and_head_with_a_body_are_framed_and_forwarded_like_any_other() {
    let origin = Origin::answering(Answer::ok(""));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    for method in ["GET", "HEAD"] {
        for fields in ["Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"] {
            client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{fields}"));
            assert_eq!(client.response(method).status, 200);
            let request = origin.last();
            assert_eq!((request.method(), request.text().as_str()), (method, "body"));
        }
    }
    assert_eq!(origin.came_on(), [0; 4]);
}

#[test]
fn a_large_response_passes_while_it_comes() {
    let body = pattern(20 << 20);
    let sent = body.clone();
    let origin = Origin::start(move |_| Answer::ok(&sent));
    assert!(Gate::to(&[origin.address()]).get("/").body == body);
}

#[test]
fn the_first_bytes_of_a_response_pass_before_the_last_have_come() {
    let latch = Latch::new();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let origin = Origin::answering(Answer::raw(head).wait(&latch).send("4\r\nlast\r\n0\r\n\r\n"));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    let head = client.send(get("/")).try_head("GET").unwrap();
    assert_eq!(client.take(10).unwrap(), b"5\r\nfirst\r\n");
    latch.open();
    assert_eq!(client.body_of(head).unwrap().text(), "last");
}

#[test]
fn the_first_bytes_of_a_request_pass_before_the_last_have_come() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nfirst");
    origin.wait_for_heads(1);
    assert_eq!(client.send("-last").response("POST").text(), "first-last");
}

#[test]
fn chunked_requests_pass_with_their_trailers() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nHello\r\n7;ext=\"v\"\r\n, world\r\n00\r\nX-Sum: 42\r\nX-More: a\r\n\r\n",
    );
    assert_eq!(client.response("POST").text(), "Hello, world");
    let request = origin.request();
    assert_eq!(request.framing, Framing::Chunked);
    assert_eq!(request.trailers, [("X-Sum".into(), "42".into()), ("X-More".into(), "a".into())]);
}

#[test]
fn chunked_responses_pass_with_their_trailers() {
    let origin = Origin::answering(Answer::chunked(&["Hello, ", "world"], "X-Sum: 42\r\n"));
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.framing, response.text()), (Framing::Chunked, "Hello, world".to_string()));
    assert_eq!(response.trailers, [("X-Sum".into(), "42".into())]);
    assert_eq!(client.get("/").text(), "Hello, world");
}

/// RFC 9110 6.5.1: fields that frame, route or authenticate have no place in trailers.
#[test]
fn trailers_never_become_fields_that_frame_or_route() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\
         Content-Length: 5\r\nTransfer-Encoding: x\r\nHost: evil\r\nX-Real-IP: 1.1.1.1\r\nX-Fine: 1\r\n\r\n",
    );
    if client.response("POST").status == 200 {
        let names: Vec<_> = origin.request().trailers.into_iter().map(|(n, _)| n.to_lowercase()).collect();
        for name in ["content-length", "transfer-encoding", "host", "x-real-ip"] {
            assert!(!names.contains(&name.to_string()), "{names:?}");
        }
    }
}

#[test]
fn chunk_extensions_are_not_forwarded() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let body = "3;a=b;c=\"d;e\"\r\nabc\r\n0;last\r\n\r\n";
    let sent = format!("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert_eq!(gate.send(sent).text(), "abc");
}

#[test]
fn upper_case_and_leading_zeros_of_chunk_sizes_are_fine() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let sent = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: Chunked\r\n\r\n000A\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(gate.send(sent).text(), "0123456789");
}

#[test]
fn a_body_over_the_routes_bound_is_413_from_its_length_and_from_its_chunks() {
    let origin = Origin::mirror();
    let gate = Setup::to(&[origin.address()])
        .route("max_body_size = \"10\"\n[[site.route]]\npath = \"/large\"\nupstream = \"u\"\nmax_body_size = \"off\"")
        .start();
    let length = |path: &str, n: usize| {
        gate.send(format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n))).status
    };
    assert_eq!((length("/", 10), length("/", 11), length("/large", 3 << 20)), (200, 413, 200));
    let chunked = |n: usize| {
        let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        gate.send(format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(n))).status
    };
    assert_eq!((chunked(10), chunked(11)), (200, 413));
    let reasons: Vec<_> = gate.records(5).iter().map(|r| r["reason"].as_str().unwrap_or("").to_string()).collect();
    assert_eq!(reasons.iter().filter(|r| *r == "body_too_large").count(), 2, "{reasons:?}");
}

#[test]
fn a_client_that_reads_nothing_holds_the_origin_back() {
    // More than all socket buffers on the way can hold.
    let written = Latch::new();
    let answer = Answer::ok(vec![b'x'; 64 << 20]).open(&written);
    let origin = Origin::answering(answer);
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.shrink_receive_buffer();
    client.send(get("/"));
    origin.wait_for_heads(1);
    assert!(!written.wait_for(Duration::from_millis(500)), "somebody took 64 MiB");
    drop(client);
    eventually("the origin is let go", || origin.connections_open() == 0);
}

#[test]
fn an_origin_that_reads_nothing_holds_the_client_back() {
    let latch = Latch::new();
    let origin = Origin::mirror();
    let hold = latch.clone();
    origin.answer_heads_with(move |_| {
        hold.wait();
        None
    });
    let gate = Setup::to(&[origin.address()]).route("max_body_size = \"off\"").start();
    let mut client = gate.client();
    let length = 64 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"));
    origin.wait_for_heads(1);
    let writer = std::thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            client.send(&chunk);
        }
        client.response("POST").body.len()
    });
    Latch::new().wait_for(Duration::from_millis(200));
    assert!(!writer.is_finished());
    latch.open();
    assert_eq!(writer.join().unwrap(), length);
}

#[test]
fn head_of_a_chunked_resource_keeps_the_connection_in_step() {
    let origin = Origin::start(|r| match r.method() {
        "HEAD" => Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _ => Answer::chunked(&["body"], ""),
    });
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    assert_eq!(client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD").text(), "");
    assert_eq!(client.get("/").text(), "body");
}

/// What a field before the body may not say, a trailer after it may not either.
#[test]
fn trailers_never_speak_for_the_proxy() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\
         X-Real-IP: 1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX_Forwarded_For: 1.2.3.4\r\nX-Request-Id: mine\r\n\
         Cookie: user=root\r\nAuthorization: Basic eA==\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(client.response("POST").status, 200);
    assert_eq!(origin.request().trailers, [("X-Sum".into(), "1".into())]);
}

#[test]
fn a_refused_body_ends_the_connection_and_says_so() {
    let origin = Origin::mirror();
    let gate = Gate::to(&[origin.address()]);
    let mut client = gate.client();
    let response = client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\n").response("POST");
    assert_eq!(response.status, 413);
    assert_eq!(response.field("Connection"), Some("close"));
}
