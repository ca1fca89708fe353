//! Which fields go to the origin, and which come back.

use crate::support::{Answer, Client, Origin, Peer, Recipe, on_each, same_on_both};

/// The request that the origin gets for these fields (whole lines).
fn received(peer: Peer, fields: &str) -> crate::support::Message {
    let origin = Origin::named("a");
    let proxy = peer.start(Recipe::to(&[origin.address()]));
    let request = format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    assert_eq!(proxy.send("GET", request).status, 200);
    origin.request()
}

fn values(message: &crate::support::Message, name: &str) -> Vec<String> {
    message.all(name).into_iter().map(str::to_string).collect()
}

#[test]
fn the_guides_four_fields_are_set() {
    let expected = ["test", "127.0.0.9", "127.0.0.9", "http"].map(|v| vec![v.to_string()]).to_vec();
    same_on_both(expected, |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let mut client = Client::connect_from("127.0.0.9", proxy.address());
        assert_eq!(client.get("/").status, 200);
        let request = origin.request();
        ["host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto"].map(|name| values(&request, name)).to_vec()
    });
}

#[test]
fn a_clients_own_forwarded_fields_are_overwritten_or_appended_to() {
    let expected =
        vec![vec!["1.2.3.4, 5.6.7.8, 127.0.0.1".to_string()], vec!["127.0.0.1".to_string()], vec!["http".to_string()]];
    same_on_both(expected, |peer| {
        let request = received(
            peer,
            "X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n",
        );
        ["x-forwarded-for", "x-real-ip", "x-forwarded-proto"].map(|name| values(&request, name)).to_vec()
    });
}

/// nginx's `$host`.
#[test]
fn host_goes_on_in_lower_case_and_without_port() {
    same_on_both(vec!["test".to_string()], |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        assert_eq!(proxy.send("GET", "GET / HTTP/1.1\r\nHost: TeSt:8080\r\n\r\n").status, 200);
        values(&origin.request(), "host")
    });
}

/// nginx forwards Proxy-Connection before 1.31.
#[test]
fn connection_fields_stay_here() {
    on_each(vec!["proxy-connection".to_string()], vec![], |peer| {
        let request = received(
            peer,
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: trailers\r\n\
             Upgrade: h2c\r\n",
        );
        ["connection", "keep-alive", "proxy-connection", "te", "upgrade"]
            .iter()
            .filter(|name| request.all(name).iter().any(|v| !v.is_empty()))
            .map(ToString::to_string)
            .collect()
    });
}

/// RFC 9110 7.6.1. nginx forwards them.
#[test]
fn fields_that_connection_names_stay_here_but_not_in_nginx() {
    on_each((true, "127.0.0.1".to_string()), (false, "127.0.0.1".to_string()), |peer| {
        let request = received(peer, "Connection: X-Mine, X-Real-IP\r\nX-Mine: 1\r\n");
        (request.has("x-mine"), request.field("x-real-ip").unwrap_or_default().to_string())
    });
}

#[test]
fn names_with_an_underscore_are_dropped() {
    same_on_both((false, false, true), |peer| {
        let request = received(peer, "X_Forwarded_For: 6.6.6.6\r\nuser_id: 1\r\nX-Other: 1\r\n");
        (request.has("x_forwarded_for"), request.has("user_id"), request.has("x-other"))
    });
}

#[test]
fn other_fields_keep_order_case_and_duplicates() {
    let expected = ["X-One: 1", "x-TWO: 2, 3", "X-One: 4", "Cookie: a=b; c=d"].map(str::to_string).to_vec();
    same_on_both(expected, |peer| {
        received(peer, "X-One: 1\r\nx-TWO:2, 3\r\nX-One:   4\t\r\nCookie: a=b; c=d\r\n")
            .fields
            .into_iter()
            .filter(|(name, _)| ["x-one", "x-two", "cookie"].contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    });
}

#[test]
fn the_target_goes_on_raw() {
    let target = "/a/%2e%2e/b//c/%7Euser;p=1?x=%2F&y=a+b&&z";
    same_on_both(target.to_string(), |peer| {
        let origin = Origin::named("a");
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        assert_eq!(proxy.get(target).status, 200);
        origin.request().target().to_string()
    });
}

const GUIDE: &[(&str, &str)] = &[
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-XSS-Protection", "1; mode=block"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Content-Security-Policy", "default-src 'self'"),
];

fn with_guide_headers(origin: &Origin) -> Recipe {
    let lines: String = GUIDE.iter().map(|(n, v)| format!("add_header {n} \"{v}\" always;\n")).collect();
    Recipe::to(&[origin.address()]).site(&lines, "security_headers = \"guide\"")
}

#[test]
fn the_guides_security_headers_stand_on_every_response() {
    let expected: Vec<_> =
        [200, 204, 304, 404, 500, 502].map(|s| (s, GUIDE.iter().map(|(_, v)| v.to_string()).collect())).to_vec();
    same_on_both::<Vec<(u16, Vec<String>)>>(expected, |peer| {
        let origin = Origin::start(|request| match request.target() {
            "/502" => Answer::nothing().close(),
            path => Answer::status(path[1..].parse().unwrap(), ""),
        });
        let proxy = peer.start(with_guide_headers(&origin));
        ["/200", "/204", "/304", "/404", "/500", "/502"]
            .map(|path| {
                let response = proxy.get(path);
                let fields = GUIDE.iter().filter_map(|(name, _)| response.field(name)).map(str::to_string).collect();
                (response.status, fields)
            })
            .to_vec()
    });
}

/// add_header appends: a backend's own field makes two. Here the configured one wins.
#[test]
fn a_field_that_the_origin_sends_too_stands_twice_in_nginx_and_once_here() {
    let (own, ours) = ("DENY".to_string(), "SAMEORIGIN".to_string());
    on_each(vec![own, ours.clone()], vec![ours], |peer| {
        let origin = Origin::answering(Answer::with_fields(200, "X-Frame-Options: DENY\r\n", ""));
        let proxy = peer.start(with_guide_headers(&origin));
        values(&proxy.get("/"), "x-frame-options")
    });
}

#[test]
fn exactly_one_date_stands_on_every_response() {
    same_on_both(vec![1, 1, 1], |peer| {
        let date = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        let origin = Origin::start(move |request| match request.target() {
            "/with" => Answer::with_fields(200, date, ""),
            "/without" => Answer::ok(""),
            _ => Answer::nothing().close(),
        });
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        ["/with", "/without", "/own"].map(|path| proxy.get(path).all("date").len()).to_vec()
    });
}

#[test]
fn connection_fields_of_the_response_stay_here() {
    same_on_both((None, None, "kept".to_string()), |peer| {
        let fields = "Keep-Alive: timeout=9\r\nConnection: keep-alive\r\nX-Kept: kept\r\n";
        let origin = Origin::answering(Answer::with_fields(200, fields, "a"));
        let proxy = peer.start(Recipe::to(&[origin.address()]));
        let response = proxy.client().get("/");
        let field = |name: &str| response.field(name).map(str::to_string);
        (field("keep-alive"), field("proxy-connection"), field("x-kept").unwrap())
    });
}

#[test]
fn duplicate_response_fields_survive() {
    same_on_both(vec!["a=1".to_string(), "b=2".to_string()], |peer| {
        let origin = Origin::answering(Answer::with_fields(200, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n", ""));
        values(&peer.start(Recipe::to(&[origin.address()])).get("/"), "set-cookie")
    });
}
