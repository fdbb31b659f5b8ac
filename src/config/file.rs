//! `keyloft.toml`. Sections and keys are those of [`OptionDoc::key`]; whatever else stands there is refused with its
//! line, so that a misspelt option is never silently the default.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::{Config, InvalidConfig, OptionDoc, options, tables};

/// Reads the file at `path` into `config`.
pub(super) fn apply(config: &mut Config, path: &Path) -> Result<(), InvalidConfig> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| InvalidConfig::new(&place, error))?;
    apply_text(config, &place, &text)
}

pub(super) fn apply_text(config: &mut Config, place: &str, text: &str) -> Result<(), InvalidConfig> {
    let at = |offset: usize| format!("{place} line {}", line(text, offset));
    let document = DeTable::parse(text)
        .map_err(|error| InvalidConfig::new(at(error.span().map_or(0, |span| span.start)), error.message()))?;
    // One level of sections: what is no section is an option without one.
    let entries = document.get_ref().iter().flat_map(|(name, value)| match value.get_ref().as_table() {
        Some(section) => {
            section.iter().map(|(key, value)| (format!("{}.{}", name.get_ref(), key.get_ref()), key, value)).collect()
        }
        None => vec![(name.get_ref().to_string(), name, value)],
    });
    for (key, name, value) in entries {
        let place = at(name.span().start);
        if tables::is_list(&key) {
            tables::add(&mut config.signin, &key, value.get_ref(), &place, at)?;
            continue;
        }
        let at = place;
        let option = options().find(|option| option.key == Some(&key)).ok_or_else(|| unknown(&at, &key))?;
        let text = scalar(value.get_ref()).ok_or_else(|| InvalidConfig::new(&at, format!("{key} must be a text")))?;
        (option.set)(config, &text).map_err(|reason| InvalidConfig::new(&at, format!("{key} {reason}")))?;
    }
    Ok(())
}

fn unknown(at: &str, key: &str) -> InvalidConfig {
    if key.contains("token") {
        return InvalidConfig::new(at, format!("{key} has no place in a file: set KEYLOFT_ADMIN_TOKEN_FILE instead"));
    }
    let flag =
        |option: &&OptionDoc| option.flag.is_some_and(|flag| flag.replace('-', "_") == key.replace(['-', '.'], "_"));
    match options().find(flag).and_then(|option| option.key) {
        Some(meant) => InvalidConfig::new(at, format!("unknown key {key}: it is called {meant} here")),
        None => InvalidConfig::new(at, format!("unknown key {key}")),
    }
}

/// Texts, whole numbers and switches; options have no other form.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(on) => Some(on.to_string()),
        _ => None,
    }
}

/// The line of a byte, counted from 1.
fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        apply_text(&mut config, "keyloft.toml", text).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn every_key_of_the_table_is_read() {
        for option in options() {
            if let Some(key) = option.key {
                let text = format!("{key} = \"{}\"\n", option.default);
                assert!(read(&text).is_ok(), "{text}");
            }
        }
        let config = read("store = \"/srv\"\n[http]\nmax_connections = 5_000\n").unwrap();
        assert_eq!((config.store.to_string().as_str(), config.http.max_connections), ("/srv", 5_000));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, message) in [
            ("[session]\nttl = \"1m\"\nttk = 1\n", "keyloft.toml line 3: unknown key session.ttk"),
            ("stroe = \"x\"", "keyloft.toml line 1: unknown key stroe"),
            ("\nsession_ttl = \"1m\"", "keyloft.toml line 2: unknown key session_ttl: it is called session.ttl here"),
            ("[session]\n\nttl = 5", "keyloft.toml line 3: session.ttl must be a duration such as 250ms, 30s or 5m"),
            ("[http]\nlisten = [\"a\"]", "keyloft.toml line 2: http.listen must be a text"),
            (
                "[admin]\ntoken = \"hunter2\"",
                "keyloft.toml line 2: admin.token has no place in a file: set KEYLOFT_ADMIN_TOKEN_FILE instead",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), message);
        }
        assert!(read("a = \n").unwrap_err().starts_with("keyloft.toml line 1: "));
    }
}
