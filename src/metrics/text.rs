//! The text format that Prometheus reads, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write};

/// What the numbers of a name are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever goes up, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
}

/// A page that is being written.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins the numbers of one name. All of them follow.
    pub(super) fn name(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help, false));
        Family { text: &mut self.0, name }
    }

    /// One number that has its name for itself.
    pub(super) fn single(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.name(name, kind, help).number("", &[], value);
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// The numbers of one name.
pub(super) struct Family<'t> {
    text: &'t mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Adds a number. `suffix` is for the parts of a histogram: `_bucket`, `_sum`, `_count`.
    pub(super) fn number(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value, true));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// Backslashes and line ends, and in the value of a label quotes too.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_help_its_kind_and_its_numbers() {
        let mut text = Text::default();
        text.single("up", Kind::Gauge, "Is it?", 1);
        let mut family = text.name("seconds", Kind::Histogram, "How \\long\nit \"took\".");
        family.number("_bucket", &[("le", "+Inf")], 2);
        family.number("_sum", &[("a", "b"), ("c", "\\d\"\n")], 0.25);
        text.name("none", Kind::Counter, "Nothing yet.");
        let expect = r#"# HELP up Is it?
# TYPE up gauge
up 1
# HELP seconds How \\long\nit "took".
# TYPE seconds histogram
seconds_bucket{le="+Inf"} 2
seconds_sum{a="b",c="\\d\"\n"} 0.25
# HELP none Nothing yet.
# TYPE none counter
"#;
        assert_eq!(text.finish(), expect);
    }
}
