//! Paths: no writing of a path below a guarded one gets past it, and the normal form is one.

use std::sync::LazyLock;

use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::http::http1::{HeadLimits, HeadReader};
use tidegate::route::path::normalize;
use tidegate::route::{RouteIndex, Router};

const LIMITS: HeadLimits = HeadLimits { max_head_bytes: 8192, max_fields: 8, max_target_bytes: 8000 };

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let toml = r#"
        [[listener]]
        address = ":80"
        [[site]]
        [[site.route]]
        path = "/admin/"
        reply = "guarded"
        [[site.route]]
        path = "= /admin"
        reply = "guarded"
        [[site.route]]
        path = "/"
        reply = "open"
    "#;
    let loaded = load_str("path.toml", toml, &Nowhere).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    Router::compile(&loaded.config.sites).unwrap_or_else(|error| panic!("{error}"))
});

pub fn run(data: &[u8]) {
    let raw = data.split(|byte| *byte == b'?').next().unwrap_or_default();
    let mut scratch = Vec::new();
    let Some(normal) = normalize(raw, &mut scratch).map(<[u8]>::to_vec) else { return };
    if normal == b"*" {
        return;
    }
    assert!(normal.starts_with(b"/"));
    assert!(!normal.iter().any(|byte| *byte < 0x20 || *byte == 0x7f), "{}", normal.escape_ascii());
    assert!(!normal.windows(2).any(|pair| pair == b"//"), "{}", normal.escape_ascii());
    let segments: Vec<&[u8]> = normal.split(|byte| *byte == b'/').collect();
    assert!(!segments.iter().any(|segment| matches!(*segment, b"." | b"..")), "{}", normal.escape_ascii());

    let request = [b"GET ", raw, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let Ok(Some((head, ..))) = HeadReader::default().request(&request, &LIMITS) else { return };
    let site = ROUTER.site(b"a").unwrap_or_else(|| panic!("no site"));
    let Ok(RouteIndex(route)) = ROUTER.find(site, &normal, &head) else { return };
    for separates in [b"/".as_slice(), b"/\\"] {
        for drops_parameters in [false, true] {
            let read = read(raw, separates, drops_parameters);
            let guarded = read.first().is_some_and(|segment| segment == b"admin");
            let place = ROUTER.locate(RouteIndex(route)).1;
            assert_eq!(guarded, place < 2, "{} is read as {read:?} and goes to route {place}", raw.escape_ascii());
        }
    }
}

/// The segments that a server sees which decodes once, and then splits at these.
fn read(raw: &[u8], separators: &[u8], drops_parameters: bool) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = raw;
    let mut dropping = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'%').then(|| {
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
        });
        let value = match escaped.flatten() {
            Some(value) => {
                rest = &after[2..];
                value
            }
            None => byte,
        };
        if drops_parameters && byte == b';' {
            dropping = true;
        }
        if separators.contains(&value) {
            dropping = false;
        }
        if !dropping {
            decoded.push(value);
        }
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|byte| separators.contains(byte)) {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other.to_vec()),
        }
    }
    segments
}
