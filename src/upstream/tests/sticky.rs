//! What a cookie may say, and what happens if it says something else.

use super::*;
use crate::config::{SameSite, Secret};
use crate::upstream::ask::Asks;
use crate::upstream::sticky::Token;

fn sticky(secret: Option<&str>) -> config::Sticky {
    config::Sticky {
        cookie: "route".to_owned(),
        secret: secret.map(|secret| Secret::new(secret.as_bytes())),
        ttl: Some(Duration::from_secs(3600)),
        secure: None,
        http_only: true,
        same_site: SameSite::Lax,
    }
}

const SECRET: Option<&str> = Some("0123456789abcdef");

fn with_cookie(entries: &[Entry], secret: Option<&str>) -> Upstream {
    upstream(Policy::LeastConn, entries, |config| config.sticky = Some(sticky(secret)))
}

/// What the cookie of this place says.
fn value(upstream: &Upstream, place: u16) -> String {
    let endpoint = &upstream.endpoints()[usize::from(place) - 1];
    let set = upstream.asks().unwrap().sticky().unwrap().set_cookie(endpoint.token.unwrap(), false);
    set.strip_prefix("route=").unwrap().split(';').next().unwrap().to_owned()
}

fn place_with(upstream: &Upstream, value: &str) -> u16 {
    place_for(upstream, &Ask::with(Token::parse(value.as_bytes())))
}

#[test]
fn a_cookie_leads_back_to_its_endpoint() {
    let upstream = with_cookie(&[PLAIN; 4], SECRET);
    for place in 1..=4 {
        let value = value(&upstream, place);
        assert!((0..5).all(|_| place_with(&upstream, &value) == place));
    }
}

#[test]
fn a_value_tells_nothing_and_depends_on_secret_upstream_and_address() {
    let one = with_cookie(&[PLAIN; 2], SECRET);
    let value_of_one = value(&one, 1);
    assert_eq!(value_of_one.len(), 22);
    assert_eq!(value_of_one, value(&with_cookie(&[PLAIN; 3], SECRET), 1), "other instances make the same");
    assert_ne!(value_of_one, value(&one, 2));
    assert_ne!(value_of_one, value(&with_cookie(&[PLAIN; 2], Some("another secret!!")), 1));
    let mut config = one.config().clone();
    config.name = "other".into();
    assert_ne!(value_of_one, value(&Upstream::new(&config, None), 1));
}

#[test]
fn what_is_no_value_of_ours_goes_by_the_policy() {
    let upstream = with_cookie(&[PLAIN; 3], SECRET);
    let busy: Vec<_> = [1, 3].map(|place| attempt_at(&upstream, place, 0.0)).into();
    let good = value(&upstream, 1);
    let changed = |at: usize, to: &str| {
        let mut value = good.clone();
        value.replace_range(at..=at, if &value[at..=at] == to { "A" } else { to });
        value
    };
    let foreign = value(&with_cookie(&[PLAIN; 3], Some("another secret!!")), 1);
    let bad = [
        String::new(),
        "10.0.0.1:1".to_owned(),
        "1".to_owned(),
        changed(0, "B"),
        changed(21, "Q"),
        good[..21].to_owned(),
        format!("{good}A"),
        format!("{good}=="),
        "\u{fc}".repeat(11),
        "A".repeat(22),
        "!".repeat(22),
        "A".repeat(10_000),
        foreign,
    ];
    for value in bad {
        assert_eq!(place_with(&upstream, &value), 2, "{value}");
    }
    assert_eq!(place_with(&upstream, &good), 1);
    drop(busy);
}

#[test]
fn an_endpoint_that_cant_be_used_is_left() {
    let upstream = with_cookie(&[Entry { max_conns: 1, ..PLAIN }, PLAIN, PLAIN], SECRET);
    let first = value(&upstream, 1);
    let full = attempt_at(&upstream, 1, 0.0);
    assert_ne!(place_with(&upstream, &first), 1);
    drop(full);
    assert_eq!(place_with(&upstream, &first), 1);
    fail(&upstream, 1, 0.0);
    assert_ne!(place_with(&upstream, &first), 1);
    let second = value(&upstream, 2);
    let mut tried = Tried::new();
    tried.insert(upstream.endpoints()[1].id());
    let ask = Ask::with(Token::parse(second.as_bytes()));
    assert_eq!(place(&upstream.pick_for(&ask, &tried, at(0.0)).unwrap()), 3);
}

#[test]
fn cookies_outlive_a_reload_with_and_without_a_secret() {
    for secret in [SECRET, None] {
        let old = with_cookie(&[PLAIN; 3], secret);
        let value = value(&old, 2);
        let mut config = old.config().clone();
        config.endpoints.reverse();
        let new = Upstream::new(&config, Some(&old));
        assert_eq!(place_with(&new, &value), 2);
    }
}

#[test]
fn a_cookie_goes_before_the_zone_but_a_backup_after_the_primaries() {
    let upstream = with_cookie(&[PLAIN, PLAIN, BACKUP], SECRET);
    let backup = value(&upstream, 3);
    assert_ne!(place_with(&upstream, &backup), 3);
    (1..=2).for_each(|place| fail(&upstream, place, 0.0));
    assert_eq!(place_with(&upstream, &backup), 3);
}

#[test]
fn attributes_are_as_configured() {
    let mut config = sticky(SECRET);
    let set = |config: &config::Sticky, tls| {
        let upstream = upstream(Policy::RoundRobin, &[PLAIN; 2], |upstream| upstream.sticky = Some(config.clone()));
        let asks: &Asks = upstream.asks().unwrap();
        let cookie = asks.sticky().unwrap().set_cookie(upstream.endpoints()[0].token.unwrap(), tls);
        cookie.split_once(';').unwrap().1.to_owned()
    };
    assert_eq!(set(&config, false), " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    assert_eq!(set(&config, true), " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure");
    (config.ttl, config.http_only, config.same_site, config.secure) = (None, false, SameSite::None, Some(true));
    assert_eq!(set(&config, false), " Path=/; SameSite=None; Secure");
}

#[test]
fn the_secret_is_in_no_debug_output() {
    assert!(!format!("{:?}", sticky(SECRET)).contains("0123"));
}
