//! Imports point one way, and files stay small enough to read.

use std::collections::BTreeSet;

use regex::Regex;

use crate::support::{files, read};

/// The rooms from the street to the cellar. A room imports from later lines only.
const ORDER: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["bench", "server"],
    &["acme", "control", "worker"],
    &["listener"],
    &["tcp"],
    &["proxy"],
    &["snapshot"],
    &["filter", "route", "upstream", "tls"],
    &["http"],
    &["config"],
    // Leaves: whatever the room, it may import these.
    &["access_log", "metrics"],
    &["bind_error", "privileges", "proxy_protocol", "reason"],
];

/// Further imports that are meant, with the reason for each.
const EXCEPTIONS: &[(&str, &str)] = &[
    // The log is opened from, and its fields are filled from, plain values that these two define.
    ("access_log", "config"),
    ("access_log", "http"),
    // An address, to be told why it can't be had.
    ("bind_error", "config"),
    // The label of a request's method.
    ("metrics", "http"),
];

/// Rooms that must compile, and be tested, without the server framework.
const WITHOUT_PINGORA: &[&str] = &["config", "route", "filter", "http"];

fn room_of(path: &str) -> String {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn depth(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// The code that is shipped: without comments, and without the tests at the end.
fn shipped(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    shipped.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn sources() -> impl Iterator<Item = String> {
    files("src", "rs").into_iter().filter(|path| path != "src/lib.rs")
}

/// Files that only tests see: declared under `#[cfg(test)]` by their parent.
fn is_test_only(path: &str) -> bool {
    let declared = Regex::new(r"#\[cfg\(test\)\]\s*mod ([a-z0-9_]+);").unwrap();
    let (directory, file) = path.rsplit_once('/').unwrap();
    let parents = [format!("{directory}/mod.rs"), format!("{directory}.rs")];
    parents.iter().filter(|parent| std::path::Path::new(parent.as_str()).exists()).any(|parent| {
        let text = read(parent);
        declared.captures_iter(&text).any(|name| file.trim_end_matches(".rs") == &name[1])
    })
}

/// The rooms named after `crate::`, also inside `use crate::{a, b::c}`.
fn imported(text: &str) -> BTreeSet<String> {
    let single = Regex::new(r"\bcrate::([a-z_0-9]+)").unwrap();
    let group = Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap();
    let mut rooms: BTreeSet<String> = single.captures_iter(text).map(|name| name[1].to_owned()).collect();
    for group in group.captures_iter(text) {
        let mut nesting = 0;
        let mut names = vec![String::new()];
        for character in group[1].chars() {
            match character {
                '{' => nesting += 1,
                '}' => nesting -= 1,
                ',' if nesting == 0 => names.push(String::new()),
                _ if nesting == 0 => names.last_mut().unwrap().push(character),
                _ => {}
            }
        }
        rooms.extend(names.iter().map(|name| name.trim().split("::").next().unwrap_or_default().to_owned()));
    }
    rooms.remove("");
    rooms
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for path in sources().filter(|path| !is_test_only(path)) {
        let room = room_of(&path);
        let Some(own) = depth(&room) else {
            wrong.push(format!("{path}: the room `{room}` is missing in ORDER"));
            continue;
        };
        for other in imported(&shipped(&read(&path))) {
            let meant = EXCEPTIONS.contains(&(room.as_str(), other.as_str()));
            if other != room && !meant && depth(&other).is_none_or(|depth| depth <= own) {
                wrong.push(format!("{path}: `{room}` imports `{other}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_exception_to_the_import_table_is_in_use() {
    for (room, other) in EXCEPTIONS {
        let used = sources()
            .filter(|path| room_of(path) == *room)
            .any(|path| imported(&shipped(&read(&path))).contains(*other));
        assert!(used, "`{room}` no longer imports `{other}`: remove the exception");
    }
}

#[test]
fn pure_rooms_never_import_pingora() {
    for path in sources().filter(|path| WITHOUT_PINGORA.contains(&room_of(path).as_str())) {
        assert!(!shipped(&read(&path)).contains("pingora"), "{path} names pingora");
    }
}

#[test]
fn the_load_generator_shares_the_wire_with_the_server_and_nothing_else() {
    let of = |room: &'static str| sources().filter(move |path| room_of(path) == room);
    for path in of("bench") {
        let imports = imported(&shipped(&read(&path)));
        assert!(imports.iter().all(|room| ["bench", "http"].contains(&room.as_str())), "{path} imports {imports:?}");
    }
    for path in sources().filter(|path| !["bench", "cli"].contains(&room_of(path).as_str())) {
        assert!(!imported(&shipped(&read(&path))).contains("bench"), "{path} imports the load generator");
    }
}

#[test]
fn finds_imports_in_groups_and_in_paths() {
    let text = "use crate::{http::{Head, Body}, route, reason::Reason};\nlet x = crate::tls::load();";
    let rooms: Vec<String> = imported(text).into_iter().collect();
    assert_eq!(rooms, ["http", "reason", "route", "tls"]);
}

#[test]
fn no_file_is_longer_than_600_lines_and_the_median_is_at_most_200() {
    let mut lengths: Vec<(usize, String)> = sources().map(|path| (read(&path).lines().count(), path)).collect();
    lengths.sort();
    let (longest, path) = lengths.last().unwrap();
    assert!(*longest <= 600, "{path} has {longest} lines");
    let (median, _) = &lengths[lengths.len() / 2];
    assert!(*median <= 200, "the median file has {median} lines");
}
