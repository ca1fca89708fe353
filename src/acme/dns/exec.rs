//! A program of the user's sets records.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::acme::failure::Failure;

const TAKES_AT_MOST: Duration = Duration::from_secs(60);

/// Runs the program with `what`, the record's name and its value. What it prints on stderr tells why it failed.
///
/// # Errors
/// It can't be started, takes too long, or doesn't end with 0.
pub(super) async fn run(command: &[String], what: &str, name: &str, value: &str) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else { return Err(Failure::local("no program")) };
    let failed = |why: String| Failure::local(format!("{program} {what} {name}: {why}"));
    let mut child = Command::new(program)
        .args(arguments)
        .args([what, name, value])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stderr = child.stderr.take();
    let said = async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            // What it says beyond this is lost; it may block on that, and is ended then.
            let _ = stderr.take(4096).read_to_end(&mut text).await;
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let ended = timeout(TAKES_AT_MOST, async { tokio::join!(child.wait(), said) }).await;
    match ended {
        Err(_) => Err(failed("not done after 60 s".to_owned())),
        Ok((Err(error), _)) => Err(failed(error.to_string())),
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), said)) => Err(failed(format!("{status}: {said}"))),
    }
}
