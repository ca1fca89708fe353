//! What the process may do once it runs: a user's rights, the files of its configuration, and nothing more.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Binary, Certificate, Client, Ended, Origin, Tls, eventually, program, run, scrape};

/// Any user but root will do; this one is everywhere.
const NOBODY: u32 = 65534;

/// `CAP_NET_BIND_SERVICE` alone.
const BINDING: &str = "0000000000000400";

#[test]
fn root_becomes_the_user_and_keeps_nothing_but_low_ports() {
    if !is_root() {
        return;
    }
    let origin = Origin::named("a");
    let place = Place::new();
    let low = free_low_port();
    place.write(&configuration(origin.address(), "user = \"nobody\"", ""));
    let binary = place.start();
    assert_eq!(binary.client().get("/").text(), "a");
    let threads = threads(binary.id());
    assert!(threads.len() > 2, "{threads:?}");
    for thread in &threads {
        let said = |name: &str| field(thread, name);
        assert_eq!(said("Uid"), format!("{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}"));
        assert!(!said("Groups").split_whitespace().any(|group| group == "0"), "{}", said("Groups"));
        assert_eq!([said("CapPrm"), said("CapEff"), said("CapBnd")], [BINDING; 3]);
        assert_eq!([said("CapInh"), said("CapAmb")], ["0000000000000000"; 2]);
        assert_eq!(said("NoNewPrivs"), "1");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", binary.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    // Not dumpable: its files in /proc are root's, so that processes of the same user can't read its memory.
    assert_eq!(fs::metadata(format!("/proc/{}/mem", binary.id())).unwrap().uid(), 0);

    place.write(&configuration(origin.address(), "user = \"nobody\"", &format!("[[listener]]\naddress = \"{low}\"")));
    binary.signal("HUP");
    binary.wait_for_stderr("reloaded");
    assert_eq!(Client::connect(low).get("/").text(), "a");
    let metrics = scrape(binary.metrics());
    for name in ["process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_threads"] {
        assert!(metrics.lines().any(|line| line.starts_with(&format!("{name} ")) && !line.ends_with(" 0")), "{name}");
    }
}

#[test]
fn logs_are_opened_anew_by_the_user_and_closed_to_others() {
    if !is_root() {
        return;
    }
    let origin = Origin::named("a");
    let place = Place::new();
    let log = place.directory().join("access.log");
    place.write(&configuration(origin.address(), "user = \"nobody\"", &format!("[access_log]\noutput = {log:?}")));
    let binary = place.start();
    let lines = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    binary.client().get("/");
    eventually("a line is written", || lines() == 1);
    fs::rename(&log, place.directory().join("access.log.1")).unwrap();
    binary.signal("USR1");
    binary.wait_for_stderr("access log reopened");
    binary.client().get("/");
    eventually("a line is written to the new file", || lines() == 1);
    let made = fs::metadata(&log).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (NOBODY, 0o600));
}

#[test]
fn a_key_that_only_root_may_read_is_told_at_the_start() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let certificate = Certificate::make(place.directory(), "a", &["a.test"]);
    chown(&certificate.key, Some(0), Some(0)).unwrap();
    fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o600)).unwrap();
    place.write(&tls_configuration("user = \"nobody\"", &certificate));
    for verb in ["run", "check"] {
        let ran = run(program(), |c| c.args([verb, "-c"]).arg(place.file()));
        assert!(!ran.success && ran.stderr.contains("a.key.pem: Permission denied"), "{verb}: {ran:?}");
    }
    chown(&certificate.key, Some(NOBODY), None).unwrap();
    let ran = run(program(), |c| c.args(["check", "-c"]).arg(place.file()));
    assert!(ran.success, "{ran:?}");
}

#[test]
fn users_and_groups_that_are_not_there_are_told_with_their_place() {
    let place = Place::new();
    for (keys, said) in [
        ("user = \"no-such-user\"", "there is no user \"no-such-user\" on this machine"),
        ("user = \"root\"\ngroup = \"no-such-group\"", "there is no group \"no-such-group\" on this machine"),
        ("group = \"root\"", "a group without a user"),
        ("user = \"a:b\"", "is not the name of a user or group"),
    ] {
        place.write(&configuration(unused(), keys, ""));
        let ran = run(program(), |c| c.args(["check", "-c"]).arg(place.file()));
        assert!(
            !ran.success && ran.stderr.contains(said) && ran.stderr.contains("tidegate.toml:1:"),
            "{keys}: {ran:?}"
        );
    }
}

#[test]
fn a_user_means_nothing_to_who_is_not_root() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.write(&configuration(unused(), "user = \"daemon\"", ""));
    let ran = run("setpriv", |c| {
        c.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", program(), "check", "-c"])
            .arg(place.file())
    });
    assert!(ran.success && ran.stderr.contains("means nothing: not started as root"), "{ran:?}");
}

#[test]
fn a_reload_sees_the_files_of_its_directories_and_no_others() {
    let (place, elsewhere) = (Place::new(), TempDir::new().unwrap());
    let first = Certificate::make(place.directory(), "first", &["a.test"]);
    place.write(&tls_configuration("", &first));
    let binary = place.start();
    if binary.stderr().contains("the kernel has no Landlock") {
        return;
    }
    let shown = |by: &Certificate| {
        let client = Client::tls(binary.address(), &Tls::new(&[by], "a.test"));
        client.leaf.as_deref() == Some(by.der().as_ref())
    };
    assert!(shown(&first));
    // A file that wasn't there at the start, in a directory that was.
    let second = Certificate::make(place.directory(), "second", &["a.test"]);
    place.write(&tls_configuration("", &second));
    binary.signal("HUP");
    binary.wait_for_stderr("reloaded");
    assert!(shown(&second));
    let third = Certificate::make(elsewhere.path(), "third", &["a.test"]);
    place.write(&tls_configuration("", &third));
    binary.signal("HUP");
    binary.wait_for_stderr("note: since its start this process sees only");
    let said = binary.stderr();
    assert!(said.contains("third.cert.pem: Permission denied") && said.contains("restart it"), "{said}");
    assert!(shown(&second));
}

#[test]
fn what_confine_adds_is_open_and_false_closes_nothing() {
    let elsewhere = TempDir::new().unwrap();
    let third = Certificate::make(elsewhere.path(), "third", &["a.test"]);
    for keys in [format!("confine = {{ readable = {:?} }}", elsewhere.path()), "confine = false".to_owned()] {
        let place = Place::new();
        let first = Certificate::make(place.directory(), "first", &["a.test"]);
        place.write(&tls_configuration(&keys, &first));
        let binary = place.start();
        place.write(&tls_configuration(&keys, &third));
        binary.signal("HUP");
        binary.wait_for_stderr("reloaded");
    }
}

#[test]
fn who_the_process_is_can_not_change_while_it_runs() {
    let place = Place::new();
    place.write(&configuration(unused(), "", ""));
    let binary = place.start();
    place.write(&configuration(unused(), "confine = false", ""));
    binary.signal("HUP");
    binary.wait_for_stderr("`user`, `group` or `confine` can't change while the process runs");
}

#[test]
fn a_group_that_the_user_is_in_opens_keys() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let certificate = Certificate::make(place.directory(), "a", &["a.test"]);
    chown(&certificate.key, Some(0), Some(1)).unwrap();
    fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o640)).unwrap();
    place.write(&tls_configuration("user = \"nobody\"\ngroup = \"1\"", &certificate));
    let mut binary = place.start();
    assert!(threads(binary.id()).iter().all(|thread| field(thread, "Gid") == "1\t1\t1\t1"));
    binary.signal("TERM");
    assert_eq!(binary.ended(), Ended::Code(0));
}

/// A directory that the user owns, with a configuration.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), None).unwrap();
        }
        Self(directory)
    }

    fn directory(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory().join("tidegate.toml")
    }

    fn write(&self, toml: &str) {
        fs::write(self.file(), toml).unwrap();
    }

    /// Runs until its listener accepts.
    #[track_caller]
    fn start(&self) -> Binary {
        let mut command = Command::new(program());
        command.arg("run").arg("-c").arg(self.file());
        let binary = Binary::run_command(command);
        binary.address();
        binary
    }
}

fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        eprintln!("not root: nothing to give up");
    }
    is_root
}

fn unused() -> SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

fn configuration(origin: SocketAddr, top: &str, tables: &str) -> String {
    let log = if tables.contains("[access_log]") { "" } else { "access_log = false\n" };
    format!(
        "{top}\n{log}workers = 1\nmetrics.address = \"127.0.0.2:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{tables}\n\
         [[site]]\n[[site.route]]\npath = \"/\"\nupstream = \"a\"\n[upstream.a]\nendpoints = \"{origin}\"\n"
    )
}

fn tls_configuration(top: &str, certificate: &Certificate) -> String {
    format!(
        "{top}\naccess_log = false\nworkers = 1\n[[listener]]\naddress = \"127.0.0.1:0\"\ntls = true\n\
         [[site]]\nhosts = \"a.test\"\ncertificate = {}\n[[site.route]]\npath = \"/\"\nreply = \"ok\"\n",
        certificate.toml()
    )
}

/// `/proc/PID/task/*/status`.
fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

/// On an address of this test's own.
fn free_low_port() -> SocketAddr {
    let ip = Ipv4Addr::new(127, 77, 0, 1);
    let free = (1..1024).map(|port| SocketAddr::from((ip, port))).find(|address| TcpListener::bind(address).is_ok());
    free.unwrap()
}
