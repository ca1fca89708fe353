//! max_fails and fail_timeout, with nginx's counting. `min_available = "0%"` is nginx's way; tests of the floor are in
//! the theme `ejection`.

use std::time::Duration;

use super::{bodies, request};
use crate::support::{Answer, Origin, Peer, Proxy, Recipe, eventually, refusing_address, same_on_both};

fn two(a: &Origin, b: &Origin, nginx: &str, toml: &str) -> Recipe {
    Recipe::with_endpoints(&[(a.address(), nginx, ""), (b.address(), nginx, "")])
        .round_robin()
        .upstream("", toml)
        .upstream("", "min_available = \"0%\"\nretry.budget = \"off\"")
}

fn failing() -> Origin {
    Origin::answering(Answer::nothing().close())
}

#[test]
fn an_endpoint_is_ejected_after_max_fails_failures() {
    same_on_both(("bbbbbbbbbb".to_string(), 3), |peer| {
        let (a, b) = (failing(), Origin::named("b"));
        let recipe = two(&a, &b, "max_fails=3 fail_timeout=30s", "max_fails = 3\nfail_timeout = \"30s\"");
        let proxy = peer.start(recipe);
        (bodies(&proxy, 10), a.heads())
    });
}

#[test]
fn max_fails_is_one_unless_told() {
    same_on_both(1, |peer| {
        let (a, b) = (failing(), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "", ""));
        bodies(&proxy, 6);
        a.heads()
    });
}

#[test]
fn max_fails_zero_never_ejects() {
    same_on_both(5, |peer| {
        let (a, b) = (failing(), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "max_fails=0", "max_fails = 0"));
        bodies(&proxy, 10);
        a.heads()
    });
}

#[test]
fn one_probe_after_fail_timeout_and_one_failure_ejects_again_and_success_clears() {
    same_on_both((2, 1, true), |peer| {
        let (a, b) = (failing(), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "max_fails=2 fail_timeout=1s", "max_fails = 2\nfail_timeout = \"1s\""));
        bodies(&proxy, 8);
        let before = a.heads();
        eventually("a probe", || {
            proxy.get("/");
            a.heads() > before
        });
        bodies(&proxy, 4);
        let probes = a.heads() - before;
        a.answer_with(|_| Answer::ok("a"));
        eventually("the endpoint is back", || bodies(&proxy, 2).contains('a'));
        let back = bodies(&proxy, 4);
        (before, probes, back.matches('a').count() == 2)
    });
}

#[test]
fn a_single_endpoint_is_never_ejected() {
    same_on_both((vec![502, 502, 502], 3), |peer| {
        let a = failing();
        let recipe = Recipe::with_endpoints(&[(a.address(), "max_fails=1 fail_timeout=30s", "")])
            .upstream("", "max_fails = 1\nfail_timeout = \"30s\"");
        let proxy = peer.start(recipe);
        (statuses(&proxy, 3), a.heads())
    });
}

#[test]
fn with_all_ejected_requests_are_refused_without_an_attempt() {
    same_on_both((vec![502, 502, 502], 1, 1), |peer| {
        let (a, b) = (failing(), failing());
        let proxy = peer.start(two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\""));
        (statuses(&proxy, 3), a.heads(), b.heads())
    });
}

#[test]
fn refused_connects_count() {
    same_on_both("bbbb".to_string(), |peer: Peer| {
        let b = Origin::named("b");
        let recipe =
            Recipe::to(&[refusing_address(1), b.address()]).round_robin().upstream("", "min_available = \"0%\"");
        bodies(&peer.start(recipe), 4)
    });
}

#[test]
fn a_5xx_that_is_not_listed_never_counts() {
    same_on_both((vec![500, 200, 500, 200, 500, 200], 3), |peer| {
        let (a, b) = (Origin::answering(Answer::status(500, "")), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "", ""));
        (statuses(&proxy, 6), a.heads())
    });
}

#[test]
fn a_listed_5xx_counts_while_another_try_is_left() {
    same_on_both((vec![200, 200, 200, 200], 1), |peer| {
        let (a, b) = (Origin::answering(Answer::status(503, "")), Origin::named("b"));
        let recipe = two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\"")
            .proxy("proxy_next_upstream error timeout http_503;", "retry.on = [\"error\", \"timeout\", \"http_503\"]");
        let proxy = peer.start(recipe);
        (statuses(&proxy, 4), a.heads())
    });
}

#[test]
fn the_last_trys_5xx_passes_through_uncounted() {
    same_on_both((503, 1, 2), |peer| {
        let busy = || Origin::answering(Answer::status(503, ""));
        let (a, b) = (busy(), busy());
        let recipe = two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\"")
            .proxy("proxy_next_upstream error timeout http_503;", "retry.on = [\"error\", \"timeout\", \"http_503\"]");
        let proxy = peer.start(recipe);
        let first = proxy.get("/").status;
        // The second request shows that the last try's endpoint isn't ejected.
        proxy.get("/");
        (first, a.heads(), b.heads())
    });
}

#[test]
fn a_404_never_counts_even_if_listed() {
    same_on_both((vec![200, 200, 200, 200], 2), |peer| {
        let (a, b) = (Origin::answering(Answer::status(404, "")), Origin::named("b"));
        let recipe = two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\"")
            .proxy("proxy_next_upstream error timeout http_404;", "retry.on = [\"error\", \"timeout\", \"http_404\"]");
        let proxy = peer.start(recipe);
        (statuses(&proxy, 4), a.heads())
    });
}

#[test]
fn a_failure_in_mid_body_never_counts() {
    same_on_both(3, |peer| {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
        let (a, b) = (Origin::answering(Answer::raw(cut).close()), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\""));
        for _ in 0..6 {
            let _ = proxy.client().send(request("GET", "")).try_response("GET");
        }
        a.heads()
    });
}

#[test]
fn a_bad_response_head_counts_though_it_is_not_retried() {
    same_on_both((vec![502, 200, 200, 200], 1), |peer| {
        let bad = "HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 1\r\n\r\na";
        let (a, b) = (Origin::answering(Answer::raw(bad).close()), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\""));
        (statuses(&proxy, 4), a.heads())
    });
}

#[test]
fn a_timeout_counts() {
    same_on_both(("bbbb".to_string(), 1), |peer| {
        let (a, b) = (Origin::answering(Answer::nothing().hang()), Origin::named("b"));
        let recipe = two(&a, &b, "fail_timeout=30s", "fail_timeout = \"30s\"")
            .proxy("proxy_read_timeout 200ms;", "timeouts.response = \"200ms\"");
        let proxy = peer.start(recipe);
        (bodies(&proxy, 4), a.heads())
    });
}

/// Failures further apart than fail_timeout still add up: the count is no sliding window.
#[test]
fn failures_add_up_over_more_than_fail_timeout_if_none_succeeded() {
    same_on_both(2, |peer| {
        let (a, b) = (failing(), Origin::named("b"));
        let proxy = peer.start(two(&a, &b, "max_fails=2 fail_timeout=1s", "max_fails = 2\nfail_timeout = \"1s\""));
        bodies(&proxy, 2);
        assert_eq!(a.heads(), 1);
        let pause = crate::support::Latch::new();
        pause.wait_for(Duration::from_millis(2100));
        bodies(&proxy, 6);
        a.heads()
    });
}

fn statuses(proxy: &Proxy, count: usize) -> Vec<u16> {
    (0..count).map(|_| proxy.get("/").status).collect()
}
