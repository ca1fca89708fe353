//! The command line: one file a verb.
//!
//! Owns arguments, what is printed on a terminal, and exit codes. Never handles a request, and decides nothing that a
//! configuration file could not say as well.

pub mod crypto;

mod bench;
mod cert;
mod check;
mod config_path;
mod demo;
mod healthcheck;
mod log;
mod reverse_proxy;
mod run;
mod text;
mod trust;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use config_path::ConfigPath;

/// Everything went as asked; a server has drained.
const OK: u8 = 0;
/// `check` found errors, `healthcheck` a server that isn't ready, `bench` a missed threshold, or output could not be
/// written.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;
/// `EX_CONFIG` of sysexits.h: `run` can't start with this configuration, and starting again won't help.
const CONFIG: u8 = 78;

/// An edge server: one binary in front of HTTP backends that balances, limits, ejects and encrypts.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, disable_version_flag = true, arg_required_else_help = true)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    nginx: NginxForms,
}

/// What fingers know from nginx.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "nginx's forms")]
struct NginxForms {
    /// Run with this file, or check it together with -t
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// The same as `check`
    #[arg(short = 't')]
    test: bool,
    /// The same as `version`
    #[arg(short = 'v')]
    version: bool,
    /// Version and what it was built with
    #[arg(short = 'V')]
    build: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve what a configuration file says
    Run(ConfigPath),
    /// Tell every error of a configuration file, or what it would take to serve it
    Check(ConfigPath),
    /// Look at the certificates that Tidegate gets by itself, renew or revoke one
    Cert(cert::Cert),
    /// Put a proxy in front of a backend without a configuration file
    ReverseProxy(reverse_proxy::ReverseProxy),
    /// Start three backends and a proxy in front of them, to try it out
    Demo(demo::Demo),
    /// Ask a running server whether it is ready: exit code 0 or 1
    Healthcheck(healthcheck::Healthcheck),
    /// Load a server and tell its rate and latencies, or compare two reports
    Bench(Box<bench::Bench>),
    /// Have this machine trust the demo's certificate, by a CA that can vouch for localhost alone
    Trust(trust::Trust),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff)
    Man,
    /// Print the version
    Version,
}

/// Reads the arguments (the first is the program's name), does what they ask for and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => ExitCode::from(arguments.perform()),
        Err(error) => {
            // Help that was asked for is no error: clap gives it code 0 and stdout.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
        }
    }
}

impl Arguments {
    fn perform(self) -> u8 {
        match self.verb {
            Some(verb) => verb.perform(),
            None => self.nginx.perform(),
        }
    }
}

impl Verb {
    fn perform(self) -> u8 {
        match self {
            Verb::Run(config) => run::run(&config),
            Verb::Check(config) => check::check(&config),
            Verb::Cert(arguments) => arguments.perform(),
            Verb::ReverseProxy(arguments) => arguments.perform(),
            Verb::Demo(arguments) => arguments.perform(),
            Verb::Healthcheck(arguments) => arguments.perform(),
            Verb::Bench(arguments) => arguments.perform(),
            Verb::Trust(arguments) => arguments.perform(),
            Verb::Schema => text::schema(),
            Verb::Completions { shell } => text::completions(Arguments::command(), shell),
            Verb::Man => text::man(Arguments::command()),
            Verb::Version => text::version(),
        }
    }
}

impl NginxForms {
    fn perform(self) -> u8 {
        if self.build {
            return text::build();
        }
        if self.version {
            return text::version();
        }
        let config = ConfigPath::or_default(self.config);
        if self.test { check::check(&config) } else { run::run(&config) }
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 fine or drained, 1 `check` found errors, `healthcheck` no ready server or `bench` a missed threshold,
            2 wrong usage,
            71 the system refused what the server needs, 78 `run` can't start with this configuration.
Signals:    TERM, QUIT drain; INT ends at once; a second TERM or INT ends at once; HUP reloads; USR1 reopens logs.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_command_line_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn nginx_forms_mean_what_they_mean_in_nginx() {
        let test = parse("tidegate -t -c site.toml");
        assert!(test.verb.is_none() && test.nginx.test);
        assert_eq!(test.nginx.config, Some(PathBuf::from("site.toml")));
        assert!(parse("tidegate -V").nginx.build);
        assert!(parse("tidegate -v").nginx.version);
        assert!(!parse("tidegate -c site.toml").nginx.test);
    }

    #[test]
    fn nginx_forms_do_not_mix_with_verbs() {
        assert!(Arguments::try_parse_from(["tidegate", "-t", "demo"]).is_err());
    }
}
