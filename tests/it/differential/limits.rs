//! limit_req and `[limit]`: the same counts.

use std::time::{Duration, Instant};

use crate::support::{Client, Latch, Origin, Peer, Recipe, eventually, get, on_each, same_on_both};

/// One limit by client address on everything.
fn limited(origin: &Origin, rate: (&str, &str), burst: (&str, &str)) -> Recipe {
    Recipe::to(&[origin.address()])
        .http(
            &format!("limit_req_zone $binary_remote_addr zone=api:1m rate={}; limit_req_status 429;", rate.0),
            &format!("[limit.api]\nkey = \"client_ip\"\nrate = \"{}\"\n{}", rate.1, burst.1),
        )
        .location(&format!("limit_req zone=api {};", burst.0), "limit = \"api\"")
}

/// How many of `count` requests, sent at once on one connection, pass.
fn passing(client: &mut Client, count: usize) -> usize {
    client.send(get("/").repeat(count));
    (0..count).filter(|_| client.response("GET").status == 200).count()
}

#[test]
fn burst_20_passes_21_at_once_and_refuses_the_22nd() {
    same_on_both((21, 0), |peer| {
        let origin = Origin::named("a");
        let recipe = limited(&origin, ("1r/m", "1/m"), ("burst=20 nodelay", "burst = 20"));
        let proxy = peer.start(recipe);
        let mut client = proxy.client();
        (passing(&mut client, 30), passing(&mut client, 5))
    });
}

#[test]
fn without_burst_one_passes_and_the_next_after_its_interval() {
    same_on_both(1, |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(limited(&origin, ("2r/s", "2/s"), ("", "")));
        let mut client = proxy.client();
        let at_once = passing(&mut client, 5);
        let since = Instant::now();
        eventually("the next one passes", || proxy.get("/").status == 200);
        assert!(since.elapsed() > Duration::from_millis(300), "{:?}", since.elapsed());
        at_once
    });
}

#[test]
fn refused_requests_consume_nothing() {
    same_on_both(200, |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(limited(&origin, ("2r/s", "2/s"), ("", "")));
        let mut client = proxy.client();
        passing(&mut client, 100);
        Latch::new().wait_for(Duration::from_millis(550));
        proxy.get("/").status
    });
}

#[test]
fn without_nodelay_requests_wait_for_their_slot() {
    same_on_both((4, true), |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(limited(&origin, ("10r/s", "10/s"), ("burst=3", "burst = 3\ndelay = 0")));
        let since = Instant::now();
        let mut clients: Vec<_> = (0..6).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(get("/"));
        }
        let passed = clients.iter_mut().filter_map(|c| (c.response("GET").status == 200).then_some(())).count();
        (passed, since.elapsed() >= Duration::from_millis(280))
    });
}

#[test]
fn with_delay_only_the_excess_past_it_waits() {
    same_on_both((4, 3), |peer| {
        let origin = Origin::named("a");
        let recipe = limited(&origin, ("1r/s", "1/s"), ("burst=3 delay=2", "burst = 3\ndelay = 2"));
        let proxy = peer.start(recipe);
        let mut clients: Vec<_> = (0..5).map(|_| proxy.client()).collect();
        let since = Instant::now();
        for client in &mut clients {
            client.send(get("/"));
        }
        let mut passed = 0;
        let mut at_once = 0;
        for client in &mut clients {
            if client.response("GET").status == 200 {
                passed += 1;
                at_once += usize::from(since.elapsed() < Duration::from_millis(950));
            }
        }
        (passed, at_once)
    });
}

#[test]
fn clients_are_counted_apart() {
    same_on_both(vec![2, 2], |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(limited(&origin, ("1r/m", "1/m"), ("burst=1 nodelay", "burst = 1")));
        ["127.0.0.3", "127.0.0.4"].map(|ip| passing(&mut Client::connect_from(ip, proxy.address()), 4)).to_vec()
    });
}

#[test]
fn of_several_limits_none_is_charged_unless_all_pass() {
    // The second limit has room for two. Requests that the first one refuses must not use it up.
    same_on_both((1, 1), |peer: Peer| {
        let origin = Origin::named("a");
        let recipe = Recipe::to(&[origin.address()])
            .http(
                "limit_req_zone $http_x_key zone=one:1m rate=1r/m; limit_req_zone $server_name zone=two:1m rate=1r/m;
                 limit_req_status 429;",
                "[limit.one]\nkey = \"header:X-Key\"\nrate = \"1/m\"\n[limit.two]\nkey = \"site\"\nrate = \"1/m\"\nburst = 1",
            )
            .location("limit_req zone=one nodelay; limit_req zone=two burst=1 nodelay;", "limit = [\"one\", \"two\"]");
        let proxy = peer.start(recipe);
        let mut client = proxy.client();
        let mut keyed = |key: &str, count: usize| {
            client.send(format!("GET / HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n").repeat(count));
            (0..count).filter(|_| client.response("GET").status == 200).count()
        };
        (keyed("a", 5), keyed("b", 5))
    });
}

#[test]
fn a_request_without_the_key_is_not_limited() {
    same_on_both(10, |peer| {
        let origin = Origin::named("a");
        let recipe = Recipe::to(&[origin.address()])
            .http(
                "limit_req_zone $http_x_key zone=one:1m rate=1r/m;",
                "[limit.one]\nkey = \"header:X-Key\"\nrate = \"1/m\"",
            )
            .location("limit_req zone=one;", "limit = \"one\"");
        let proxy = peer.start(recipe);
        passing(&mut proxy.client(), 10)
    });
}

#[test]
fn a_route_without_the_limit_is_exempt() {
    same_on_both((1, 10), |peer| {
        let origin = Origin::named("a");
        let recipe = limited(&origin, ("1r/m", "1/m"), ("", ""))
            .site("location /health { proxy_pass http://u; }", "")
            .location("", "[[site.route]]\npath = \"/health\"\nupstream = \"u\"");
        let proxy = peer.start(recipe);
        let mut client = proxy.client();
        let limited = passing(&mut client, 5);
        client.send(get("/health").repeat(10));
        (limited, (0..10).filter(|_| client.response("GET").status == 200).count())
    });
}

#[test]
fn a_refusal_is_503_in_nginx_and_429_here_unless_told() {
    on_each(503, 429, |peer| {
        let origin = Origin::named("a");
        let mut recipe = limited(&origin, ("1r/m", "1/m"), ("", ""));
        recipe.nginx = recipe.nginx.replace("limit_req_status 429;", "");
        let proxy = peer.start(recipe);
        proxy.get("/");
        proxy.get("/").status
    });
    same_on_both(503, |peer| {
        let origin = Origin::named("a");
        let mut recipe = limited(&origin, ("1r/m", "1/m"), ("", "status = 503"));
        recipe.nginx = recipe.nginx.replace("limit_req_status 429;", "");
        let proxy = peer.start(recipe);
        proxy.get("/");
        proxy.get("/").status
    });
}

#[test]
fn dry_run_lets_everything_pass() {
    same_on_both(5, |peer| {
        let origin = Origin::named("a");
        let recipe = limited(&origin, ("1r/m", "1/m"), ("", "dry_run = true")).location("limit_req_dry_run on;", "");
        let proxy = peer.start(recipe);
        passing(&mut proxy.client(), 5)
    });
}
