//! The configuration as flags, made from the table of keys.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::keys::{Heading, Without};
use super::kind::Kind;
use super::raw::{RawConfig, Source};
use super::{ConfigError, KEYS, Key};

/// Every key of the configuration as a flag. Values are kept as typed; [`super::Config`] validates them.
#[derive(Clone, Debug, Default)]
pub struct ConfigFlags {
    /// The TOML file to start from.
    pub config: Option<PathBuf>,
    /// The typed words of each flag that was given.
    values: Vec<(&'static Key, Vec<String>)>,
}

impl ConfigFlags {
    /// The flags as a layer of the configuration.
    pub(super) fn to_raw(&self) -> Result<RawConfig, ConfigError> {
        let mut raw = RawConfig::default();
        for (key, values) in &self.values {
            raw.put(key, values.iter().map(String::as_str), Source::Flag(key.flag()))?;
        }
        Ok(raw)
    }
}

impl clap::Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").value_parser(clap::value_parser!(PathBuf));
        let config = config.help("The TOML file to start from; flags and environment win over it");
        KEYS.iter().fold(command.arg(config), |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |key: &'static Key| Some((key, matches.get_many(key.name)?.cloned().collect()));
        Ok(Self { config: matches.get_one(CONFIG).cloned(), values: KEYS.iter().filter_map(typed).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const CONFIG: &str = "config";

fn flag(key: &Key) -> Arg {
    let default = match (key.default, key.kind) {
        (Without::Nothing, _) | (_, Kind::Bool(_)) => String::new(),
        (Without::Is(default) | Without::Said(default), _) => format!(" [default: {default}]"),
    };
    let arg = Arg::new(key.name).long(key.name.replace('_', "-")).value_name(key.value_name);
    let arg = arg.help(format!("{}{default}", key.help));
    let arg = match key.heading {
        Heading::General => arg,
        heading => arg.help_heading(heading.text()),
    };
    match key.kind {
        Kind::List(_) | Kind::Tables(_) => arg.action(ArgAction::Append),
        Kind::Bool(_) => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => arg,
    }
}
