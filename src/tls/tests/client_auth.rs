//! What is told of a client's certificate, and who takes whose tickets.

use std::process::Command;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair};

use rustls::server::ProducesTickets;

use super::super::client_auth::client_trust;
use super::super::subject::subject;
use super::super::tickets::Tickets;
use super::Scratch;
use crate::config::ClientAuth;

fn named(name: DistinguishedName) -> (Vec<u8>, String) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = name;
    // One that nothing knows, so that the parser passes over it.
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    (certificate.der().to_vec(), certificate.pem())
}

#[test]
fn a_subject_is_written_as_openssl_and_so_nginx_writes_it() {
    let scratch = Scratch::new();
    for values in [
        vec![(DnType::CountryName, "DE"), (DnType::OrganizationName, "Räder, Inc."), (DnType::CommonName, "ann")],
        vec![(DnType::CommonName, " #a+b;c<d>e\"f\\g ")],
        vec![(DnType::CommonName, "#1"), (DnType::OrganizationalUnitName, " ")],
        vec![(DnType::CommonName, "a\r\nX-Admin: 1"), (DnType::StateOrProvinceName, "日本")],
        vec![(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@b.c"), (DnType::LocalityName, "x=y")],
        vec![],
    ] {
        let mut name = DistinguishedName::new();
        for (kind, value) in values {
            name.push(kind, DnValue::Utf8String(value.to_owned()));
        }
        let (der, pem) = named(name);
        let path = scratch.files(&pem, "").chain;
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in"]).arg(path);
        let theirs = String::from_utf8(openssl.output().expect("these tests need openssl").stdout).unwrap();
        let ours = subject(&der.into()).unwrap();
        assert_eq!(format!("subject={ours}\n"), theirs);
        assert!(ours.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
}

#[test]
fn a_subject_too_long_for_a_field_is_not_told() {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, DnValue::Utf8String("x".repeat(5000)));
    assert_eq!(subject(&named(name).0.into()), None);
    assert_eq!(subject(&b"garbage".to_vec().into()), None);
}

#[test]
fn tickets_are_taken_by_their_audience_only() {
    let scratch = Scratch::new();
    let file = scratch.files("", "").chain;
    std::fs::write(&file, [7; 48]).unwrap();
    for files in [vec![], vec![file]] {
        let tickets = Tickets::new(&files).unwrap();
        let (all, some) = (tickets.of(b""), tickets.of(b"some"));
        let ticket = some.encrypt(b"session").unwrap();
        assert_eq!(some.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets.of(b"some").decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(all.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(some.decrypt(&changed), None, "byte {at}");
            assert_eq!(some.decrypt(&ticket[..at]), None);
        }
    }
}

#[test]
fn a_ticket_is_good_for_12_hours_whatever_becomes_of_its_key() {
    const ISSUED: u64 = 1_800_000_000;
    let scratch = Scratch::new();
    let file = scratch.files("", "").chain;
    std::fs::write(&file, [7; 48]).unwrap();
    for files in [vec![], vec![file]] {
        let issuer = Tickets::new(&files).unwrap().of(b"");
        let ticket = issuer.issue(b"session", ISSUED).unwrap();
        for (age, good) in [(0, true), (12 * 3600, true), (12 * 3600 + 1, false), (u64::MAX - ISSUED, false)] {
            assert_eq!(issuer.take(&ticket, ISSUED + age).is_some(), good, "{age} s");
        }
        // Of an instance whose clock is ahead, or of a clock that was set back.
        assert_eq!(issuer.take(&ticket, ISSUED - 1), None);
        // By now it is long over.
        let old = issuer.issue(b"session", 1_000_000_000).unwrap();
        assert_eq!(issuer.decrypt(&old), None);
    }
}

#[test]
fn an_audience_is_what_the_files_hold_and_whether_it_must_be_shown() {
    let scratch = Scratch::new();
    let authority = |name: &str| {
        let mut distinguished = DistinguishedName::new();
        distinguished.push(DnType::CommonName, name);
        named(distinguished).1
    };
    let (one, two) = (authority("one"), authority("two"));
    let audience = |pem: &str, required: bool| {
        let ca = scratch.files(pem, "").chain;
        client_trust(&ClientAuth { ca, crl: Vec::new(), required, subject_header: None }).unwrap().audience
    };
    let first = audience(&one, true);
    assert_eq!(audience(&format!("The authority of one:\n{one}"), true), first);
    for other in [audience(&one, false), audience(&two, true), audience(&format!("{one}{two}"), true)] {
        assert_ne!(other, first);
    }
}

#[test]
fn a_file_that_is_no_ticket_key_is_refused_with_its_path() {
    let scratch = Scratch::new();
    let file = scratch.files("short", "").chain;
    let error = Tickets::new(std::slice::from_ref(&file)).unwrap_err();
    assert_eq!(error, format!("{}: it has 5 bytes, not 48 or 80", file.display()));
    assert!(Tickets::new(&["/nowhere".into()]).unwrap_err().contains("No such file"));
}
