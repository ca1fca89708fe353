//! One core: its runtime, its sockets, its connections and pools.
//!
//! A worker owns everything that its requests touch; others reach it only through [`Command`]s.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::access_log::LogBuffer;
use crate::config::Address;
use crate::listener::accept::{Acceptor, Terms};
use crate::listener::caps::Caps;
use crate::listener::socket::ListenSocket;
use crate::metrics::{Metrics, WorkerMetrics};
use crate::proxy::local::{ListenerSeat, Local};
use crate::snapshot::Snapshot;
use crate::tls;

/// How often logs are flushed and idle upstream connections looked at.
const TICK: Duration = Duration::from_millis(500);

/// All that a worker starts with.
pub struct Seed {
    pub snapshot: Arc<Snapshot>,
    pub metrics: WorkerMetrics,
    /// Interns the labels of listeners that come with a reload.
    pub labels: Arc<Metrics>,
    pub log: Option<LogBuffer>,
    pub caps: Arc<Caps>,
    pub listeners: Vec<Opening>,
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// The same for all workers.
    pub epoch: std::time::Instant,
}

/// A listener to serve; `socket` is `None` for one that is being served already.
pub struct Opening {
    pub address: Address,
    pub socket: Option<Socket>,
    pub tls: Option<Arc<tls::Server>>,
}

/// What a worker is told.
pub enum Command {
    /// From the next request on, use this snapshot; serve exactly these listeners, in the snapshot's order.
    Reload { snapshot: Arc<Snapshot>, listeners: Vec<Opening>, done: oneshot::Sender<()> },
    /// Take no new connections, finish what is in flight within this time, then end.
    Drain(Duration),
}

/// Runs a worker on the current thread until it is drained or its commands end. Tells `started` once it serves, or why
/// it can't: there is no runtime to be had.
pub fn run(seed: Seed, started: impl FnOnce(io::Result<()>)) {
    match Builder::new_current_thread().enable_io().enable_time().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(Worker::serve(seed, || started(Ok(())))),
        Err(error) => started(Err(error)),
    }
}

struct Worker {
    local: Rc<Local>,
    labels: Arc<Metrics>,
    caps: Arc<Caps>,
    listeners: HashMap<Address, Served>,
}

/// A listener being served.
struct Served {
    acceptor: Rc<Acceptor>,
    socket: Rc<ListenSocket>,
    task: JoinHandle<()>,
}

impl Worker {
    async fn serve(seed: Seed, started: impl FnOnce()) {
        let Seed { snapshot, metrics, labels, log, caps, listeners, mut commands, epoch } = seed;
        let local = Local::new(Arc::clone(&snapshot), metrics, Arc::clone(&labels), log, epoch);
        let mut worker = Self { local, labels, caps, listeners: HashMap::new() };
        worker.open(&snapshot, listeners);
        started();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Reload { snapshot, listeners, done }) => {
                        worker.open(&snapshot, listeners);
                        worker.local.swap(snapshot);
                        // Whoever waited may have given up.
                        let _ = done.send(());
                    }
                    Some(Command::Drain(limit)) => break worker.drain(limit, &mut commands).await,
                    None => break,
                },
                now = tick.tick() => worker.tick(now),
            }
        }
        worker.tick(Instant::now());
    }

    fn tick(&self, now: Instant) {
        self.local.pool.borrow_mut().sweep(now);
        self.local.sessions.sweep(now);
        if let Some(log) = self.local.log.borrow_mut().as_mut() {
            log.flush();
        }
    }

    /// Serves exactly `openings`: those for HTTP, then those for TCP. A kept address keeps its socket and its connections;
    /// their seat learns its new place.
    fn open(&mut self, snapshot: &Snapshot, openings: Vec<Opening>) {
        let mut before = std::mem::take(&mut self.listeners);
        for (index, opening) in openings.into_iter().enumerate() {
            let Some((index, backlog, terms)) = terms(snapshot, index, opening.tls) else { continue };
            let served = match (before.remove(&opening.address), opening.socket) {
                (Some(served), _) => {
                    let tcp = Some(terms.tcp).filter(|tcp| *tcp != served.acceptor.terms.borrow().tcp);
                    if let Err(error) = served.socket.change(backlog, tcp.as_ref()) {
                        tracing::warn!(%error, address = %opening.address, "the listening socket stays as it was");
                    }
                    self.keep(&opening.address, served, terms)
                }
                (None, Some(socket)) => match ListenSocket::new(&opening.address, socket) {
                    Ok(socket) => self.start(&opening.address, Rc::new(socket), terms),
                    Err(error) => {
                        tracing::error!(%error, address = %opening.address, "a worker can't serve this listener");
                        continue;
                    }
                },
                (None, None) => continue,
            };
            served.acceptor.seat.index.set(Some(index));
            self.listeners.insert(opening.address, served);
        }
        for (_, served) in before {
            close(&served);
            served.acceptor.seat.index.set(None);
        }
    }

    /// Goes on with a listener. One that serves something else now has nothing in common with what it was but the socket.
    fn keep(&self, address: &Address, served: Served, terms: Terms) -> Served {
        if served.acceptor.terms.borrow().is_like(&terms) {
            served.acceptor.terms.replace(terms);
            return served;
        }
        served.task.abort();
        served.acceptor.seat.index.set(None);
        self.start(address, served.socket, terms)
    }

    fn start(&self, address: &Address, socket: Rc<ListenSocket>, terms: Terms) -> Served {
        let metric = self.labels.listener(&address.to_string());
        let acceptor = Rc::new(Acceptor {
            local: Rc::clone(&self.local),
            caps: Arc::clone(&self.caps),
            seat: Rc::new(ListenerSeat { index: Cell::new(None), metric }),
            terms: RefCell::new(terms),
        });
        let task = tokio::task::spawn_local(Rc::clone(&acceptor).run(Rc::clone(&socket)));
        Served { acceptor, socket, task }
    }

    async fn drain(&mut self, limit: Duration, commands: &mut mpsc::UnboundedReceiver<Command>) {
        for (_, served) in self.listeners.drain() {
            close(&served);
        }
        // Connections just taken must have registered before they are told.
        tokio::task::yield_now().await;
        self.local.drain();
        self.local.pool.borrow_mut().clear();
        self.local.sessions.drain();
        let empty = async {
            while self.local.open_connections() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let told_again = async { while !matches!(commands.recv().await, Some(Command::Drain(_)) | None) {} };
        let cut = tokio::select! {
            drained = timeout(limit, empty) => drained.is_err(),
            () = told_again => true,
        };
        if cut && self.local.open_connections() > 0 {
            tracing::warn!(connections = self.local.open_connections(), "connections are cut");
        }
    }
}

/// The place of an opening among its like, its backlog, and what it serves.
fn terms(snapshot: &Snapshot, index: usize, tls: Option<Arc<tls::Server>>) -> Option<(usize, u32, Terms)> {
    let config = &snapshot.config;
    if let Some(listener) = config.listeners.get(index) {
        return Some((index, listener.backlog, Terms::http(listener, tls)));
    }
    let index = index - config.listeners.len();
    let listener = config.tcp.get(index)?;
    Some((index, listener.backlog, Terms::tcp(listener, tls)))
}

fn close(served: &Served) {
    served.task.abort();
    served.acceptor.take_queued(&served.socket);
}
