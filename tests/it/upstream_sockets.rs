//! Connections to endpoints: Unix sockets, source addresses, PROXY headers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;
use tidegate::proxy_protocol::{Header, parse};

use crate::support::{Client, Gate, Haproxy, Nginx, Origin, Setup, backend_certificate, eventually, get};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";

/// Reads one request's head off a stream; `None` at its end.
fn head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// An origin behind a Unix socket, and the heads that it got.
fn unix_origin() -> (TempDir, String, Arc<Mutex<Vec<String>>>) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heads.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = kept.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(head) = head(&mut reader) {
                    kept.lock().unwrap().push(head);
                    let _ = (&stream).write_all(ANSWER.as_bytes());
                }
            });
        }
    });
    (directory, format!("\"unix:{}\"", path.display()), heads)
}

#[test]
fn a_reload_that_changes_how_sockets_are_made_leaves_the_idle_ones_unused() {
    let origin = Origin::named("a");
    let setup = Setup::to(&[origin.address()]).top("workers = 1");
    let gate = setup.clone().start();
    let mut opened = 0;
    for keys in ["", "bind = \"127.0.0.9\"", "bind = \"127.0.0.9\"\ntcp_user_timeout = \"5s\"", "tcp_keepalive = true"]
    {
        opened += 1;
        let setup = setup.clone().upstream(keys);
        gate.reload(&setup);
        assert_eq!(gate.get("/").text(), "a");
        assert_eq!(origin.connections_opened(), opened, "{keys}");
        // Something else changes.
        gate.reload(&setup.upstream("slow_start = \"1s\"\npolicy = \"round_robin\""));
        assert_eq!(gate.get("/").text(), "a");
        assert_eq!(origin.connections_opened(), opened, "{keys}");
    }
}

/// An origin that takes a PROXY header off each connection: what each said, and how many requests followed it.
struct Announced {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<(Header, usize)>>>,
}

impl Announced {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<(Header, usize)>>> = Arc::default();
        let kept = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut bytes = Vec::new();
                    let said = loop {
                        let mut byte = [0];
                        if reader.read_exact(&mut byte).is_err() {
                            return;
                        }
                        bytes.push(byte[0]);
                        if let Some((said, _)) = parse(&bytes).unwrap() {
                            break said;
                        }
                    };
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push((said, 0));
                        kept.len() - 1
                    };
                    while head(&mut reader).is_some() {
                        kept.lock().unwrap()[number].1 += 1;
                        let _ = (&stream).write_all(ANSWER.as_bytes());
                    }
                });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<(Header, usize)> {
        self.seen.lock().unwrap().clone()
    }

    fn gate(&self, version: &str) -> Gate {
        // One worker has one pool.
        Setup::to(&[self.address]).top("workers = 1").upstream(&format!("proxy_protocol = \"{version}\"")).start()
    }
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    let (_directory, endpoint, heads) = unix_origin();
    let gate = Setup::with_endpoints(std::slice::from_ref(&endpoint)).top("workers = 1").start();
    let mut client = gate.client();
    for _ in 0..3 {
        assert_eq!(client.get("/x").text(), "a");
    }
    let name = endpoint.trim_matches('"');
    assert_eq!(gate.records(3)[0]["endpoint"], *name);
    let metric = |state| gate.metric(&format!("tidegate_upstream_connections_total{{state=\"{state}\"}}"));
    assert_eq!((metric("opened"), metric("reused")), (1.0, 2.0));
    assert!(heads.lock().unwrap()[0].starts_with("GET /x HTTP/1.1\r\nHost: test\r\n"));
    gate.reload(&Setup::with_endpoints(&[endpoint]).top("workers = 1").upstream("host = \"endpoint\""));
    assert_eq!(client.get("/").text(), "a");
    assert!(heads.lock().unwrap()[3].contains("\r\nHost: localhost\r\n"), "{:?}", heads.lock().unwrap()[3]);
}

#[test]
fn a_unix_socket_that_is_not_there_is_retried_and_ejected_like_any_endpoint() {
    let origin = Origin::named("a");
    let missing = "\"unix:/nowhere/app.sock\"".to_owned();
    let setup = Setup::with_endpoints(&[missing.clone(), format!("\"{}\"", origin.address())]);
    for policy in ["least_conn", "round_robin", "random", "least_time", "hash", "ip_hash"] {
        let hash = if policy == "hash" { "hash = \"uri\"" } else { "" };
        let gate = setup.clone().upstream(&format!("policy = \"{policy}\"\n{hash}")).start();
        for number in 0..8 {
            assert_eq!(gate.get(&format!("/{number}")).status, 200, "{policy}");
        }
    }
    let gate = Setup::with_endpoints(&[missing]).start();
    assert_eq!((gate.get("/").status, gate.logged_reason()), (502, "connect_failed".to_owned()));
}

#[test]
fn nginx_behind_a_unix_socket_is_spoken_to() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("n.sock");
    let _nginx = Nginx::start(&format!(
        "server {{ listen {{listen}}; listen unix:{}; location / {{ return 200 \"$remote_addr $host\"; }} }}",
        path.display()
    ));
    let gate = Setup::with_endpoints(&[format!("\"unix:{}\"", path.display())]).start();
    assert_eq!(gate.get("/").text(), "unix: test");
}

#[test]
fn connections_come_from_the_address_that_is_bound() {
    let directory = TempDir::new().unwrap();
    let nginx = Nginx::start("server { listen {listen}; location / { return 200 $remote_addr; } }");
    drop(directory);
    let gate = Setup::to(&[nginx.address()]).upstream("bind = \"127.0.0.9\"").start();
    assert_eq!(gate.get("/").text(), "127.0.0.9");
    // 192.0.2.0/24 is nobody's: not the endpoint's fault, and not retried.
    let nowhere = Setup::to(&[nginx.address()]).upstream("bind = \"192.0.2.1\"").start();
    assert_eq!((nowhere.get("/").status, nowhere.logged_reason()), (502, "connect_failed".to_owned()));
    assert_eq!(nowhere.metric("tidegate_endpoint_failures_total"), 0.0);
}

#[test]
fn a_client_is_announced_and_shares_its_connection_with_nobody() {
    for version in ["v1", "v2"] {
        let origin = Announced::start();
        let gate = origin.gate(version);
        let mut clients = [gate.client(), gate.client()];
        for _ in 0..3 {
            clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "a"));
        }
        let destination = gate.address();
        let expected: Vec<_> =
            clients.iter().map(|client| (Header::Ip { source: client.local_address(), destination }, 3)).collect();
        assert_eq!(origin.seen(), expected, "{version}");
    }
}

#[test]
fn what_a_proxy_header_told_is_told_on_with_its_destination() {
    let origin = Announced::start();
    let gate = Setup::to(&[origin.address])
        .listener("proxy_protocol = { from = \"127.0.0.1\" }")
        .upstream("proxy_protocol = \"v2\"")
        .start();
    let mut client = gate.client();
    client.send("PROXY TCP6 2001:db8::7 2001:db8::80 4711 443\r\n");
    assert_eq!(client.get("/").text(), "a");
    let (source, destination) = ("[2001:db8::7]:4711".parse().unwrap(), "[2001:db8::80]:443".parse().unwrap());
    assert_eq!(origin.seen(), [(Header::Ip { source, destination }, 1)]);
}

#[test]
fn one_over_a_unix_socket_is_announced_as_unknown() {
    let origin = Announced::start();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("t.sock");
    let _gate = Setup::to(&[origin.address])
        .upstream("proxy_protocol = \"v1\"")
        .and(&format!("[[listener]]\naddress = \"unix:{}\"", path.display()))
        .start();
    assert_eq!(Client::unix(&path).get("/").text(), "a");
    assert_eq!(origin.seen(), [(Header::Own, 1)]);
}

#[test]
fn streams_of_http2_at_once_are_all_announced() {
    let origin = Announced::start();
    let gate = Setup::to(&[origin.address]).listener("h2c = true").upstream("proxy_protocol = \"v2\"").start();
    let mut client = gate.h2c();
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let sources: Vec<_> = origin.seen().iter().map(|(said, _)| *said).collect();
    assert!(sources.iter().all(|said| *said == sources[0] && *said != Header::Own), "{sources:?}");
}

#[test]
fn a_reload_that_turns_it_on_uses_no_connection_without_a_header() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).top("workers = 1").start();
    let mut client = gate.client();
    assert_eq!(client.get("/").text(), "a");
    let announced = Announced::start();
    let behind = Setup::to(&[announced.address]).top("workers = 1").upstream("proxy_protocol = \"v1\"");
    gate.reload(&behind);
    assert_eq!(client.get("/").text(), "a");
    // It was accepted before anybody wanted to know where it had connected to.
    let seen = announced.seen();
    assert!(matches!(seen[..], [(Header::Ip { source, .. }, 1)] if source == client.local_address()), "{seen:?}");
}

#[test]
fn nginx_and_haproxy_take_the_headers() {
    let nginx = Nginx::start(
        "server { listen {listen} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; \
         location / { return 200 \"$remote_addr $proxy_protocol_port $proxy_protocol_server_port\"; } }",
    );
    for version in ["v1", "v2"] {
        let gate = Setup::to(&[nginx.address()]).upstream(&format!("proxy_protocol = \"{version}\"")).start();
        let mut client = Client::connect_from("127.0.0.6", gate.address());
        let expected = format!("127.0.0.6 {} {}", client.local_address().port(), gate.address().port());
        assert_eq!(client.get("/").text(), expected, "{version}");
        let origin = Origin::named("a");
        let haproxy = Haproxy::start(&format!(
            "listen l\nmode http\nbind {{listen}} accept-proxy\nhttp-request set-header X-Seen %[src]\nserver s {}",
            origin.address()
        ));
        let gate = Setup::to(&[haproxy.address()]).upstream(&format!("proxy_protocol = \"{version}\"")).start();
        assert_eq!(Client::connect_from("127.0.0.7", gate.address()).send(get("/")).response("GET").text(), "a");
        assert_eq!(origin.last().field("x-seen"), Some("127.0.0.7"), "{version}");
    }
}

#[test]
fn the_header_comes_before_tls_and_tls_passes_over_unix_sockets() {
    let nginx_directory = TempDir::new().unwrap();
    let certificate = backend_certificate(nginx_directory.path());
    let path = nginx_directory.path().join("tls.sock");
    let _nginx = Nginx::start(&format!(
        "server {{ listen {{listen}}; listen unix:{} ssl proxy_protocol; ssl_certificate {}; ssl_certificate_key {}; \
         set_real_ip_from unix:; real_ip_header proxy_protocol; location / {{ return 200 \"$remote_addr $https\"; }} }}",
        path.display(),
        certificate.chain.display(),
        certificate.key.display()
    ));
    let tls = format!("tls = {{ ca = {:?}, server_name = \"localhost\" }}\nproxy_protocol = \"v2\"", certificate.chain);
    let gate = Setup::with_endpoints(&[format!("\"unix:{}\"", path.display())]).upstream(&tls).start();
    let mut client = Client::connect_from("127.0.0.8", gate.address());
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "127.0.0.8 on");
    }
}

#[test]
fn endpoints_are_connected_to_with_keepalive() {
    let origin = Origin::named("a");
    let gate = Setup::to(&[origin.address()]).upstream("tcp_keepalive = { idle = \"77s\" }").start();
    assert_eq!(gate.get("/").text(), "a");
    let port = origin.address().port();
    eventually("the kernel has a timer on it", || {
        let ss = crate::support::run("ss", |c| c.args(["-Htno", &format!("dport = :{port}")]));
        ss.stdout.contains("timer:(keepalive,")
    });
}
