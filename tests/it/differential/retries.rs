//! When another endpoint is tried.

use super::request;
use crate::support::{Answer, Blackhole, Origin, Recipe, get, refusing_address, same_on_both};

fn to(first: &Origin, second: &Origin) -> Recipe {
    Recipe::to(&[first.address(), second.address()]).round_robin().upstream("", "retry.budget = \"off\"")
}

/// Per method: the client's status, and how many attempts both endpoints saw.
fn attempts(peer: crate::support::Peer, extra: (&str, &str)) -> Vec<(&'static str, u16, usize)> {
    ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH", "LOCK"]
        .map(|method| {
            let (a, b) = (Origin::answering(Answer::nothing().close()), Origin::named("b"));
            let proxy = peer.start(to(&a, &b).proxy(extra.0, extra.1));
            let status = proxy.send(method, request(method, "Content-Length: 0\r\n")).status;
            (method, status, a.heads() + b.heads())
        })
        .to_vec()
}

#[test]
fn what_was_sent_is_retried_unless_the_method_is_post_patch_or_lock() {
    let expected = vec![
        ("GET", 200, 2),
        ("HEAD", 200, 2),
        ("OPTIONS", 200, 2),
        ("PUT", 200, 2),
        ("DELETE", 200, 2),
        ("POST", 502, 1),
        ("PATCH", 502, 1),
        ("LOCK", 502, 1),
    ];
    same_on_both(expected, |peer| attempts(peer, ("", "")));
}

#[test]
fn non_idempotent_methods_are_retried_if_told() {
    same_on_both(vec![200; 8], |peer| {
        let extra = (
            "proxy_next_upstream error timeout non_idempotent;",
            "retry.on = [\"error\", \"timeout\", \"non_idempotent\"]",
        );
        attempts(peer, extra).into_iter().map(|(_, status, _)| status).collect()
    });
}

#[test]
fn a_refused_connect_is_retried_whatever_the_method() {
    same_on_both(vec![200, 200, 200], |peer| {
        ["GET", "POST", "PATCH"]
            .map(|method| {
                let b = Origin::mirror();
                let proxy = peer.start(Recipe::to(&[refusing_address(1), b.address()]).round_robin());
                let sent = request(method, "Content-Length: 4\r\n") + "body";
                let response = proxy.send(method, sent);
                assert_eq!(response.text(), "body");
                response.status
            })
            .to_vec()
    });
}

#[test]
fn a_connect_that_hangs_is_retried_after_its_timeout() {
    same_on_both(200, |peer| {
        let (a, b) = (Blackhole::start(), Origin::named("b"));
        let recipe = Recipe::to(&[a.address(), b.address()])
            .round_robin()
            .proxy("proxy_connect_timeout 200ms;", "timeouts.connect = \"200ms\"");
        peer.start(recipe).get("/").status
    });
}

#[test]
fn a_body_is_sent_again_in_whole() {
    same_on_both("0123456789".repeat(1000), |peer| {
        let (a, b) = (Origin::answering(Answer::nothing().close()), Origin::mirror());
        let proxy = peer.start(to(&a, &b));
        let body = "0123456789".repeat(1000);
        let text = proxy.send("PUT", request("PUT", &format!("Content-Length: {}\r\n", body.len())) + &body).text();
        assert_eq!(a.requests()[0].text(), text);
        text
    });
}

#[test]
fn closing_resetting_and_a_half_head_are_errors_to_retry() {
    same_on_both(vec![200, 200, 200], |peer| {
        [Answer::nothing().close(), Answer::nothing().reset(), Answer::raw("HTTP/1.1 200 OK\r\nContent-Le").close()]
            .map(|answer| {
                let (a, b) = (Origin::answering(answer), Origin::named("b"));
                peer.start(to(&a, &b)).get("/").status
            })
            .to_vec()
    });
}

#[test]
fn all_refusing_is_502_and_a_timeout_of_the_last_is_504() {
    same_on_both((502, 504), |peer| {
        let refused = peer.start(Recipe::to(&[refusing_address(1), refusing_address(2)]).round_robin());
        let hanging = Origin::answering(Answer::nothing().hang());
        let recipe =
            Recipe::to(&[hanging.address()]).proxy("proxy_read_timeout 200ms;", "timeouts.response = \"200ms\"");
        (refused.get("/").status, peer.start(recipe).get("/").status)
    });
}

#[test]
fn tries_can_be_bounded() {
    same_on_both((502, 2), |peer| {
        let closing = || Origin::answering(Answer::nothing().close());
        let all = [closing(), closing(), closing(), closing()];
        let addresses: Vec<_> = all.iter().map(Origin::address).collect();
        let recipe = Recipe::to(&addresses)
            .round_robin()
            .upstream("", "retry.budget = \"off\"")
            .proxy("proxy_next_upstream_tries 2;", "retry.tries = 2");
        let status = peer.start(recipe).get("/").status;
        (status, all.iter().map(Origin::heads).sum::<usize>())
    });
}

#[test]
fn every_endpoint_is_tried_once_and_none_twice() {
    same_on_both((502, vec![1, 1, 1]), |peer| {
        let closing = || Origin::answering(Answer::nothing().close());
        let all = [closing(), closing(), closing()];
        let addresses: Vec<_> = all.iter().map(Origin::address).collect();
        let recipe = Recipe::to(&addresses).round_robin().upstream("", "max_fails = 0\nretry.budget = \"off\"");
        let status = peer.start(recipe).get("/").status;
        (status, all.iter().map(Origin::heads).collect())
    });
}

#[test]
fn a_listed_status_is_retried_and_the_last_ones_passes() {
    same_on_both(((200, "b".to_string()), (502, "bad".to_string())), |peer| {
        let listed =
            ("proxy_next_upstream error timeout http_502;", "retry.on = [\"error\", \"timeout\", \"http_502\"]");
        let bad = || Origin::answering(Answer::status(502, "bad"));
        let (a, b) = (bad(), Origin::named("b"));
        let mixed = peer.start(to(&a, &b).proxy(listed.0, listed.1)).get("/");
        let (c, d) = (bad(), bad());
        let both = peer.start(to(&c, &d).proxy(listed.0, listed.1)).get("/");
        ((mixed.status, mixed.text()), (both.status, both.text()))
    });
}

#[test]
fn nothing_is_retried_once_a_byte_of_the_response_went_out() {
    same_on_both(0, |peer| {
        let a = Origin::answering(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").close());
        let b = Origin::named("b");
        let proxy = peer.start(to(&a, &b));
        let cut = proxy.client().send(get("/")).try_response("GET");
        assert!(cut.is_err(), "{cut:?}");
        b.heads()
    });
}

/// An idle connection that the endpoint closes just as the next request arrives.
#[test]
fn a_stale_connections_error_gives_the_try_back_but_not_to_post() {
    same_on_both(vec![("GET", 200), ("PUT", 200), ("POST", 502)], |peer| {
        ["GET", "PUT", "POST"]
            .map(|method| {
                let origin = Origin::answering(Answer::ok("fresh"));
                let proxy = peer.start(Recipe::to(&[origin.address()]));
                assert_eq!(proxy.get("/").status, 200);
                // The second request on the first connection is read and not answered.
                origin.answer_heads_with({
                    let first = std::sync::atomic::AtomicBool::new(true);
                    move |_| first.swap(false, std::sync::atomic::Ordering::SeqCst).then(|| Answer::nothing().close())
                });
                let status = proxy.send(method, request(method, "Content-Length: 0\r\n")).status;
                (method, status)
            })
            .to_vec()
    });
}
