//! The router against nginx's rules, by example and against a naive model.

use std::sync::Arc;

use proptest::prelude::*;

use super::path::normalize;
use super::*;
use crate::config::{Action, HeaderMatch, HostPattern, PathMatch, Route, Site};
use crate::http::head::{Fields, Version};

pub(super) fn site(hosts: Vec<HostPattern>) -> Site {
    Site {
        name: "site".into(),
        hosts,
        default: false,
        certificates: vec![],
        acme: None,
        response_headers: vec![],
        replies: vec![],
        routes: vec![],
    }
}

fn route(path: PathMatch) -> Route {
    Route {
        name: "route".into(),
        path,
        methods: vec![],
        headers: vec![],
        action: Action::Reply { status: 200, content_type: "text/plain".into(), body: Arc::from(&b""[..]) },
        limits: vec![],
        max_body_size: None,
        request_headers: vec![],
        response_headers: vec![],
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.into())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix { path: path.into(), before_regex: false }
}

fn prefix_before_regex(path: &str) -> PathMatch {
    PathMatch::Prefix { path: path.into(), before_regex: true }
}

fn regex(pattern: &str) -> PathMatch {
    PathMatch::Regex(pattern.into())
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHead {
    let mut fields = Fields::default();
    let method = fields.store(method.as_bytes());
    let target = fields.store(target.as_bytes());
    let authority = fields.store(b"host");
    for (name, value) in headers {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    RequestHead::new(fields, Version::Http11, method, target, authority)
}

fn router(routes: Vec<Route>) -> Router {
    let mut site = site(vec![]);
    site.routes = routes;
    Router::compile(&[site]).unwrap()
}

fn find(router: &Router, head: &RequestHead) -> Result<u32, Reason> {
    let mut scratch = Vec::new();
    let path = normalize(head.path(), &mut scratch).ok_or(Reason::BadPath)?;
    router.find(SiteIndex(0), path, head).map(|route| route.0)
}

fn get(router: &Router, target: &str) -> Result<u32, Reason> {
    find(router, &head("GET", target, &[]))
}

#[test]
fn precedence_is_nginx_s() {
    let router = router(vec![
        route(prefix("/")),
        route(exact("/")),
        route(prefix("/docs")),
        route(prefix_before_regex("/images")),
        route(regex(r"(?i)\.(gif|jpg)$")),
        route(regex(r"^/docs/.*\.gif$")),
        route(prefix("/images/deep")),
    ]);
    for (target, want) in [
        ("/", 1),
        ("/?x", 1),
        ("/index.html", 0),
        ("/docs/a.html", 2),
        ("/images/a.gif", 3),
        ("/docs/a.JPG", 4),
        ("/docs/a.gif", 4),
        ("/docs/a.gif/", 2),
        ("/images/deep/a.gif", 4),
        ("/images/deep/a", 6),
    ] {
        assert_eq!(get(&router, target), Ok(want), "{target}");
    }
}

#[test]
fn a_prefix_ends_on_a_segment_border() {
    let router = router(vec![route(prefix("/api")), route(prefix("/files/"))]);
    for (target, want) in [
        ("/api", Ok(0)),
        ("/api/", Ok(0)),
        ("/api/x", Ok(0)),
        ("/apix", Err(Reason::NoRoute)),
        ("/ap", Err(Reason::NoRoute)),
        ("/files/", Ok(1)),
        ("/files/x", Ok(1)),
        ("/files", Err(Reason::NoRoute)),
    ] {
        assert_eq!(get(&router, target), want, "{target}");
    }
}

#[test]
fn routes_match_on_the_decoded_and_resolved_path() {
    let router = router(vec![route(prefix("/")), route(prefix("/admin")), route(regex("^/files/[^/]+$"))]);
    for (target, want) in [
        ("/%61dmin/x", 1),
        ("//admin", 1),
        ("/x/../admin", 1),
        ("/admin/../x", 0),
        ("/%2561dmin", 0),
        ("/files/%ff%fe", 2),
    ] {
        assert_eq!(get(&router, target), Ok(want), "{target}");
    }
}

#[test]
fn an_encoded_separator_or_parameter_never_changes_the_route() {
    let router = router(vec![
        route(prefix("/")),
        route(prefix("/admin")),
        route(prefix("/api")),
        route(exact("/api/health")),
        route(regex(r"\.php$")),
    ]);
    for target in [
        "/admin%2fx",
        "/public%2f..%2fadmin",
        "/admin/..%2fpublic",
        "/admin/%2e%2e%2fpublic",
        "/public%5c..%5cadmin",
        "/public/..%5c..%5cadmin",
        "/admin%5cx",
        "/admin;x/y",
        "/admin;x",
        "/api%2fhealth",
        "/x.php;.css",
        "/public/..;/admin",
        "/;x%2fadmin",
        "/;x%5cadmin",
    ] {
        assert_eq!(get(&router, target), Err(Reason::BadPath), "{target}");
    }
    for (target, want) in [
        ("/group%2Fproject", 0),
        ("/api/queues/%2f/name", 2),
        ("/api/projects/a%2Fb/raw", 2),
        ("/api/search/a%5Cb", 2),
        ("/api/list;page=2", 2),
        ("/admin/login;jsessionid=1A", 1),
    ] {
        assert_eq!(get(&router, target), Ok(want), "{target}");
    }
}

#[test]
fn a_path_whose_conditions_fail_falls_to_the_next_best() {
    let with = |path, methods: &[&str], headers: &[(&str, Option<&str>)]| Route {
        methods: methods.iter().map(|&m| m.into()).collect(),
        headers: headers
            .iter()
            .map(|&(name, value)| HeaderMatch { name: name.into(), value: value.map(str::to_owned) })
            .collect(),
        ..route(path)
    };
    let router = router(vec![
        with(exact("/a/b"), &["POST"], &[]),
        with(prefix("/a"), &["GET", "PURGE"], &[]),
        with(prefix("/a"), &[], &[("x-beta", None)]),
        with(regex("^/a/r"), &[], &[("accept", Some("b"))]),
        with(prefix_before_regex("/a/r"), &["PUT"], &[]),
        with(prefix("/"), &[], &[]),
    ]);
    for (method, target, headers, want) in [
        ("POST", "/a/b", &[][..], 0),
        ("GET", "/a/b", &[], 1),
        ("HEAD", "/a/b", &[], 1),
        ("PURGE", "/a/b", &[], 1),
        ("purge", "/a/b", &[], 5),
        ("PUT", "/a/b", &[("X-Beta", "")], 2),
        ("GET", "/a/b", &[("X-Beta", "")], 1),
        ("PUT", "/a/b", &[], 5),
        ("GET", "/a/r", &[("Accept", "a"), ("Accept", "b")], 3),
        ("GET", "/a/r", &[("Accept", "B")], 1),
        ("PUT", "/a/r", &[("Accept", "b")], 4),
    ] {
        assert_eq!(find(&router, &head(method, target, headers)), Ok(want), "{method} {target} {headers:?}");
    }
}

#[test]
fn a_star_target_has_no_route() {
    assert_eq!(get(&router(vec![route(prefix("/"))]), "*"), Err(Reason::NoRoute));
}

#[test]
fn route_indices_run_over_all_sites() {
    let mut first = site(vec![HostPattern::Exact("a".into())]);
    first.routes = vec![route(prefix("/")), route(prefix("/x"))];
    let mut second = site(vec![HostPattern::Exact("b".into())]);
    second.routes = vec![route(prefix("/y")), route(regex("z$"))];
    let router = Router::compile(&[first, second]).unwrap();
    let head = head("GET", "/az", &[]);
    let site = router.site(b"B").unwrap();
    let found = router.route(site, b"/az", &head).unwrap();
    assert_eq!((site, found), (SiteIndex(1), RouteIndex(3)));
    assert_eq!(router.locate(found), (SiteIndex(1), 1));
    assert_eq!(router.route(SiteIndex(9), b"/az", &head), None);
}

#[test]
fn a_bad_regex_is_an_error_with_its_text() {
    let mut site = site(vec![]);
    site.routes = vec![route(regex("^/ok")), route(regex("(unclosed"))];
    let error = Router::compile(&[site]).unwrap_err();
    assert!(error.to_string().contains("(unclosed"), "{error}");
}

#[test]
fn ten_thousand_routes_each_find_their_own() {
    let router = router((0..10_000).map(|n| route(prefix(&format!("/api/v{}/r{n}", n % 7)))).collect());
    for n in 0..10_000 {
        assert_eq!(get(&router, &format!("/api/v{}/r{n}/x", n % 7)), Ok(n));
    }
}

/// nginx's rules as a list is read: no tables, no automata.
fn model(routes: &[Route], path: &[u8], head: &RequestHead) -> Option<u32> {
    let text = std::str::from_utf8(path).unwrap();
    let holds = |route: &Route| {
        (route.methods.is_empty() || route.methods.iter().any(|m| m.as_bytes() == head.method_bytes()))
            && route.headers.iter().all(|h| head.fields.find(h.name.as_bytes()).is_some())
    };
    let first = |wanted: &dyn Fn(&PathMatch) -> bool| {
        routes.iter().position(|r| wanted(&r.path) && holds(r)).map(|place| place as u32)
    };
    let is_under = |prefix: &str| {
        text == prefix || text.starts_with(prefix) && (prefix.ends_with('/') || text[prefix.len()..].starts_with('/'))
    };
    if let Some(found) = first(&|p| matches!(p, PathMatch::Exact(e) if e == text)) {
        return Some(found);
    }
    let remembered = (0..=text.len()).rev().find_map(|length| {
        first(&|p| matches!(p, PathMatch::Prefix { path, .. } if path.len() == length && is_under(path)))
    });
    if let Some(found) = remembered
        && matches!(routes[found as usize].path, PathMatch::Prefix { before_regex: true, .. })
    {
        return remembered;
    }
    first(&|p| matches!(p, PathMatch::Regex(r) if regex::bytes::Regex::new(r).unwrap().is_match(path))).or(remembered)
}

fn any_path() -> impl Strategy<Value = String> {
    "(/(a|b|ab)){0,3}/?".prop_map(|path| if path.is_empty() { "/".to_owned() } else { path })
}

fn any_route() -> impl Strategy<Value = Route> {
    let path = prop_oneof![
        any_path().prop_map(PathMatch::Exact),
        (any_path(), any::<bool>()).prop_map(|(path, before_regex)| PathMatch::Prefix { path, before_regex }),
        "\\^?/?(a|b|a\\+|\\[ab\\])/?\\$?".prop_map(PathMatch::Regex),
    ];
    let methods =
        prop_oneof![3 => Just(vec![]), 1 => Just(vec!["POST".to_owned()]), 1 => Just(vec!["LINK".to_owned()])];
    (path, methods, prop::bool::weighted(0.2)).prop_map(|(path, methods, beta)| Route {
        methods,
        headers: if beta { vec![HeaderMatch { name: "x-beta".into(), value: None }] } else { vec![] },
        ..route(path)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn agrees_with_nginx_s_rules_read_as_a_list(
        routes in prop::collection::vec(any_route(), 0..12),
        path in any_path(),
        method in prop_oneof![Just("GET"), Just("POST"), Just("LINK")],
        beta in any::<bool>(),
    ) {
        let headers: &[_] = if beta { &[("x-beta", "1")] } else { &[] };
        let head = head(method, &path, headers);
        let want = model(&routes, path.as_bytes(), &head);
        let router = router(routes);
        prop_assert_eq!(router.route(SiteIndex(0), path.as_bytes(), &head).map(|r| r.0), want);
    }
}
