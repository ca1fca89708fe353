//! TLS listeners: certificates by name, versions, ALPN, tickets, deadlines.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::ProtocolVersion;
use tempfile::TempDir;

use crate::support::{
    Answer, Certificate, Client, Gate, H2Client, Origin, Setup, Tls, get, refusing_address, run, run_with_input,
};

const SITE: &str = "[[site.route]]\npath = \"/\"\nreply = ";

/// Three sites: `a.test`, `*.w.test` and the default `d.test`.
struct Sites {
    gate: Gate,
    a: Certificate,
    wildcard: Certificate,
    default: Certificate,
}

fn sites(tls: &str) -> Sites {
    let directory = TempDir::new().unwrap();
    let a = Certificate::make(directory.path(), "a", &["a.test", "alias.test"]);
    let wildcard = Certificate::make(directory.path(), "w", &["*.w.test"]);
    let default = Certificate::make(directory.path(), "d", &["d.test"]);
    let table = |host: &str, certificate: &Certificate, more: &str| {
        format!("[[site]]\nhosts = {host}\ncertificate = {}\n{more}\n{SITE}'{host}'\n", certificate.toml())
    };
    let all = table("[\"a.test\", \"alias.test\"]", &a, "")
        + &table("[\"*.w.test\"]", &wildcard, "")
        + &table("[\"d.test\"]", &default, "default = true");
    let setup = Setup::to(&[refusing_address(1)]).listener(tls).sites(&all);
    let toml = setup.toml(directory.path());
    Sites { gate: Gate::start_in(directory, &toml), a, wildcard, default }
}

impl Sites {
    fn tls(&self, sni: &str) -> Tls {
        Tls::new(&[&self.a, &self.wildcard, &self.default], sni)
    }
}

#[test]
fn the_certificate_is_chosen_by_sni() {
    let sites = sites("tls = true");
    for (sni, certificate) in [
        ("a.test", &sites.a),
        ("A.TEST", &sites.a),
        ("alias.test", &sites.a),
        ("x.w.test", &sites.wildcard),
        ("d.test", &sites.default),
    ] {
        let client = Client::tls(sites.gate.address(), &sites.tls(sni));
        assert_eq!(client.leaf.as_deref(), Some(certificate.der().as_ref()), "{sni}");
    }
}

#[test]
fn a_name_without_a_certificate_gets_the_default_sites() {
    let sites = sites("tls = true");
    for sni in ["unknown.test", "x.y.w.test"] {
        let error = Client::try_tls(sites.gate.address(), &sites.tls(sni)).err().unwrap();
        assert!(error.contains("certificate"), "{sni}: {error}");
    }
    let address = sites.gate.address().to_string();
    let without = run("openssl", |c| c.args(["s_client", "-noservername", "-connect", &address]));
    assert!(without.stdout.contains("BEGIN CERTIFICATE"), "{without:?}");
}

#[test]
fn with_strict_sni_it_gets_an_alert() {
    let sites = sites("tls = { strict_sni = true }");
    let error = Client::try_tls(sites.gate.address(), &sites.tls("unknown.test")).err().unwrap();
    assert!(error.to_lowercase().contains("alert"), "{error}");
    assert!(Client::try_tls(sites.gate.address(), &sites.tls("a.test")).is_ok());
    assert_eq!(sites.gate.metric("tidegate_tls_handshake_failures_total"), 1.0);
}

#[test]
fn versions_1_2_and_1_3_are_spoken_and_a_minimum_kept() {
    let with = |version| -> Vec<&'static rustls::SupportedProtocolVersion> { vec![version] };
    let both = sites("tls = true");
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let tls = Tls::with(&[&both.a], "a.test", &[], &with(version));
        let mut client = Client::tls(both.gate.address(), &tls);
        assert_eq!(client.tls_version, Some(expected));
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response("GET").status, 200);
    }
    let newer = sites("tls = { min_version = \"1.3\" }");
    let tls = Tls::with(&[&newer.a], "a.test", &[], &with(&rustls::version::TLS12));
    assert!(Client::try_tls(newer.gate.address(), &tls).is_err());
}

#[test]
fn tls_1_1_and_older_are_refused() {
    let sites = sites("tls = true");
    let address = sites.gate.address().to_string();
    let old = run("openssl", |c| {
        c.args(["s_client", "-connect", &address, "-servername", "a.test", "-tls1_1", "-cipher", "ALL@SECLEVEL=0"])
    });
    assert!(!old.success && !old.stdout.contains("BEGIN CERTIFICATE"), "{old:?}");
    assert_eq!(sites.gate.metric("tidegate_tls_handshake_failures_total"), 1.0);
}

#[test]
fn ecdsa_and_rsa_stand_side_by_side() {
    let directory = TempDir::new().unwrap();
    let ecdsa = Certificate::make(directory.path(), "ecdsa", &["test"]);
    let rsa = Certificate::make_rsa(directory.path(), "rsa", &["test"]);
    let setup = Setup::to(&[refusing_address(1)]).listener("tls = true").site(&format!(
        "certificate = [{}, {}]",
        ecdsa.toml(),
        rsa.toml()
    ));
    let toml = setup.toml(directory.path());
    let gate = Gate::start_in(directory, &toml);
    let address = gate.address().to_string();
    for (algorithm, kind) in [("ECDSA+SHA256", "id-ecPublicKey"), ("RSA-PSS+SHA256", "rsaEncryption")] {
        let ran = run("sh", |c| {
            let ask = format!("openssl s_client -connect {address} -servername test -sigalgs {algorithm} </dev/null");
            c.arg("-c").arg(format!("{ask} 2>/dev/null | openssl x509 -noout -text"))
        });
        assert!(ran.stdout.contains(kind), "{algorithm}: {ran:?}");
    }
}

#[test]
fn alpn_offers_h2_first_and_http_1_1() {
    let sites = sites("tls = true");
    for (offer, agreed) in
        [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1", "h2"], "h2"), (&["http/1.1"], "http/1.1"), (&[], "")]
    {
        let tls = Tls::with(&[&sites.a], "a.test", offer, rustls::ALL_VERSIONS);
        let client = Client::tls(sites.gate.address(), &tls);
        assert_eq!(client.alpn.unwrap_or_default(), agreed.as_bytes(), "{offer:?}");
    }
}

#[test]
fn http2_can_be_left_out() {
    let sites = sites("tls = { http2 = false }");
    let tls = Tls::with(&[&sites.a], "a.test", &["h2", "http/1.1"], rustls::ALL_VERSIONS);
    assert_eq!(Client::tls(sites.gate.address(), &tls).alpn.unwrap(), b"http/1.1");
}

#[test]
fn sessions_are_resumed_with_tickets_that_all_workers_know() {
    let sites = sites("tls = true");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = Tls::with(&[&sites.a], "a.test", &[], &[version]);
        let mut client = Client::tls(sites.gate.address(), &tls);
        // A ticket of TLS 1.3 comes after the handshake.
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response("GET").status, 200);
        for _ in 0..6 {
            let mut client = Client::tls(sites.gate.address(), &tls);
            assert!(client.resumed, "{version:?}");
            assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response("GET").status, 200);
        }
    }
    assert_eq!(sites.gate.metric("tidegate_tls_handshakes_total{resumed=\"true\"}"), 12.0);
    assert_eq!(sites.gate.metric("tidegate_tls_handshakes_total{version=\"TLSv1.2\"}"), 7.0);
}

#[test]
fn a_host_of_another_certificate_is_421() {
    let sites = sites("tls = true");
    let ask = |host: &str| {
        let mut client = Client::tls(sites.gate.address(), &sites.tls("a.test"));
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).response("GET").status
    };
    assert_eq!((ask("a.test"), ask("alias.test"), ask("x.w.test")), (200, 200, 421));
    let mut h2 = H2Client::connect(sites.gate.address(), Some(&Tls::h2(&sites.a, "a.test")));
    let mut ask = |host: &str| {
        let head = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let (response, _) = h2.open(head, true).unwrap();
        h2.read(response).unwrap().status
    };
    assert_eq!((ask("a.test"), ask("alias.test"), ask("d.test"), ask("a.test")), (200, 200, 421, 200));
    assert!(sites.gate.records(7).iter().any(|r| r["reason"] == "misdirected"));
}

#[test]
fn a_handshake_that_stalls_is_ended() {
    let sites = sites("tls = { handshake_timeout = \"200ms\" }");
    let mut silent = Client::connect(sites.gate.address());
    silent.assert_closed();
    let mut half = Client::connect(sites.gate.address());
    half.send(b"\x16\x03\x01\x02\x00\x01\x00");
    half.assert_closed();
    let failures = "tidegate_tls_handshake_failures_total{reason=\"timed_out\"}";
    crate::support::eventually("both are counted", || sites.gate.metric(failures) == 2.0);
}

#[test]
fn plain_http_on_a_tls_port_is_told_so() {
    let sites = sites("tls = true");
    let response = Client::connect(sites.gate.address()).send(get("/")).response("GET");
    assert_eq!(response.status, 400);
    assert_eq!(sites.gate.logged_reason(), "wrong_protocol");
}

#[test]
fn garbage_instead_of_a_handshake_is_an_alert_or_a_close() {
    let sites = sites("tls = true");
    for garbage in
        [&b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"[..], &[0; 64], &[0xff; 20_000], b"\x16\x03\x01\xff\xff"]
    {
        let mut client = Client::connect(sites.gate.address());
        client.send(garbage).close_write();
        let said = client.rest().unwrap_or_default();
        assert!(said.len() < 200, "{}", said.escape_ascii());
    }
    assert!(sites.gate.metric("tidegate_tls_handshake_failures_total") >= 3.0);
    assert!(Client::try_tls(sites.gate.address(), &sites.tls("a.test")).is_ok());
}

#[test]
fn a_client_hello_in_many_records_is_understood() {
    let sites = sites("tls = true");
    let address = sites.gate.address().to_string();
    let ran = run_with_input("openssl", b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", |c| {
        c.args([
            "s_client",
            "-connect",
            &address,
            "-servername",
            "a.test",
            "-max_send_frag",
            "512",
            "-quiet",
            "-ign_eof",
        ])
    });
    assert!(ran.stdout.starts_with("HTTP/1.1 200"), "{ran:?}");
}

#[test]
fn curl_speaks_http_1_1_and_http_2() {
    let origin = Origin::named("curled");
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    let port = gate.address().port();
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let ran = run("curl", |c| {
            c.args(["-sS", flag, "-w", " %{http_version} %{http_code}", "--resolve", &format!("test:{port}:127.0.0.1")])
                .arg("--cacert")
                .arg(&certificate.chain)
                .arg(format!("https://test:{port}/"))
        });
        assert_eq!(ran.stdout, format!("curled {version} 200"), "{ran:?}");
    }
    assert_eq!(origin.last().field("x-forwarded-proto"), Some("https"));
}

#[test]
fn close_notify_ends_a_connection() {
    let sites = sites("tls = true");
    let mut client = Client::tls(sites.gate.address(), &sites.tls("a.test"));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    client.assert_closed();
    let address = sites.gate.address().to_string();
    let ran = run_with_input("openssl", b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", |c| {
        c.args(["s_client", "-connect", &address, "-servername", "a.test", "-ign_eof", "-msg"])
    });
    assert!(ran.stdout.contains("close_notify") || ran.stdout.contains("warning close"), "{}", ran.stdout);
}

#[test]
fn a_late_reader_over_tls_gets_a_large_response_whole() {
    let body = vec![b'x'; 4 << 20];
    let origin = Origin::answering(crate::support::Answer::ok(&body));
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    let mut client = Client::tls(gate.address(), &Tls::new(&[&certificate], "test"));
    client.send(get("/"));
    crate::support::Latch::new().wait_for(Duration::from_millis(100));
    assert!(client.response("GET").body == body);
}

/// The lengths of a stream's application records, as they stand on the wire, up to a body of this many bytes.
fn record_lengths(gate: &Gate, certificate: &Certificate, body: usize) -> Vec<usize> {
    let tls = Tls::new(&[certificate], "test");
    let mut tcp = TcpStream::connect(gate.address()).unwrap();
    let mut connection = rustls::ClientConnection::new(tls.config(), tls.server_name()).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp).unwrap();
    }
    connection.writer().write_all(get("/").as_bytes()).unwrap();
    while connection.wants_write() {
        connection.write_tls(&mut tcp).unwrap();
    }
    let (mut lengths, mut came) = (Vec::new(), 0);
    while came < body {
        let mut record = vec![0; 5];
        tcp.read_exact(&mut record).unwrap();
        record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
        tcp.read_exact(&mut record[5..]).unwrap();
        let (mut rest, mut plain) = (&record[..], 0);
        while !rest.is_empty() {
            connection.read_tls(&mut rest).unwrap();
            plain = connection.process_new_packets().unwrap().plaintext_bytes_to_read();
        }
        connection.reader().read_exact(&mut vec![0; plain]).unwrap();
        // Session tickets carry nothing of the response.
        if plain > 0 {
            lengths.push(plain);
            came += plain;
        }
    }
    lengths
}

#[test]
fn a_long_response_starts_with_a_record_of_one_flight_and_goes_on_with_full_ones() {
    let length = 200_000;
    let origin = Origin::answering(Answer::ok(vec![b'x'; length]));
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    let lengths = record_lengths(&gate, &certificate, length);
    assert_eq!(lengths[0], 12 << 10, "{lengths:?}");
    assert!(lengths.iter().all(|length| *length <= 16 << 10));
    assert!(lengths.iter().filter(|length| **length == 16 << 10).count() >= 6, "{lengths:?}");
}

#[test]
fn a_short_response_is_one_record() {
    let origin = Origin::answering(Answer::ok(vec![b'x'; 4000]));
    let (gate, certificate) = Setup::to(&[origin.address()]).start_tls();
    assert_eq!(record_lengths(&gate, &certificate, 4000).len(), 1);
}
