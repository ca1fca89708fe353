//! `tidegate cert` and `check`, and what metrics say of certificates.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::ca::{Ca, ISSUANCE};
use super::host::{Host, issued, shown, state, within};
use crate::support::{Binary, Ran, eventually, program, run, scrape, sum_of};

/// A configuration file beside its store.
fn file(host: &Host) -> (TempDir, PathBuf, PathBuf) {
    let directory = TempDir::new().unwrap();
    let (file, store) = (directory.path().join("tidegate.toml"), directory.path().join("acme"));
    std::fs::write(&file, host.toml(&store)).unwrap();
    (directory, file, store)
}

#[track_caller]
fn cert(file: &Path, arguments: &[&str]) -> Ran {
    run(program(), |c| c.arg("cert").args(arguments).arg("-c").arg(file))
}

#[test]
fn check_tells_what_would_be_ordered() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["b.test", "a.test"], "acme = { key = \"p384\" }");
    let (_directory, file, store) = file(&host);
    let ran = run(program(), |c| c.arg("check").arg("-c").arg(&file));
    assert!(ran.success, "{ran:?}");
    assert!(ran.stdout.contains("a.test, b.test: p384 from ca, by http-01 or tls-alpn-01"), "{ran:?}");
    assert!(!store.exists() && ca.front.total() == 0);
}

#[test]
fn a_challenge_that_no_listener_can_answer_is_left_out_or_an_error_if_it_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("tidegate.toml");
    let check = |challenges: &str| {
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:443\"\ntls = true\n\
             [acme]\nagree_terms = true\nstore = {:?}\n{challenges}\n\
             [[site]]\nhosts = \"a.test\"\ncertificate = \"acme\"\n[[site.route]]\npath = \"/\"\nreply = \"x\"\n",
            directory.path().join("acme")
        );
        std::fs::write(&file, toml).unwrap();
        run(program(), |c| c.arg("check").arg("-c").arg(&file))
    };
    let ran = check("");
    assert!(ran.success && ran.stdout.contains("a.test: p256 from letsencrypt, by tls-alpn-01\n"), "{ran:?}");
    let ran = check("challenges = \"http-01\"");
    assert!(!ran.success && ran.stderr.contains("http-01 can't be answered"), "{ran:?}");
}

#[test]
fn list_and_show_tell_how_certificates_stand_for_people_and_for_scripts() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test", "blocked.test"], "");
    let (_directory, file, store) = file(&host);
    let before = cert(&file, &["list"]);
    assert!(before.success && before.stdout.contains("absent"), "{before:?}");

    let server = Binary::run_file(&std::fs::read_to_string(&file).unwrap());
    issued(&host, &ca, "a.test");
    eventually("all is stored", || state(&store)?["suggestion"]["next_check"].as_str().map(drop));
    let list = cert(&file, &["list"]);
    for part in ["a.test", "valid", "ca", "in 89 days", "without blocked.test"] {
        assert!(list.stdout.contains(part), "{part}: {list:?}");
    }
    let json: Value = serde_json::from_str(&cert(&file, &["list", "--json"]).stdout).unwrap();
    assert_eq!(
        (&json[0]["state"], &json[0]["issuer"], &json[0]["names"][0]),
        (&"valid".into(), &"ca".into(), &"a.test".into())
    );
    let show = cert(&file, &["show", "A.test"]);
    for part in ["state       valid", "key         p256", "enough of its lifetime"] {
        assert!(show.success && (show.stdout.contains(part) || part.starts_with("enough")), "{part}: {show:?}");
    }
    let one: Value = serde_json::from_str(&cert(&file, &["show", "a.test", "--json"]).stdout).unwrap();
    assert_eq!(one["id"], json[0]["id"]);

    let metrics = scrape(server.metrics());
    assert_eq!(sum_of(&metrics, r#"tidegate_acme_certificates{state="valid"}"#), 1.0);
    assert_eq!(sum_of(&metrics, r#"tidegate_acme_attempts_total{name="a.test",outcome="issued"}"#), 1.0);
    assert!(sum_of(&metrics, r#"tidegate_acme_next_attempt_timestamp_seconds{name="a.test"}"#) > 1.7e9);
    assert!(sum_of(&metrics, r#"tidegate_certificate_not_after_timestamp_seconds{name="a.test"}"#) > 1.7e9);

    let unknown = cert(&file, &["show", "nobody.test"]);
    assert!(!unknown.success && unknown.stderr.contains("there are: a.test"), "{unknown:?}");
}

#[test]
fn a_ca_that_comes_back_late_is_asked_at_once_by_hand() {
    let ca = Ca::start();
    ca.kill();
    let host = Host::of(&ca).site(&["a.test"], "");
    let (_directory, file, store) = file(&host);
    let _server = Binary::run_file(&std::fs::read_to_string(&file).unwrap());
    eventually("the failure is noted", || state(&store)?["trouble"]["class"].as_str().map(drop));
    let failed = cert(&file, &["renew", "a.test"]);
    assert!(
        !failed.success && failed.stderr.contains("can't connect") || failed.stderr.contains("broke"),
        "{failed:?}"
    );
    let list = cert(&file, &["list"]);
    assert!(list.stdout.contains("backoff") && list.stdout.contains("transport at ca"), "{list:?}");
    ca.restart();
    let renewed = cert(&file, &["renew", "a.test"]);
    assert!(renewed.success && renewed.stdout.contains("a.test: renewed, good until"), "{renewed:?}");
    issued(&host, &ca, "a.test");
}

#[test]
fn a_revoked_certificate_is_replaced_by_one_with_another_key() {
    let ca = Ca::start();
    let host = Host::of(&ca).site(&["a.test"], "");
    let (_directory, file, store) = file(&host);
    let _server = Binary::run_file(&std::fs::read_to_string(&file).unwrap());
    let first = issued(&host, &ca, "a.test");
    eventually("all is stored", || state(&store)?["suggestion"]["next_check"].as_str().map(drop));
    let revoked = cert(&file, &["revoke", "a.test", "--reason", "key-compromise"]);
    assert!(revoked.success, "{revoked:?}");
    assert_eq!(ca.front.payloads("/revoke-cert")[0]["reason"], 1);
    let roots = ca.issuer_roots();
    within("another certificate", ISSUANCE, || {
        let shown = shown(host.tls(), "a.test", &roots, &[]).ok()?;
        (shown.trusted && shown.chain[0] != first).then_some(())
    });
    let again = cert(&file, &["revoke", "a.test", "--reason", "because"]);
    assert!(!again.success && again.stderr.contains("key-compromise"), "{again:?}");
}

#[test]
fn no_secret_is_ever_logged() {
    let ca = Ca::with(super::ca::Options { eab: true, ..Default::default() });
    let key = super::ca::EAB_HMAC_KEY;
    let host = Host::of(&ca)
        .and(&format!("eab = {{ key_id = {:?}, hmac_key = {key:?} }}\n[log]\nlevel = \"debug\"", super::ca::EAB_KEY_ID))
        .site(&["a.test"], "");
    let (_directory, file, store) = file(&host);
    let server = Binary::run_file(&std::fs::read_to_string(&file).unwrap());
    issued(&host, &ca, "a.test");
    server.wait_for_stderr("a certificate was issued");
    let said = server.stderr();
    let account = std::fs::read_dir(store.join("accounts")).unwrap().next().unwrap().unwrap().path();
    let account: Value = serde_json::from_slice(&std::fs::read(account).unwrap()).unwrap();
    let account_key = account["account"]["key_pkcs8"].as_str().unwrap();
    let decoded = String::from_utf8_lossy(&data_encoding::BASE64URL_NOPAD.decode(key.as_bytes()).unwrap()).into_owned();
    for secret in [key, account_key, &decoded, "PRIVATE KEY"] {
        assert!(!said.contains(secret), "{said}");
    }
    for list in [cert(&file, &["list", "--json"]), cert(&file, &["show", "a.test"])] {
        assert!(!list.stdout.contains("PRIVATE") && !list.stdout.contains(account_key), "{list:?}");
    }
}
