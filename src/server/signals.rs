//! What an operator's signals mean: dependencies on pingora's own meaning end here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use super::{Instance, ThisMachine, confine};
use crate::config;

/// TERM and QUIT drain, a second one ends at once; INT ends at once; HUP reloads; USR1 reopens logs; WINCH means nothing.
pub(super) struct Signals {
    instance: Arc<Instance>,
    /// The file that a reload reads; `None` where there is none.
    source: Option<PathBuf>,
}

impl Signals {
    pub(super) fn new(instance: Arc<Instance>, source: Option<PathBuf>) -> Self {
        Self { instance, source }
    }

    async fn watch(&self) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut usr1 = signal(SignalKind::user_defined1())?;
        let mut window = signal(SignalKind::window_change())?;
        let mut stop = Stop {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        // A stop mustn't wait for names that a reload resolves; a further HUP does, and several become one.
        let mut reload = None;
        loop {
            tokio::select! {
                gently = stop.recv() => {
                    notify_supervisor(&[sd_notify::NotifyState::Stopping]);
                    if gently {
                        self.drain(&mut stop).await;
                    }
                    return Ok(());
                }
                _ = hangup.recv(), if reload.is_none() => reload = self.begin_reload(),
                Some(outcome) = async { Some(reload.as_mut()?.await) } => {
                    reload = None;
                    tell_reload(outcome);
                }
                _ = usr1.recv() => {
                    tracing::info!("reopening logs");
                    self.instance.reopen_logs();
                }
                _ = window.recv() => {}
                () = self.instance.is_over() => return Ok(()),
            }
        }
    }

    async fn drain(&self, stop: &mut Stop) {
        let instance = Arc::clone(&self.instance);
        let drained = tokio::task::spawn_blocking(move || instance.drain());
        tokio::select! {
            _ = drained => {}
            _ = stop.recv() => tracing::warn!("a second signal: ending at once"),
        }
    }

    /// On a thread that nobody joins: a runtime doesn't end before the threads that it lends for what blocks.
    fn begin_reload(&self) -> Option<oneshot::Receiver<Result<(), String>>> {
        let Some(source) = self.source.clone() else {
            tracing::warn!("HUP: there is no configuration file to reload");
            return None;
        };
        let instance = Arc::clone(&self.instance);
        let (done, outcome) = oneshot::channel();
        // Whoever waited may have been told to stop.
        let reload = move || drop(done.send(reload(&instance, &source)));
        match std::thread::Builder::new().name("reload".into()).spawn(reload) {
            Ok(_) => Some(outcome),
            Err(error) => {
                tracing::error!(%error, "there is no thread for the reload, the old configuration stays in force");
                self.instance.count_failed_reload();
                None
            }
        }
    }
}

fn reload(instance: &Instance, source: &Path) -> Result<(), String> {
    try_reload(instance, source).map_err(|error| format!("{error}{}", confine::note_on(&error)))
}

fn try_reload(instance: &Instance, source: &Path) -> Result<(), String> {
    match config::load::load(source, &ThisMachine) {
        Ok(loaded) => {
            for line in loaded.warnings.render(false).lines() {
                tracing::warn!("{line}");
            }
            instance.reload(loaded.config).map_err(|error| error.to_string())
        }
        Err(diagnostics) => {
            instance.count_failed_reload();
            Err(diagnostics.render(false))
        }
    }
}

fn tell_reload(outcome: Result<Result<(), String>, RecvError>) {
    match outcome {
        Ok(Ok(())) => tracing::info!("reloaded"),
        Ok(Err(error)) => tracing::error!("the reload failed, the old configuration stays in force:\n{error}"),
        Err(_) => tracing::error!("the reload's thread panicked, the old configuration stays in force"),
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        if let Err(error) = self.watch().await {
            tracing::error!(%error, "signals can't be watched");
            self.instance.fail();
        }
        // The workers are drained, or shall be cut; either way nothing is left that pingora would have to wait for.
        self.instance.stop();
        ShutdownSignal::FastShutdown
    }
}

struct Stop {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

impl Stop {
    /// The next signal that ends the process; `true` for one that lets requests finish.
    async fn recv(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.quit.recv() => true,
            _ = self.interrupt.recv() => false,
        }
    }
}

/// systemd, if it started us; without it, nothing happens.
pub(super) fn notify_supervisor(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "no notification to systemd");
    }
}
