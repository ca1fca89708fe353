//! The plain listener's way to https, and routes that redirect. What nginx does too is in `differential`.

use crate::support::{Client, Origin, Setup, refusing_address};

fn location(setup: &Setup, request: &str) -> (u16, String) {
    let response = setup.start().send(request);
    (response.status, response.field("location").unwrap_or_default().to_string())
}

#[test]
fn status_and_port_can_be_told() {
    let setup = Setup::to(&[refusing_address(1)]).listener("redirect = { to = \"https\", port = 8443, status = 308 }");
    let request = "GET /a?b HTTP/1.1\r\nHost: test:8080\r\n\r\n";
    assert_eq!(location(&setup, request), (308, "https://test:8443/a?b".to_string()));
}

#[test]
fn a_target_cannot_break_out_of_the_location_field() {
    let setup = Setup::to(&[refusing_address(1)]).listener("redirect = \"https\"");
    let (status, location) = location(&setup, "GET /%0d%0aSet-Cookie:x=y HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(status == 400 || location == "https://test/%0d%0aSet-Cookie:x=y", "{status} {location}");
}

#[test]
fn a_host_that_is_no_site_is_redirected_to_itself_or_refused_but_never_elsewhere() {
    let setup = Setup::to(&[refusing_address(1)]).listener("redirect = \"https\"");
    let (_, location) = location(&setup, "GET //evil.example/ HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(location, "https://test//evil.example/");
}

#[test]
fn a_routes_redirect_fills_its_places() {
    let setup = Setup::to(&[refusing_address(1)]).sites(
        "[[site]]\nhosts = [\"test\"]\n[[site.route]]\npath = \"/\"\n\
         redirect = { to = \"{scheme}://new.{host}/x{path}?from={query}\", status = 307 }\n",
    );
    let request = "GET /a%20b?c=d HTTP/1.1\r\nHost: test:81\r\n\r\n";
    assert_eq!(location(&setup, request), (307, "http://new.test/x/a%20b?from=c=d".to_string()));
}

#[test]
fn other_listeners_serve_while_one_redirects() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()])
        .listener("redirect = \"https\"")
        .and("[[listener]]\naddress = \"127.0.0.1:0\"")
        .start();
    assert_eq!(gate.get("/").status, 301);
    assert_eq!(Client::connect(gate.listener(1)).get("/").text(), "a");
}

#[test]
fn the_reply_says_so_in_log_and_metrics() {
    let gate = Setup::to(&[refusing_address(1)]).listener("redirect = \"https\"").start();
    gate.get("/");
    assert_eq!(gate.logged_reason(), "redirected");
    assert_eq!(gate.metric("tidegate_replies_total{reason=\"redirected\"}"), 1.0);
}
