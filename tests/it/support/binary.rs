//! The built program as a child process.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::gate::Setup;
use super::{Client, eventually};

/// `tidegate run -c FILE`, killed when dropped.
pub struct Binary {
    child: Child,
    /// The program's own, which a tracer is the parent of.
    process: u32,
    directory: TempDir,
    stdout: Captured,
    stderr: Captured,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

impl Binary {
    /// Runs until its listener accepts.
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        let binary = Self::spawn(setup, |c| c);
        binary.address();
        binary
    }

    /// With at most this many descriptors.
    #[track_caller]
    pub fn start_with_descriptors(setup: &Setup, count: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("tidegate.toml");
        fs::write(&file, setup.toml(directory.path())).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n {count}; exec \"$0\" run -c \"$1\"")).arg(program()).arg(&file);
        let binary = Self::from(command, directory);
        binary.address();
        binary
    }

    /// Under strace, which writes these system calls of all threads, with what the descriptors are, to [`Binary::trace`].
    #[track_caller]
    pub fn start_traced(setup: &Setup, calls: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let [file, trace, id] = ["tidegate.toml", "trace", "id"].map(|name| directory.path().join(name));
        fs::write(&file, setup.toml(directory.path())).unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-yy", "-s", "32", "-e", &format!("trace={calls}"), "-o"]).arg(trace);
        command.args(["sh", "-c", "echo $$ >\"$2\"; exec \"$0\" run -c \"$1\"", program()]).arg(file).arg(&id);
        let mut binary = Self::from(command, directory);
        binary.process = eventually("strace starts the program: it must be installed, and allowed to trace", || {
            fs::read_to_string(&id).ok()?.trim().parse().ok()
        });
        binary.address();
        binary
    }

    /// What strace has written.
    pub fn trace(&self) -> String {
        fs::read_to_string(self.directory.path().join("trace")).unwrap()
    }

    /// Doesn't wait for anything.
    #[track_caller]
    pub fn spawn(setup: &Setup, more: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("tidegate.toml");
        fs::write(&file, setup.toml(directory.path())).unwrap();
        let mut command = Command::new(program());
        more(command.arg("run").arg("-c").arg(&file));
        Self::from(command, directory)
    }

    /// With this configuration, which may be for more than one listener.
    #[track_caller]
    pub fn run_file(toml: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("tidegate.toml");
        fs::write(&file, toml).unwrap();
        let mut command = Command::new(program());
        command.arg("run").arg("-c").arg(&file);
        Self::from(command, directory)
    }

    /// Whose configuration is somebody else's to write.
    #[track_caller]
    pub fn run_command(command: Command) -> Self {
        Self::from(command, TempDir::new().unwrap())
    }

    fn from(mut command: Command, directory: TempDir) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_owned();
        let mut child =
            command.spawn().unwrap_or_else(|e| panic!("{program:?} can't be run: {e}; `make test` installs it"));
        let stdout = Captured::new(child.stdout.take().unwrap());
        let stderr = Captured::new(child.stderr.take().unwrap());
        Self { process: child.id(), child, directory, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Another configuration in the same file; `HUP` makes it count.
    pub fn write(&self, toml: &str) {
        fs::write(self.file(), toml).unwrap();
    }

    pub fn rewrite(&self, setup: &Setup) {
        self.write(&setup.toml(self.directory()));
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("tidegate.toml")
    }

    /// Of the listener on 127.0.0.1.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.listening_on(Ipv4Addr::LOCALHOST)
    }

    /// Of the metrics listener, which [`Setup`] puts on 127.0.0.2.
    #[track_caller]
    pub fn metrics(&self) -> SocketAddr {
        self.listening_on(Ipv4Addr::new(127, 0, 0, 2))
    }

    #[track_caller]
    pub fn listening_on(&self, ip: Ipv4Addr) -> SocketAddr {
        let port = eventually("the program listens", || listening_port(self.process, ip));
        (ip, port).into()
    }

    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// `"HUP"`, `"TERM"`, …
    pub fn signal(&self, name: &str) {
        assert!(send_signal(name, self.process));
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    #[track_caller]
    pub fn wait_for_stderr(&self, part: &str) {
        eventually(&format!("{part:?} on stderr, which has {}", self.stderr()), || self.stderr().contains(part));
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Processor time so far, user and system, in clock ticks (hundredths of a second).
    pub fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum()
    }

    /// Bytes that it holds in memory, but for files, such as its own code.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Waits for the end, and for all that it said.
    #[track_caller]
    pub fn ended(&mut self) -> Ended {
        let status = eventually("the program ends", || self.child.try_wait().unwrap());
        self.stdout.join();
        self.stderr.join();
        ended(status)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if self.process != self.child.id() && self.is_running() {
            send_signal("KILL", self.process);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_signal(name: &str, process: u32) -> bool {
    Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap().success()
}

pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tidegate")
}

fn ended(status: ExitStatus) -> Ended {
    match status.code() {
        Some(code) => Ended::Code(code),
        None => Ended::Signal(status.signal().unwrap()),
    }
}

/// The port of a listening socket of this process on this address.
fn listening_port(process: u32, ip: Ipv4Addr) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_string()))
        .collect();
    let host = format!("{:08X}", u32::from_le_bytes(ip.octets()));
    fs::read_to_string("/proc/net/tcp").ok()?.lines().skip(1).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.split_once(':')?;
        let listens = columns.get(3) == Some(&"0A") && address == host;
        let ours = columns.get(9).is_some_and(|inode| sockets.iter().any(|s| s == inode));
        (listens && ours).then(|| u16::from_str_radix(port, 16).ok())?
    })
}

/// A stream of the child, read to its end on a thread.
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    fn new(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = text.clone();
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                sink.lock().unwrap().extend_from_slice(&chunk[..n]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}
