//! No secret is ever shown: not in a complaint, a log, a metric or a dump of what was loaded.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidegate::config::load::load;
use tidegate::config::machine::Nowhere;
use tidegate::tls::SiteCertificates;

use crate::support::{Binary, Certificate, Origin, eventually, program, run, scrape};

/// Base64, base64url and longer than the least, so that it can stand wherever a secret does.
const PLANTED: &str = "cGxhbnRlZHBsYW50ZWRwbGFudGVk";
/// The same, decoded.
const DECODED: &str = "plantedplantedplanted";

#[test]
fn no_planted_secret_is_in_anything_that_is_said() {
    let directory = TempDir::new().unwrap();
    let origin = Origin::named("a");
    let certificate = Certificate::make(directory.path(), "a", &["a.test"]);
    let key = fs::read_to_string(&certificate.key).unwrap();
    let key = key.lines().nth(1).unwrap();
    let said_nothing = |said: &str, by: &str| {
        for secret in [PLANTED, DECODED, key] {
            assert!(!said.contains(secret), "{by} shows {secret}: {said}");
        }
        // A list of bytes, as `{:?}` writes them.
        assert!(!said.contains("112, 108, 97, 110, 116, 101, 100"), "{by} shows bytes: {said}");
    };
    fs::write(directory.path().join("secret"), PLANTED).unwrap();
    for how in [format!("= {PLANTED:?}"), "_file = \"secret\"".to_owned()] {
        let toml = configuration(&origin.address().to_string(), &certificate, directory.path(), &how);
        let file = directory.path().join("tidegate.toml");
        fs::write(&file, &toml).unwrap();
        let loaded = load(&file, &Nowhere).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        said_nothing(&format!("{loaded:?} {loaded:#?}"), "what was loaded");
        for site in &loaded.config.sites {
            let loaded = SiteCertificates::load(site);
            assert!(loaded.is_ok(), "{loaded:?}");
            said_nothing(&format!("{loaded:?}"), "what was read of certificates");
        }
        let checked = run(program(), |c| c.args(["check", "-c"]).arg(&file));
        assert!(checked.success, "{checked:?}");
        said_nothing(&format!("{checked:?}"), "check");
        // Each line that has a secret is drawn once, by something wrong in it.
        for line in toml.lines().filter(|line| line.contains("secret") || line.contains("hmac_key")) {
            let wrong = match line.contains('{') {
                true => line.replacen("{ ", "{ wrong = 1, ", 1),
                false => format!("{line} wrong"),
            };
            fs::write(&file, toml.replace(line, &wrong)).unwrap();
            let checked = run(program(), |c| c.args(["check", "-c"]).arg(&file));
            assert!(!checked.success && checked.stderr.contains("wrong"), "{checked:?}");
            said_nothing(&format!("{checked:?}"), "check");
        }

        let mut binary =
            Binary::run_file(&toml.replace("\"secret\"", &format!("{:?}", directory.path().join("secret"))));
        binary.address();
        binary.client().send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response("GET");
        binary.write(&toml.replace("cookie = ", "cookies = "));
        binary.signal("HUP");
        binary.wait_for_stderr("the reload failed");
        // The CA can't be reached, and says so.
        eventually("an order has failed", || binary.stderr().contains("127.0.0.1:9"));
        let (metrics, log) =
            (scrape(binary.metrics()), fs::read_to_string(directory.path().join("access.log")).unwrap());
        binary.signal("TERM");
        binary.ended();
        said_nothing(&metrics, "the metrics");
        said_nothing(&log, "the access log");
        said_nothing(&binary.stderr(), "the log");
        said_nothing(&binary.stdout(), "stdout");
    }
}

/// A secret in each key that may have one.
fn configuration(origin: &str, certificate: &Certificate, directory: &Path, how: &str) -> String {
    format!(
        r#"
        workers = 1
        metrics.address = "127.0.0.2:0"
        access_log.output = {log:?}
        log.level = "debug"
        [[listener]]
        address = "127.0.0.1:0"
        [[listener]]
        address = "127.0.0.3:0"
        tls = true
        [acme]
        email = "ops@example.com"
        agree_terms = true
        store = {store:?}
        [acme.issuer.ca]
        directory = "https://127.0.0.1:9/directory"
        eab = {{ key_id = "a", hmac_key{how} }}
        [acme.dns.bind.update]
        server = "127.0.0.1:9"
        key_name = "a"
        secret{how}
        [[site]]
        hosts = "b.test"
        certificate = "acme"
        acme = {{ challenges = "dns-01", dns = "bind", issuers = "ca" }}
        [[site.route]]
        path = "/"
        upstream = "a"
        [[site]]
        hosts = "a.test"
        default = true
        certificate = {certificate}
        [[site.route]]
        path = "/"
        upstream = "a"
        [upstream.a]
        endpoints = [{origin:?}]
        [upstream.a.sticky]
        cookie = "route"
        secret{how}
        "#,
        log = directory.join("access.log"),
        // Another each time: a store remembers that its CA couldn't be reached.
        store = directory.join(if how.starts_with('=') { "acme" } else { "acme-too" }),
        certificate = certificate.toml(),
    )
}
