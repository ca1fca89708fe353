//! A small request costs four system calls on its connections: two to read, two to write. Counted by strace.

use std::collections::HashMap;

use tempfile::TempDir;

use crate::support::{Answer, Binary, Certificate, Client, Ended, Latch, Origin, Setup, Tls, get};

/// Whatever could move bytes of a connection, and the wait for them.
const CALLS: &str =
    "read,readv,recvfrom,recvmsg,recvmmsg,write,writev,sendto,sendmsg,sendmmsg,splice,sendfile,epoll_wait";

#[test]
fn a_small_request_costs_four_data_calls_on_a_kept_connection() {
    let origin = Origin::answering(small());
    let mut binary = Binary::start_traced(&setup(&origin), CALLS);
    let mut client = binary.client();
    for _ in 0..10 {
        assert_eq!(client.get("/warm-up").status, 200);
    }
    for _ in 0..1000 {
        assert_eq!(client.get("/counted").status, 200);
    }
    let calls = counted_calls(&mut binary, &mut client);
    assert_eq!(calls.data, 4000, "{calls:?}");
}

#[test]
fn requests_of_many_connections_at_once_cost_four_data_calls_each() {
    let latch = Latch::new();
    let warm = small().after(&latch);
    let origin = Origin::start(move |request| match request.target() {
        "/warm-up" => warm.clone(),
        _ => small(),
    });
    let mut binary = Binary::start_traced(&setup(&origin), CALLS);
    let mut clients: Vec<Client> = (0..64).map(|_| binary.client()).collect();
    // All are held at once, so that a connection upstream is kept for each.
    on_all(&mut clients, "/warm-up", || {
        origin.wait_for_heads(64);
        latch.open();
    });
    for _ in 0..10 {
        on_all(&mut clients, "/counted", || {});
    }
    let calls = counted_calls(&mut binary, &mut clients[0]);
    assert_eq!(calls.data, 4 * 640, "{calls:?}");
}

#[test]
fn the_end_of_a_tls_connection_leaves_with_its_last_response() {
    let origin = Origin::answering(small());
    let directory = TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "test", &["test"]);
    let site = format!("certificate = {}", certificate.toml());
    let mut binary = Binary::start_traced(&setup(&origin).listener("tls = true").site(&site), CALLS);
    let mut client = Client::tls(binary.address(), &Tls::new(&[&certificate], "test"));
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.response("GET").status, 200);
    client.assert_closed();
    binary.signal("TERM");
    assert_eq!(binary.ended(), Ended::Code(0));
    let trace = binary.trace();
    let lines = whole_lines(&trace);
    let writes = lines.iter().filter(|(_, call)| call.starts_with("writev(") && call.contains("<TCP"));
    // The handshake's, the ticket, and the response with `close_notify`.
    assert_eq!(writes.count(), 3, "{trace}");
}

fn small() -> Answer {
    Answer::ok("x".repeat(128))
}

/// One worker that logs and limits.
fn setup(origin: &Origin) -> Setup {
    let limit = "[limit.l]\nkey = \"client_ip\"\nrate = \"1000000/s\"\nburst = 100_000";
    Setup::to(&[origin.address()]).top("workers = 1").route("limit = \"l\"").and(limit)
}

fn on_all(clients: &mut [Client], path: &str, meanwhile: impl FnOnce()) {
    for client in clients.iter_mut() {
        client.send(get(path));
    }
    meanwhile();
    for client in clients {
        assert_eq!(client.response("GET").status, 200);
    }
}

#[derive(Debug, Default)]
struct Calls {
    /// On connections.
    data: usize,
    waits: usize,
    /// How often each was made on connections, by name.
    by_name: HashMap<String, usize>,
}

/// Ends the program after another request of this client, and counts what its worker called from the first one for
/// `/counted` on.
#[track_caller]
fn counted_calls(binary: &mut Binary, client: &mut Client) -> Calls {
    client.get("/end");
    binary.signal("TERM");
    assert_eq!(binary.ended(), Ended::Code(0));
    let trace = binary.trace();
    let lines = whole_lines(&trace);
    let first = lines.iter().position(|(_, call)| call.contains("\"GET /counted "));
    let first = first.unwrap_or_else(|| panic!("no request in the trace: {trace}"));
    let worker = lines[first].0;
    let of_worker = lines[first..].iter().filter(|(thread, _)| *thread == worker).map(|(_, call)| call);
    let mut calls = Calls::default();
    for call in of_worker.take_while(|call| !call.contains("\"GET /end ")) {
        let (name, arguments) = call.split_once('(').unwrap();
        let descriptor = arguments.split(',').next().unwrap();
        if name == "epoll_wait" {
            calls.waits += 1;
        } else if descriptor.contains("<TCP") || descriptor.contains("<socket") {
            calls.data += 1;
            *calls.by_name.entry(name.to_string()).or_default() += 1;
        }
    }
    println!("{calls:?}");
    calls
}

/// The thread and the call of each line; a call that others interrupt is put together, at the place where it ended.
fn whole_lines(trace: &str) -> Vec<(&str, String)> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut whole = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start);
        } else if let Some((_, end)) = call.split_once(" resumed>") {
            whole.push((thread, format!("{}{end}", begun.remove(thread).unwrap_or_default())));
        } else if call.contains('(') {
            whole.push((thread, call.to_string()));
        }
    }
    whole
}
