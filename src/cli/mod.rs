//! The command line: `keyloft serve` runs a server, everything else talks to one, or works offline.
//!
//! 1. [`args`]: the flags of `serve`, from the table of options.
//! 2. [`serve`]: the boot sequence.
//! 3. [`key`], [`tenant`], [`stream`], [`service`], [`membership`], [`operator`], [`signer`], [`audit`], [`store`]: the
//!    commands of operators.  [`login`]: signing in and out.  `place`: what belongs to the platform.
//! 4. [`policy`], [`decide`]: traffic policies.  [`apply`]: keys as files.  [`import`]: keys of other systems.  `yaml`:
//!    what these read.
//! 5. [`connection`]: where the server is and how requests reach it.
//! 6. [`output`]: tables for people, JSON for programs.  `terminal`: errors, and text that cannot act on it.
//! 7. `input`: answers and API keys on standard input.  `when`: instants and durations as people type them.
//! 8. [`failure`]: failures, and the exit code of each.

pub mod apply;
pub mod args;
pub mod audit;
pub mod connection;
pub mod decide;
pub mod failure;
pub mod import;
mod input;
pub mod key;
pub mod login;
pub mod membership;
pub mod operator;
pub mod output;
pub mod place;
pub mod policy;
pub mod serve;
pub mod service;
pub mod signer;
pub mod store;
pub mod stream;
pub mod tenant;
mod terminal;
mod when;
mod yaml;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use args::ServeArgs;
pub use connection::{Client, ClientArgs};
pub use failure::{Failure, Outcome};

const ABOUT: &str = "An API-key keystore that lives in a bucket.

`keyloft serve` starts a server: it keeps API keys, takes events in and answers SQL about
them. The other commands issue and revoke keys on a running server, or make and check keys
offline.

Try it, in two terminals:
  keyloft serve
  export KEYLOFT_ADMIN_TOKEN=<what serve printed>
  keyloft key create --name checkout --type ingestion
  keyloft key create --name dashboards --type query
  keyloft key list";

/// The version, and the cargo profile that this was built with: `quick` builds are not for production.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("KEYLOFT_PROFILE"), ")");

/// Shown under the help of every group of commands. Lines stay short: clap wraps at 100 columns.
const AFTER_HELP: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 unavailable.

The admin token is read from KEYLOFT_ADMIN_TOKEN, or from the file that
KEYLOFT_ADMIN_TOKEN_FILE names; that of a machine from KEYLOFT_TOKEN or KEYLOFT_TOKEN_FILE.
Without any, the sign-in of `keyloft login` counts.
Never from an argument, because every process of the computer can see those.";

/// The arguments of `keyloft`.
#[derive(Debug, Parser)]
#[command(name = "keyloft", version = VERSION)]
#[command(about = "An API-key keystore that lives in a bucket", long_about = ABOUT)]
#[command(after_help = AFTER_HELP, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server
    #[command(long_about = serve::ABOUT, after_help = AFTER_HELP)]
    Serve(ServeArgs),
    /// Issue, list, change and revoke API keys; make and check them offline
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", key::EXAMPLES))]
    Key(key::KeyCommand),
    /// Create, list, change, suspend and delete tenants
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", tenant::EXAMPLES))]
    Tenant(tenant::TenantCommand),
    /// Show streams, and change their settings
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", stream::EXAMPLES))]
    Stream(stream::StreamCommand),
    /// Make, list, change and remove machines: programs that administer
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", service::EXAMPLES))]
    Service(service::ServiceCommand),
    /// List, set, invite and remove members: people who administer
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", membership::EXAMPLES))]
    Membership(membership::MembershipCommand),
    /// Apply, show, compare and roll back traffic policies
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", policy::EXAMPLES))]
    Policy(policy::PolicyCommand),
    /// Ask what to do with a request, as a system does
    #[command(after_help = format!("{}\n\n{AFTER_HELP}", decide::EXAMPLES))]
    Decide(decide::DecideArgs),
    /// Sign in at an identity provider
    #[command(after_help = format!("{}\n\n{AFTER_HELP}", login::EXAMPLES))]
    Login(login::LoginArgs),
    /// Sign out
    #[command(after_help = "Examples:\n  keyloft logout\n  keyloft logout --all")]
    Logout(login::LogoutArgs),
    /// Say who the command line is to the server, and which roles it has
    #[command(after_help = "Example:\n  keyloft whoami")]
    Whoami,
    /// List, show, disable and enable people who have signed in
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", operator::EXAMPLES))]
    Operator(operator::OperatorCommand),
    /// List and drop the keys that sign for people
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", signer::EXAMPLES))]
    Signer(signer::SignerCommand),
    /// Change the keys of a tenant to what a YAML file declares
    #[command(after_help = format!("{}\n\n{AFTER_HELP}", apply::EXAMPLES))]
    Apply(apply::ApplyArgs),
    /// Import the keys of another system; its clients keep their secrets
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", import::EXAMPLES))]
    Import(import::ImportCommand),
    /// Read what happened, and check the record of it
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", audit::EXAMPLES))]
    Audit(audit::AuditCommand),
    /// Check what a store guarantees
    #[command(subcommand, after_help = format!("{}\n\n{AFTER_HELP}", store::EXAMPLES))]
    Store(store::StoreCommand),
}

/// The `keyloft` command: reads the arguments of this process, runs the command and reports a failure on standard
/// error. A mistake in the arguments ends the process with exit code 2, `--help` and `--version` with 0.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(args) => cli.client.refuse_for_serve().and_then(|()| serve::run(args)),
        Command::Key(command) => key::run(&cli.client, command),
        Command::Tenant(command) => tenant::run(&cli.client, command),
        Command::Stream(command) => stream::run(&cli.client, command),
        Command::Service(command) => service::run(&cli.client, command),
        Command::Membership(command) => membership::run(&cli.client, command),
        Command::Decide(asked) => decide::run(&cli.client, &asked),
        Command::Policy(command) => policy::run(&cli.client, command),
        Command::Login(args) => login::run(&cli.client, &args),
        Command::Logout(args) => login::logout(&cli.client, &args),
        Command::Whoami => login::whoami(&cli.client),
        Command::Operator(command) => operator::run(&cli.client, command),
        Command::Signer(command) => signer::run(&cli.client, command),
        Command::Apply(command) => apply::run(&cli.client, &command),
        Command::Import(command) => import::run(&cli.client, command),
        Command::Audit(command) => audit::run(&cli.client, command),
        Command::Store(command) => cli.client.refuse_for("store").and_then(|()| store::run(cli.client.json, command)),
    };
    failure::exit_code(outcome)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::options;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_takes_every_option_of_the_table_and_no_other() {
        let mut cli = Cli::command();
        cli.build();
        let serve = cli.find_subcommand("serve").unwrap();
        let shared = ["help", "url", "tenant", "json"];
        let mut flags: Vec<_> = serve.get_arguments().filter_map(clap::Arg::get_long).collect();
        flags.retain(|flag| !shared.contains(flag));
        let table: Vec<_> = options().filter_map(|option| option.flag).collect();
        assert_eq!(flags, table);
        let help = serve.clone().render_long_help().to_string();
        for option in options().filter(|option| option.flag.is_some()) {
            assert!(help.contains(option.env), "{}", option.env);
            assert!(help.contains(option.default), "{}", option.default);
        }
    }

    #[test]
    fn no_line_of_help_is_long_enough_to_be_broken() {
        let groups = [
            key::EXAMPLES,
            tenant::EXAMPLES,
            apply::EXAMPLES,
            import::EXAMPLES,
            store::EXAMPLES,
            stream::EXAMPLES,
            service::EXAMPLES,
            membership::EXAMPLES,
            operator::EXAMPLES,
            signer::EXAMPLES,
            login::EXAMPLES,
            audit::EXAMPLES,
        ];
        for text in [[ABOUT, AFTER_HELP, serve::ABOUT].as_slice(), &groups].concat() {
            assert!(text.lines().all(|line| line.len() <= 95), "{text}");
        }
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(!name.contains("token") && !name.contains("secret") && !name.contains("api_key"), "{name}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn what_is_malformed_never_reaches_the_network() {
        for line in [
            "keyloft key create --name a --type both",
            "keyloft key create --name a --type query --streams Web",
            "keyloft key create --name a --type query --expires-at tomorrow",
            "keyloft key create --name a --type query --expires-at 90d",
            "keyloft key create --name a --type query --expires-in 1M",
            "keyloft key create --name a --type query --expires-in 1y",
            "keyloft key create --name a --type query --metadata []",
            "keyloft key create --name a --type query --expires-in 1500ms",
            "keyloft key create --name a --type query --expires-in 1d --no-expiry",
            "keyloft key rotate a --overlap -1s",
            "keyloft key list --expires-before tomorrow",
            "keyloft key list --unused-since 1M",
            "keyloft tenant update acme",
            "keyloft service create --name ci --role owner",
            "keyloft service list --platform --tenant acme",
            "keyloft service rotate ci",
            "keyloft membership set --role viewer",
            "keyloft membership set --email ada@example.com",
            "keyloft membership set --email ada --role viewer",
            "keyloft membership set --user-id ada --role viewer",
            "keyloft membership set --email a@b --user-id op-5a12af06505d0ebbb95bca5441f5c29f --role viewer",
            "keyloft membership set --email a@b --role viewer --platform --tenant acme",
            "keyloft membership remove",
            "keyloft operator id --issuer https://id.example",
            "keyloft operator disable ada",
            "keyloft signer drop 1",
            "keyloft service update 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10",
            "keyloft key create --name a --type query --allowed-cidrs 10.0.0.1/8",
            "keyloft key create --name a --type query --requests-per-minute 0",
            "keyloft key update checkout --allowed-cidrs 10.0.0.0/8 --any-network",
            "keyloft tenant update acme --bytes-per-minute 1KiB",
            "keyloft key list --limit 0",
            "keyloft key list --unused-since yesterday",
            "keyloft key update 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10",
            "keyloft key update x --enable --disable",
            "keyloft --tenant ../x key list",
            "keyloft --url ftp://example key list",
            "keyloft key validate --digest md5:0",
            "keyloft key validate --scrypt hunter2",
            "keyloft apply",
            "keyloft import parseable --store ftp://example",
            "keyloft import parseable --store . --as both",
            "keyloft import vmauth",
            "keyloft import vmauth auth.yml --as query --ingestion-users a",
            "keyloft tenant create streams",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn dates_and_distances_are_taken_where_instants_are() {
        for line in [
            "keyloft key create --name a --type query --expires-at 2027-01-01",
            "keyloft key update a --expires-at 2027-01-01",
            "keyloft key list --expires-before 90d",
            "keyloft key list --expires-before 2027-01-01 --unused-since 2026-01-01",
            "keyloft key revoke --source-id web --unused-since 2026-01-01",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_version_says_the_profile() {
        let version = Cli::command().render_version();
        assert!(version.starts_with(concat!("keyloft ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
    }

    #[test]
    fn shared_options_stand_before_or_after_the_command() {
        for line in ["keyloft --tenant acme --json key list", "keyloft key list --tenant acme --json"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!((cli.client.tenant().as_str(), cli.client.json), ("acme", true));
            assert!(cli.client.refuse_for_serve().is_err());
        }
    }
}
