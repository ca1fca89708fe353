//! Programs from outside: curl, openssl, h2load, promtool.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub success: bool,
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program to its end, at most 30 s, with nothing on its standard input.
#[track_caller]
pub fn run(program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Ran {
    run_with_input(program, b"", arguments)
}

#[track_caller]
pub fn run_with_input(program: &str, input: &[u8], arguments: impl FnOnce(&mut Command) -> &mut Command) -> Ran {
    let mut command = Command::new(program);
    arguments(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{program} can't be run: {e}; `make test` installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let id = child.id();
    let started = Instant::now();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    while !waiting.is_finished() {
        if started.elapsed() > Duration::from_secs(30) {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = waiting.join().unwrap().unwrap();
    Ran {
        success: output.status.success(),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
