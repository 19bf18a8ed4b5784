//! The configuration ([`container_registry::config`]): a file, flags, variables.
//!
//! Input: lines with flags, as `--port 80`, and behind them the file.
#![no_main]

use std::ffi::OsString;
use std::time::Duration;

use container_registry::config::{Config, ConfigError, RULES, SETTINGS};
use container_registry_fuzz::Tree;
use libfuzzer_sys::fuzz_target;

type Pairs = Vec<(String, String)>;

fuzz_target!(|input: &str| {
    let (mut flags, mut file) = (Pairs::new(), input);
    while file.starts_with("--") {
        let (line, rest) = file.split_once('\n').unwrap_or((file, ""));
        let (flag, value) = line.split_once(' ').unwrap_or((line, "true"));
        flags.push((flag.to_owned(), value.to_owned()));
        file = rest;
    }
    if flags.iter().any(|(flag, _)| flag == "--config") {
        return;
    }
    check(&load(&flags, &[], ""));
    let from_file = load(&[], &[], file);
    check(&from_file);
    if let Ok(config) = from_file
        && !file.is_empty()
    {
        check_same_otherwise(config, file);
    }
});

/// Loads with these flags and variables, and a file if there is one.
fn load(
    flags: &[(String, String)],
    variables: &[(String, String)],
    file: &str,
) -> Result<Config, ConfigError> {
    let mut flags = flags.to_vec();
    if !file.is_empty() {
        flags.push(("--config".to_owned(), "f".to_owned()));
    }
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(&flags, variables, |_| Ok(file.to_owned()))
}

fn text(element: &Tree) -> &str {
    if let Tree::String(text) = element { text } else { panic!("a list is one of strings") }
}

fn check(loaded: &Result<Config, ConfigError>) {
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            let message = error.to_string();
            return assert!(!message.is_empty() && !message.chars().any(char::is_control), "{message:?}");
        }
    };
    let (server, year) = (&config.server, Duration::from_secs(365 * 24 * 60 * 60));
    for limit in [server.read_timeout, server.write_timeout, server.idle_timeout] {
        assert!(limit <= year, "it can be added to a point in time");
    }
    assert!(config.limits.manifest_bytes > 0);
    if let Some(url) = &server.public_url {
        assert!(url.starts_with("http://") || url.starts_with("https://"));
        assert!(url.bytes().all(|b| b.is_ascii_graphic() && b != b'"') && !url.ends_with('/'), "{url}");
    }
    let is_guarded = config.auth.htpasswd.is_some();
    assert!(is_guarded || config.rules.is_empty() && !config.auth.anonymous_pull && !config.metrics.auth);
}

/// What a file sets, variables and flags can set too, and it means the same. Rules alone stand in the file.
fn check_same_otherwise(mut config: Config, file: &str) {
    let tree: Tree = serde_json::from_str(file).unwrap();
    assert!(!tree.has_twins(), "of two, one would not count");
    let (mut flags, mut variables) = (Pairs::new(), Pairs::new());
    for (section, members) in tree.members() {
        for (key, value) in members.members() {
            let name = format!("{section}.{key}");
            if name == RULES.0 {
                continue;
            }
            let setting = SETTINGS.iter().find(|setting| setting.name() == name).unwrap();
            let value = match value {
                Tree::String(text) => text.clone(),
                Tree::Bool(value) => value.to_string(),
                Tree::Number(number) => number.to_string(),
                Tree::Array(elements) => elements.iter().map(text).collect::<Vec<_>>().join(","),
                other => panic!("{name} is {other:?}"),
            };
            flags.push((setting.flag().to_owned(), value.clone()));
            variables.push((setting.variable(), value));
        }
    }
    config.rules.clear();
    assert_eq!(load(&flags, &[], "").unwrap(), config);
    assert_eq!(load(&[], &variables, "").unwrap(), config);
}
