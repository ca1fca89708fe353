//! TLS towards endpoints: whom to believe, what to show, and what a failure is.

use std::net::{Ipv4Addr, SocketAddr};

use rustls::ProtocolVersion;
use tempfile::TempDir;

use crate::support::{
    Answer, Certificate, Client, DnsServer, Gate, Nginx, Origin, Setup, Terms, TlsFront, backend_certificate,
    eventually, program, run,
};

const UPSTREAM_TLS: &str = "tidegate_upstream_tls_handshakes_total";

fn trusting(front: SocketAddr, ca: &Certificate, more: &str) -> Setup {
    Setup::to(&[front]).upstream(&format!("tls = {{ ca = {:?}{more} }}", ca.chain))
}

/// An origin behind TLS, its certificate, and where that lies.
fn secured(origin: &Origin) -> (TempDir, Certificate, TlsFront) {
    let directory = TempDir::new().unwrap();
    let certificate = backend_certificate(directory.path());
    let front = TlsFront::start(origin.address(), &Terms::with(&certificate));
    (directory, certificate, front)
}

#[test]
fn a_certificate_of_the_authority_that_names_the_address_is_believed() {
    let origin = Origin::named("a");
    let (_directory, certificate, front) = secured(&origin);
    let gate = trusting(front.address(), &certificate, "").start();
    assert_eq!(gate.get("/").text(), "a");
    let shaken = front.only();
    // RFC 6066 3: an address is no server name.
    assert_eq!((shaken.sni, shaken.version), (None, ProtocolVersion::TLSv1_3));
    assert_eq!(gate.metric(&format!("{UPSTREAM_TLS}{{outcome=\"full\"}}")), 1.0);
    assert_eq!(gate.metric("tidegate_upstream_tls_handshake_seconds_count"), 1.0);
}

#[test]
fn the_host_of_the_address_is_asked_for_unless_another_is_configured() {
    let origin = Origin::named("a");
    let (_directory, certificate, front) = secured(&origin);
    let endpoint = format!("\"localhost:{}\"", front.address().port());
    let tls = |more: &str| format!("tls = {{ ca = {:?}{more} }}", certificate.chain);
    for (more, sni) in [("", "localhost"), (", server_name = \"backend.test\"", "backend.test")] {
        let gate = Setup::with_endpoints(std::slice::from_ref(&endpoint)).upstream(&tls(more)).start();
        assert_eq!(gate.get("/").text(), "a");
        assert_eq!(front.shaken().pop().unwrap().sni.as_deref(), Some(sni));
    }
    let gate = Setup::with_endpoints(&[endpoint]).upstream(&tls(", server_name = \"other.test\"")).start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_tls_failed"));
}

#[test]
fn the_name_that_is_looked_up_has_to_be_proved_whatever_dns_leads_to() {
    let origin = Origin::named("a");
    let directory = TempDir::new().unwrap();
    let own = Certificate::make(directory.path(), "own", &["app.internal"]);
    let elsewhere = Certificate::make(directory.path(), "elsewhere", &["one.internal", "127.0.0.1"]);
    let dns = DnsServer::start();
    dns.addresses("app.internal", &[Ipv4Addr::LOCALHOST]);
    dns.addresses("one.internal", &[Ipv4Addr::LOCALHOST]);
    let to = |front: &TlsFront, certificate: &Certificate, more: &str| {
        let port = front.address().port();
        dns.services("_https._tcp.app.internal", &[(1, 1, port, "one.internal")]);
        [
            format!("{{ address = \"app.internal:{port}\", resolve = true }}"),
            "{ address = \"app.internal\", service = \"https\" }".to_owned(),
        ]
        .map(|endpoint| {
            let setup = Setup::with_endpoints(&[endpoint]).and(&dns.resolver());
            setup.upstream(&format!("tls = {{ ca = {:?}{more} }}", certificate.chain)).start()
        })
    };
    let front = TlsFront::start(origin.address(), &Terms::with(&own));
    for gate in to(&front, &own, "") {
        assert_eq!(gate.get("/").text(), "a");
        assert_eq!(front.shaken().pop().unwrap().sni.as_deref(), Some("app.internal"));
    }
    let front = TlsFront::start(origin.address(), &Terms::with(&elsewhere));
    for gate in to(&front, &elsewhere, "") {
        assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_tls_failed"));
    }
    for gate in to(&front, &elsewhere, ", server_name = \"one.internal\"") {
        assert_eq!(gate.get("/").text(), "a");
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_unless_verification_is_off() {
    let origin = Origin::named("a");
    let (directory, _, front) = secured(&origin);
    let other = Certificate::make(directory.path(), "other", &["127.0.0.1"]);
    let gate = trusting(front.address(), &other, "").start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (502, "upstream_tls_failed"));
    assert_eq!(gate.metric(&format!("{UPSTREAM_TLS}{{outcome=\"failed\"}}")), 1.0);
    assert_eq!(gate.metric("tidegate_upstream_requests_total{outcome=\"tls_failed\"}"), 1.0);
    // Nor does the system know it.
    let system = Setup::to(&[front.address()]).upstream("tls = true").start();
    assert_eq!(system.get("/").status, 502);
    assert_eq!(origin.heads(), 0);
    let blind = Setup::to(&[front.address()]).upstream("tls = { verify = false }").start();
    assert_eq!(blind.get("/").text(), "a");
}

#[test]
fn a_failed_handshake_is_retried_whatever_the_method_and_ejects() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let (directory, certificate, front) = secured(&b);
    let other = Certificate::make(directory.path(), "other", &["127.0.0.1"]);
    let failing = TlsFront::start(a.address(), &Terms::with(&other));
    let tls = format!("policy = \"round_robin\"\ntls = {{ ca = {:?} }}", certificate.chain);
    let gate = Setup::to(&[failing.address(), front.address()]).upstream(&tls).start();
    for _ in 0..4 {
        let post = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(gate.send(post).text(), "b");
    }
    assert_eq!((a.heads(), b.count()), (0, 4));
    assert_eq!(gate.metric("tidegate_retries_total"), 1.0);
    let ejected = format!("tidegate_endpoint_ejected{{endpoint=\"{}\"}}", failing.address());
    assert_eq!(gate.metric(&ejected), 1.0);
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let origin = Origin::named("a");
    let directory = TempDir::new().unwrap();
    let (certificate, own) =
        (backend_certificate(directory.path()), Certificate::make(directory.path(), "own", &["gate"]));
    let terms = Terms { clients: Some(&own), ..Terms::with(&certificate) };
    let front = TlsFront::start(origin.address(), &terms);
    let shown = format!(", certificate = {}", own.toml());
    assert_eq!(trusting(front.address(), &certificate, &shown).start().get("/").text(), "a");
    assert!(front.only().shown);
    // In TLS 1.3 the refusal comes behind the handshake, so that it is a connection closed before a head.
    let without = trusting(front.address(), &certificate, "").start();
    assert_eq!(without.get("/").status, 502);
    let terms = Terms { versions: &[&rustls::version::TLS12], ..terms };
    let older = TlsFront::start(origin.address(), &terms);
    let without = trusting(older.address(), &certificate, "").start();
    assert_eq!((without.get("/").status, &*without.logged_reason()), (502, "upstream_tls_failed"));
}

#[test]
fn connections_are_kept_and_sessions_resumed() {
    let origin = Origin::named("a");
    let (_directory, certificate, front) = secured(&origin);
    let setup = trusting(front.address(), &certificate, "").top("workers = 1");
    let gate = setup.start();
    // The tickets that come behind the handshake are no reason to drop an idle connection.
    for _ in 0..3 {
        assert_eq!(gate.get("/").text(), "a");
    }
    front.only();
    let gate = setup.upstream("idle_connections = 0").start();
    for resumed in [false, true, true] {
        assert_eq!(gate.get("/").text(), "a");
        assert_eq!(front.shaken().pop().unwrap().resumed, resumed);
    }
    assert_eq!(gate.metric(&format!("{UPSTREAM_TLS}{{outcome=\"resumed\"}}")), 2.0);
}

#[test]
fn a_connection_is_never_used_under_other_settings() {
    let origin = Origin::named("a");
    let (directory, certificate, front) = secured(&origin);
    let setup = trusting(front.address(), &certificate, "").top("workers = 1");
    let gate = setup.start();
    assert_eq!(gate.get("/").text(), "a");
    gate.reload(&setup.clone().route("max_body_size = \"2m\""));
    assert_eq!(gate.get("/").text(), "a");
    front.only();
    gate.reload(&trusting(front.address(), &certificate, ", min_version = \"1.3\"").top("workers = 1"));
    assert_eq!(gate.get("/").text(), "a");
    assert_eq!(front.shaken().len(), 2);
    // The same settings, but another authority in the file.
    let other = Certificate::make(directory.path(), "other", &["127.0.0.1"]);
    std::fs::copy(&other.chain, &certificate.chain).unwrap();
    gate.reload(&trusting(front.address(), &certificate, ", min_version = \"1.3\"").top("workers = 1"));
    assert_eq!(gate.get("/").status, 502);
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let origin = Origin::named("a");
    let (_directory, certificate, front) = secured(&origin);
    let gate = trusting(front.address(), &certificate, "").top("workers = 1").upstream("retry = false").start();
    assert_eq!(gate.get("/").text(), "a");
    origin.close_connections();
    eventually("the endpoint's close has come", || origin.connections_open() == 0);
    assert_eq!(gate.get("/").text(), "a");
}

#[test]
fn the_connect_timeout_covers_the_handshake() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::to(&[silent.local_addr().unwrap()]).upstream("tls = true\ntimeouts.connect = \"200ms\"");
    let gate = setup.start();
    assert_eq!((gate.get("/").status, &*gate.logged_reason()), (504, "connect_timed_out"));
    assert_eq!(gate.metric(&format!("{UPSTREAM_TLS}{{outcome=\"timed_out\"}}")), 1.0);
}

#[test]
fn an_endpoint_that_speaks_plain_text_or_an_old_version_is_a_failed_handshake() {
    let origin = Origin::named("a");
    let (_directory, certificate, _front) = secured(&origin);
    let nginx = Nginx::start("server { listen {listen}; }");
    let plain = trusting(nginx.address(), &certificate, "").start();
    assert_eq!((plain.get("/").status, &*plain.logged_reason()), (502, "upstream_tls_failed"));
    let terms = Terms { versions: &[&rustls::version::TLS12], ..Terms::with(&certificate) };
    let older = TlsFront::start(origin.address(), &terms);
    assert_eq!(trusting(older.address(), &certificate, "").start().get("/").text(), "a");
    let newer = trusting(older.address(), &certificate, ", min_version = \"1.3\"").start();
    assert_eq!((newer.get("/").status, &*newer.logged_reason()), (502, "upstream_tls_failed"));
}

#[test]
fn bodies_trailers_and_tunnels_pass() {
    let origin = Origin::start(|r| match r.has("upgrade") {
        true => Answer::raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n").echo(),
        false if r.target() == "/trailers" => Answer::chunked(&["ab", "cd"], "X-Sum: 4\r\n"),
        false => Answer::ok(&r.body),
    });
    let (_directory, certificate, front) = secured(&origin);
    let gate = trusting(front.address(), &certificate, "").upstream("retry.max_replay_size = 0").start();
    let body: Vec<u8> = (0..900_000u32).map(|i| i as u8).collect();
    let mut request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(&body);
    assert!(gate.send(request).body == body);
    let response = gate.get("/trailers");
    assert_eq!(response.trailers, [("X-Sum".into(), "4".into())]);
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.try_head("GET").unwrap().status, 101);
    client.send(&body);
    assert!(client.take(body.len()).unwrap() == body);
}

#[test]
fn a_body_cut_off_without_close_notify_is_not_taken_for_whole() {
    let origin = Origin::answering(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close());
    let (_directory, certificate, front) = secured(&origin);
    let gate = trusting(front.address(), &certificate, "").start();
    let mut client = gate.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.try_response("GET").is_err());
    assert_eq!(gate.logged_reason(), "upstream_body_broken");
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let directory = TempDir::new().unwrap();
    let (a, b) = (Certificate::make(directory.path(), "a", &["a"]), Certificate::make(directory.path(), "b", &["b"]));
    let missing = directory.path().join("missing.pem");
    let tables = format!(
        "[upstream.v]\nendpoints = [\"127.0.0.1:1\"]\ntls = {{ ca = {:?}, certificate = {{ chain = {:?}, key = {:?} }} }}",
        a.key, a.chain, b.key
    );
    let setup = Setup::to(&["127.0.0.1:1".parse().unwrap()]);
    let gate = setup.start();
    let wrong = setup.upstream(&format!("tls = {{ ca = {missing:?} }}")).and(&tables);
    let told = gate.try_reload(&wrong).unwrap_err();
    for part in ["missing.pem: No such file", "a.key.pem: no certificate in it", "b.key.pem is not the key of"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn check_tells_a_fault_where_the_file_is_named() {
    let directory = TempDir::new().unwrap();
    let a = Certificate::make(directory.path(), "a", &["a"]);
    let setup = Setup::to(&["127.0.0.1:1".parse().unwrap()]);
    let tls = format!("[upstream.u.tls]\nca = \"gone.pem\"\ncertificate = {}\n", a.toml());
    let file = directory.path().join("t.toml");
    std::fs::write(&file, setup.and(&tls).toml(directory.path())).unwrap();
    let ran = run(program(), |c| c.arg("check").arg("-c").arg(&file));
    assert!(!ran.success, "{ran:?}");
    for part in ["error: ", "gone.pem: No such file", "| ca = \"gone.pem\"", "|      ^^^^^^^^^^"] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
}

#[test]
fn a_real_nginx_with_client_certificates_is_spoken_to() {
    let directory = TempDir::new().unwrap();
    let (certificate, own) =
        (backend_certificate(directory.path()), Certificate::make(directory.path(), "own", &["gate"]));
    let nginx = nginx_with_tls(&certificate, &own);
    let shown = format!(", server_name = \"backend.test\", certificate = {}", own.toml());
    let gate = trusting(nginx.address(), &certificate, &shown).top("workers = 1").start();
    assert_eq!(gate.get("/").text(), "SUCCESS backend.test .");
    let gate =
        trusting(nginx.address(), &certificate, &shown).top("workers = 1").upstream("idle_connections = 0").start();
    assert_eq!(gate.get("/").text(), "SUCCESS backend.test .");
    assert_eq!(gate.get("/").text(), "SUCCESS backend.test r");
}

/// Tells what it knows of its client: verified or not, the name asked for, and whether the session was resumed.
fn nginx_with_tls(certificate: &Certificate, clients: &Certificate) -> Nginx {
    let (chain, key, clients) = (certificate.chain.display(), certificate.key.display(), clients.chain.display());
    Nginx::start(&format!(
        "server {{ listen {{listen}} ssl; ssl_certificate {chain}; ssl_certificate_key {key};\n\
         ssl_session_cache shared:S:1m; ssl_client_certificate {clients}; ssl_verify_client on;\n\
         location / {{ return 200 \"$ssl_client_verify $ssl_server_name $ssl_session_reused\"; }} }}\n"
    ))
}

#[test]
fn without_tls_there_are_no_series_of_handshakes() {
    let origin = Origin::named("a");
    let gate = Gate::to(&[origin.address()]);
    assert_eq!(Client::connect(gate.address()).get("/").text(), "a");
    assert!(!gate.metrics().contains(UPSTREAM_TLS));
}
