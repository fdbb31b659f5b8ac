//! The description of an option, once for the command line, the environment, the file and the documentation.

use super::Config;

/// One option. The name of its variable mirrors that of its flag: `--session-ttl` is `KEYLOFT_SESSION_TTL`.
#[derive(Debug, Clone, Copy)]
pub struct OptionDoc {
    /// The flag without its dashes, in kebab case; `None` for an option that only the environment takes.
    pub flag: Option<&'static str>,
    /// The environment variable.
    pub env: &'static str,
    /// The key in the file, with its section: `session.ttl`; `None` for an option that the file does not take.
    pub key: Option<&'static str>,
    /// The default in the option's own notation; `none` without one.
    pub default: &'static str,
    /// The notation of the value: its unit, or its words.
    pub unit: &'static str,
    /// One sentence or two for people.
    pub doc: &'static str,
    /// Parses a text into the configuration; the error states the rule.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl OptionDoc {
    /// Whether it is on or off.
    pub fn is_switch(&self) -> bool {
        self.unit == "true or false"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::options;

    #[test]
    fn every_variable_mirrors_its_flag() {
        for option in options() {
            if let Some(flag) = option.flag {
                assert_eq!(option.env, format!("KEYLOFT_{}", flag.replace('-', "_").to_uppercase()));
            }
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let names: Vec<_> =
            options().flat_map(|option| [Some(option.env), option.flag, option.key]).flatten().collect();
        let store = names.iter().filter(|name| **name == "store").count();
        assert_eq!(store, 2, "the flag and the key");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len() - 1);
    }

    #[test]
    fn no_secret_is_a_flag_or_a_key() {
        let redis = ["KEYLOFT_LIMITS_REDIS", "KEYLOFT_LIMITS_REDIS_FILE"];
        for option in options().filter(|option| {
            option.env.contains("TOKEN") || option.env.contains("SECRET") || redis.contains(&option.env)
        }) {
            assert_eq!((option.flag, option.key), (None, None));
        }
    }
}
