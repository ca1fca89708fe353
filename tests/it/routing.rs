//! Sites by host, routes by path, method and header: nginx's precedence.

use crate::support::{Gate, Origin, Setup};

/// A gate whose routes answer fixed texts.
fn gate(sites: &str) -> Gate {
    Setup::to(&[crate::support::refusing_address(1)]).sites(sites).start()
}

fn ask(gate: &Gate, host: &str, path: &str) -> String {
    let response = gate.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

fn site(hosts: &str, name: &str) -> String {
    format!("[[site]]\nhosts = {hosts}\n[[site.route]]\npath = \"/\"\nreply = \"{name}\"\n")
}

fn routes(routes: &[(&str, &str)]) -> String {
    let tables: String =
        routes.iter().map(|(path, name)| format!("[[site.route]]\npath = '{path}'\nreply = \"{name}\"\n")).collect();
    format!("[[site]]\nhosts = [\"test\"]\n{tables}")
}

#[test]
fn sites_are_found_by_exact_name_then_leading_then_trailing_wildcard_then_default() {
    let sites = [
        site("[\"*.example.com\"]", "leading"),
        site("[\"www.example.*\"]", "trailing"),
        site("[\"www.example.com\"]", "exact"),
        site("[\"*.sub.example.com\"]", "longer leading"),
        site("[\"other.test\"]\ndefault = true", "default"),
    ];
    let gate = gate(&sites.concat());
    for (host, name) in [
        ("www.example.com", "exact"),
        ("WWW.Example.COM", "exact"),
        ("www.example.com:8080", "exact"),
        ("www.example.com.", "exact"),
        ("api.example.com", "leading"),
        ("a.b.example.com", "leading"),
        ("a.sub.example.com", "longer leading"),
        ("www.example.org", "trailing"),
        ("www.example.co.uk", "trailing"),
        ("example.com", "default"),
        ("nowhere", "default"),
        ("[::1]", "default"),
    ] {
        assert_eq!(ask(&gate, host, "/"), name, "{host}");
    }
}

#[test]
fn without_a_default_an_unknown_host_is_404() {
    let gate = gate(&site("[\"example.com\"]", "a"));
    assert_eq!(ask(&gate, "nowhere", "/"), "404");
    assert_eq!(gate.logged_reason(), "no_site");
}

#[test]
fn a_path_that_no_route_matches_is_404() {
    let gate = gate(&routes(&[("/a", "a")]));
    assert_eq!(ask(&gate, "test", "/b"), "404");
    assert_eq!(gate.logged_reason(), "no_route");
}

#[test]
fn routes_are_chosen_with_nginxs_precedence() {
    let gate = gate(&routes(&[
        ("/", "root"),
        ("/images/", "images"),
        ("^~ /static", "static"),
        ("~ \\.(gif|png)$", "picture"),
        ("~* \\.JPG$", "photo"),
        ("~ ^/images/first", "first regex"),
        ("~ ^/images/f", "second regex"),
        ("= /exact.gif", "exact"),
        ("/images/deep", "deep"),
    ]));
    for (path, name) in [
        ("/", "root"),
        ("/x", "root"),
        ("/images/", "images"),
        ("/images/x", "images"),
        ("/images/x.png", "picture"),
        ("/static/x.png", "static"),
        ("/static", "static"),
        ("/x.gif", "picture"),
        ("/x.GIF", "root"),
        ("/x.jPg", "photo"),
        ("/exact.gif", "exact"),
        ("/exact.gif/", "root"),
        ("/images/first", "first regex"),
        ("/images/fox", "second regex"),
        ("/images/deep/x", "deep"),
        ("/images/deeper", "images"),
        ("/x?y=/exact.gif", "root"),
    ] {
        assert_eq!(ask(&gate, "test", path), name, "{path}");
    }
}

#[test]
fn prefixes_end_on_segment_borders() {
    let gate = gate(&routes(&[("/api", "api"), ("/", "root")]));
    for (path, name) in [("/api", "api"), ("/api/", "api"), ("/api/x", "api"), ("/apix", "root"), ("/api?x", "api")] {
        assert_eq!(ask(&gate, "test", path), name, "{path}");
    }
}

#[test]
fn paths_are_matched_decoded_and_normalized() {
    let gate = gate(&routes(&[("/admin", "admin"), ("= /a b", "blank"), ("/", "root")]));
    for (path, name) in [
        ("/%61dmin", "admin"),
        ("//admin", "admin"),
        ("/x/../admin/y", "admin"),
        ("/./admin", "admin"),
        ("/x/%2e%2e/admin", "admin"),
        ("/a%20b", "blank"),
        ("/Admin", "root"),
        ("/admin/../x", "root"),
    ] {
        assert_eq!(ask(&gate, "test", path), name, "{path}");
    }
}

#[test]
fn methods_and_fields_are_conditions() {
    let text = "[[site]]\nhosts = [\"test\"]\n\
        [[site.route]]\npath = \"/\"\nmethods = [\"POST\", \"PUT\"]\nreply = \"write\"\n\
        [[site.route]]\npath = \"/\"\nheaders = { X-Version = \"2\" }\nreply = \"two\"\n\
        [[site.route]]\npath = \"/\"\nheaders = { X-Debug = true }\nreply = \"debug\"\n\
        [[site.route]]\npath = \"/\"\nreply = \"rest\"\n";
    let gate = gate(text);
    let ask = |method: &str, fields: &str| {
        gate.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: 0\r\n\r\n")).text()
    };
    assert_eq!(ask("POST", ""), "write");
    assert_eq!(ask("PUT", "X-Version: 2\r\n"), "write");
    assert_eq!(ask("GET", "x-version: 2\r\n"), "two");
    assert_eq!(ask("GET", "X-Version: 3\r\n"), "rest");
    assert_eq!(ask("GET", "X-Debug:\r\n"), "debug");
    assert_eq!(ask("DELETE", ""), "rest");
}

#[test]
fn a_fixed_reply_has_its_status_type_and_body() {
    let text = "[[site]]\nhosts = [\"test\"]\n[[site.route]]\npath = \"/\"\n\
                reply = { status = 503, content_type = \"text/html\", body = \"<p>back soon\" }\n";
    let gate = gate(text);
    let response = gate.get("/");
    assert_eq!((response.status, response.field("content-type")), (503, Some("text/html")));
    assert_eq!(response.text(), "<p>back soon");
    let head = gate.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!((head.text().as_str(), head.field("content-length")), ("", Some("12")));
}

#[test]
fn ten_thousand_routes_are_told_apart() {
    let all: Vec<_> = (0..10_000).map(|n| (format!("/r{n}/x"), format!("n{n}"))).collect();
    let all: Vec<_> = all.iter().map(|(p, n)| (p.as_str(), n.as_str())).collect();
    let gate = gate(&routes(&all));
    for n in [0, 1, 4999, 9999] {
        assert_eq!(ask(&gate, "test", &format!("/r{n}/x/y")), format!("n{n}"));
    }
    assert_eq!(ask(&gate, "test", "/r10000/x"), "404");
}

#[test]
fn routes_of_a_site_may_go_to_different_upstreams() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let setup = Setup::to(&[a.address()]).route("[[site.route]]\npath = \"/b\"\nupstream = \"other\"");
    let gate = setup.and(&format!("[upstream.other]\nendpoints = [\"{}\"]", b.address())).start();
    assert_eq!((gate.get("/").text(), gate.get("/b/x").text()), ("a".to_string(), "b".to_string()));
    assert_eq!(b.request().target(), "/b/x");
}
