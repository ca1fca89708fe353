//! The demo as a newcomer meets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::{text, tidegate};

/// Free addresses, held until all are chosen so that they differ.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

struct Demo {
    child: Child,
    http: SocketAddr,
    https: SocketAddr,
    lines: mpsc::Receiver<String>,
}

impl Demo {
    fn start() -> Self {
        Self::start_at_home(None)
    }

    /// With a directory for its user's data.
    fn start_at_home(data: Option<&std::path::Path>) -> Self {
        let [http, https, metrics] = free_addresses();
        let flags = [("--http", http), ("--https", https), ("--metrics", metrics)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.arg("demo").args(flags.iter().flat_map(|(flag, address)| [flag.to_string(), address.to_string()]));
        if let Some(data) = data {
            command.env("XDG_DATA_HOME", data);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, http, https, lines }
    }

    /// The lines until one contains `words`.
    #[track_caller]
    fn lines_until(&self, words: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(Duration::from_secs(30)) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("no {words:?} ({error}) in {seen:#?}"),
            }
            if seen.last().is_some_and(|line| line.contains(words)) {
                return seen;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        text(&answer)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn whoever_trusts_the_demos_ca_sees_no_complaint() {
    let data = tempfile::TempDir::new().unwrap();
    let root = data.path().join("root.pem");
    let printed = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["trust", "--print"])
        .env("XDG_DATA_HOME", data.path())
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    std::fs::write(&root, &printed.stdout).unwrap();
    let demo = Demo::start_at_home(Some(data.path()));
    demo.lines_until("Ctrl-C stops it");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/health", demo.https.port());
        let got = Command::new("curl").args(["-sSf", "--cacert"]).arg(&root).arg(&url).output().unwrap();
        assert!(got.status.success(), "{got:?}");
    }
    let removed = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["trust", "--remove"])
        .env("XDG_DATA_HOME", data.path())
        .output()
        .unwrap();
    assert!(removed.status.success() && !data.path().join("tidegate/demo-ca.key").exists(), "{removed:?}");
}

#[test]
fn the_demo_serves_and_leaves_nothing_behind_after_ctrl_c() {
    let mut demo = Demo::start();
    let welcome = demo.lines_until("Ctrl-C stops it");
    assert_eq!(welcome.iter().filter(|line| line.contains("curl ")).count(), 5, "{welcome:#?}");
    let file = welcome.iter().find_map(|line| line.trim().strip_prefix("configuration")).unwrap().trim().to_owned();
    assert!(std::path::Path::new(&file).exists());

    let answer = demo.get("/headers");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.to_lowercase().contains("x-forwarded-for: 127.0.0.1"),
        "{answer}"
    );

    let id = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    demo.lines_until("has stopped");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn a_port_in_use_is_named_with_its_holder_and_the_flag_that_moves_it() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let [http, metrics] = free_addresses();
    let output = tidegate(&["demo", "--http", &http.to_string(), "--https", &taken, "--metrics", &metrics.to_string()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains(&taken) && said.contains("--https") && !said.contains("--http "), "{said}");
    assert!(said.contains(&format!("(pid {})", std::process::id())), "{said}");
    assert!(said.contains("nothing was started"), "{said}");
}
