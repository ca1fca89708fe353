//! gRPC passes: a client and a server on gRPC's C core, in Python, with Tidegate between them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Certificate, Gate, Setup, backend_certificate, run};

/// Tries a case of `grpc/client.py` through a gate in plain text.
#[track_caller]
fn passes(case: &str) {
    let server = Server::start(None);
    let gate = gate(&server, "protocol = \"h2c\"");
    tried(&gate, case, None);
}

#[track_caller]
fn gate(server: &Server, keys: &str) -> Gate {
    Setup::to(&[server.address]).listener("h2c = true").route("max_body_size = \"off\"").upstream(keys).start()
}

#[track_caller]
fn tried(gate: &Gate, case: &str, chain: Option<&Certificate>) {
    let address = gate.address().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/grpc/client.py");
    let ran = run(python(), |c| c.arg(script).arg(address).arg(case).args(chain.map(|certificate| &certificate.chain)));
    assert!(ran.success, "{case}: {}", ran.stderr);
}

#[test]
fn unary_calls_with_metadata_and_trailers() {
    passes("unary");
}

#[test]
fn server_streaming() {
    passes("server_stream");
}

#[test]
fn client_streaming() {
    passes("client_stream");
}

#[test]
fn both_sides_streaming_in_turn() {
    passes("bidi");
}

#[test]
fn an_error_without_a_message_is_trailers_only() {
    passes("fail");
}

#[test]
fn an_error_behind_messages_comes_in_trailers() {
    passes("fail_late");
}

#[test]
fn an_unknown_method() {
    passes("unknown");
}

#[test]
fn a_deadline_is_known_to_the_server_and_ends_its_work() {
    passes("deadline");
}

#[test]
fn a_canceled_call_ends_the_server_s_work() {
    passes("cancel");
}

#[test]
fn large_messages() {
    passes("large");
}

#[test]
fn many_calls_at_once_share_few_connections() {
    let server = Server::start(None);
    let gate = gate(&server, "protocol = \"h2c\"");
    tried(&gate, "many", None);
    let opened = gate.metric("tidegate_upstream_connections_total{state=\"opened\"}");
    assert!(opened <= 10.0, "{opened}");
}

#[test]
fn over_tls_on_both_sides() {
    let directory = TempDir::new().unwrap();
    let backend = backend_certificate(directory.path());
    let server = Server::start(Some(&backend));
    let keys = format!("protocol = \"h2\"\ntls = {{ ca = {:?} }}", backend.chain);
    let (gate, certificate) = Setup::to(&[server.address]).upstream(&keys).start_tls();
    for case in ["unary", "bidi", "fail"] {
        tried(&gate, case, Some(&certificate));
    }
}

/// `grpc/server.py`, killed when dropped.
struct Server {
    address: SocketAddr,
    child: Child,
}

impl Server {
    #[track_caller]
    fn start(certificate: Option<&Certificate>) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/grpc/server.py");
        let mut command = Command::new(python());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(certificate) = certificate {
            command.arg(&certificate.key).arg(&certificate.chain);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the gRPC server tells its port");
        Self { address: ([127, 0, 0, 1], port).into(), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python that has gRPC: Debian's own, unless another has.
fn python() -> &'static str {
    let has_grpc = |python: &&&str| run(python, |c| c.args(["-c", "import grpc"])).success;
    let found = ["/usr/bin/python3", "python3"].iter().find(has_grpc);
    found.expect("no Python has gRPC; `make test` installs python3-grpcio")
}
