//! Verbs that print a text and are done: schema, completions, man, version.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

use super::{FAILED, OK, crypto};
use crate::config::schema;

pub(super) fn schema() -> u8 {
    print(schema::schema().as_bytes())
}

pub(super) fn completions(mut command: Command, shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "tidegate", &mut script);
    print(&script)
}

pub(super) fn man(command: Command) -> u8 {
    let mut page = Vec::new();
    match clap_mangen::Man::new(command).render(&mut page) {
        Ok(()) => print(&page),
        Err(_) => FAILED,
    }
}

pub(super) fn version() -> u8 {
    print(concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())
}

/// The version and what a bug report should say beside it.
pub(super) fn build() -> u8 {
    let profile = if cfg!(debug_assertions) { "debug" } else { "optimized" };
    let text = format!(
        "tidegate {}\ncommit: {}\ncompiler: {}\ntarget: {} {}\nbuild: {profile}\ncrypto provider: {}\n",
        env!("CARGO_PKG_VERSION"),
        option_env!("TIDEGATE_COMMIT").unwrap_or("unknown"),
        option_env!("TIDEGATE_RUSTC").unwrap_or("unknown"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        crypto::installed_name(),
    );
    print(text.as_bytes())
}

/// Writes to stdout, and takes a reader that has seen enough (`| head`) for success.
pub(super) fn print(text: &[u8]) -> u8 {
    let mut stdout = io::stdout().lock();
    let missing_newline: &[u8] = if text.ends_with(b"\n") { b"" } else { b"\n" };
    match stdout.write_all(text).and_then(|()| stdout.write_all(missing_newline)).and_then(|()| stdout.flush()) {
        Ok(()) => OK,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
        Err(error) => {
            eprintln!("can't write to stdout: {error}");
            FAILED
        }
    }
}
