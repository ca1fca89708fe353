//! Keeps every certificate that a configuration wants, on a thread of its own.
//!
//! One loop: what is due is begun, what comes back is put into its slot, and in between questions about challenges are
//! answered. Nothing here waits for one CA while another could be asked.

mod demand;
mod entry;
mod load;
mod round;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::acme::attempt::{Outcomes, attempt, look, read, save_late};
use crate::acme::board::Outcome;
use crate::acme::bundle::Bundle;
use crate::acme::context::Context;
use crate::acme::failure::Class;
use crate::acme::on_demand::Gatekeeper;
use crate::acme::state::State;
use crate::acme::store::{Key, StoreError, Version};
use crate::acme::wanted::{Wanted, Wants};
use crate::acme::{Moment, account, backoff, challenge};
use crate::config::Issuer;
use crate::tls::{Question, Wish};

use entry::{Entry, Task};
use round::Rounds;

/// Orders under way at once.
const MOST_AT_ONCE: usize = 16;
/// Questions about other instances' challenges that wait.
const MOST_QUESTIONS: usize = 64;
/// Hosts for which clients wait in their handshakes.
const MOST_WISHES: usize = 64;
/// How often the store is looked at for what other instances have done, and the clock for a jump.
const GLANCE: Duration = Duration::from_secs(2);
/// Where nothing is due.
const LATER: Duration = Duration::from_secs(60);

/// Told that certificates have changed.
pub type OnChange = Box<dyn Fn() + Send>;

/// A service that has loaded what the store has, and not begun.
pub struct Service {
    context: Arc<Context>,
    entries: BTreeMap<String, Entry>,
    /// The store's mark of changes, as seen last.
    seen: Option<Version>,
    questions: mpsc::Receiver<Question>,
    wishes: mpsc::Receiver<Wish>,
    wants: Wants,
    gatekeeper: Gatekeeper,
    /// Clients that wait for a certificate, by its id.
    waiting: HashMap<String, Vec<oneshot::Sender<()>>>,
    /// Certificates in the store that are looked at, one after the other, by their ids.
    round: VecDeque<String>,
    commands: mpsc::Receiver<Command>,
    on_change: OnChange,
}

/// A running service. It ends when this is dropped.
pub struct Handle {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// From now on, keep these; tells when their slots are filled.
struct Command {
    wants: Wants,
    done: std::sync::mpsc::SyncSender<()>,
}

/// A task that is over.
struct Done {
    id: String,
    task: Task,
    outcome: Result<Outcomes, StoreError>,
}

impl Service {
    /// Loads what the store has of what is wanted into the slots of `context`'s certificates, and what nobody vouches for into
    /// those that stay empty.
    ///
    /// # Errors
    /// There is no runtime.
    pub fn prepare(context: Context, wants: Wants, on_change: OnChange) -> io::Result<Prepared> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ask, questions) = mpsc::channel(MOST_QUESTIONS);
        context.certificates.challenges().ask_elsewhere(ask);
        let (wish, wishes) = mpsc::channel(MOST_WISHES);
        context.certificates.demand().grant_by(wish);
        let (sender, commands) = mpsc::channel(1);
        let mut service = Self {
            context: Arc::new(context),
            entries: BTreeMap::new(),
            seen: None,
            questions,
            wishes,
            wants: Wants::default(),
            gatekeeper: Gatekeeper::default(),
            waiting: HashMap::new(),
            round: VecDeque::new(),
            commands,
            on_change,
        };
        runtime.block_on(service.keep(wants));
        Ok(Prepared { service, runtime, commands: sender })
    }

    /// Runs until nobody holds its handle any more.
    ///
    /// Clients can make questions and wishes come without end. So what is done about these is counted apart from what is
    /// done about certificates, and neither puts off what is due.
    async fn run(mut self) {
        let context = Arc::clone(&self.context);
        challenge::sweep(&context).await;
        self.try_store().await;
        self.begin_round().await;
        let mut tasks = FuturesUnordered::new();
        let mut asking = FuturesUnordered::new();
        let mut telling = FuturesUnordered::new();
        telling.push(self.tell_contacts());
        let mut glanced = Instant::now();
        let mut rounds = Rounds::begin();
        let mut wake = context.now();
        let mut settled = false;
        loop {
            if glanced.elapsed() >= GLANCE {
                self.glance().await;
                (glanced, settled) = (Instant::now(), false);
            }
            if rounds.is_due() {
                self.try_store().await;
                self.begin_round().await;
            }
            let now = context.now();
            if !settled || wake <= now {
                while tasks.len() < MOST_AT_ONCE
                    && let Some((id, task)) = self.due(now)
                {
                    tasks.push(self.begin(id, task));
                }
                self.tell(now);
                wake = self.next_wake(now).filter(|_| tasks.len() < MOST_AT_ONCE).unwrap_or(now + LATER);
                settled = true;
            }
            let idle = tasks.is_empty() && asking.is_empty() && self.round.is_empty();
            context.clock.idle_until(idle.then_some(wake));
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command { wants, done }) => {
                        self.keep(wants).await;
                        // Whoever waited may have given up.
                        let _ = done.send(());
                        self.begin_round().await;
                        telling.push(self.tell_contacts());
                        settled = false;
                    }
                    None => return,
                },
                Some(done) = tasks.next(), if !tasks.is_empty() => {
                    self.end(done);
                    settled = false;
                }
                Some(asked) = asking.next(), if !asking.is_empty() => {
                    self.decide(asked);
                    settled = false;
                }
                Some(()) = telling.next(), if !telling.is_empty() => {}
                Some(Question { sought, answer }) = self.questions.recv() => {
                    let _ = answer.send(challenge::find(&context, &sought).await);
                }
                Some(wish) = self.wishes.recv() => {
                    if let Some(question) = self.hear(wish, asking.len()) {
                        asking.push(question);
                    }
                }
                () = std::future::ready(()), if !self.round.is_empty() => {
                    self.go_on_with_round(rounds.may_remove()).await;
                    settled = false;
                }
                () = context.clock.sleep_until(wake, GLANCE.saturating_sub(glanced.elapsed())) => settled = false,
            }
        }
    }

    /// Keeps these certificates, and no others.
    async fn keep(&mut self, wants: Wants) {
        self.wants = wants;
        self.context.set_contacts(&self.wants.contacts);
        let mut before = std::mem::take(&mut self.entries);
        let mut wanted = self.wants.certificates.clone();
        // Those that were got on demand stay, as long as their site wants that.
        let on_demand = before.values().filter(|entry| entry.wanted.how.on_demand);
        wanted.extend(on_demand.filter_map(|entry| self.wants.got_on_demand(&entry.wanted.id, &entry.wanted.names)));
        let mut shelf = None;
        for wanted in wanted {
            let entry = match before.remove(&wanted.id) {
                Some(entry) => Entry {
                    state: entry.state.under(&wanted.names, wanted.key(), &wanted.terms),
                    wanted,
                    not_before: None,
                    ..entry
                },
                None => self.load(wanted, &mut shelf).await,
            };
            self.entries.insert(entry.wanted.id.clone(), entry);
        }
        let on_demand = self.entries.values().filter(|entry| entry.wanted.how.on_demand);
        let hosts: HashSet<&str> = on_demand.filter_map(|entry| Some(&**entry.wanted.names.first()?)).collect();
        self.context.certificates.demand().keep(|host| hosts.contains(host));
        self.context.board.keep(|id| self.entries.contains_key(id));
        self.tell(self.context.now());
    }

    /// The first that something is to be done about.
    fn due(&self, now: Moment) -> Option<(String, Task)> {
        self.entries.values().find_map(|entry| {
            let (at, task) = entry.next(now)?;
            (at <= now).then(|| (entry.wanted.id.clone(), task))
        })
    }

    fn next_wake(&self, now: Moment) -> Option<Moment> {
        self.entries.values().filter_map(|entry| entry.next(now)).map(|(at, _)| at).min()
    }

    fn begin(&mut self, id: String, task: Task) -> impl Future<Output = Done> + use<> {
        let entry = self.entries.get_mut(&id).map(|entry| {
            entry.task = Some(task);
            (entry.wanted.clone(), entry.bundle.clone(), entry.state.clone())
        });
        let context = Arc::clone(&self.context);
        let ask = self.wants.ask.clone();
        async move {
            let outcome = match (entry, task) {
                (Some((wanted, bundle, state)), Task::Attempt) => {
                    match demand::refused_until(&context, &wanted, bundle.as_ref(), ask.as_ref()).await {
                        Some(until) => Ok(Outcomes { not_before: Some(until), ..Outcomes::none(state, bundle) }),
                        None => Box::pin(attempt(&context, &wanted)).await,
                    }
                }
                (Some((wanted, _, _)), Task::Look) => look(&context, &wanted).await,
                (Some((wanted, Some(bundle), state)), Task::Save) => save_late(&context, &wanted, bundle, state).await,
                _ => Ok(Outcomes::none(State::default(), None)),
            };
            Done { id, task, outcome }
        }
    }

    fn end(&mut self, done: Done) {
        let now = self.context.now();
        let Some(entry) = self.entries.get_mut(&done.id) else { return };
        entry.task = None;
        let store_failed = done.outcome.as_ref().map_or(true, |outcomes| outcomes.store_failed);
        entry.store_failures = if store_failed { entry.store_failures.saturating_add(1) } else { 0 };
        entry.not_before = store_failed.then(|| now + backoff::wait_for_store(entry.store_failures));
        if store_failed {
            self.context.board.store_failed();
        }
        match done.outcome {
            Ok(outcomes) => {
                // What a reload has changed meanwhile counts.
                let Wanted { names, terms, .. } = &entry.wanted;
                entry.state = outcomes.state.under(names, entry.wanted.how.key, terms);
                entry.unsaved = outcomes.unsaved || (entry.unsaved && done.task != Task::Save);
                entry.not_before = entry.not_before.max(outcomes.not_before);
                if let Some(bundle) = outcomes.bundle
                    && !entry.unsaved_and_newer_than(&bundle, outcomes.unsaved)
                {
                    self.take(&done.id, bundle);
                }
                self.after_demand(&done.id, now);
            }
            Err(error) => {
                let site = &entry.wanted.site;
                tracing::error!(%error, site = &**site, "the certificate store can't be used: nothing is ordered");
                if done.task == Task::Attempt {
                    self.context.board.count(site, Outcome::Failed(Class::Local));
                }
            }
        }
    }

    /// Serves a certificate from now on.
    fn take(&mut self, id: &str, bundle: Bundle) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.bundle.as_ref().is_none_or(|before| before.fingerprint != bundle.fingerprint) {
            entry.slot.put(bundle.certificate.clone());
            entry.bundle = Some(bundle);
            (self.on_change)();
        }
    }

    /// Looks for what other instances, or the command line, have done.
    async fn glance(&mut self) {
        let Ok(mark) = self.context.store.get(&Key::mark()).await else { return };
        let version = mark.map(|mark| mark.version);
        if version == self.seen {
            return;
        }
        self.seen = version;
        let idle: Vec<Wanted> =
            self.entries.values().filter(|entry| entry.task.is_none()).map(|entry| entry.wanted.clone()).collect();
        for wanted in idle {
            let Ok((state, bundle)) = read(&self.context, &wanted).await else { continue };
            if let Some(entry) = self.entries.get_mut(&wanted.id).filter(|entry| !entry.unsaved) {
                entry.state = state;
                if let Some(bundle) = bundle {
                    self.take(&wanted.id, bundle);
                }
            }
        }
    }

    /// Tells every CA that has an account of ours whom it may write to, if that has changed.
    fn tell_contacts(&self) -> impl Future<Output = ()> + use<> {
        let context = Arc::clone(&self.context);
        let issuers: Vec<Issuer> = self.wants.issuers().into_iter().cloned().collect();
        async move {
            for issuer in &issuers {
                account::keep_contacts(&context, issuer).await;
            }
        }
    }

    fn tell(&self, now: Moment) {
        for (id, entry) in &self.entries {
            self.context.board.set(id, entry.row(now));
        }
    }
}

/// A service with its runtime.
pub struct Prepared {
    service: Service,
    runtime: Runtime,
    commands: mpsc::Sender<Command>,
}

impl Prepared {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn start(self) -> io::Result<Handle> {
        let Self { service, runtime, commands } = self;
        let run = move || {
            runtime.block_on(service.run());
            // A key that is being made mustn't hold up the end.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("acme".into()).spawn(run)?;
        Ok(Handle { commands: Some(commands), thread: Some(thread) })
    }
}

impl Handle {
    /// Has these certificates kept from now on; their slots are filled when this returns.
    pub fn keep(&self, wants: Wants) {
        let (done, filled) = std::sync::mpsc::sync_channel(1);
        if let Some(commands) = &self.commands
            && commands.try_send(Command { wants, done }).is_ok()
        {
            // A store that takes longer fills them later.
            let _ = filled.recv_timeout(Duration::from_secs(10));
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
