//! Whose request it is: the peer's, or what a trusted proxy says.

use crate::support::{Message, Origin, Setup};

fn received(trusted: &str, fields: &str) -> (Message, serde_json::Value) {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).top(&format!("trusted_proxies = {trusted}")).start();
    assert_eq!(gate.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).status, 200);
    (origin.request(), gate.records(1).remove(0))
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 2.2.2.2\r\nForwarded: for=3.3.3.3\r\nX-Forwarded-Proto: https\r\n\
                  X-Forwarded-Host: evil\r\nX-Request-Id: mine\r\n";
    let (request, record) = received("[]", fields);
    assert_eq!(record["client"], "127.0.0.1");
    assert_eq!(request.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-for"), Some("1.1.1.1, 127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("test"));
    assert!(!request.has("forwarded"));
    assert_ne!(request.field("x-request-id"), Some("mine"));
}

#[test]
fn a_trusted_proxys_word_counts_read_from_the_right() {
    for (chain, client) in [
        ("1.1.1.1", "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 10.0.0.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.9", "10.0.0.9"),
        ("2001:db8::1", "2001:db8::1"),
        ("6.6.6.6, nonsense, 10.0.0.1", "10.0.0.1"),
    ] {
        let (request, record) = received("[\"127.0.0.0/8\", \"10.0.0.0/8\"]", &format!("X-Forwarded-For: {chain}\r\n"));
        assert_eq!((&record["client"], request.field("x-real-ip")), (&client.into(), Some(client)), "{chain}");
    }
}

#[test]
fn several_lines_are_one_list() {
    let fields = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1, 10.0.0.1\r\n";
    let (request, _) = received("[\"127.0.0.0/8\", \"10.0.0.0/8\"]", fields);
    assert_eq!(request.field("x-real-ip"), Some("1.1.1.1"));
    assert_eq!(request.field("x-forwarded-for"), Some("6.6.6.6, 1.1.1.1, 10.0.0.1, 127.0.0.1"));
}

#[test]
fn a_trusted_proxys_request_id_and_scheme_are_kept() {
    let fields = "X-Request-Id: abc-123\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n";
    let (request, record) = received("[\"127.0.0.1/32\"]", fields);
    assert_eq!(request.field("x-request-id"), Some("abc-123"));
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    assert_eq!(request.field("x-forwarded-host"), Some("public.example"));
    assert_eq!(record["request_id"], "abc-123");
}

#[test]
fn a_request_id_is_made_where_none_is_trusted_and_is_another_each_time() {
    let origin = Origin::named("a");
    // One worker's log lines are in order.
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    gate.get("/");
    gate.get("/");
    let ids: Vec<_> = origin.requests().iter().map(|r| r.field("x-request-id").unwrap().to_string()).collect();
    assert!(ids[0].len() >= 16 && ids[0] != ids[1], "{ids:?}");
    assert_eq!(gate.records(2)[1]["request_id"], ids[1]);
}

#[test]
fn names_that_pass_for_other_names_are_dropped_and_counted() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).start();
    gate.send("GET / HTTP/1.1\r\nHost: test\r\nX_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n\r\n");
    let request = origin.request();
    assert!(!request.has("x_forwarded_for") && !request.has("x_real_ip"));
    assert_eq!(gate.metric("tidegate_suspicious_fields_total"), 2.0);
}
