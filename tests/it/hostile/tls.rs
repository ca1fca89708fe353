//! What comes to a TLS listener and is no handshake that it makes.

use super::ask::hold;
use super::{Input, Row, Table};
use crate::support::{Origin, Setup, run_with_input};

pub fn table() -> Table {
    Table {
        title: "TLS",
        about: "TLS is rustls's: versions 1.2 and 1.3, no renegotiation, no compression. A number is that of the alert in RFC 8446 \
                6. Each is counted in `tidegate_tls_handshake_failures_total`.",
        rows: rows(),
    }
}

/// A ClientHello with these versions and cipher suites, in one record.
fn hello(record: u16, version: u16, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0], &(suites.len() as u16).to_be_bytes()].concat();
    body.extend(suites);
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let message = [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat();
    in_record(22, record, &message)
}

fn in_record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &(payload.len() as u16).to_be_bytes(), payload].concat()
}

fn rows() -> Vec<Row> {
    let row = |name, bytes: Vec<u8>, wants| Row { name, input: Input::Handshake(bytes), wants };
    // TLS_RSA_WITH_AES_128_CBC_SHA and TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256.
    let (old, good) = (0x002f, 0xc02b);
    // signature_algorithms with ecdsa_secp256r1_sha256, supported_groups with secp256r1.
    let extensions = [0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23];
    let fine = hello(0x0301, 0x0303, &[good], &extensions);
    vec![
        row("SSL 2.0's hello", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80".repeat(4), "alert 50"),
        row("SSL 3.0", hello(0x0300, 0x0300, &[old], &[]), "alert 40"),
        row("TLS 1.0", hello(0x0301, 0x0301, &[old], &extensions), "alert 70"),
        row("TLS 1.1", hello(0x0301, 0x0302, &[old], &extensions), "alert 70"),
        row("TLS 1.2 with nothing but CBC and RSA", hello(0x0301, 0x0303, &[old], &extensions), "alert 49"),
        row("a hello without a cipher suite", hello(0x0301, 0x0303, &[], &extensions), "alert 50"),
        row("a hello whose extensions are cut short", hello(0x0301, 0x0303, &[good], &[0, 13, 0, 9]), "alert 50"),
        row(
            "a hello with the same extension twice",
            hello(0x0301, 0x0303, &[good], &[0, 23, 0, 0, 0, 23, 0, 0]),
            "alert 47",
        ),
        row(
            "a handshake message of 16 MiB",
            [in_record(22, 0x0301, &[1, 0xff, 0xff, 0xff]), in_record(22, 0x0301, &[0; 16 << 10]).repeat(5)].concat(),
            "closed",
        ),
        row("a record of 64 KiB", b"\x16\x03\x01\xff\xff".iter().chain(&[0; 20_000]).copied().collect(), "alert 50"),
        row("a handshake message that is no hello", in_record(22, 0x0301, &[16, 0, 0, 1, 0]), "alert 10"),
        row("application data first", in_record(23, 0x0303, b"GET / HTTP/1.1\r\n\r\n"), "alert 10"),
        row("a heartbeat first (Heartbleed)", in_record(24, 0x0301, &[1, 0x40, 0]), "alert 50"),
        row("zeros", vec![0; 64], "alert 50"),
        row("plain HTTP", b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(), "a response in plain HTTP wrong_protocol"),
        row(
            "a hello in records of one byte",
            fine[5..].iter().flat_map(|byte| in_record(22, 0x0301, &[*byte])).collect(),
            "handshake goes on",
        ),
        row("a hello as it should be", fine, "handshake goes on"),
    ]
}

#[test]
fn what_is_no_handshake_gets_an_alert_and_is_counted() {
    hold(&table());
}

/// CVE-2009-3555, and a way to make a server work. openssl asks for it when it reads a line with an R.
#[test]
fn renegotiation_is_refused() {
    let origin = Origin::named("a");
    let (gate, _certificate) = Setup::to(&[origin.address()]).start_tls();
    let address = gate.address().to_string();
    let ran = run_with_input("openssl", b"R\nGET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", |c| {
        c.args(["s_client", "-connect", &address, "-servername", "test", "-tls1_2"])
    });
    assert!(ran.stdout.contains("RENEGOTIATING") || ran.stderr.contains("RENEGOTIATING"), "{ran:?}");
    assert!(ran.stderr.contains("no renegotiation") && !ran.stdout.contains("HTTP/1.1 200"), "{ran:?}");
}
