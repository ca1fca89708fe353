//! `tidegate cert`: the certificates that Tidegate gets by itself.

mod show;

use std::sync::Arc;

use instant_acme::RevocationReason;

use super::config_path::ConfigPath;
use super::{FAILED, OK, log};
use crate::acme::Moment;
use crate::acme::attempt::read;
use crate::acme::by_hand::{renew, revoke};
use crate::acme::clock::Clock;
use crate::acme::context::Context;
use crate::acme::failure::Failure;
use crate::acme::standing::{self, Standing};
use crate::acme::store::{Files, StoreError};
use crate::acme::wanted::{Wanted, Wants};
use crate::config::{Acme, Config, Log, LogLevel};
use crate::tls;

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Cert {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Tell how every certificate stands, and when something is tried next
    List {
        #[command(flatten)]
        config: ConfigPath,
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Tell all about one certificate
    Show {
        #[command(flatten)]
        which: Which,
        /// As JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Get a new certificate now: a running server answers the challenges and takes it over
    Renew {
        #[command(flatten)]
        which: Which,
    },
    /// Revoke a certificate; a running server gets another one
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Why
        #[arg(long, value_enum, default_value_t = Why::Unspecified)]
        reason: Why,
    },
}

/// One certificate of one configuration.
#[derive(Debug, clap::Args)]
struct Which {
    /// A site's name, one of its hosts, or the certificate's id
    name: String,
    #[command(flatten)]
    config: ConfigPath,
}

/// The reasons that CAs take from a certificate's owner.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Why {
    Unspecified,
    KeyCompromise,
    Superseded,
    AffiliationChanged,
    CessationOfOperation,
}

impl Cert {
    pub(super) fn perform(self) -> u8 {
        match self.verb {
            Verb::List { config, json } => list(&config, json),
            Verb::Show { which, json } => which.with(false, |desk, wanted| {
                let standing = desk.run(standing::of(&desk.context, wanted)).map_err(Failure::local)?;
                show::one(&standing, desk.context.now(), json);
                Ok(())
            }),
            Verb::Renew { which } => which.with(true, |desk, wanted| {
                let bundle = desk.run(renew(&desk.context, wanted))?;
                println!("{}: renewed, good until {}", wanted.site, bundle.validity.not_after);
                Ok(())
            }),
            Verb::Revoke { which, reason } => which.with(true, |desk, wanted| {
                desk.run(revoke(&desk.context, wanted, reason.into()))?;
                println!("{}: revoked; `tidegate cert renew`, or a running server, gets another", wanted.site);
                Ok(())
            }),
        }
    }
}

/// What the verbs work with.
struct Desk {
    context: Context,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    /// To look at a store, or to work in it.
    fn open(acme: &Acme, work: bool) -> Result<Self, String> {
        let store = match work {
            true => Files::open(&acme.store).map_err(|error| error.to_string())?,
            false => Files::look(&acme.store),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let context = Context::new(Arc::new(store), tls::Store::new(), Clock::System);
        context.set_contacts(&acme.contacts);
        Ok(Self { context, runtime })
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl Which {
    /// Does something about the certificate. 0, or 1 with a line on stderr.
    fn with(&self, work: bool, act: impl FnOnce(&Desk, &Wanted) -> Result<(), Failure>) -> u8 {
        let Some(config) = load(&self.config) else { return FAILED };
        let Some(acme) = &config.acme else { return nothing(&self.config) };
        let wants = Wants::of(&config);
        // A store isn't made for a name that there isn't.
        let found = Desk::open(acme, false).map(|desk| self.find(&wants, &desk));
        let opened = found.and_then(|found| found.map(|wanted| Ok((wanted, Desk::open(acme, work)?))).transpose());
        match opened {
            Ok(Some((wanted, desk))) => match act(&desk, &wanted) {
                Ok(()) => OK,
                Err(failure) => failed(&format!("{}: {failure}", wanted.site)),
            },
            Ok(None) => {
                let known: Vec<&str> = wants.certificates.iter().map(|wanted| &*wanted.site).collect();
                failed(&format!("no certificate of {}; there are: {}", self.name, known.join(", ")))
            }
            Err(error) => failed(&error),
        }
    }
}

impl Which {
    /// The certificate that is meant. One that is got on demand is meant if the store has it.
    fn find(&self, wants: &Wants, desk: &Desk) -> Option<Wanted> {
        let host = self.name.to_lowercase();
        let named =
            |wanted: &&Wanted| *wanted.site == *self.name || wanted.id == self.name || wanted.names.contains(&host);
        if let Some(wanted) = wants.certificates.iter().find(named) {
            return Some(wanted.clone());
        }
        // An id is the host and a hash.
        let of_id = self.name.rsplit_once('-').and_then(|(host, _)| wants.on_demand(host));
        let wanted = of_id.filter(|wanted| wanted.id == self.name).or_else(|| wants.on_demand(&host))?;
        let there = desk.run(read(&desk.context, &wanted));
        matches!(there, Ok((_, Some(_)))).then_some(wanted)
    }
}

fn list(path: &ConfigPath, json: bool) -> u8 {
    let Some(config) = load(path) else { return FAILED };
    let Some(acme) = &config.acme else { return nothing(path) };
    let desk = match Desk::open(acme, false) {
        Ok(desk) => desk,
        Err(error) => return failed(&error),
    };
    let standings: Result<Vec<Standing>, StoreError> = desk.run(standing::all(&desk.context, &config));
    match standings {
        Ok(standings) => show::all(&standings, Moment::now(), json),
        Err(error) => failed(&error.to_string()),
    }
}

/// The configuration, with what goes wrong on stderr.
fn load(path: &ConfigPath) -> Option<Config> {
    let config = path.load()?.config;
    log::start(&Log { level: LogLevel::Warn, json: false });
    Some(config)
}

fn nothing(path: &ConfigPath) -> u8 {
    failed(&format!("no site of {} has `certificate = \"acme\"`", path.path().display()))
}

fn failed(why: &str) -> u8 {
    eprintln!("{why}");
    FAILED
}

impl From<Why> for RevocationReason {
    fn from(why: Why) -> Self {
        match why {
            Why::Unspecified => RevocationReason::Unspecified,
            Why::KeyCompromise => RevocationReason::KeyCompromise,
            Why::Superseded => RevocationReason::Superseded,
            Why::AffiliationChanged => RevocationReason::AffiliationChanged,
            Why::CessationOfOperation => RevocationReason::CessationOfOperation,
        }
    }
}
