//! PostgreSQL and Redis behind a TCP listener: their own servers, their own clients.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Certificate, Gate, Ran, Setup, eventually, refusing_address, run, run_with_input};

/// A server as a child, on a Unix socket in a directory of its own; killed when dropped.
struct Server {
    child: Child,
    /// The signal that ends it at once. It must be one that the server takes whatever this process has ignored.
    stop: &'static str,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args([self.stop, &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// One listener to this socket, with these keys.
fn gate(socket: &Path, keys: &str) -> Setup {
    Setup::to(&[refusing_address(1)]).and(&format!(
        "[[tcp]]\naddress = \"127.0.0.3:0\"\nupstream = \"db\"\n{keys}\n[upstream.db]\nendpoints = \"unix:{}\"",
        socket.display()
    ))
}

/// Where Debian puts PostgreSQL's programs.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists()).max()
}

/// `None`, and says so, where the server isn't installed and can't be.
fn start_postgres() -> Option<Server> {
    let Some(bin) = postgres() else {
        eprintln!("skipped: there is no PostgreSQL here; scripts/install-needs test installs it where apt can");
        return None;
    };
    let directory = TempDir::new().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    // It refuses to run as root.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let command = |program: &str| {
        let program = bin.join(program);
        let mut command = Command::new(if is_root { Path::new("setpriv") } else { &program });
        if is_root {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&program);
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    if is_root {
        chown(&data, Some(65534), Some(65534)).unwrap();
    }
    let made = command("initdb").args(["-U", "tide", "-A", "trust", "--no-sync", "-D"]).arg(&data).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let child = command("postgres")
        .args(["-F", "-c", "listen_addresses=", "-k"])
        .arg(&data)
        .arg("-D")
        .arg(&data)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // An immediate shutdown, which takes its children along.
    let server = Server { child, stop: "-QUIT", directory };
    eventually("PostgreSQL listens", || data.join(".s.PGSQL.5432").exists());
    Some(server)
}

fn psql(address: SocketAddr, sql: &str) -> Ran {
    let target = format!("host={} port={} user=tide dbname=postgres sslmode=disable", address.ip(), address.port());
    run_with_input("psql", sql.as_bytes(), |c| c.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", &target]))
}

#[test]
fn postgresql_is_used_through_it_and_its_sessions_outlive_a_reload() {
    let Some(server) = start_postgres() else { return };
    let socket = server.directory.path().join("data/.s.PGSQL.5432");
    let setup = gate(&socket, "");
    let gate = setup.start();
    let address = gate.listener(1);
    let answer = eventually("PostgreSQL answers", || {
        let ran = psql(address, "select 6 * 7;");
        ran.success.then_some(ran)
    });
    assert_eq!(answer.stdout.trim(), "42");
    // A megabyte each way, and a transaction over several statements.
    let rows: String = (0..20_000).map(|n| format!("{n}\t{:0>50}\n", n * 7)).collect();
    let script = format!(
        "create table t (n int, word text);\nbegin;\ncopy t from stdin;\n{rows}\\.\ncommit;\n\
         select count(*), sum(length(word)) from t;\nselect md5(string_agg(word, '' order by n)) from t;\n"
    );
    let written = psql(address, &script);
    assert!(written.stdout.starts_with("20000|1000000\n"), "{written:?}");
    let read = psql(address, "copy t to stdout;");
    assert_eq!(read.stdout.lines().count(), 20_000);
    let sleeping = std::thread::spawn(move || psql(address, "select pg_sleep(1.5);\nselect 'still here';"));
    eventually("the session is open", || gate.metric("tidegate_endpoint_in_flight{upstream=\"db\"}") == 1.0);
    gate.reload(&setup.clone().upstream("max_fails = 2"));
    let slept = sleeping.join().unwrap();
    assert!(slept.stdout.contains("still here"), "{slept:?}");
    assert!(gate.metric("tidegate_tcp_sent_bytes_total{upstream=\"db\"}") > 1_000_000.0);
}

/// `None`, and says so, where the server isn't installed and can't be.
fn start_redis() -> Option<Server> {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("redis.sock");
    let child = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        eprintln!("skipped: there is no Redis here; scripts/install-needs test installs it where apt can");
        return None;
    };
    let server = Server { child, stop: "-KILL", directory };
    eventually("Redis listens", || socket.exists());
    Some(server)
}

fn redis(gate: &Gate, more: &[&str], commands: &str) -> Ran {
    let address = gate.listener(1);
    run_with_input("redis-cli", commands.as_bytes(), |c| {
        c.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]).args(more)
    })
}

#[test]
fn redis_is_used_through_it_also_with_tls_in_front() {
    let Some(server) = start_redis() else { return };
    let socket = server.directory.path().join("redis.sock");
    let plain = gate(&socket, "").start();
    assert_eq!(redis(&plain, &[], "SET k v\nGET k\n").stdout, "OK\nv\n");
    // Requests in one go, as `redis-cli --pipe` sends them.
    let many: String = (0..50_000).map(|n| format!("SET k{n} {n}\r\n")).collect();
    let piped = redis(&plain, &["--pipe"], &many);
    assert!(piped.stdout.contains("errors: 0, replies: 50000"), "{piped:?}");
    assert_eq!(redis(&plain, &[], "DBSIZE\nGET k49999\n").stdout, "50001\n49999\n");
    let big = "x".repeat(4 << 20);
    assert_eq!(redis(&plain, &["-x", "SET", "big"], &big).stdout, "OK\n");
    assert_eq!(redis(&plain, &["GET", "big"], "").stdout.trim_end().len(), 4 << 20);
    let (tls, certificate) = gate(&socket, "tls = true").start_tls();
    let trust = |certificate: &Certificate| certificate.chain.to_string_lossy().into_owned();
    let secured = redis(&tls, &["--tls", "--sni", "test", "--cacert", &trust(&certificate)], "GET k\n");
    assert_eq!(secured.stdout, "v\n", "{}", secured.stderr);
    assert_eq!(run("redis-cli", |c| c.arg("-s").arg(&socket).args(["CLIENT", "LIST"])).stdout.lines().count(), 1);
}
