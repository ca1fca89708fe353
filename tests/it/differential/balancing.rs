//! Which endpoint gets a request.

use super::bodies;
use crate::support::{Answer, Client, Latch, Origin, Peer, Proxy, Recipe, eventually, get, same_on_both};

/// Answers its name; a request for `/hold` waits for the latch first.
fn holding(name: &'static str, latch: &Latch) -> Origin {
    let latch = latch.clone();
    Origin::start(move |request| {
        let answer = Answer::ok(name);
        if request.target() == "/hold" { answer.after(&latch) } else { answer }
    })
}

/// Starts a request that stays in flight, and tells which of the origins got it.
fn hold(proxy: &Proxy, origins: &[(&str, &Origin)]) -> (Client, String) {
    let before: Vec<_> = origins.iter().map(|(_, o)| o.heads()).collect();
    let mut client = proxy.client();
    client.send(get("/hold"));
    let name = eventually("a held request arrives", || {
        origins.iter().zip(&before).find(|((_, o), before)| o.heads() > **before).map(|((name, _), _)| name.to_string())
    });
    (client, name)
}

#[test]
fn round_robin_spreads_weights_smoothly() {
    same_on_both("aabacaaaabacaa".to_string(), |peer| {
        let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
        let endpoints =
            [(a.address(), "weight=5", "weight = 5"), (b.address(), "", ""), (c.address(), "weight=1", "weight = 1")];
        bodies(&peer.start(Recipe::with_endpoints(&endpoints).round_robin()), 14)
    });
}

#[test]
fn least_conn_takes_turns_among_idle_equals() {
    same_on_both("abcabcab".to_string(), |peer| {
        let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
        bodies(&peer.start(Recipe::to(&[a.address(), b.address(), c.address()]).least_conn()), 8)
    });
}

#[test]
fn least_conn_takes_turns_by_weight_among_idle_ones() {
    same_on_both("abaabaabaa".to_string(), |peer| {
        let (a, b) = (Origin::named("a"), Origin::named("b"));
        let endpoints = [(a.address(), "weight=2", "weight = 2"), (b.address(), "", "")];
        bodies(&peer.start(Recipe::with_endpoints(&endpoints).least_conn()), 10)
    });
}

#[test]
fn least_conn_compares_in_flight_by_weight() {
    same_on_both("abaaabaa".to_string(), |peer| {
        let latch = Latch::new();
        let (a, b) = (holding("a", &latch), holding("b", &latch));
        let endpoints = [(a.address(), "weight=3", "weight = 3"), (b.address(), "", "")];
        let proxy = peer.start(Recipe::with_endpoints(&endpoints).least_conn());
        let held: Vec<_> = (0..8).map(|_| hold(&proxy, &[("a", &a), ("b", &b)])).collect();
        latch.open();
        held.into_iter()
            .map(|(mut client, name)| {
                assert_eq!(client.response("GET").text(), name);
                name
            })
            .collect()
    });
}

#[test]
fn least_conn_avoids_the_busy_one() {
    same_on_both("abbbb".to_string(), |peer| {
        let latch = Latch::new();
        let (a, b) = (holding("a", &latch), holding("b", &latch));
        let proxy = peer.start(Recipe::to(&[a.address(), b.address()]).least_conn());
        let (_client, first) = hold(&proxy, &[("a", &a), ("b", &b)]);
        let rest = bodies(&proxy, 4);
        latch.open();
        first + &rest
    });
}

#[test]
fn a_finished_request_gives_its_place_back_though_its_connection_stays_open() {
    same_on_both("abab".to_string(), |peer| {
        let (a, b) = (Origin::named("a"), Origin::named("b"));
        let proxy = peer.start(Recipe::to(&[a.address(), b.address()]).least_conn());
        let mut client = proxy.client();
        (0..4).map(|_| client.get("/").text()).collect()
    });
}

#[test]
fn an_upgraded_connection_counts_until_it_closes() {
    same_on_both(("bbbb".to_string(), true), |peer| {
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        let tunnel = |name: &'static str| {
            Origin::start(
                move |request| {
                    if request.has("upgrade") { Answer::raw(upgrade).echo() } else { Answer::ok(name) }
                },
            )
        };
        let (a, b) = (tunnel("a"), tunnel("b"));
        let recipe = Recipe::to(&[a.address(), b.address()])
            .least_conn()
            .server("", "")
            .proxy("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;", "");
        let proxy = peer.start(recipe);
        let mut socket = proxy.client();
        socket.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        assert_eq!(socket.try_head("GET").unwrap().status, 101);
        let during = bodies(&proxy, 4);
        drop(socket);
        let again = eventually_gets(&proxy, "a");
        (during, again)
    });
}

fn eventually_gets(proxy: &Proxy, name: &str) -> bool {
    eventually("the place is given back", || proxy.get("/").text() == name);
    true
}

#[test]
fn max_conns_keeps_further_requests_away() {
    same_on_both(("ab".to_string(), 502, 200), |peer| {
        let latch = Latch::new();
        let (a, b) = (holding("a", &latch), holding("b", &latch));
        let endpoints = [(a.address(), "max_conns=1", "max_conns = 1"), (b.address(), "max_conns=1", "max_conns = 1")];
        let proxy = peer.start(Recipe::with_endpoints(&endpoints).least_conn());
        let (mut one, first) = hold(&proxy, &[("a", &a), ("b", &b)]);
        let (mut two, second) = hold(&proxy, &[("a", &a), ("b", &b)]);
        let full = proxy.get("/").status;
        latch.open();
        one.response("GET");
        two.response("GET");
        (first + &second, full, proxy.get("/").status)
    });
}

#[test]
fn a_backup_serves_only_when_no_primary_can() {
    same_on_both(("aaa".to_string(), "ac".to_string()), |peer| {
        let latch = Latch::new();
        let (a, c) = (holding("a", &latch), holding("c", &latch));
        let endpoints = [(a.address(), "max_conns=1", "max_conns = 1"), (c.address(), "backup", "backup = true")];
        let proxy = peer.start(Recipe::with_endpoints(&endpoints).least_conn());
        let idle = bodies(&proxy, 3);
        let (_client, held) = hold(&proxy, &[("a", &a), ("c", &c)]);
        let busy = held + &bodies(&proxy, 1);
        latch.open();
        (idle, busy)
    });
}

#[test]
fn an_endpoint_that_is_down_gets_nothing() {
    same_on_both(("bcbcbc".to_string(), 0), |peer: Peer| {
        let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
        let endpoints = [(a.address(), "down", "down = true"), (b.address(), "", ""), (c.address(), "", "")];
        let proxy = peer.start(Recipe::with_endpoints(&endpoints).round_robin());
        (bodies(&proxy, 6), a.connections_opened())
    });
}

#[test]
fn a_key_leads_to_the_same_endpoint() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let endpoints = [(a.address(), "weight=2", "weight = 2"), (b.address(), "", ""), (c.address(), "", "")];
    let keys = |peer: Peer| -> String {
        let toml = "policy = \"hash\"\nhash = \"uri\"";
        let proxy = peer.start(Recipe::with_endpoints(&endpoints).policy("hash $request_uri consistent;", toml));
        (0..100).map(|number| proxy.get(&format!("/item/{number}?page=1")).text()).collect()
    };
    assert_eq!(keys(Peer::Nginx), keys(Peer::Tidegate));
}

#[test]
fn a_client_network_leads_to_the_same_endpoint() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let endpoints =
        [(a.address(), "weight=2", "weight = 2"), (b.address(), "", ""), (c.address(), "down", "down = true")];
    let clients = |peer: Peer| -> String {
        let recipe = Recipe::with_endpoints(&endpoints).policy("ip_hash;", "policy = \"ip_hash\"");
        let recipe = recipe.server("set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;", "");
        let proxy = peer.start(recipe.tide(|setup| setup.top("trusted_proxies = \"127.0.0.1\"")));
        let at =
            |client: String| proxy.send("GET", super::request("GET", &format!("X-Forwarded-For: {client}\r\n"))).text();
        let ipv4 = (0..60).map(|number| at(format!("203.0.{number}.7")));
        ipv4.chain((0..20).map(|number| at(format!("2001:db8::{number:x}")))).collect()
    };
    assert_eq!(clients(Peer::Nginx), clients(Peer::Tidegate));
}
