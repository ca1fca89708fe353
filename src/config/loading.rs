//! Loading from disk: includes, bodies, variables, and files that can't be read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::load::{Loaded, load, load_with};
use super::machine::Nowhere;
use super::model::Action;
use super::{Diagnostics, LogOutput};

/// A directory with files, gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Self(std::env::temp_dir().join(format!("tidegate-loading-{}-{number}", std::process::id())));
        for (name, text) in files {
            let path = folder.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        load(&self.path("main.toml"), &Nowhere)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Title and label of every complaint, with file name and line.
fn told(errors: &Diagnostics) -> Vec<String> {
    let file = |place: super::diagnostic::Place| {
        let name = errors.sources()[place.source].path.file_name().unwrap().to_string_lossy();
        format!("{name}:{}", errors.line_column(place).0)
    };
    let line = |d: &super::Diagnostic| match &d.mark {
        Some(mark) => format!("{} {} ({})", file(mark.place), d.title, mark.label),
        None => format!("{} ({})", d.title, d.help.as_deref().unwrap_or_default()),
    };
    errors.iter().map(line).collect()
}

const SITE: &str = "[[site]]\nhosts = \"a.b\"\n[[site.route]]\npath = \"/\"\nupstream = \"app\"\n";
const REST: &str = "[[listener]]\naddress = \":80\"\n[upstream.app]\nendpoints = \"x:1\"\n";

#[test]
fn includes_are_read_in_the_order_of_their_names_and_share_names() {
    let site = |host: &str| SITE.replace("a.b", host);
    let folder = Folder::with(&[
        ("main.toml", &format!("include = [\"conf.d/*.toml\", \"none.d/*\"]\n{REST}")),
        ("conf.d/b.toml", &site("b.b")),
        ("conf.d/a.toml", &format!("include = \"deep/x.toml\"\n{}", site("a.b"))),
        ("conf.d/deep/x.toml", &site("x.b")),
        ("conf.d/.hidden.toml", "nonsense"),
        ("conf.d/readme.txt", "nonsense"),
    ]);
    let loaded = folder.load().unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<_> = loaded.config.sites.iter().map(|s| s.name.to_string()).collect();
    assert_eq!(names, ["a.b", "x.b", "b.b"]);
    let files = ["main.toml", "conf.d/a.toml", "conf.d/deep/x.toml", "conf.d/b.toml"].map(|name| folder.path(name));
    assert_eq!(loaded.files, files);
}

#[test]
fn an_error_in_an_included_file_names_that_file() {
    let folder = Folder::with(&[
        ("main.toml", &format!("include = \"site.toml\"\n{REST}")),
        ("site.toml", &format!("workers = 2\n{}", SITE.replace("\"app\"", "\"ap\"").replace("hosts", "host"))),
    ]);
    assert_eq!(
        told(&folder.load().unwrap_err()),
        [
            "site.toml:1 `workers` can't stand in an included file ()",
            "site.toml:3 unknown key `host` (not known here)",
            "site.toml:6 no upstream is named \"ap\" (defined are: app)",
        ]
    );
}

#[test]
fn a_name_defined_in_two_files_is_drawn_with_both() {
    let folder = Folder::with(&[
        ("main.toml", &format!("include = \"more.toml\"\n{REST}{SITE}")),
        ("more.toml", "[upstream.app]\nendpoints = \"y:1\"\n"),
    ]);
    let errors = folder.load().unwrap_err();
    assert_eq!(told(&errors), ["more.toml:1 upstream \"app\" is defined twice (again)"]);
    assert!(errors.to_string().contains("main.toml:4:11"), "{errors}");
}

#[test]
fn circles_and_missing_includes_end_with_an_error() {
    let folder = Folder::with(&[
        ("main.toml", "include = [\"a.toml\", \"gone.toml\"]\n"),
        ("a.toml", "include = \"main.toml\"\n"),
    ]);
    let told = told(&folder.load().unwrap_err());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("main.toml:1 can't read") && told[0].ends_with("(there is no such file)"), "{told:?}");
    assert!(told[1].starts_with("a.toml:1") && told[1].contains("is included already"), "{told:?}");
}

#[test]
fn includes_nest_only_so_deep() {
    let names: Vec<String> =
        (0..12).map(|n| if n == 0 { "main.toml".to_owned() } else { format!("{n}.toml") }).collect();
    let texts: Vec<String> = (0..12).map(|n| format!("include = \"{}.toml\"\n", n + 1)).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    let told = told(&Folder::with(&files).load().unwrap_err());
    assert!(told.len() == 1 && told[0].starts_with("8.toml:1 too many includes"), "{told:?}");
}

#[test]
fn files_that_can_not_be_read_say_why() {
    let folder = Folder::with(&[("dir/x", ""), ("latin1.toml", "")]);
    std::fs::write(folder.path("latin1.toml"), b"# one\nx = \"\xe4\"\n").unwrap();
    std::fs::File::create(folder.path("huge.toml")).unwrap().set_len((16 << 20) + 1).unwrap();
    for (name, why) in [
        ("gone.toml", "there is no such file"),
        ("dir", "it is a directory"),
        ("latin1.toml", "it is not UTF-8 (line 2)"),
        ("huge.toml", "it is larger than 16 MiB"),
    ] {
        let errors = load(&folder.path(name), &Nowhere).unwrap_err();
        assert!(told(&errors)[0].ends_with(&format!("({why})")), "{errors}");
    }
    let errors = load(Path::new("/dev/zero"), &Nowhere).unwrap_err();
    assert_eq!(told(&errors), ["can't read \"/dev/zero\" (it is not a regular file)"]);
}

#[test]
fn other_files_are_found_beside_the_file_that_names_them() {
    let folder = Folder::with(&[
        ("main.toml", &format!("include = \"conf.d/site.toml\"\n{REST}[access_log]\noutput = \"logs/a.log\"\n")),
        ("conf.d/site.toml", "[[site]]\n[[site.route]]\npath = \"/\"\nreply = { file = \"page.txt\" }\n"),
        ("conf.d/page.txt", "hello ${HOME}"),
    ]);
    let loaded = folder.load().unwrap_or_else(|e| panic!("{e}"));
    let Action::Reply { body, .. } = &loaded.config.sites[0].routes[0].action else { panic!("no reply") };
    assert_eq!(&body[..], b"hello ${HOME}");
    assert_eq!(loaded.config.access_log.unwrap().output, LogOutput::File(folder.path("logs/a.log")));
    assert_eq!(loaded.files.last(), Some(&folder.path("conf.d/page.txt")));
}

#[test]
fn variables_reach_numbers_flags_and_addresses() {
    let text = "max_connections = \"${MAX}\"\n[[listener]]\naddress = \":${PORT}\"\nh2c = \"${H2C:-true}\"\n";
    let folder =
        Folder::with(&[("main.toml", &format!("{text}{SITE}[upstream.app]\nendpoints = \"${{APP:-x}}:1\"\n"))]);
    let variables = |name: &str| match name {
        "MAX" => Some("77".into()),
        "PORT" => Some("8080".into()),
        _ => None,
    };
    let config = load_with(&folder.path("main.toml"), &Nowhere, &variables).unwrap_or_else(|e| panic!("{e}")).config;
    assert_eq!(config.max_connections, 77);
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert!(config.listeners[0].h2c);
    assert_eq!(config.upstreams[0].endpoints[0].address, "x:1");
}

#[test]
fn ten_thousand_routes_load_quickly() {
    let mut text = format!("{REST}[[site]]\n");
    for n in 0..10_000 {
        text.push_str(&format!("[[site.route]]\npath = \"/{n}\"\nupstream = \"app\"\n"));
    }
    let started = std::time::Instant::now();
    let loaded = super::load::load_str("t.toml", &text, &Nowhere).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.config.sites[0].routes.len(), 10_000);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
