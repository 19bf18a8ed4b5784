//! The line of arguments taken apart, with nothing understood.

use crate::config::{did_you_mean, nearest};

/// Arguments taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Typed {
    /// Name and value, in the order typed. The value of a switch is `true`.
    pub flags: Vec<(String, String)>,
    /// What is no flag.
    pub operands: Vec<String>,
}

impl Typed {
    /// `known` are the flags as the help shows them: `--port PORT`, or `--switch`, which takes no value.
    pub fn parse(arguments: &[String], known: &[&str]) -> Result<Self, String> {
        let mut typed = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "-" {
                return Err("- is not a flag, and no file: standard input is /dev/stdin".to_owned());
            }
            if !argument.starts_with('-') {
                typed.operands.push(argument.clone());
                continue;
            }
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let names = known.iter().map(|flag| flag.split(' ').next().unwrap_or(flag));
            let Some(flag) =
                known.iter().zip(names.clone()).find_map(|(flag, n)| (n == name).then_some(flag))
            else {
                let near = did_you_mean(nearest(name, names));
                return Err(format!("{} is not a flag{near}", name.escape_debug()));
            };
            let value = match inline {
                Some(value) => value,
                None if !flag.contains(' ') => "true".to_owned(),
                // Another flag in the place of the value: the value was forgotten, or its variable empty.
                None => match arguments.next().filter(|value| !value.starts_with("--")) {
                    Some(value) => value.clone(),
                    None => return Err(format!("{name} needs a value: {flag}")),
                },
            };
            typed.flags.push((name.to_owned(), value));
        }
        Ok(typed)
    }

    /// Takes a flag out that is no setting. Of several, the last counts.
    pub fn take(&mut self, flag: &str) -> Option<String> {
        let mut value = None;
        self.flags.retain_mut(|(name, given)| {
            let is_other = name != flag;
            if !is_other {
                value = Some(std::mem::take(given));
            }
            is_other
        });
        value
    }

    /// Takes a switch out that is no setting: was it set?
    pub fn take_switch(&mut self, flag: &str) -> Result<bool, String> {
        match self.take(flag).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("{flag}: {other:?} is not true or false")),
        }
    }
}
