//! `keyloft policy`: traffic policies.
//!
//! 1. [`apply`](mod@apply): the set as a file declares it.  [`check`](mod@check): the same offline, on a log.
//! 2. [`history`]: its versions, what is different between two, and going back.
//! 3. [`show`](mod@show): the set in force.  [`explain`]: why it decides as it does.  [`results`]: what it has done.
//! 4. [`backtest`]: a draft, or the set in force, on stored traffic.
//! 5. [`held`]: whom they hold, and letting somebody go.  `file`: `policies.yaml`.

pub mod apply;
pub mod backtest;
pub mod check;
pub mod explain;
mod file;
pub mod held;
pub mod history;
pub mod results;
pub mod show;

use clap::Subcommand;

use super::{ClientArgs, Outcome};

pub(super) const EXAMPLES: &str = "The file:
  version: 1
  actions: [{name: login, expression: \"request_method == 'POST' && request_path == '/login'\"}]
  mitigations: [{name: slow, mode: challenge, durationSeconds: 600}]
  policies:
    - {name: login-flood, actions: [login], entity: ip-user-agent, mitigation: slow,
       window: {seconds: 300, threshold: 20, count: \"response_status == 401\"}}

Examples:
  keyloft policy apply -f policies.yaml --dry-run
  keyloft policy apply -f policies.yaml --comment 'slow down login floods'
  keyloft policy versions
  keyloft policy diff 3 4
  keyloft policy rollback 3";

/// The commands on policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Make the policy set what a YAML file declares, as one new version
    #[command(after_help = "Example:\n  keyloft policy apply -f policies.yaml --prune --wait 5s")]
    Apply(apply::ApplyArgs),
    /// Check a file offline, and what it would have done on an access log
    #[command(after_help = "Examples:\n  keyloft policy check -f policies.yaml\n  \
                            keyloft policy check -f policies.yaml --log access.log --format combined")]
    Check(check::CheckArgs),
    /// Try a draft, or the set in force, on stored traffic
    #[command(after_help = "Examples:\n  keyloft policy backtest -f policies.yaml --days 7\n  \
                            keyloft policy backtest --stream web --from 2026-11-01 --to 2026-11-08 --json")]
    Backtest(backtest::BacktestArgs),
    /// List the policies in force
    #[command(after_help = "Example:\n  keyloft policy list")]
    List,
    /// Show the policy set in force, or one of its versions
    #[command(after_help = "Examples:\n  keyloft policy show\n  keyloft policy show 3 --json")]
    Show(show::ShowArgs),
    /// List the versions of the policy set, the newest first
    #[command(after_help = "Example:\n  keyloft policy versions --limit 5")]
    Versions(history::VersionsArgs),
    /// Show what is different between two versions
    #[command(after_help = "Examples:\n  keyloft policy diff\n  keyloft policy diff 3\n  keyloft policy diff 3 5")]
    Diff(history::DiffArgs),
    /// Explain why the set, or a draft, decides as it does about an event
    #[command(after_help = "Examples:\n  keyloft policy explain event.json\n  \
                            keyloft policy explain event.json -f policies.yaml")]
    Explain(explain::ExplainArgs),
    /// Show what the policies have done
    #[command(after_help = "Examples:\n  keyloft policy results --from 1h\n  keyloft policy results --watch")]
    Results(results::ResultsArgs),
    /// List whom policies hold, or show by which policies one entity is held
    #[command(after_help = "Examples:\n  keyloft policy held\n  keyloft policy held e_ivgjinsfhoap7bufgxv3ixy27y")]
    Held(held::HeldArgs),
    /// Let an entity go that policies hold, on all nodes
    #[command(after_help = "Example:\n  keyloft policy release e_ivgjinsfhoap7bufgxv3ixy27y --wait 5s")]
    Release(held::ReleaseArgs),
    /// Deploy an earlier version once more
    #[command(after_help = "Example:\n  keyloft policy rollback 3 --comment 'too many challenges' --wait 5s")]
    Rollback(history::RollbackArgs),
}

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Apply(apply) => apply::run(args, &apply),
        PolicyCommand::Check(check) => check::run(args, &check),
        PolicyCommand::Backtest(asked) => backtest::run(args, &asked),
        PolicyCommand::List => show::list(args),
        PolicyCommand::Show(show) => show::run(args, &show),
        PolicyCommand::Versions(versions) => history::versions(args, &versions),
        PolicyCommand::Diff(diff) => history::diff(args, &diff),
        PolicyCommand::Explain(asked) => explain::run(args, &asked),
        PolicyCommand::Results(asked) => results::run(args, &asked),
        PolicyCommand::Held(asked) => held::held(args, &asked),
        PolicyCommand::Release(asked) => held::release(args, asked),
        PolicyCommand::Rollback(rollback) => history::roll_back(args, rollback),
    }
}
