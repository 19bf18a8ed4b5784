//! The table: bars, lines, verdicts.

use std::fmt;

use super::measure::Ratio;

/// What must be reached: `≤ 0.40 × distribution`, `≤ 50 ms`.
#[derive(Clone, Copy)]
pub struct Bar {
    side: Side,
    limit: f64,
    /// What the limit is a number of.
    of: &'static str,
}

#[derive(Clone, Copy)]
enum Side {
    AtMost,
    AtLeast,
}

impl Bar {
    /// The figure must not be above `limit`.
    pub const fn at_most(limit: f64, of: &'static str) -> Self {
        Self { side: Side::AtMost, limit, of }
    }

    /// The figure must not be below `limit`.
    pub const fn at_least(limit: f64, of: &'static str) -> Self {
        Self { side: Side::AtLeast, limit, of }
    }

    fn is_reached(self, figure: f64) -> bool {
        match self.side {
            Side::AtMost => figure <= self.limit,
            Side::AtLeast => figure >= self.limit,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::AtMost => "≤",
            Side::AtLeast => "≥",
        };
        write!(f, "{side} {} {}", self.limit, self.of)
    }
}

/// A line of the table.
pub struct Line {
    work: String,
    ours: String,
    distribution: String,
    nginx: String,
    ratio: String,
    bar: String,
    /// `None` where there is no bar.
    reached: Option<bool>,
}

impl Line {
    /// A line with our figure, as text.
    pub fn new(work: impl Into<String>, ours: impl Into<String>) -> Self {
        let none = String::new;
        Self {
            work: work.into(),
            ours: ours.into(),
            distribution: none(),
            nginx: none(),
            ratio: none(),
            bar: none(),
            reached: None,
        }
    }

    /// Adds distribution's figure.
    #[must_use]
    pub fn distribution(mut self, figure: impl Into<String>) -> Self {
        self.distribution = figure.into();
        self
    }

    /// Adds nginx's figure.
    #[must_use]
    pub fn nginx(mut self, figure: impl Into<String>) -> Self {
        self.nginx = figure.into();
        self
    }

    /// Adds the ratio, for information.
    #[must_use]
    pub fn ratio(mut self, ratio: Ratio) -> Self {
        self.ratio = format!("{:.2} ({:.2} … {:.2})", ratio.median, ratio.least, ratio.most);
        self
    }

    /// Adds the ratio, whose median must reach the bar.
    #[must_use]
    pub fn ratio_held_to(self, bar: Bar, ratio: Ratio) -> Self {
        self.ratio(ratio).held_to(bar, ratio.median)
    }

    /// Our figure, as the number that it is, must reach the bar.
    #[must_use]
    pub fn held_to(mut self, bar: Bar, figure: f64) -> Self {
        self.bar = bar.to_string();
        self.reached = Some(bar.is_reached(figure));
        self
    }

    /// Is the bar not reached?
    pub fn is_bad(&self) -> bool {
        self.reached == Some(false)
    }
}

/// The two lines at the top.
pub fn head() -> String {
    let rule = |width: usize| "-".repeat(width);
    let names = row(["work", "ours", "distribution", "nginx", "ratio (least … most)", "bar", ""]);
    let [a, b, c, d, e, f, g] = WIDTHS.map(rule);
    format!("{names}\n{}", row([&a, &b, &c, &d, &e, &f, &g]))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.reached {
            None => "",
            Some(true) => "ok",
            Some(false) => "BAD",
        };
        let Self { work, ours, distribution, nginx, ratio, bar, .. } = self;
        f.write_str(&row([work, ours, distribution, nginx, ratio, bar, verdict]))
    }
}

/// How wide the columns are at least, for those who read the table as it is.
const WIDTHS: [usize; 7] = [58, 13, 12, 8, 22, 21, 3];

fn row(cells: [&str; 7]) -> String {
    let cells = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:<width$}"));
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

/// A time, in the unit that suits it.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 0.9995 => format!("{s:.2} s"),
        s if s >= 0.009_995 => format!("{:.0} ms", s * 1e3),
        s if s >= 0.000_999_5 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

/// So many a second.
pub fn rate(figure: f64) -> String {
    if figure >= 1000.0 { format!("{:.1} k/s", figure / 1000.0) } else { format!("{figure:.0} /s") }
}

/// An amount of memory.
pub fn mebibytes(figure: f64) -> String {
    format!("{figure:.1} MiB")
}
