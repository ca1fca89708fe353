//! Keeps every certificate that a configuration wants, on a thread of its own.
//!
//! One loop: what is due is begun, what comes back is put into its slot, and in between questions about challenges are
//! answered. Nothing here waits for one CA while another could be asked.

mod demand;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use crate::acme::attempt::{Outcomes, attempt, look, read, save};
use crate::acme::board::Row;
use crate::acme::bundle::Bundle;
use crate::acme::context::Context;
use crate::acme::on_demand::Gatekeeper;
use crate::acme::state::State;
use crate::acme::store::{Key, StoreError, Version};
use crate::acme::wanted::{Wanted, Wants};
use crate::acme::{Moment, ari, challenge};
use crate::tls::{self, Question, Slot, Wish};

/// Orders under way at once.
const MOST_AT_ONCE: usize = 16;
/// Questions about other instances' challenges that wait.
const MOST_QUESTIONS: usize = 64;
/// Hosts for which clients wait in their handshakes.
const MOST_WISHES: usize = 64;
/// How often the store is looked at for what other instances have done, and the clock for a jump.
const GLANCE: Duration = Duration::from_secs(2);
const STORE_FAILED: Duration = Duration::from_secs(60);

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

/// One certificate.
struct Entry {
    wanted: Wanted,
    slot: Arc<Slot>,
    state: State,
    bundle: Option<Bundle>,
    task: Option<Task>,
    /// For reasons that aren't in the state.
    not_before: Option<Moment>,
    /// The store had no place for the certificate.
    unsaved: bool,
}

/// What is done about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Get it.
    Attempt,
    /// Ask the CA when it would like it renewed.
    Look,
    /// Store it.
    Save,
}

/// Something that is over.
enum Over {
    Task(Box<Done>),
    Asked(Box<demand::Asked>),
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
            commands,
            on_change,
        };
        runtime.block_on(service.keep(wants));
        Ok(Prepared { service, runtime, commands: sender })
    }

    /// Runs until nobody holds its handle any more.
    async fn run(mut self) {
        challenge::sweep(&self.context).await;
        let context = Arc::clone(&self.context);
        let mut tasks: FuturesUnordered<Pin<Box<dyn Future<Output = Over>>>> = FuturesUnordered::new();
        loop {
            let now = context.now();
            while tasks.len() < MOST_AT_ONCE
                && let Some((id, task)) = self.due(now)
            {
                tasks.push(Box::pin(self.begin(id, task)));
            }
            self.tell(now);
            let wake = self.next_wake().filter(|_| tasks.len() < MOST_AT_ONCE).unwrap_or(now + STORE_FAILED);
            context.clock.idle_until(tasks.is_empty().then_some(wake));
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command { wants, done }) => {
                        self.keep(wants).await;
                        // Whoever waited may have given up.
                        let _ = done.send(());
                    }
                    None => return,
                },
                Some(over) = tasks.next(), if !tasks.is_empty() => match over {
                    Over::Task(done) => self.end(*done),
                    Over::Asked(asked) => self.decide(*asked),
                },
                Some(Question { sought, answer }) = self.questions.recv() => {
                    let _ = answer.send(challenge::find(&context, &sought).await);
                }
                Some(wish) = self.wishes.recv() => {
                    if let Some(asking) = self.hear(wish, tasks.len()) {
                        tasks.push(Box::pin(asking));
                    }
                }
                () = context.clock.sleep_until(wake, GLANCE) => self.glance().await,
            }
        }
    }

    /// Keeps these certificates, and no others.
    async fn keep(&mut self, wants: Wants) {
        self.wants = wants;
        let mut before = std::mem::take(&mut self.entries);
        let mut wanted = self.wants.certificates.clone();
        // Those that were got on demand stay, as long as their site wants that.
        let on_demand = before.values().filter(|entry| entry.wanted.how.on_demand);
        wanted.extend(on_demand.filter_map(|entry| self.wants.host(&entry.wanted.site, entry.wanted.names.first()?)));
        for wanted in wanted {
            let entry = match before.remove(&wanted.id) {
                Some(entry) => Entry {
                    state: entry.state.under(&wanted.names, wanted.key(), &wanted.terms),
                    wanted,
                    not_before: None,
                    ..entry
                },
                None => self.load(wanted).await,
            };
            self.entries.insert(entry.wanted.id.clone(), entry);
        }
        self.context.board.keep(|id| self.entries.contains_key(id));
        self.tell(self.context.now());
    }

    async fn load(&self, wanted: Wanted) -> Entry {
        let slot = self.context.certificates.slot(&wanted.id);
        let (state, bundle, not_before) = match read(&self.context, &wanted).await {
            Ok((state, bundle)) => (state, bundle, None),
            Err(error) => {
                tracing::error!(%error, site = &*wanted.site, "the certificate store can't be read");
                let state = State::new(&wanted.names, wanted.key(), &wanted.terms);
                (state, None, Some(self.context.now() + STORE_FAILED))
            }
        };
        match &bundle {
            Some(bundle) => {
                if bundle.validity.is_over(self.context.now()) {
                    tracing::warn!(site = &*wanted.site, not_after = %bundle.validity.not_after, "the certificate has expired");
                }
                slot.put(bundle.certificate.clone());
            }
            None => self.stand_in(&wanted, &slot).await,
        }
        Entry { wanted, slot, state, bundle, task: None, not_before, unsaved: false }
    }

    /// Something for clients to see until there is a certificate: one that names some of the hosts, or one that nobody
    /// vouches for.
    async fn stand_in(&self, wanted: &Wanted, slot: &Slot) {
        if slot.certificate().is_some() {
            return;
        }
        let mut best: Option<(usize, Bundle)> = None;
        for id in self.context.store.list("certs").await.unwrap_or_default() {
            let Ok(Some(bundle)) = Bundle::load(&*self.context.store, &id).await else { continue };
            let covered = wanted.names.iter().filter(|name| bundle.certificate.names.contains(name)).count();
            let live = !bundle.validity.is_over(self.context.now());
            if live && covered > best.as_ref().map_or(0, |(covered, _)| *covered) {
                best = Some((covered, bundle));
            }
        }
        if let Some((_, bundle)) = best {
            return slot.put_stand_in(bundle.certificate);
        }
        tracing::warn!(site = &*wanted.site, "no certificate yet: a self-signed one stands in, which clients refuse");
        let made = tls::self_signed(&wanted.names).ok();
        let loaded = made.and_then(|made| Bundle::of("self-signed", &made.key_pem, &made.chain_pem).ok());
        match loaded {
            Some(bundle) => slot.put_stand_in(bundle.certificate),
            None => tracing::error!(site = &*wanted.site, "no self-signed certificate can be made"),
        }
    }

    /// The first that something is to be done about.
    fn due(&self, now: Moment) -> Option<(String, Task)> {
        self.entries.values().find_map(|entry| {
            let (at, task) = entry.next(now)?;
            (at <= now).then(|| (entry.wanted.id.clone(), task))
        })
    }

    fn next_wake(&self) -> Option<Moment> {
        let now = self.context.now();
        self.entries.values().filter_map(|entry| entry.next(now)).map(|(at, _)| at).min()
    }

    fn begin(&mut self, id: String, task: Task) -> impl Future<Output = Over> + 'static {
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
                        Some(until) => Ok(Outcomes { state, bundle, unsaved: false, not_before: Some(until) }),
                        None => attempt(&context, &wanted).await,
                    }
                }
                (Some((wanted, _, _)), Task::Look) => look(&context, &wanted).await,
                (Some((wanted, Some(bundle), state)), Task::Save) => {
                    let unsaved = !save(&context, &wanted, &bundle, &state).await;
                    Ok(Outcomes { state, bundle: Some(bundle), unsaved, not_before: None })
                }
                _ => Ok(Outcomes { state: State::default(), bundle: None, unsaved: false, not_before: None }),
            };
            Over::Task(Box::new(Done { id, task, outcome }))
        }
    }

    fn end(&mut self, done: Done) {
        let now = self.context.now();
        let Some(entry) = self.entries.get_mut(&done.id) else { return };
        entry.task = None;
        entry.not_before = None;
        match done.outcome {
            Ok(outcomes) => {
                // What a reload has changed meanwhile counts.
                let Wanted { names, terms, .. } = &entry.wanted;
                entry.state = outcomes.state.under(names, entry.wanted.how.key, terms);
                entry.unsaved = outcomes.unsaved || (entry.unsaved && done.task != Task::Save);
                entry.not_before = outcomes.not_before.or_else(|| entry.unsaved.then(|| now + STORE_FAILED));
                if let Some(bundle) = outcomes.bundle
                    && !entry.unsaved_and_newer_than(&bundle, outcomes.unsaved)
                {
                    self.take(&done.id, bundle);
                }
                self.after_demand(&done.id, now);
            }
            Err(error) => {
                tracing::error!(%error, site = &*entry.wanted.site, "the certificate store can't be read");
                entry.not_before = Some(now + STORE_FAILED);
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

    fn tell(&self, now: Moment) {
        for (id, entry) in &self.entries {
            let validity = entry.bundle.as_ref().map(|bundle| bundle.validity);
            let phase = entry.state.phase(validity, entry.task == Some(Task::Attempt), now);
            let next = entry.due(now).max(entry.not_before.unwrap_or(now));
            self.context.board.set(id, Row { site: Arc::clone(&entry.wanted.site), phase, next });
        }
    }
}

impl Entry {
    fn due(&self, now: Moment) -> Moment {
        self.state.next(self.bundle.as_ref().map(|bundle| (bundle.validity, bundle.fingerprint)), now).at
    }

    /// What to do next, and when; nothing while something is done.
    fn next(&self, now: Moment) -> Option<(Moment, Task)> {
        if self.task.is_some() {
            return None;
        }
        let attempt = (self.due(now), Task::Attempt);
        let look = self.bundle.as_ref().filter(|bundle| self.state.asks_for_suggestions(bundle.validity));
        // A CA's word holds for a day at most: a later time is that of a clock that has been set since.
        let check = self.state.suggestion.next_check.filter(|check| *check <= now + 2 * ari::LONGEST_WAIT);
        let look = look.map(|_| (check.unwrap_or(now), Task::Look));
        let (at, task) = match self.unsaved {
            true => (now, Task::Save),
            false => look.filter(|look| look.0 < attempt.0).unwrap_or(attempt),
        };
        Some((self.not_before.map_or(at, |not_before| at.max(not_before)), task))
    }

    /// The store has an old one, since it had no place for this.
    fn unsaved_and_newer_than(&self, other: &Bundle, just_issued: bool) -> bool {
        let newer = self.bundle.as_ref().is_some_and(|own| own.validity.not_before > other.validity.not_before);
        self.unsaved && !just_issued && newer
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
