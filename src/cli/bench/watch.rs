//! A run while it lasts: the progress line, and Ctrl-C.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::bench::Outcome;
use crate::bench::progress::Live;
use crate::bench::run::{Interrupt, Run};

/// Lets a run go to its end, drawing a line a second if there is something `live` to draw, and ends it on the first
/// Ctrl-C. A second one ends the process.
pub(super) fn watch(run: Run, live: Option<&Live>) -> Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't watch for Ctrl-C")?;
    let interrupt = run.interrupt();
    let (sender, outcome) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("bench".to_owned())
        .spawn(move || drop(sender.send(run.finish())))
        .context("can't start a thread")?;
    let outcome = runtime.block_on(until_done(outcome, live, &interrupt))?;
    let _ = thread.join();
    Ok(outcome?)
}

type Finished = Result<Outcome, crate::bench::RunError>;

async fn until_done(
    mut outcome: tokio::sync::oneshot::Receiver<Finished>,
    live: Option<&Live>,
    interrupt: &Interrupt,
) -> Result<Finished> {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut last = Instant::now();
    let mut faults = 0;
    let mut was_interrupted = false;
    loop {
        tokio::select! {
            finished = &mut outcome => {
                erase(live);
                return finished.map_err(|_| anyhow!("the load generator has died"));
            }
            signal = tokio::signal::ctrl_c() => {
                signal.context("can't watch for Ctrl-C")?;
                if was_interrupted {
                    erase(live);
                    return Err(anyhow!("interrupted twice"));
                }
                was_interrupted = true;
                interrupt.interrupt();
            }
            _ = ticks.tick(), if live.is_some() => {
                let (Some(live), Some(started)) = (live, interrupt.started()) else { continue };
                let recent = live.take();
                faults += recent.faults;
                draw(&recent.line(started.elapsed(), last.elapsed(), faults));
                last = Instant::now();
            }
        }
    }
}

/// Draws over the line before. A terminal that can't be written to isn't worth ending a run for.
fn draw(line: &str) {
    let mut terminal = io::stderr().lock();
    let _ = write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush());
}

fn erase(live: Option<&Live>) {
    if live.is_some() {
        draw("");
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
