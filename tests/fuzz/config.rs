//! The configuration: a file's text, and variables of the environment.
//!
//! Oracles: a mistake is one line that names its place, a line that is there or a variable that was set; what is taken
//! is taken again in the same way, and from the file that it is printed as.

use fanwire::config::{Config, ConfigFlags, RawConfig};

use super::input::Input;

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.byte().is_multiple_of(2) {
        check_file(&String::from_utf8_lossy(input.rest()));
    } else {
        check_environment(&String::from_utf8_lossy(input.rest()));
    }
}

fn load(text: &str) -> Result<Config, String> {
    let raw = RawConfig::from_file("f.toml", text).map_err(|error| error.to_string())?;
    Config::resolve(raw, 3).map_err(|error| error.to_string())
}

fn check_file(text: &str) {
    match load(text) {
        Ok(config) => {
            let again = load(text).expect("what was taken is taken again");
            assert_eq!(format!("{again:?}"), format!("{config:?}"));
            check_printed(&config);
        }
        Err(error) => {
            check_line(&error);
            // A mistake in what is not there, such as a default, has no line.
            let place = error.strip_prefix("f.toml:").and_then(|rest| rest.split_once(": "));
            let line = place.and_then(|(line, _)| line.parse::<usize>().ok());
            let line = line.unwrap_or_else(|| panic!("{error:?} names no line"));
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "{error:?} of {text:?}");
        }
    }
}

/// Each line is a variable without its first letters, and its value.
fn check_environment(text: &str) {
    let variable = |line: &str| line.split_once('=').map(|(name, value)| (format!("FANWIRE_{name}"), value.to_owned()));
    // The name of a file, which would be read.
    let variables: Vec<_> = text.lines().filter_map(variable).filter(|(name, _)| name != "FANWIRE_CONFIG").collect();
    match Config::load(&ConfigFlags::default(), variables.clone(), 3) {
        Ok(config) => check_printed(&config),
        Err(error) => {
            let error = error.to_string();
            check_line(&error);
            let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            let is_named = |name: &str| error.starts_with(&(name.chars().map(shown).collect::<String>() + ": "));
            let is_named = variables.iter().any(|(name, _)| is_named(name));
            assert!(is_named, "{error:?} names no variable of {variables:?}");
        }
    }
}

fn check_line(error: &str) {
    assert!(!error.contains(char::is_control), "{error:?} is more than a line of text");
}

/// The printed configuration means the same; only the places differ.
fn check_printed(config: &Config) {
    config.warnings.iter().for_each(|warning| check_line(warning));
    let printed = config.effective();
    let again = load(&printed).unwrap_or_else(|error| panic!("{error} in what was printed:\n{printed}"));
    assert_eq!(without_sources(&again.effective()), without_sources(&printed));
    let parts = |config: &Config| {
        let Config { listen, tls, proxies, shards, limits, topics, compression, names, snapshot, seed, .. } = config;
        format!(
            "{listen:?} {tls:?} {proxies:?} {shards} {limits:?} {topics:?} {compression:?} {names:?} {snapshot:?} {seed:?}"
        )
    };
    assert_eq!(parts(&again), parts(config));
}

/// Each line without its comment. A comment stands behind two spaces, and has none twice in it.
fn without_sources(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.rsplit_once("  # ").map_or(line, |(line, _)| line)).collect()
}
