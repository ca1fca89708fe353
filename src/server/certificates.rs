//! The wiring of certificates that get themselves: the service, its store, and who is told of a change.

use std::sync::{Arc, PoisonError};

use super::instance::{Instance, StartError};
use crate::acme::Board;
use crate::acme::board::Row;
use crate::acme::clock::Clock;
use crate::acme::context::Context;
use crate::acme::service::{Handle, Prepared, Service};
use crate::acme::store::Files;
use crate::acme::wanted::Wants;
use crate::config::Config;
use crate::metrics::{AcmeSample, Metrics};
use crate::tls;

/// The service, in whatever state the process has it.
#[derive(Default)]
pub(super) enum Acme {
    /// No site wants it.
    #[default]
    Off,
    Prepared(Box<Prepared>),
    Running(Handle),
}

/// Opens the store and fills the slots from it; `None` if no site wants that.
///
/// # Errors
/// The store can't be opened.
pub(super) fn prepare(
    config: &Config,
    certificates: &Arc<tls::Store>,
    metrics: &Arc<Metrics>,
    board: &Arc<Board>,
) -> Result<Acme, StartError> {
    let Some(acme) = &config.acme else { return Ok(Acme::Off) };
    let store = Files::open(&acme.store)
        .map_err(|error| StartError::Certificates(format!("the certificate store can't be opened: {error}")))?;
    let context = Context::new(Arc::new(store), Arc::clone(certificates), Clock::System);
    let (told, of) = (Arc::clone(metrics), Arc::clone(certificates));
    let on_change = Box::new(move || told.set_certificates(of.expiries()));
    let prepared = Service::prepare(context.with_board(board), Wants::of(config), on_change);
    prepared.map(|prepared| Acme::Prepared(Box::new(prepared))).map_err(StartError::Runtime)
}

/// What a scrape reads of the certificates.
pub(super) fn sample_of(board: &Arc<Board>) -> Box<dyn Fn() -> AcmeSample + Send + Sync> {
    let board = Arc::clone(board);
    let row = |row: Row| (row.site, row.phase.name(), row.next.seconds());
    Box::new(move || AcmeSample {
        certificates: board.rows().into_iter().map(row).collect(),
        attempts: board.attempts(),
        store_errors: board.store_errors(),
    })
}

impl Instance {
    /// Begins to get certificates, now that challenges can be answered.
    pub(super) fn start_acme(&self) -> std::io::Result<()> {
        let mut acme = self.acme.lock().unwrap_or_else(PoisonError::into_inner);
        *acme = match std::mem::take(&mut *acme) {
            Acme::Prepared(prepared) => Acme::Running(prepared.start()?),
            other => other,
        };
        Ok(())
    }

    /// Fills the slots that a new configuration needs, and has its certificates kept.
    ///
    /// # Errors
    /// The store can't be opened.
    pub(super) fn keep_certificates(&self, config: &Config) -> Result<(), StartError> {
        let mut acme = self.acme.lock().unwrap_or_else(PoisonError::into_inner);
        match &*acme {
            Acme::Running(handle) => {
                handle.keep(Wants::of(config));
                return Ok(());
            }
            Acme::Off | Acme::Prepared(_) => *acme = prepare(config, &self.certificates, &self.metrics, &self.board)?,
        }
        drop(acme);
        self.start_acme().map_err(StartError::Runtime)
    }

    /// Ends it. An order under way is gone on with after the next start.
    pub(super) fn end_acme(&self) {
        let acme = std::mem::take(&mut *self.acme.lock().unwrap_or_else(PoisonError::into_inner));
        drop(acme);
    }
}
