//! `tidegate trust`: a CA of this machine for the demo, so that browsers and curl don't complain about it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{FAILED, OK, text};
use crate::tls::LocalCa;

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// Print its root (PEM) instead, for a browser's own list of authorities
    #[arg(long, conflicts_with = "remove")]
    print: bool,
    /// Take it away again
    #[arg(long)]
    remove: bool,
}

/// Where a system looks for its administrator's authorities, and what makes it look.
struct System {
    directory: &'static str,
    update: &'static str,
}

const SYSTEMS: &[System] = &[
    // Debian, Ubuntu, Alpine
    System { directory: "/usr/local/share/ca-certificates", update: "update-ca-certificates" },
    // Fedora, Red Hat
    System { directory: "/etc/pki/ca-trust/source/anchors", update: "update-ca-trust" },
];

const ROOT: &str = "demo-ca.crt";
const KEY: &str = "demo-ca.key";
const INSTALLED: &str = "tidegate-demo.crt";

impl Trust {
    pub(super) fn perform(self) -> u8 {
        let Some(directory) = directory() else {
            eprintln!("there is no place for it: HOME is not set");
            return FAILED;
        };
        match self.act(&directory) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{}: {error}", directory.display());
                FAILED
            }
        }
    }

    fn act(&self, directory: &Path) -> io::Result<u8> {
        if self.remove {
            return remove(directory);
        }
        if load(directory)?.is_none() {
            let ca = LocalCa::make().map_err(io::Error::other)?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            write(&directory.join(KEY), &ca.key_pem, 0o600)?;
            write(&directory.join(ROOT), &ca.root_pem, 0o644)?;
        }
        if self.print {
            return Ok(text::print(fs::read_to_string(directory.join(ROOT))?.as_bytes()));
        }
        install(&directory.join(ROOT))
    }
}

/// The CA of this user, if there is one that is whole.
pub(super) fn of_this_user() -> Option<LocalCa> {
    load(&directory()?).ok()?
}

fn load(directory: &Path) -> io::Result<Option<LocalCa>> {
    match (fs::read_to_string(directory.join(ROOT)), fs::read_to_string(directory.join(KEY))) {
        (Ok(root_pem), Ok(key_pem)) => Ok(Some(LocalCa { root_pem, key_pem })),
        (Err(error), _) | (_, Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

/// `XDG_DATA_HOME`, or where it is without it.
fn directory() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = named("XDG_DATA_HOME").or_else(|| Some(named("HOME")?.join(".local/share")))?;
    Some(data.join("tidegate"))
}

fn write(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())
}

/// Does it as root; tells anybody else what root has to do.
fn install(root: &Path) -> io::Result<u8> {
    let Some(system) = SYSTEMS.iter().find(|system| Path::new(system.directory).is_dir()) else {
        println!("this system's list of authorities isn't known: add {} to it", root.display());
        return Ok(FAILED);
    };
    let installed = Path::new(system.directory).join(INSTALLED);
    if fs::copy(root, &installed).is_err() {
        println!(
            "only root may change what this machine trusts:\n  sudo install -m 644 {} {} && sudo {}",
            root.display(),
            installed.display(),
            system.update
        );
        return Ok(FAILED);
    }
    if !Command::new(system.update).status()?.success() {
        eprintln!("{} failed", system.update);
        return Ok(FAILED);
    }
    println!("this machine trusts {} about localhost and 127.0.0.0/8 from now on; the demo uses it", root.display());
    println!("browsers with a list of their own: import the file there. To undo: tidegate trust --remove");
    Ok(OK)
}

fn remove(directory: &Path) -> io::Result<u8> {
    let mut code = OK;
    for system in SYSTEMS {
        let installed = Path::new(system.directory).join(INSTALLED);
        if !installed.exists() {
            continue;
        }
        if fs::remove_file(&installed).is_err() {
            println!(
                "only root may change what this machine trusts:\n  sudo rm {} && sudo {}",
                installed.display(),
                system.update
            );
            code = FAILED;
        } else if !Command::new(system.update).status()?.success() {
            eprintln!("{} failed", system.update);
            code = FAILED;
        }
    }
    for name in [ROOT, KEY] {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(code)
}
