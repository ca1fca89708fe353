//! Ordinary HTTP: versions, methods, bodies, connections.

use std::time::Duration;

use super::request;
use crate::support::{Answer, Framing, Origin, Recipe, get, on_each, same_on_both};

#[test]
fn pipelined_requests_are_answered_in_order() {
    same_on_both("/0/1/2/3/4/5/6/7".to_string(), |peer| {
        let origin = Origin::start(|request| Answer::ok(request.target()));
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        client.send((0..8).map(|n| get(&format!("/{n}"))).collect::<String>());
        (0..8).map(|_| client.response("GET").text()).collect()
    });
}

#[test]
fn a_connection_is_kept_and_closed_as_the_client_asks() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: test\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n", false),
    ];
    same_on_both(cases.map(|(_, closes)| closes).to_vec(), |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        cases
            .map(|(request, closes)| {
                let mut client = proxy.client();
                assert_eq!(client.send(request).response("GET").text(), "a");
                client.is_closed_within(Duration::from_millis(if closes { 5000 } else { 150 }))
            })
            .to_vec()
    });
}

#[test]
fn an_http_1_0_client_gets_no_chunks() {
    same_on_both((Framing::Close, "Hello, world".to_string(), false), |peer| {
        let origin = Origin::answering(Answer::chunked(&["Hello, ", "world"], ""));
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let response = proxy.send("GET", "GET / HTTP/1.0\r\nHost: test\r\n\r\n");
        (response.framing, response.text(), response.has("transfer-encoding"))
    });
}

#[test]
fn an_http_1_1_client_gets_chunks_as_they_came() {
    same_on_both((Framing::Chunked, "Hello, world".to_string()), |peer| {
        let origin = Origin::answering(Answer::chunked(&["Hello, ", "world"], ""));
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let response = proxy.get("/");
        (response.framing, response.text())
    });
}

#[test]
fn a_response_without_length_is_chunked_for_the_client_and_kept_alive() {
    same_on_both((Framing::Chunked, "until the end".to_string(), 200), |peer| {
        let origin = Origin::answering(Answer::raw("HTTP/1.1 200 OK\r\n\r\nuntil the end").close());
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        let response = client.get("/");
        (response.framing, response.text(), client.get("/").status)
    });
}

#[test]
fn head_has_the_fields_and_no_body() {
    same_on_both((Some("5".to_string()), String::new(), 200), |peer| {
        let origin = Origin::start(|request| {
            let body = if request.method() == "HEAD" { "" } else { "12345" };
            Answer::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}"))
        });
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        let head = client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").response("HEAD");
        (head.field("content-length").map(str::to_string), head.text(), client.get("/").status)
    });
}

#[test]
fn bodiless_statuses_have_no_body_and_keep_the_connection() {
    same_on_both(vec![(204, Framing::None), (304, Framing::None), (200, Framing::Length(1))], |peer| {
        let origin = Origin::start(|request| match request.target() {
            "/204" => Answer::status(204, ""),
            "/304" => Answer::with_fields(304, "ETag: \"x\"\r\n", ""),
            _ => Answer::ok("a"),
        });
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        ["/204", "/304", "/"]
            .map(|path| {
                let response = client.get(path);
                (response.status, response.framing)
            })
            .to_vec()
    });
}

#[test]
fn expect_100_continue_is_answered_and_not_forwarded() {
    same_on_both((vec![100], 200, "body".to_string(), false), |peer| {
        let origin = Origin::mirror();
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
        let interim = client.try_head("POST").unwrap().status;
        let response = client.send("body").response("POST");
        (vec![interim], response.status, response.text(), origin.request().has("expect"))
    });
}

#[test]
fn a_body_over_the_bound_is_413_before_it_is_read() {
    same_on_both((413, 0), |peer| {
        let origin = Origin::mirror();
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let sent = request("POST", "Content-Length: 1048577\r\n");
        (proxy.send("POST", sent).status, origin.heads())
    });
}

#[test]
fn a_body_of_exactly_the_bound_passes() {
    same_on_both((200, 1 << 20), |peer| {
        let origin = Origin::mirror();
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let sent = request("POST", "Content-Length: 1048576\r\n") + &"x".repeat(1 << 20);
        let response = proxy.send("POST", sent);
        (response.status, response.body.len())
    });
}

/// nginx reads the whole body first and tells its length; Tidegate streams it.
#[test]
fn a_chunked_body_arrives_whole() {
    on_each((Framing::Length(11), "Hello world".to_string()), (Framing::Chunked, "Hello world".to_string()), |peer| {
        let origin = Origin::mirror();
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let sent = request("POST", "Transfer-Encoding: chunked\r\n") + "5\r\nHello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
        assert_eq!(proxy.send("POST", sent).status, 200);
        let got = origin.request();
        (got.framing, got.text())
    });
}

#[test]
fn get_with_a_body_is_forwarded_with_it() {
    same_on_both("abc".to_string(), |peer| {
        let origin = Origin::mirror();
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        proxy.send("GET", request("GET", "Content-Length: 3\r\n") + "abc").text()
    });
}

#[test]
fn upstream_connections_are_used_again() {
    same_on_both(1, |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        for _ in 0..5 {
            client.get("/");
        }
        origin.connections_opened()
    });
}

#[test]
fn an_upstream_that_says_close_is_not_used_again() {
    same_on_both(3, |peer| {
        let origin = Origin::answering(Answer::with_fields(200, "Connection: close\r\n", "a").close());
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = proxy.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "a");
        }
        origin.connections_opened()
    });
}
