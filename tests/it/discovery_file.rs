//! Endpoints that a file lists, however it is changed.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{Binary, Gate, H2Origin, Latch, Origin, Setup, eventually, program, run, scrape, sum_of};

fn list(endpoints: &[SocketAddr]) -> String {
    let lines: String = endpoints.iter().map(|address| format!("    \"{address}\",\n")).collect();
    format!("endpoints = [\n{lines}]\n")
}

fn setup(path: &Path) -> Setup {
    Setup::with_endpoints(&[]).upstream(&format!("endpoints_file = {path:?}"))
}

fn assert_eventually_answered_by(gate: &Gate, name: &str) {
    let mut client = gate.client();
    eventually(&format!("{name} answers"), || (0..4).all(|_| client.get("/").text() == name));
}

#[test]
fn the_http2_connections_to_an_endpoint_that_left_end_with_their_requests() {
    let [first, second] = [H2Origin::echo(), H2Origin::echo()];
    let files = Files::new();
    fs::write(&files.path, list(&[first.address()])).unwrap();
    let gate = setup(&files.path).top("workers = 1").upstream("protocol = \"h2c\"").start();
    let mut client = gate.client();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\na");
    eventually("the request is there", || first.heads().len() == 1);
    files.rename_over(&list(&[second.address()]));
    eventually("the other is asked", || gate.get("/").status == 200 && !second.heads().is_empty());
    assert_eq!(client.send("b").response("POST").text(), "ab");
    eventually("none is kept", || first.connections_open() == 0);
    assert_eq!(second.connections_open(), 1);
}

struct Files {
    directory: TempDir,
    path: PathBuf,
}

impl Files {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self { path: directory.path().join("endpoints.toml"), directory }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As most programs do that know their readers.
    fn rename_over(&self, text: &str) {
        let beside = self.join(".endpoints.toml.new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &self.path).unwrap();
    }
}

#[test]
fn a_change_counts_within_a_second_however_it_is_made() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let files = Files::new();
    fs::write(&files.path, list(&[a.address()])).unwrap();
    let gate = setup(&files.path).start();
    assert_eq!(gate.get("/").text(), "a");
    let timed = |change: &dyn Fn(), name: &str| {
        let start = Instant::now();
        change();
        assert_eventually_answered_by(&gate, name);
        start.elapsed()
    };
    let in_place = timed(&|| fs::write(&files.path, list(&[b.address()])).unwrap(), "b");
    let renamed = timed(&|| files.rename_over(&list(&[a.address()])), "a");
    let came_back = || {
        fs::remove_file(&files.path).unwrap();
        eventually("its absence is noticed", || gate.metric("tidegate_discovery_failing") == 1.0);
        assert_eq!(gate.get("/").text(), "a");
        fs::write(&files.path, list(&[b.address()])).unwrap();
    };
    timed(&came_back, "b");
    eventually("it is well again", || gate.metric("tidegate_discovery_failing") == 0.0);
    // A machine that is busy with other things may take its time; a watch that doesn't work takes for ever.
    println!("in place {in_place:?}, renamed {renamed:?}");
    assert_eq!(gate.metric("tidegate_discovery_changes_total"), 4.0);
}

#[test]
fn the_links_of_a_config_map_may_be_exchanged() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let files = Files::new();
    // As the kubelet does: `..data` leads to the version that counts, and is renamed over.
    let publish = |version: &str, text: &str| {
        fs::create_dir(files.join(version)).unwrap();
        fs::write(files.join(version).join("endpoints.toml"), text).unwrap();
        symlink(version, files.join("..data_tmp")).unwrap();
        fs::rename(files.join("..data_tmp"), files.join("..data")).unwrap();
    };
    publish("..2026_1", &list(&[a.address()]));
    symlink("..data/endpoints.toml", &files.path).unwrap();
    let gate = setup(&files.path).start();
    assert_eq!(gate.get("/").text(), "a");
    publish("..2026_2", &list(&[b.address()]));
    fs::remove_dir_all(files.join("..2026_1")).unwrap();
    assert_eventually_answered_by(&gate, "b");
    publish("..2026_3", &list(&[c.address()]));
    assert_eventually_answered_by(&gate, "c");
    assert_eq!(gate.metric("tidegate_discovery_failures_total"), 0.0);
}

#[test]
fn a_link_to_another_directory_is_watched_where_it_leads() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let (files, elsewhere) = (Files::new(), Files::new());
    fs::write(&elsewhere.path, list(&[a.address()])).unwrap();
    symlink(&elsewhere.path, &files.path).unwrap();
    let gate = setup(&files.path).start();
    assert_eq!(gate.get("/").text(), "a");
    for _ in 0..3 {
        elsewhere.rename_over(&list(&[b.address()]));
        assert_eventually_answered_by(&gate, "b");
        elsewhere.rename_over(&list(&[a.address()]));
        assert_eventually_answered_by(&gate, "a");
    }
}

#[test]
fn what_is_no_list_changes_nothing_and_is_told_with_its_place() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let files = Files::new();
    fs::write(&files.path, list(&[a.address()])).unwrap();
    let binary = Binary::start(&setup(&files.path));
    let whole = list(&[b.address()]);
    let wrong = [
        (&whole[..whole.len() - 2], "endpoints.toml:"),
        ("endpoints = [\n  \"app.internal:80\",\n]\n", "endpoints.toml:2:3: \\\"app.internal:80\\\" is a name"),
        ("endpoints = []\n", "there is no endpoint"),
        ("", "`endpoints` is missing"),
        ("endpoints = [{ address = \"10.0.0.1:80\", wait = 1 }]", "unknown key `wait`"),
    ];
    for (text, told) in wrong {
        let failures = || sum_of(&scrape(binary.metrics()), "tidegate_discovery_failures_total");
        let before = failures();
        files.rename_over(text);
        eventually(&format!("{text:?} is a failure"), || failures() > before);
        binary.wait_for_stderr(told);
        assert_eq!(binary.client().get("/").text(), "a", "{text:?}");
    }
    files.rename_over(&whole);
    let mut client = binary.client();
    eventually("the whole list counts", || client.get("/").text() == "b");
    binary.wait_for_stderr("endpoints are found again");
}

#[test]
fn a_list_that_is_written_piece_by_piece_counts_as_a_whole() {
    use std::io::Write;
    let [a, b] = ["a", "b"].map(Origin::named);
    let files = Files::new();
    fs::write(&files.path, list(&[a.address()])).unwrap();
    let gate = setup(&files.path).start();
    let mut file = fs::File::create(&files.path).unwrap();
    for piece in list(&[b.address()]).as_bytes().chunks(5) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        Latch::new().wait_for(Duration::from_millis(2));
        assert!(["a", "b"].contains(&gate.get("/").text().as_str()));
    }
    drop(file);
    assert_eventually_answered_by(&gate, "b");
    assert_eq!(gate.metric("tidegate_discovery_endpoints"), 1.0);
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let a = Origin::named("a");
    let files = Files::new();
    let path = files.join("later/endpoints.toml");
    let gate = setup(&path).start();
    assert_eq!((gate.get("/").status, gate.logged_reason().as_str()), (502, "no_endpoint"));
    fs::create_dir(files.join("later")).unwrap();
    fs::write(&path, list(&[a.address()])).unwrap();
    assert_eventually_answered_by(&gate, "a");
}

#[test]
fn weight_backup_and_down_hold_as_in_the_configuration() {
    let [a, b, c] = ["a", "b", "c"].map(Origin::named);
    let files = Files::new();
    let tables = |of_a: &str, of_b: &str| {
        let of_each = [(&a, of_a), (&b, of_b), (&c, "backup = true")];
        let tables = of_each.map(|(origin, keys)| format!("{{ address = \"{}\", {keys} }},\n", origin.address()));
        format!("endpoints = [\n{}]\n", tables.concat())
    };
    fs::write(&files.path, tables("weight = 3", "weight = 1")).unwrap();
    let gate = setup(&files.path).upstream("policy = \"round_robin\"").start();
    let counts = || {
        let mut client = gate.client();
        let answers: Vec<String> = (0..8).map(|_| client.get("/").text()).collect();
        ["a", "b", "c"].map(|name| answers.iter().filter(|answer| *answer == name).count())
    };
    assert_eq!(counts(), [6, 2, 0]);
    files.rename_over(&tables("weight = 3", "down = true"));
    eventually("b is down", || counts() == [8, 0, 0]);
    files.rename_over(&tables("down = true", "down = true"));
    eventually("the backup serves", || counts() == [0, 0, 8]);
}

#[test]
fn listed_endpoints_stand_beside_configured_ones() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let files = Files::new();
    fs::write(&files.path, list(&[b.address()])).unwrap();
    let gate = Setup::to(&[a.address()]).upstream(&format!("endpoints_file = {:?}", files.path)).start();
    let mut client = gate.client();
    let answers: std::collections::HashSet<_> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_reload_keeps_what_was_listed_while_the_file_is_gone() {
    let a = Origin::named("a");
    let files = Files::new();
    fs::write(&files.path, list(&[a.address()])).unwrap();
    let setup = setup(&files.path);
    let gate = setup.start();
    assert_eq!(gate.get("/").text(), "a");
    fs::remove_file(&files.path).unwrap();
    gate.reload(&setup.clone().upstream("max_fails = 5"));
    assert_eq!(gate.get("/").text(), "a");
    gate.reload(&setup.upstream("max_fails = 6"));
    assert_eq!(gate.get("/").text(), "a");
}

#[test]
fn check_says_what_would_be_found() {
    let files = Files::new();
    fs::write(&files.path, list(&["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()])).unwrap();
    let name = "{ address = \"app.internal\", service = \"http\" }".to_owned();
    let setup = Setup::with_endpoints(&[name]).upstream(&format!("endpoints_file = {:?}", files.path));
    let config = files.join("tidegate.toml");
    let check = || {
        fs::write(&config, setup.toml(files.directory.path())).unwrap();
        let ran = run(program(), |c| c.arg("check").arg("-c").arg(&config));
        (ran.code, ran.stdout)
    };
    let (code, told) = check();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("srv:_http._tcp.app.internal gives: the targets of the SRV records, up to 1000"), "{told}");
    assert!(told.contains(&format!("file:{} gives: 2 endpoints", files.path.display())), "{told}");
    fs::write(&files.path, "endpoints = [").unwrap();
    let (code, told) = check();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("gives: nothing now: ") && told.contains("endpoints.toml:1:"), "{told}");
}
