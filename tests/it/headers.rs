//! Rules for fields, and which fields belong to a connection. What nginx does too is in `differential`.

use crate::support::{Answer, Origin, Response, Setup, refusing_address};

fn answered(fields: &str, setup: impl FnOnce(Setup) -> Setup) -> Response {
    let origin = Origin::answering(Answer::with_fields(200, fields, "a"));
    setup(Setup::to(&[origin.address()])).start().get("/")
}

#[test]
fn responses_go_through_listener_site_and_route_in_this_order() {
    let response = answered("Server: own\r\nX-Kept: own\r\nX-Gone: own\r\n", |s| {
        s.listener("response_headers.set = { X-Who = \"listener\", X-Listener = \"1\" }")
            .site("response_headers.set = { X-Who = \"site\", X-Site = \"1\" }\nresponse_headers.remove = [\"X-Gone\"]")
            .route("response_headers.set = { X-Who = \"route\" }\nresponse_headers.default = { X-Kept = \"no\", X-New = \"yes\" }\nresponse_headers.add = { X-Many = [\"1\", \"2\"] }")
    });
    for (name, value) in [("x-who", "route"), ("x-listener", "1"), ("x-site", "1"), ("x-kept", "own"), ("x-new", "yes")]
    {
        assert_eq!(response.field(name), Some(value), "{name}");
    }
    assert_eq!(response.all("x-many"), ["1", "2"]);
    assert!(!response.has("x-gone"));
}

#[test]
fn set_replaces_every_field_of_the_name_in_any_case() {
    let response =
        answered("x-frame-options: DENY\r\nX-FRAME-OPTIONS: ALLOW\r\n", |s| s.site("security_headers = \"guide\""));
    assert_eq!(response.all("x-frame-options"), ["SAMEORIGIN"]);
}

#[test]
fn rules_hold_for_own_replies_too() {
    let gate = Setup::to(&[refusing_address(1)])
        .site("security_headers = \"guide\"\nresponse_headers.set = { X-Site = \"1\" }")
        .start();
    let response = gate.get("/");
    assert_eq!(response.status, 502);
    assert_eq!((response.field("x-site"), response.field("x-content-type-options")), (Some("1"), Some("nosniff")));
}

#[test]
fn the_strict_set_adds_to_the_guides() {
    let response = answered("", |s| s.site("security_headers = \"strict\""));
    for name in [
        "x-content-type-options",
        "content-security-policy",
        "referrer-policy",
        "permissions-policy",
        "cross-origin-opener-policy",
        "cross-origin-resource-policy",
    ] {
        assert!(response.has(name), "{name}: {response:?}");
    }
}

#[test]
fn hsts_stands_on_https_responses_of_the_strict_set() {
    let origin = Origin::named("a");
    let (gate, certificate) = Setup::to(&[origin.address()]).site("security_headers = \"strict\"").start_tls();
    let response = gate.h2(&certificate).get("/");
    assert!(response.field("strict-transport-security").is_some_and(|v| v.starts_with("max-age=")), "{response:?}");
}

#[test]
fn rules_for_requests_change_what_the_origin_gets() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()])
        .site("request_headers.set = { X-Site = \"1\" }")
        .route("request_headers.remove = [\"Cookie\"]\nrequest_headers.add = { X-Also = \"2\" }\nrequest_headers.default = { X-Mine = \"no\" }")
        .start();
    gate.send("GET / HTTP/1.1\r\nHost: test\r\nCookie: a=b\r\nX-Site: forged\r\nX-Also: 1\r\nX-Mine: yes\r\n\r\n");
    let request = origin.request();
    assert_eq!((request.all("x-site"), request.all("x-also")), (vec!["1"], vec!["1", "2"]));
    assert_eq!((request.field("x-mine"), request.has("cookie")), (Some("yes"), false));
}

#[test]
fn fields_that_connection_names_go_both_ways() {
    let origin = Origin::answering(Answer::with_fields(
        200,
        "Connection: X-Hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nX-End: 1\r\nProxy-Authenticate: Basic\r\n",
        "a",
    ));
    let gate = Setup::to(&[origin.address()]).start();
    let response = gate.client().send("GET / HTTP/1.1\r\nHost: test\r\nConnection: X-Drop, Host, X-Forwarded-For\r\nX-Drop: 1\r\nX-Stay: 1\r\nProxy-Authorization: x\r\n\r\n").response("GET");
    assert!(!response.has("x-hop") && !response.has("keep-alive") && response.has("x-end"), "{response:?}");
    let request = origin.request();
    assert!(!request.has("x-drop") && request.has("x-stay"), "{request:?}");
    assert_eq!((request.field("host"), request.field("x-forwarded-for")), (Some("test"), Some("127.0.0.1")));
}

#[test]
fn the_origins_server_field_passes_unless_a_rule_removes_it() {
    assert_eq!(
        answered("Server: own/1.0\r\n", |s| s.site("response_headers.remove = [\"Server\"]")).field("server"),
        None
    );
}
