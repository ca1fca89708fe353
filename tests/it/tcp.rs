//! TCP listeners: bytes passed on as they are, balanced like requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::proxy_protocol::{Header, parse};

use crate::support::{
    Binary, Gate, Latch, Origin, Setup, TcpServer, dial, eventually, hear, hear_all, refusing_address, reset,
};

/// Beside the listener for HTTP, one for TCP on an address of its own.
fn tcp(endpoints: &[SocketAddr], listener: &str, upstream: &str) -> Setup {
    let endpoints: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    Setup::to(&[refusing_address(1)]).and(&format!(
        "[[tcp]]\naddress = \"127.0.0.3:0\"\nupstream = \"t\"\n{listener}\n[upstream.t]\nendpoints = [{}]\n{upstream}",
        endpoints.join(", ")
    ))
}

fn to(gate: &Gate) -> TcpStream {
    dial(gate.listener(1))
}

/// How many connections have ended for this reason.
fn ended(gate: &Gate, reason: &str) -> f64 {
    gate.metric(&format!("tidegate_tcp_connections_total{{reason=\"{reason}\"}}"))
}

/// Bytes that are nowhere the same.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32 / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn bytes_pass_both_ways_and_the_connection_is_counted_and_logged() {
    let server = TcpServer::echo();
    let gate = tcp(&[server.address()], "", "").start();
    let mut client = to(&gate);
    for word in ["hello", "again"] {
        client.write_all(word.as_bytes()).unwrap();
        assert_eq!(hear(&mut client, 5), word);
    }
    assert_eq!(gate.metric("tidegate_endpoint_in_flight{upstream=\"t\"}"), 1.0);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear_all(&mut client), Ok(Vec::new()));
    let record = gate.records(1).remove(0);
    assert_eq!(
        (&record["client"], &record["upstream"], &record["status"]),
        (&"127.0.0.1".into(), &"t".into(), &200.into())
    );
    assert_eq!((&record["bytes_received"], &record["bytes_sent"]), (&10.into(), &10.into()));
    assert_eq!(record["endpoint"], server.address().to_string());
    assert!(record.get("reason").is_none() && record.get("method").is_none() && record.get("version").is_none());
    assert!(record["duration"].as_f64() > Some(0.0) && record["connect"].as_f64() > Some(0.0), "{record}");
    assert_eq!(ended(&gate, "-"), 1.0);
    assert_eq!(gate.metric("tidegate_tcp_received_bytes_total{upstream=\"t\"}"), 10.0);
    assert_eq!(gate.metric("tidegate_tcp_connection_seconds_count{upstream=\"t\"}"), 1.0);
    assert_eq!(gate.metric("tidegate_endpoint_in_flight{upstream=\"t\"}"), 0.0);
}

#[test]
fn each_side_may_end_first_and_still_hear_the_other() {
    let late = TcpServer::start(|mut stream| {
        let heard = hear_all(&mut stream).unwrap();
        stream.write_all(&heard).unwrap();
    });
    let gate = tcp(&[late.address()], "", "").start();
    let mut client = to(&gate);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(hear_all(&mut client), Ok(b"question".to_vec()));

    let (said, heard) = channel();
    let early = TcpServer::start(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        said.send(hear_all(&mut stream)).unwrap();
    });
    let gate = tcp(&[early.address()], "", "").start();
    let mut client = to(&gate);
    assert_eq!(hear_all(&mut client), Ok(b"bye".to_vec()));
    client.write_all(b"one more thing").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(heard.recv().unwrap(), Ok(b"one more thing".to_vec()));
}

#[test]
fn megabytes_pass_both_ways_at_once_and_none_is_lost() {
    let server = TcpServer::echo();
    let gate = tcp(&[server.address()], "", "").start();
    // More at once than a worker has pipes.
    let clients: Vec<_> = (0..80)
        .map(|number| {
            let mut client = to(&gate);
            thread::spawn(move || {
                let sent = pattern(if number < 4 { 16 << 20 } else { 300_000 });
                let mut out = client.try_clone().unwrap();
                let copy = sent.clone();
                let writer = thread::spawn(move || {
                    out.write_all(&copy).unwrap();
                    out.shutdown(Shutdown::Write).unwrap();
                });
                let received = hear_all(&mut client).unwrap();
                writer.join().unwrap();
                assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    eventually("all are over", || ended(&gate, "-") == 80.0);
}

#[test]
fn what_is_much_passes_through_a_pipe() {
    let server = TcpServer::start(|mut stream| {
        let _ = stream.write_all(&pattern(8 << 20));
    });
    let binary = Binary::start_traced(&tcp(&[server.address()], "", "").top("workers = 1"), "splice");
    let mut client = dial(binary.listening_on([127, 0, 0, 3].into()));
    assert!(hear_all(&mut client).unwrap() == pattern(8 << 20));
    eventually("strace has written", || binary.trace().matches("splice(").count() > 8);
}

#[test]
fn what_breaks_off_on_one_side_breaks_off_on_the_other() {
    let server = TcpServer::start(|mut stream| {
        stream.write_all(b"half of it").unwrap();
        assert_eq!(hear(&mut stream, 2), "go");
        reset(stream);
    });
    let gate = tcp(&[server.address()], "", "").start();
    let mut client = to(&gate);
    assert_eq!(hear(&mut client, 10), "half of it");
    client.write_all(b"go").unwrap();
    assert_eq!(hear_all(&mut client), Err(ErrorKind::ConnectionReset));
    eventually("it is counted", || ended(&gate, "upstream_closed") == 1.0);

    let (said, heard) = channel();
    let server = TcpServer::start(move |mut stream| {
        stream.write_all(b"x").unwrap();
        said.send(hear_all(&mut stream)).unwrap();
    });
    let gate = tcp(&[server.address()], "", "").start();
    let mut client = to(&gate);
    assert_eq!(hear(&mut client, 1), "x");
    reset(client);
    assert_eq!(heard.recv().unwrap(), Err(ErrorKind::ConnectionReset));
    assert_eq!(gate.logged_reason(), "client_gone");
}

#[test]
fn policies_balance_connections() {
    let servers = [TcpServer::named("a"), TcpServer::named("b"), TcpServer::named("c")];
    let addresses: Vec<_> = servers.iter().map(TcpServer::address).collect();
    for policy in ["round_robin", "least_conn", "random", "least_time"] {
        let gate = tcp(&addresses, "", &format!("policy = \"{policy}\"")).start();
        let mut held: Vec<_> = (0..6).map(|_| to(&gate)).collect();
        let mut names: Vec<_> = held.iter_mut().map(|client| hear(client, 1)).collect();
        names.sort();
        if policy != "random" && policy != "least_time" {
            assert_eq!(names.concat(), "aabbcc", "{policy}");
        }
    }
    for policy in ["policy = \"ip_hash\"", "policy = \"hash\"\nhash = \"client_ip\""] {
        let gate = tcp(&addresses, "", policy).start();
        let names: Vec<_> = (0..6).map(|_| hear(&mut to(&gate), 1)).collect();
        assert!(names.iter().all(|name| *name == names[0]), "{policy}: {names:?}");
    }
}

#[test]
fn an_endpoint_that_refuses_is_passed_over_and_ejected() {
    let server = TcpServer::named("a");
    let gate = tcp(&[refusing_address(1), server.address()], "", "policy = \"round_robin\"").top("workers = 1").start();
    for _ in 0..4 {
        assert_eq!(hear(&mut to(&gate), 1), "a");
    }
    assert_eq!(gate.metric("tidegate_endpoint_ejected{upstream=\"t\"}"), 1.0);
    assert_eq!(gate.metric("tidegate_retries_total{upstream=\"t\"}"), 1.0);
    let first = gate.records(4).remove(0);
    assert_eq!((&first["attempts"], &first["retried"][0]), (&2.into(), &refusing_address(1).to_string().into()));
}

#[test]
fn without_an_endpoint_the_connection_is_closed_and_says_why() {
    let gate = tcp(&[refusing_address(1), refusing_address(2)], "", "").start();
    assert_eq!(hear_all(&mut to(&gate)), Ok(Vec::new()));
    assert_eq!(gate.logged_reason(), "connect_failed");
    let server = TcpServer::named("a");
    let address = server.address();
    let full = Setup::to(&[refusing_address(1)]).and(&format!(
        "[[tcp]]\naddress = \"127.0.0.3:0\"\nupstream = \"t\"\n\
         [upstream.t]\nendpoints = [{{ address = \"{address}\", max_conns = 1 }}]"
    ));
    let gate = full.start();
    let mut held = to(&gate);
    assert_eq!(hear(&mut held, 1), "a");
    assert_eq!(hear_all(&mut to(&gate)), Ok(Vec::new()));
    assert_eq!(gate.logged_reason(), "no_endpoint");
    drop(held);
    eventually("the place is free again", || hear_all_of_named(&gate) == "a");
}

fn hear_all_of_named(gate: &Gate) -> String {
    let mut client = to(gate);
    client.shutdown(Shutdown::Write).unwrap();
    String::from_utf8(hear_all(&mut client).unwrap_or_default()).unwrap()
}

#[test]
fn a_silent_connection_is_closed_and_one_with_traffic_isnt() {
    let server = TcpServer::echo();
    let gate = tcp(&[server.address()], "idle_timeout = \"400ms\"", "").start();
    let (mut silent, mut busy) = (to(&gate), to(&gate));
    for _ in 0..6 {
        Latch::new().wait_for(Duration::from_millis(100));
        busy.write_all(b"x").unwrap();
        assert_eq!(hear(&mut busy, 1), "x");
    }
    assert_eq!(hear_all(&mut silent), Ok(Vec::new()));
    assert_eq!(gate.logged_reason(), "idle_timed_out");
    busy.write_all(b"x").unwrap();
    assert_eq!(hear(&mut busy, 1), "x");
}

#[test]
fn a_reload_leaves_living_connections_alone() {
    let (a, b) = (TcpServer::echo(), TcpServer::named("b"));
    let gate = tcp(&[a.address()], "", "").start();
    let mut living = to(&gate);
    living.write_all(b"1").unwrap();
    assert_eq!(hear(&mut living, 1), "1");
    gate.reload(&tcp(&[b.address()], "", ""));
    assert_eq!(hear(&mut to(&gate), 1), "b");
    living.write_all(b"2").unwrap();
    assert_eq!(hear(&mut living, 1), "2");
    let address = gate.listener(1);
    gate.reload(&Setup::to(&[refusing_address(1)]));
    eventually("nobody listens there", || TcpStream::connect(address).is_err());
    living.write_all(b"3").unwrap();
    assert_eq!(hear(&mut living, 1), "3");
}

#[test]
fn an_address_may_change_from_tcp_to_http_and_back() {
    let (server, origin) = (TcpServer::echo(), Origin::named("a"));
    let as_http = Setup::to(&[origin.address()]).and("[[listener]]\naddress = \"127.0.0.3:0\"");
    let as_tcp = tcp(&[server.address()], "", "");
    let gate = as_tcp.start();
    let address = gate.listener(1);
    let mut living = to(&gate);
    living.write_all(b"1").unwrap();
    assert_eq!(hear(&mut living, 1), "1");
    gate.reload(&as_http);
    assert_eq!(gate.listener(1), address);
    let mut client = crate::support::Client::connect(address);
    assert_eq!(client.get("/").text(), "a");
    living.write_all(b"2").unwrap();
    assert_eq!(hear(&mut living, 1), "2");
    gate.reload(&as_tcp);
    let mut new = dial(address);
    new.write_all(b"3").unwrap();
    assert_eq!(hear(&mut new, 1), "3");
    client.assert_closed();
}

#[test]
fn a_drain_waits_for_living_connections_and_then_cuts_them() {
    let server = TcpServer::echo();
    let gate = tcp(&[server.address()], "", "").start();
    let mut living = to(&gate);
    living.write_all(b"1").unwrap();
    assert_eq!(hear(&mut living, 1), "1");
    let drained = gate.shutdown(Duration::from_secs(60));
    living.write_all(b"2").unwrap();
    assert_eq!(hear(&mut living, 1), "2");
    drop(living);
    drained.join().unwrap();

    let gate = tcp(&[server.address()], "", "").start();
    let mut cut = to(&gate);
    cut.write_all(b"1").unwrap();
    assert_eq!(hear(&mut cut, 1), "1");
    let directory = gate.shutdown(Duration::from_millis(200)).join().unwrap();
    assert_eq!(hear_all(&mut cut), Err(ErrorKind::ConnectionReset));
    let log = std::fs::read_to_string(directory.path().join("access.log")).unwrap();
    let record: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((&record["reason"], &record["bytes_sent"]), (&"stopped".into(), &1.into()));
}

#[test]
fn proxy_headers_pass_in_and_out() {
    let (said, heard) = channel();
    let server = TcpServer::start(move |mut stream| {
        let mut bytes = Vec::new();
        let header = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
            if let Some((header, _)) = parse(&bytes).unwrap() {
                break header;
            }
        };
        said.send((header, hear(&mut stream, 5))).unwrap();
    });
    let own = tcp(&[server.address()], "", "proxy_protocol = \"v1\"").start();
    let mut client = to(&own);
    client.write_all(b"hello").unwrap();
    let (source, destination) = (client.local_addr().unwrap(), own.listener(1));
    assert_eq!(heard.recv().unwrap(), (Header::Ip { source, destination }, "hello".to_owned()));
    let told = tcp(&[server.address()], "proxy_protocol = { from = \"127.0.0.1\" }", "proxy_protocol = \"v2\"").start();
    let mut client = to(&told);
    client.write_all(b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 5432\r\nhello").unwrap();
    let (source, destination) = ("198.51.100.7:4711".parse().unwrap(), "192.0.2.1:5432".parse().unwrap());
    assert_eq!(heard.recv().unwrap(), (Header::Ip { source, destination }, "hello".to_owned()));
    drop(client);
    assert_eq!(told.records(1)[0]["client"], "198.51.100.7");
}

#[test]
fn unix_sockets_serve_on_both_sides() {
    let directory = TempDir::new().unwrap();
    let [front, back] = ["front.sock", "back.sock"].map(|name| directory.path().join(name));
    let listener = std::os::unix::net::UnixListener::bind(&back).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    let gate = Setup::to(&[refusing_address(1)])
        .and(&format!(
            "[[tcp]]\naddress = \"unix:{}\"\nupstream = \"t\"\n[upstream.t]\nendpoints = \"unix:{}\"",
            front.display(),
            back.display()
        ))
        .start();
    let mut client = std::os::unix::net::UnixStream::connect(&front).unwrap();
    let sent = pattern(4 << 20);
    let (mut out, copy) = (client.try_clone().unwrap(), sent.clone());
    let writer = thread::spawn(move || {
        out.write_all(&copy).unwrap();
        out.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(received == sent);
    assert_eq!(gate.records(1)[0]["client"], "unix:");
}

#[test]
fn caps_on_connections_count_them() {
    let server = TcpServer::named("a");
    let gate = tcp(&[server.address()], "", "").top("max_connections_per_client = 2").start();
    let mut held = [to(&gate), to(&gate)];
    held.iter_mut().for_each(|client| assert_eq!(hear(client, 1), "a"));
    assert_eq!(hear_all(&mut to(&gate)).unwrap_or_default(), b"");
    eventually("it is counted", || {
        gate.metric("tidegate_connections_refused_total{reason=\"over_client_cap\"}") == 1.0
    });
    assert_eq!(server.accepted(), 2);
}

#[test]
fn a_client_that_doesnt_read_holds_the_server_back() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let server = TcpServer::start(move |mut stream| {
        while let Ok(n) = stream.write(&[7; 64 << 10]) {
            count.fetch_add(n, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let gate = tcp(&[server.address()], "", "").start();
    let client = to(&gate);
    let now = || sent.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = usize::MAX;
    eventually("the server is held back", || {
        let stuck = now() > 0 && now() == before;
        before = now();
        Latch::new().wait_for(Duration::from_millis(200));
        stuck
    });
    // What the kernel holds for two connections, and a pipe.
    assert!(now() < 64 << 20, "{}", now());
    drop(client);
}
