//! The budget, the bound on bodies that are kept, and what is told about retries.

use crate::support::{Answer, Origin, Setup, refusing_address};

fn failing() -> Origin {
    Origin::answering(Answer::nothing().close())
}

#[test]
fn the_budget_keeps_retries_from_multiplying_an_outage() {
    let all = [failing(), failing(), failing(), failing()];
    let addresses: Vec<_> = all.iter().map(Origin::address).collect();
    let gate = Setup::to(&addresses).upstream("max_fails = 0").start();
    for _ in 0..100 {
        assert_eq!(gate.get("/").status, 502);
    }
    let attempts: usize = all.iter().map(Origin::heads).sum();
    // A fifth of the requests, and three a second for as long as this took.
    assert!((100..200).contains(&attempts), "{attempts} attempts for 100 requests");
    assert!(gate.metric("tidegate_retries_refused_total") > 50.0);
}

#[test]
fn the_budget_always_grants_some() {
    let b = Origin::named("b");
    let gate = Setup::to(&[refusing_address(1), b.address()]).upstream("policy = \"round_robin\"").start();
    assert_eq!(gate.get("/").text(), "b");
}

#[test]
fn a_body_over_the_bound_is_not_sent_again() {
    let (a, b) = (failing(), Origin::mirror());
    let setup = Setup::to(&[a.address(), b.address()]).upstream("policy = \"round_robin\"\nretry.budget = \"off\"");
    let put = |n: usize| format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    assert_eq!(setup.start().send(put(64 << 10)).status, 200);
    let larger = setup.start();
    assert_eq!(larger.send(put((64 << 10) + 1)).status, 502);
    assert_eq!(b.count(), 1);
}

#[test]
fn a_chunked_body_with_trailers_is_sent_again_whole() {
    let (a, b) = (failing(), Origin::mirror());
    let gate = Setup::to(&[a.address(), b.address()]).upstream("policy = \"round_robin\"").start();
    let body = "3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Sum: 6\r\n\r\n";
    let response = gate.send(format!("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"));
    assert_eq!(response.text(), "abcdef");
    assert_eq!(b.request().trailers, [("X-Sum".into(), "6".into())]);
}

#[test]
fn retry_false_tries_once_but_a_refused_connect_is_still_moved_on() {
    let (a, b) = (failing(), Origin::named("b"));
    let setup = Setup::to(&[a.address(), b.address()]).upstream("policy = \"round_robin\"\nretry = false");
    assert_eq!((setup.start().get("/").status, b.heads()), (502, 0));
}

#[test]
fn no_retry_starts_after_its_time() {
    let hanging = || Origin::answering(Answer::nothing().hang());
    let all = [hanging(), hanging(), hanging(), hanging()];
    let addresses: Vec<_> = all.iter().map(Origin::address).collect();
    let setup = Setup::to(&addresses).upstream("timeouts.response = \"200ms\"\nretry.timeout = \"300ms\"");
    assert_eq!(setup.upstream("retry.budget = \"off\"").start().get("/").status, 504);
    assert_eq!(all.iter().map(Origin::heads).sum::<usize>(), 2);
}

#[test]
fn attempts_stand_in_the_access_log() {
    let (a, b) = (failing(), Origin::named("b"));
    let gate = Setup::to(&[a.address(), b.address()]).upstream("policy = \"round_robin\"").start();
    gate.get("/");
    let record = &gate.records(1)[0];
    assert_eq!(record["attempts"], 2);
    assert_eq!(record["endpoint"], b.address().to_string());
    assert_eq!(record["retried"], serde_json::json!([a.address().to_string()]));
    assert_eq!(gate.metric("tidegate_upstream_requests_total{outcome=\"closed\"}"), 1.0);
    assert_eq!(gate.metric("tidegate_upstream_requests_total{outcome=\"answered\"}"), 1.0);
}
