//! Settings that mean nothing without another, or beside it.

use super::{Config, Storage};
use crate::percent::Percent;

impl Config {
    /// Why the settings cannot stand together, if they cannot.
    pub(super) fn contradiction(&self) -> Option<String> {
        let Storage { warn_free, refuse_free, .. } = self.storage;
        if refuse_free > warn_free && warn_free > Percent::ZERO {
            return Some(format!(
                "storage.refuse_free is {refuse_free} and storage.warn_free {warn_free}: nobody would be warned"
            ));
        }
        if self.auth.htpasswd.is_some() {
            return None;
        }
        // Whoever sets them believes that passwords are asked for.
        let set = match self.rules.is_empty() {
            true if self.metrics.auth => "metrics.auth",
            true => self.auth.anonymous_pull.then_some("auth.anonymous_pull")?,
            false => "auth.rules",
        };
        Some(format!("{set} needs auth.htpasswd: without it, everybody may do everything"))
    }
}
