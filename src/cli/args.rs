//! The flags of `serve`: one for each entry of [`options`], so that flags, help and configuration agree.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::config::{Config, InvalidConfig, OptionDoc, options};

/// The flags of `keyloft serve`, as they were typed.
#[derive(Debug, Clone, Default)]
pub struct ServeArgs {
    flags: Vec<(&'static str, String)>,
}

impl ServeArgs {
    /// The whole configuration: defaults, file, environment of this process, flags.
    ///
    /// # Errors
    /// [`InvalidConfig`], as for [`Config::load`].
    pub fn load(&self) -> Result<Config, InvalidConfig> {
        Config::load(&self.flags, |name| std::env::var_os(name))
    }
}

fn flags() -> impl Iterator<Item = (&'static str, &'static OptionDoc)> {
    options().filter_map(|option| option.flag.map(|flag| (flag, option)))
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        command.args(flags().map(|(flag, option)| {
            let help = format!("{} [default: {}] [env: {}]", option.doc, option.default, option.env);
            let arg = Arg::new(flag).long(flag).value_name(option.unit).help(help);
            // A switch may stand alone.
            if option.is_switch() { arg.num_args(0..=1).default_missing_value("true") } else { arg }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |(flag, _)| matches.get_one::<String>(flag).map(|text| (flag, text.clone()));
        Ok(Self { flags: flags().filter_map(typed).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
