//! The access log: combined as nginx writes it, JSON, templates.

use crate::support::{Answer, Origin, Peer, Proxy, Recipe, Setup, same_on_both};

/// A line without its time.
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    format!("{before}{}", rest.split_once(']').unwrap().1)
}

#[test]
fn combined_is_byte_identical_to_nginxs() {
    let requests = [
        "GET /plain?a=b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: test\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "POST /form HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        "GET /quote\" HTTP/1.1\r\nHost: test\r\nUser-Agent: a \"quoted\" \\ agent\r\nReferer: http://r/\"\r\nConnection: close\r\n\r\n",
        "GET /high\u{e9} HTTP/1.1\r\nHost: test\r\nUser-Agent: \u{fc}\ttab\r\nConnection: close\r\n\r\n",
        "GET /user HTTP/1.1\r\nHost: test\r\nAuthorization: Basic dXNlcjpwYXNz\r\nConnection: close\r\n\r\n",
        "GET /empty HTTP/1.1\r\nHost: test\r\nUser-Agent:\r\nConnection: close\r\n\r\n",
        "GET http://test/absolute HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET /404 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET /204 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "GET /chunks HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    ];
    let run = |peer: Peer| {
        let origin = Origin::start(|r| match (r.method(), r.target()) {
            ("HEAD", _) => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (_, "/404") => Answer::status(404, "none"),
            (_, "/204") => Answer::status(204, ""),
            _ => Answer::ok("hello"),
        });
        let proxy: Proxy = peer.start(Recipe::to(&[origin.address()]).tide(|s| s.log("format = \"combined\"")));
        for request in requests {
            proxy.send(request.split(' ').next().unwrap(), request);
        }
        proxy.log_lines(requests.len()).iter().map(|l| without_time(l)).collect::<Vec<_>>()
    };
    same_on_both(run(Peer::Nginx), run);
}

#[test]
fn a_refused_head_is_logged_with_its_first_line_as_nginx_does() {
    let requests: [&[u8]; 6] = [
        b"GARBAGE\r\n\r\n",
        b"GET /del\x7f HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET /no-host HTTP/1.1\r\n\r\n",
        b"\r\nGET /\"quoted\" HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET /newer HTTP/2.0\r\nHost: test\r\n\r\n",
        b"POST /smuggled HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    let run = |peer: Peer| {
        let origin = Origin::named("a");
        let proxy: Proxy = peer.start(Recipe::to(&[origin.address()]).tide(|s| s.log("format = \"combined\"")));
        for request in requests {
            proxy.send("GET", request);
        }
        // The reply's size, which stands behind the status, is each one's own.
        let request = |line: &String| line.split(" 400 ").next().unwrap().split(" 505 ").next().unwrap().to_string();
        proxy.log_lines(requests.len()).iter().map(|line| without_time(&request(line))).collect::<Vec<_>>()
    };
    same_on_both(run(Peer::Nginx), run);
}

#[test]
fn combined_times_look_like_nginxs() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).log("format = \"combined\"").start();
    gate.get("/");
    let line = gate.log_lines(1).remove(0);
    let time = line.split_once('[').unwrap().1.split_once(']').unwrap().0.to_string();
    let shape: String = time
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert!(shape == "00/aaa/0000:00:00:00 +0000" || shape == "00/aaa/0000:00:00:00 -0000", "{time}");
}

#[test]
fn json_tells_everything_about_a_request() {
    let origin = Origin::named("hello");
    let gate = Setup::to(&[origin.address()]).start();
    gate.send(
        "POST /a?b=c HTTP/1.1\r\nHost: test:80\r\nUser-Agent: ua\r\nReferer: ref\r\nContent-Length: 3\r\n\r\nabc",
    );
    let record = &gate.records(1)[0];
    for (key, value) in [
        ("client", "127.0.0.1".into()),
        ("method", "POST".into()),
        ("target", "/a?b=c".into()),
        ("host", "test:80".into()),
        ("version", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("bytes_sent", 5.into()),
        ("referer", "ref".into()),
        ("user_agent", "ua".into()),
        ("site", "test".into()),
        ("route", "/".into()),
        ("upstream", "u".into()),
        ("endpoint", origin.address().to_string().into()),
        ("attempts", 1.into()),
        ("reason", serde_json::Value::Null),
    ] {
        assert_eq!(record[key], value, "{key}: {record}");
    }
    let times: Vec<_> = ["duration", "connect", "first_byte"].map(|k| record[k].as_f64().unwrap()).to_vec();
    assert!(times[0] < 5.0 && times[1] <= times[0] && times[2] <= times[0], "{times:?}");
}

/// nginx's `$request_length`.
#[test]
fn bytes_received_are_those_of_head_and_body() {
    let origin = Origin::named("hello");
    let gate = Setup::to(&[origin.address()]).start();
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc";
    gate.send(request);
    assert_eq!(gate.records(1)[0]["bytes_received"], request.len());
}

#[test]
fn json_lines_stay_json_whatever_a_client_sends() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).start();
    gate.send(b"GET /\xff\xfe\"\\ HTTP/1.1\r\nHost: test\r\nUser-Agent: \xc3\x28 \"\t\xe2\x80\xa8\r\n\r\n".as_slice());
    gate.send(b"\x16\x03\x01\x00\"\\\r\n\r\n".as_slice());
    assert_eq!(gate.records(2).len(), 2);
}

#[test]
fn a_template_writes_what_it_names() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).log("format = \"{method} {target} -> {status} {reason}\"").start();
    gate.get("/x");
    assert!(gate.log_lines(1)[0].starts_with("GET /x -> 200 "), "{:?}", gate.log_lines(1));
}

#[test]
fn every_request_has_exactly_one_line() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).top("workers = 3").start();
    for _ in 0..10 {
        let mut client = gate.client();
        client.send(crate::support::get("/").repeat(30));
        for _ in 0..30 {
            client.response("GET");
        }
    }
    assert_eq!(gate.log_lines(300).len(), 300);
    gate.get("/last");
    assert_eq!(gate.log_lines(301).len(), 301);
}
