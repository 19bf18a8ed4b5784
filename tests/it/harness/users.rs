//! Users with passwords, and rules for them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Registry;

/// An htpasswd file and a configuration file, to start registries with. Every user's password is their name
/// with `-secret` behind.
pub struct Users {
    folder: tempfile::TempDir,
}

impl Users {
    pub fn new(names: &[&str]) -> Self {
        let users = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        users.write(&names.iter().map(|name| line(name)).collect::<String>());
        users
    }

    /// The htpasswd file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    /// Replaces the htpasswd file, at once.
    pub fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).and_then(|()| fs::rename(new, self.file())).expect("writing the htpasswd file");
    }

    /// Starts a registry that asks for their passwords.
    pub fn start(&self, flags: &[&str]) -> Registry {
        let file = self.file().display().to_string();
        Registry::start_with(&[&["--htpasswd", &file], flags].concat())
    }

    /// Starts one with these rules.
    pub fn start_with_rules(&self, rules: Value) -> Registry {
        let file = self.config(rules);
        Registry::start_with(&["--config", &file])
    }

    /// The name of a configuration file with these rules.
    pub fn config(&self, rules: Value) -> String {
        let file = self.folder.path().join("registry.json");
        let config = json!({ "auth": { "htpasswd": self.file(), "rules": rules } });
        fs::write(&file, config.to_string()).expect("writing the configuration");
        file.display().to_string()
    }
}

/// The line of a user in an htpasswd file.
pub fn line(name: &str) -> String {
    format!("{name}:{}\n", bcrypt::hash(format!("{name}-secret"), 4).expect("a hash"))
}

/// The value of `Authorization` with which a user shows who they are.
pub fn login(name: &str) -> String {
    basic(name, &format!("{name}-secret"))
}

/// The same with any password.
pub fn basic(name: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::from("Basic ");
    for group in format!("{name}:{password}").as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let value = DIGITS[(bits >> (18 - 6 * digit) & 63) as usize];
            encoded.push(if digit > group.len() { '=' } else { char::from(value) });
        }
    }
    encoded
}

impl Registry {
    /// Sends a request as a user.
    pub fn send_as(&self, name: &str, method: &str, path: &str, body: &[u8]) -> super::Answer {
        self.send(method, path, &[("Authorization", &login(name))], body)
    }
}
