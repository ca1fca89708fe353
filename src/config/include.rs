//! `include`: which files a pattern names, in which order.

use std::io;
use std::path::{Path, PathBuf};

use super::diagnostic::quote;

/// What an `include` leads to.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// Files that exist, or one without wildcards that may not.
    Files(Vec<PathBuf>),
    /// The directory can't be listed.
    Unlisted(String),
}

/// The files of a pattern, relative to `directory`, in the order of their names. A pattern with wildcards may name none;
/// hidden files need a pattern that begins with a dot, as in a shell.
pub(crate) fn find(pattern: &str, directory: &Path) -> Found {
    if !pattern.contains(['*', '?']) {
        return Found::Files(vec![directory.join(pattern)]);
    }
    let (folder, name) = pattern
        .rsplit_once('/')
        .map_or(("", pattern), |(folder, name)| (if folder.is_empty() { "/" } else { folder }, name));
    let folder = directory.join(folder);
    match list(&folder, name) {
        Ok(files) => Found::Files(files),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Files(Vec::new()),
        Err(error) => Found::Unlisted(format!("can't list {}: {error}", quote(&folder.to_string_lossy()))),
    }
}

fn list(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(listed)? {
        let name = entry?.file_name();
        let Some(text) = name.to_str() else { continue };
        if matches(pattern.as_bytes(), text.as_bytes()) && (!text.starts_with('.') || pattern.starts_with('.')) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a name fits a pattern of `*` and `?`. Linear in their product: only the last `*` is ever tried again.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&b) if b == b'?' || b == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_within_a_name() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml.bak", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xaybz", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_plain_path_is_taken_as_it_is_and_a_missing_folder_has_no_files() {
        assert_eq!(find("a.toml", Path::new("/etc/x")), Found::Files(vec!["/etc/x/a.toml".into()]));
        assert_eq!(find("/b/a.toml", Path::new("/etc/x")), Found::Files(vec!["/b/a.toml".into()]));
        assert_eq!(find("none.d/*.toml", Path::new("/nowhere")), Found::Files(Vec::new()));
    }
}
