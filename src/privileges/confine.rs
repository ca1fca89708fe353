//! Landlock: of all files, the process sees those that its configuration leads to, and a few of the system's.
//!
//! The set is made once. A reload that names a file elsewhere is refused with a line that says so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, path_beneath_rules,
};

/// What the process needs of the file system.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Directories and files; a directory stands for all below it.
    pub readable: Vec<PathBuf>,
    /// Likewise. They are readable as well.
    pub writable: Vec<PathBuf>,
    /// Programs are run, which may read and run whatever their user may, and write to the directories for temporary
    /// files.
    pub programs: bool,
}

/// The directories and files that are open, for good.
#[derive(Debug)]
pub struct Confinement {
    pub readable: BTreeSet<PathBuf>,
    pub writable: BTreeSet<PathBuf>,
}

/// The set that the process lives in; `None` if there is none.
pub fn confinement() -> Option<&'static Confinement> {
    MADE.get()
}

/// Closes all files to this thread, and to those that it starts, but what `access` names, the system's own, and what is
/// open already. Symbolic links count as what they lead to at this moment. `false`: the kernel has no Landlock.
///
/// # Errors
/// It has, and refuses.
pub fn confine(access: &Access) -> Result<bool, RulesetError> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        tracing::warn!(threads, "threads that run already see all files");
    }
    let mut readable: BTreeSet<PathBuf> = access.readable.iter().flat_map(|path| places(path)).collect();
    let mut writable: BTreeSet<PathBuf> = access.writable.iter().flat_map(|path| places(path)).collect();
    let root = Path::new("/");
    if access.programs {
        readable.insert(root.to_owned());
        writable.extend(TEMPORARY.iter().map(PathBuf::from));
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(KNOWN);
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(DEVICES, read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&readable, read))?
        .add_rules(path_beneath_rules(&writable, all ^ BitFlags::from(AccessFs::Execute)))?;
    let programs = access.programs.then_some(root);
    let status = created.add_rules(path_beneath_rules(programs, read | AccessFs::Execute))?.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Ok(false);
    }
    // Made once a process; a second set would only narrow the first.
    let _ = MADE.set(Confinement { readable, writable });
    Ok(true)
}

/// A path as it is written and as its links lead; what isn't there yet will be made in the nearest directory that is.
fn places(path: &Path) -> Vec<PathBuf> {
    let Some(there) = path.ancestors().find(|ancestor| ancestor.exists()) else { return Vec::new() };
    // A relative path whose every part is missing: the directory that the process is in.
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let mut places: Vec<PathBuf> = std::path::absolute(there).into_iter().chain(there.canonicalize()).collect();
    places.dedup();
    places
}

/// The set that was made.
static MADE: OnceLock<Confinement> = OnceLock::new();

/// What this was tested with; of a newer kernel nothing more is asked, of an older one what it has.
const KNOWN: ABI = ABI::V5;

/// Resolver, trust anchors, time zones and libraries; the process itself and its limits.
const SYSTEM: &[&str] = &["/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/run/systemd/resolve", "/run/nscd"];

/// Also where the standard streams may be.
const DEVICES: &[&str] = &["/dev"];

/// For programs.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_as_what_they_lead_to_and_missing_files_as_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("archive")).unwrap();
        std::os::unix::fs::symlink("archive", root.join("live")).unwrap();
        assert_eq!(places(&root.join("live")), [root.join("live"), root.join("archive")]);
        assert_eq!(places(&root.join("archive/a/b")), [root.join("archive")]);
    }
}
