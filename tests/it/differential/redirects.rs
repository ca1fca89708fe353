//! `return 301 https://$host$request_uri` and `redirect = "https"`; `return` and a route's `redirect`.

use crate::support::{Origin, Peer, Recipe, refusing_address, same_on_both};

/// Status and Location for each raw request.
fn locations(peer: Peer, requests: &[&str]) -> Vec<(u16, String)> {
    let recipe =
        Recipe::to(&[refusing_address(1)]).server("return 301 https://$host$request_uri;", "redirect = \"https\"");
    let proxy = peer.start(recipe);
    requests
        .iter()
        .map(|request| {
            let response = proxy.send(request.split(' ').next().unwrap(), request);
            (response.status, response.field("location").unwrap_or_default().to_string())
        })
        .collect()
}

#[test]
fn the_plain_listener_keeps_host_and_raw_uri() {
    let requests = [
        "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
        "GET /%61%2F/..//x%20y?q=%20+1 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "HEAD /head HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "POST /form?x HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc",
        "GET http://other.example/abs?x HTTP/1.1\r\nHost: other.example\r\n\r\n",
        "GET /v6 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    ];
    let expected = [
        "https://example.com/",
        "https://example.com/a/b?c=d&e",
        "https://example.com/%61%2F/..//x%20y?q=%20+1",
        "https://example.com/head",
        "https://example.com/form?x",
        "https://other.example/abs?x",
        "https://[::1]/v6",
    ];
    let expected: Vec<_> = expected.iter().map(|l| (301, l.to_string())).collect();
    same_on_both(expected, |peer| locations(peer, &requests));
}

/// nginx's `$host` is in lower case.
#[test]
fn a_host_in_capitals_is_redirected_to_in_lower_case() {
    same_on_both(vec![(301, "https://example.com/".to_string())], |peer| {
        locations(peer, &["GET / HTTP/1.1\r\nHost: EXAMPLE.Com\r\n\r\n"])
    });
}

#[test]
fn a_redirect_is_answered_without_an_endpoint_and_keeps_the_connection() {
    same_on_both((301, 301, 0), |peer| {
        let origin = Origin::named("a");
        let recipe =
            Recipe::to(&[origin.address()]).server("return 301 https://$host$request_uri;", "redirect = \"https\"");
        let proxy = peer.start(recipe);
        let mut client = proxy.client();
        (client.get("/").status, client.get("/").status, origin.connections_opened())
    });
}

#[test]
fn a_redirect_is_never_limited() {
    same_on_both(vec![301; 5], |peer| {
        let recipe = Recipe::to(&[refusing_address(1)])
            .http(
                "limit_req_zone $binary_remote_addr zone=z:1m rate=1r/m; limit_req zone=z;",
                "[limit.z]\nrate = \"1/m\"",
            )
            .site("", "limit = \"z\"")
            .server("return 301 https://$host$request_uri;", "redirect = \"https\"");
        let proxy = peer.start(recipe);
        (0..5).map(|_| proxy.get("/").status).collect()
    });
}

#[test]
fn a_routes_redirect_is_302_unless_told_and_takes_the_uri() {
    same_on_both(vec![(302, "http://new/".to_string()), (308, "https://new/b?x=1".to_string())], |peer| {
        let recipe = Recipe::to(&[refusing_address(1)])
            .site("location = /a { return 302 http://new/; } location = /b { return 308 https://new$request_uri; }", "")
            .location(
                "",
                "[[site.route]]\npath = \"= /a\"\nredirect = \"http://new/\"\n\
                 [[site.route]]\npath = \"= /b\"\nredirect = { to = \"https://new{uri}\", status = 308 }",
            );
        let proxy = peer.start(recipe);
        ["/a", "/b?x=1"]
            .map(|path| {
                let response = proxy.get(path);
                (response.status, response.field("location").unwrap().to_string())
            })
            .to_vec()
    });
}
