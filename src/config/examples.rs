//! The files in `config/` work as they are, and no change to one makes the loader panic.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::load::{load_str, load_with};
use super::machine::Nowhere;
use super::model::{Action, Config, HeaderRule, HttpsRedirect, PathMatch, Policy};
use super::read::{Read, Reader};
use super::schema::{json_schema, schema};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// Every file that a user may start from.
fn examples() -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = listed.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.push(directory().join("tidegate.toml"));
    files.sort();
    files
}

fn load(path: &Path) -> Config {
    let loaded = load_with(path, &Nowhere, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config
}

#[test]
fn every_example_loads_without_errors_and_warnings() {
    assert!(examples().len() > 15);
    for path in examples() {
        load(&path);
    }
}

#[test]
fn the_example_of_a_file_of_endpoints_is_one() {
    let config = load(&directory().join("examples/discovery.toml"));
    let file = config.upstreams[2].endpoints_file.as_ref().unwrap();
    assert_eq!(crate::config::load_endpoints(file).unwrap().len(), 3);
    let sources: Vec<_> = config.upstreams.iter().flat_map(|u| u.sources()).map(|source| source.to_string()).collect();
    let file = format!("file:{}", file.display());
    assert_eq!(sources, ["dns:app.internal:3000", "srv:_http._tcp.api.service.consul", &file]);
}

#[test]
fn the_shipped_file_means_what_the_guides_nginx_conf_means() {
    let config = load(&directory().join("tidegate.toml"));
    let [plain, tls] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
    assert_eq!(plain.redirect_https, Some(HttpsRedirect { status: 301, port: 443 }));
    assert!(tls.tls.as_ref().is_some_and(|tls| tls.http2));
    let [site] = &config.sites[..] else { panic!("{:?}", config.sites) };
    assert!(site.default);
    assert_eq!(site.response_headers.len(), 5);
    assert!(
        site.response_headers
            .contains(&HeaderRule::Set { name: "X-XSS-Protection".to_owned(), value: "1; mode=block".to_owned() })
    );
    let [all, health] = &site.routes[..] else { panic!("{:?}", site.routes) };
    assert_eq!((&all.limits[..], &health.limits[..]), (&[0][..], &[][..]));
    assert_eq!(health.path, PathMatch::Prefix { path: "/health".to_owned(), before_regex: false });
    assert_eq!(all.action, Action::Forward { upstream: 0 });
    let limit = &config.limits[0];
    assert_eq!((limit.rate.requests.get(), limit.rate.per.as_secs(), limit.burst, limit.delay), (10, 1, 20, None));
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.policy, Policy::LeastConn);
    assert_eq!((upstream.ejection.max_fails, upstream.ejection.fail_timeout.as_secs()), (3, 30));
    assert_eq!(upstream.endpoints.len(), 2);
}

#[test]
fn what_an_example_shows_as_a_default_is_one() {
    let mut config = load(&directory().join("examples/timeouts.toml"));
    config.max_connections_per_client = None;
    config.sites[0].routes.pop();
    let without = r#"
        [[listener]]
        address = ":80"
        [[site]]
        [[site.route]]
        path = "/"
        upstream = "app"
        [upstream.app]
        endpoints = "app:3000"
    "#;
    assert_eq!(config, load_str("t.toml", without, &Nowhere).unwrap().config);
}

/// The keys that an example file shows, as "table.key" of the schema's definitions, are nearly all there are.
#[test]
fn every_key_of_the_schema_stands_in_some_example() {
    let texts: String = examples().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let schema = json_schema();
    let tables = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for table in tables {
        let object = table.get("properties").or_else(|| table["anyOf"].get(1)?.get("properties"));
        for key in object.and_then(|o| o.as_object()).into_iter().flat_map(|o| o.keys()) {
            let shown = [format!("{key} ="), format!("[{key}"), format!(".{key}"), format!("[[{key}]]")];
            let shown = shown.iter().any(|s| texts.contains(s)) || NOT_SHOWN.contains(&key.as_str());
            assert!(shown, "no example shows `{key}`");
        }
    }
}

/// Keys that need no example of their own.
const NOT_SHOWN: &[&str] = &["backlog", "hmac_key_file"];

#[test]
fn every_default_in_the_schema_can_be_read() {
    let empty = toml::Spanned::new(0..0, toml::de::DeValue::Table(toml::de::DeTable::new()));
    let mut reader = Reader::new(0, "", &|_| None);
    macro_rules! read {
        ($($table:ident)+) => { $( assert!(super::file::$table::read(&empty, &mut reader).is_some()); )+ };
    }
    read!(ConfigFile ListenerFile ProxyProtocolFile KeepAliveFile HttpFile TlsFile SiteFile RouteFile ReplyFile CustomReplyFile HeaderRulesFile);
    read!(AcmeFile IssuerFile DnsFile SiteAcmeFile);
    read!(TcpFile TcpRouteFile);
    read!(ResolverFile EndpointsFile UpstreamFile EndpointFile HashFile StickyFile RetryFile TimeoutsFile LimitFile);
    let only_missing = reader.complaints.iter().all(|c| c.title.ends_with("is missing"));
    assert!(only_missing, "{:?}", reader.complaints);
}

#[test]
fn the_schema_is_for_draft_2020_12_and_every_key_has_a_description() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema.get("$id").is_none());
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["max_connections"]["default"], 16384);
    let definitions = schema["$defs"].as_object().unwrap();
    for table in definitions.values().chain([&schema]) {
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].as_str().is_some_and(|d| d.len() > 5), "{key}");
        }
    }
    // Every reference leads somewhere.
    for reference in schema.to_string().split("#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(definitions.contains_key(name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*") {
        let _ = load_str("t.toml", &text, &Nowhere).map_err(|errors| errors.render(true));
    }

    #[test]
    fn no_change_to_an_example_makes_the_loader_panic(
        file in 0..examples().len(),
        at in any::<prop::sample::Index>(),
        length in 0usize..12,
        put in prop::sample::select(vec![
            "", "\"", "=", "[", "]", "[[", "{", "}", "${", "'", "\n", "0", "-1", "é", "\u{0}", "99999999999999999999",
            "true", ".", "#", "\"\"\"", "~ (", "[[site]]\n", "inf", "1979-05-27", "\u{1b}[2J",
        ]),
    ) {
        let path = &examples()[file];
        let mut text = std::fs::read_to_string(path).unwrap();
        let start = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((start + length).min(text.len()));
        text.replace_range(start..end, put);
        let drawn = match load_str(&path.to_string_lossy(), &text, &Nowhere) {
            Ok(loaded) => loaded.warnings.render(false),
            Err(errors) => errors.render(false),
        };
        let clean = !drawn.contains('\u{1b}');
        prop_assert!(clean);
    }
}
