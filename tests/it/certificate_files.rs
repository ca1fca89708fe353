//! Certificates in files that are no good: when the program starts, and when it reads them again.

use std::fs;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::support::{Binary, Certificate, Client, Setup, Tls, eventually, refusing_address, scrape, sum_of};

fn setup(certificate: &Certificate) -> Setup {
    let site = format!("certificate = {}", certificate.toml());
    Setup::to(&[refusing_address(1)]).listener("tls = true").site(&site)
}

#[test]
fn one_that_is_damaged_at_a_reload_leaves_the_one_before_and_is_told_and_counted() {
    let directory = tempfile::TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "a", &["test"]);
    let before = Tls::new(&[&certificate], "test");
    let binary = Binary::start(&setup(&certificate));
    assert!(Client::try_tls(binary.address(), &before).is_ok());
    let text = fs::read_to_string(&certificate.chain).unwrap();
    fs::write(&certificate.chain, &text[..text.len() / 2]).unwrap();
    binary.signal("HUP");
    eventually("the failure is counted", || {
        sum_of(&scrape(binary.metrics()), r#"tidegate_config_reloads_total{result="failed"}"#) == 1.0
    });
    let said = binary.stderr();
    assert!(said.contains("a.cert.pem") && said.contains("the file is cut short"), "{said}");
    assert!(Client::try_tls(binary.address(), &before).is_ok());
}

#[test]
fn one_that_has_expired_is_served_and_told_from_the_start() {
    let directory = tempfile::TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "a", &["test"]);
    let key = KeyPair::from_pem(&fs::read_to_string(&certificate.key).unwrap()).unwrap();
    let mut params = CertificateParams::new(["test".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 4, 1));
    fs::write(&certificate.chain, params.self_signed(&key).unwrap().pem()).unwrap();
    let binary = Binary::start(&setup(&certificate));
    let refused = Client::try_tls(binary.address(), &Tls::new(&[&certificate], "test")).err().unwrap();
    assert!(refused.contains("xpired"), "what the client dislikes is its end: {refused}");
    assert!(binary.stderr().contains("has expired: clients will refuse it"), "{}", binary.stderr());
    let end = sum_of(&scrape(binary.metrics()), "tidegate_certificate_not_after_timestamp_seconds");
    assert_eq!(end, 1_585_699_200.0);
}
