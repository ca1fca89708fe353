//! One running gate: its workers, and what they share.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};

use super::Ready;
use super::certificates::{self, Acme};
use super::resources::{Held, Listening, bind_listener, listen, live_endpoints, load_certificates, warn_of_sources};
use crate::access_log::AccessLog;
use crate::acme::Board;
use crate::config::{self, Address, Config, TcpOptions};
use crate::control;
use crate::control::discovery::Discovery;
use crate::listener::caps::Caps;
use crate::listener::socket::Binding;
use crate::metrics::Metrics;
use crate::snapshot::{BuildError, Snapshot};
use crate::tls;
use crate::upstream::Upstream;
use crate::worker::{self, Command, Seed};

/// How long a start or reload waits for names; what takes longer is resolved while requests are served already.
pub(super) const RESOLVE_PATIENCE: Duration = Duration::from_secs(3);

/// Why a configuration can't be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Bind(String),
    #[error("{0}")]
    Certificates(String),
    #[error("{address}: {error}")]
    Tls { address: Address, error: tls::TlsError },
    #[error("the access log can't be opened: {0}")]
    AccessLog(#[source] io::Error),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("no runtime: {0}")]
    Runtime(#[source] io::Error),
    /// Reload only: what it names is fixed while the process runs.
    #[error("{0} can't change while the process runs: restart it")]
    Fixed(String),
}

/// A gate: prepared, then running, then drained.
pub struct Instance {
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) metrics: Arc<Metrics>,
    log: Option<Arc<AccessLog>>,
    pub(super) caps: Arc<Caps>,
    pub(super) certificates: Arc<tls::Store>,
    pub(super) tickets: Arc<tls::Tickets>,
    pub(super) acme: Mutex<Acme>,
    pub(super) board: Arc<Board>,
    epoch: Instant,
    pub(super) count: usize,
    state: Mutex<State>,
    status: Mutex<Option<std::net::TcpListener>>,
    status_address: Option<SocketAddr>,
    ready: AtomicBool,
    failed: AtomicBool,
    /// Failed, or shut down: nothing beside the workers needs to run on.
    over: AtomicBool,
    ending: Notify,
    pub(super) discovery: Arc<Discovery>,
    /// Upstreams have changed: names may have to be resolved.
    pub(super) reloaded: Notify,
    /// Held by a reload, so that a second one waits; what runs is locked only for the moments that change it.
    pub(super) reloading: Mutex<()>,
}

#[derive(Default)]
pub(super) struct State {
    /// Bound and not yet handed to the workers.
    listening: Vec<Listening>,
    pub(super) addresses: Vec<Held>,
    pub(super) workers: Vec<Worker>,
}

pub(super) struct Worker {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl Instance {
    /// Binds, loads certificates, opens logs and compiles; serves nothing. The first thread, the log's, is started after
    /// `seal`, which may give up rights for all of them.
    ///
    /// # Errors
    /// Whatever makes the configuration unservable here and now.
    pub fn prepare(config: Config, seal: impl FnOnce()) -> Result<Self, StartError> {
        let count = config.workers.or_else(|| std::thread::available_parallelism().ok()).map_or(1, |n| n.get());
        let metrics = Metrics::new(count);
        let store = tls::Store::new();
        let board = Arc::default();
        let acme = certificates::prepare(&config, &store, &metrics, &board)?;
        store.replace(load_certificates(&config, &store)?);
        metrics.set_certificates(store.expiries());
        metrics.set_acme(certificates::sample_of(&board));
        let tickets = tls::Tickets::new(&config.ticket_keys).map_err(StartError::Certificates)?;
        warn_of_sources(&config);
        let listening = listen(&config, &[], count, &store, &tickets)?;
        let addresses = listening.iter().map(Listening::held).collect();
        let state = State { listening, addresses, workers: Vec::new() };
        let binding = Binding { backlog: 128, mode: 0, tcp: TcpOptions::default() };
        let bind_status = |metrics: &config::Metrics| bind_listener(&metrics.address.into(), binding, 1);
        let status = config.metrics.as_ref().map(bind_status).transpose()?;
        let status_address = status.as_ref().and_then(|bound| bound.address.ip());
        seal();
        let log = config.access_log.as_ref().map(AccessLog::start).transpose().map_err(StartError::AccessLog)?;
        if let Some(log) = &log {
            let log = Arc::clone(log);
            metrics.set_access_log_drops(Box::new(move || log.dropped()));
        }
        let caps = Caps::new(&config);
        let snapshot = Snapshot::build(Arc::new(config), None, &metrics)?.answering_challenges(&store);
        let current = Arc::new(ArcSwap::from_pointee(snapshot));
        let live = Arc::clone(&current);
        metrics.set_live(Box::new(move || live_endpoints(&live.load())));
        let discovery = Arc::<Discovery>::default();
        let sources = Arc::clone(&discovery);
        metrics.set_discovery(Box::new(move || sources.samples()));
        Ok(Self {
            current,
            metrics,
            log,
            caps,
            certificates: store,
            tickets,
            acme: Mutex::new(acme),
            board,
            epoch: Instant::now(),
            count,
            state: Mutex::new(state),
            status: Mutex::new(status.and_then(|mut bound| bound.sockets.pop()).map(Into::into)),
            status_address,
            ready: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ending: Notify::new(),
            discovery,
            reloaded: Notify::new(),
            reloading: Mutex::new(()),
        })
    }

    /// Prepares and runs a gate in this process, without signals: the control tasks get a thread of their own.
    ///
    /// # Errors
    /// As [`Instance::prepare`].
    pub fn start(config: Config) -> Result<Arc<Self>, StartError> {
        let instance = Arc::new(Self::prepare(config, || ())?);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        runtime.block_on(instance.find_endpoints());
        instance.start_workers().map_err(StartError::Runtime)?;
        let weak = Arc::downgrade(&instance);
        let control = move || {
            if let Some(instance) = weak.upgrade() {
                runtime.block_on(async {
                    tokio::select! {
                        () = instance.run_control() => {}
                        () = instance.is_over() => {}
                    }
                });
            }
        };
        std::thread::Builder::new().name("control".into()).spawn(control).map_err(StartError::Runtime)?;
        Ok(instance)
    }

    /// Starts one thread a worker with its sockets, and waits until all of them serve.
    ///
    /// # Errors
    /// The kernel gives no thread, or none of what a thread needs.
    pub fn start_workers(&self) -> io::Result<()> {
        let snapshot = self.current.load_full();
        let mut state = self.state();
        let mut listening = std::mem::take(&mut state.listening);
        let (started, starts) = std::sync::mpsc::channel();
        for index in 0..self.count {
            let (sender, commands) = mpsc::unbounded_channel();
            let seed = Seed {
                snapshot: Arc::clone(&snapshot),
                metrics: self.metrics.worker(index),
                labels: Arc::clone(&self.metrics),
                log: self.log.as_ref().map(AccessLog::buffer),
                caps: Arc::clone(&self.caps),
                listeners: listening.iter_mut().map(Listening::opening).collect(),
                commands,
                epoch: self.epoch,
            };
            let started = started.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker::run(seed, move |outcome| drop(started.send(outcome))))?;
            state.workers.push(Worker { commands: sender, thread });
        }
        drop(started);
        starts.into_iter().collect::<io::Result<()>>()?;
        self.start_acme()?;
        self.ready.store(true, Relaxed);
        Ok(())
    }

    /// The addresses bound, in the configuration's order.
    pub fn listeners(&self) -> Vec<Address> {
        self.state().addresses.iter().map(|held| held.bound.clone()).collect()
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are answered.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.status_address
    }

    /// What `/metrics` answers.
    pub fn render_metrics(&self) -> Vec<u8> {
        self.metrics.render()
    }

    pub fn ready(&self) -> Ready {
        Ready { listeners: self.listeners(), metrics: self.status_address, workers: self.count }
    }

    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.current.load().upstreams.clone()
    }

    /// Goes on accepting for `lame_duck` while `/readyz` says no, then finishes what is in flight, up to `drain_timeout`.
    pub fn drain(&self) {
        let config = Arc::clone(&self.current.load().config);
        self.ready.store(false, Relaxed);
        if !config.lame_duck.is_zero() {
            tracing::info!(lame_duck = ?config.lame_duck, "not ready any more");
            let over = Instant::now() + config.lame_duck;
            while Instant::now() < over && self.has_running_workers() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        tracing::info!(connections = self.caps.open(), "draining");
        self.end(config.drain_timeout);
    }

    /// Drains within `limit` and ends; for a gate started with [`Instance::start`].
    pub fn shutdown(&self, limit: Duration) {
        self.ready.store(false, Relaxed);
        self.end(limit);
        self.finish();
        self.join();
    }

    /// Cuts what is left.
    pub(super) fn stop(&self) {
        self.command_drain(Duration::ZERO);
    }

    /// Waits for the workers to have ended, and for the last log line to be written.
    pub(super) fn join(&self) {
        let workers = std::mem::take(&mut self.state().workers);
        for worker in workers {
            let _ = worker.thread.join();
        }
        // Removes the files of Unix sockets.
        self.state().addresses.clear();
        if let Some(log) = &self.log {
            log.close();
        }
    }

    fn end(&self, limit: Duration) {
        self.command_drain(limit);
        while self.has_running_workers() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn has_running_workers(&self) -> bool {
        self.state().workers.iter().any(|worker| !worker.thread.is_finished())
    }

    fn command_drain(&self, limit: Duration) {
        for worker in &self.state().workers {
            // A worker that has ended needs no telling.
            let _ = worker.commands.send(Command::Drain(limit));
        }
    }

    pub(super) fn reopen_logs(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Looks for endpoints before the first request comes; what takes longer is looked for while requests are served.
    pub(super) async fn find_endpoints(&self) {
        let snapshot = self.current.load_full();
        tokio::join!(
            control::resolve::resolve_all(&snapshot.upstreams, RESOLVE_PATIENCE),
            self.discovery.first(&snapshot.upstreams, &snapshot.config.resolver, RESOLVE_PATIENCE),
        );
    }

    /// The metrics endpoint, the resolution of names and the discovery of endpoints, for as long as it is polled.
    pub async fn run_control(&self) {
        let socket = self.status.lock().unwrap_or_else(PoisonError::into_inner).take();
        let resolve = async {
            loop {
                let snapshot = self.current.load_full();
                // They have been looked up once: before the workers started, or by the reload that brought them.
                let resolve = async {
                    tokio::join!(
                        control::resolve::retry_unresolved(&snapshot.upstreams),
                        self.discovery.run(&snapshot.upstreams, &snapshot.config.resolver),
                    );
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = resolve => {}
                    () = self.reloaded.notified() => {}
                }
            }
        };
        let status = control::status::serve(socket, &self.metrics, &self.ready);
        tokio::join!(resolve, status);
    }

    /// Something without which nothing can be served has failed.
    pub(super) fn fail(&self) {
        self.failed.store(true, Relaxed);
        self.finish();
    }

    fn finish(&self) {
        self.over.store(true, Relaxed);
        self.end_acme();
        self.ending.notify_waiters();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Ready when [`Instance::fail`] was called, or a gate of [`Instance::start`] was shut down.
    pub(super) async fn is_over(&self) {
        let notified = self.ending.notified();
        if !self.over.load(Relaxed) {
            notified.await;
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
