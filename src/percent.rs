//! A share of a whole, as `10%` or `0.5%`.

use std::fmt;

/// A share, from nothing to all, in steps of a hundredth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

/// So many steps are one percent.
const STEPS: u16 = 100;

impl Percent {
    /// No share at all.
    pub const ZERO: Self = Self(0);

    /// Reads `10%`, `0.5%`, or the number alone. `None` for anything else, and for more than 100%.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
            return None;
        }
        let hundredths: u16 = format!("{fraction:0<2}").parse().ok()?;
        let steps = whole.parse::<u16>().ok()?.checked_mul(STEPS)?.checked_add(hundredths)?;
        (steps <= 100 * STEPS).then_some(Self(steps))
    }

    /// Is `part` less than this share of `whole`?
    pub fn is_more_than(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 100 * u128::from(STEPS) < u128::from(whole) * u128::from(self.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / STEPS, self.0 % STEPS);
        match hundredths {
            0 => write!(f, "{whole}%"),
            tenths if tenths.is_multiple_of(10) => write!(f, "{whole}.{}%", tenths / 10),
            _ => write!(f, "{whole}.{hundredths:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_and_written() {
        for (text, shown) in [
            ("10%", "10%"),
            ("0", "0%"),
            ("0.5%", "0.5%"),
            ("0.05", "0.05%"),
            ("2.50%", "2.5%"),
            ("100%", "100%"),
        ] {
            let share = Percent::parse(text).unwrap();
            assert_eq!(share.to_string(), shown);
            assert_eq!(Percent::parse(shown), Some(share));
        }
        for text in
            ["", "%", "-1%", "+1%", "1 %", ".5", "5.", "0.005%", "100.01%", "101%", "99999%", "1e1", "10%%"]
        {
            assert_eq!(Percent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn less_than_the_share_is_less() {
        let one = Percent::parse("1%").unwrap();
        assert!(one.is_more_than(9, 1000) && !one.is_more_than(10, 1000));
        assert!(one.is_more_than(0, 1) && !one.is_more_than(0, 0) && !Percent::ZERO.is_more_than(0, 1));
        assert!(!one.is_more_than(u64::MAX, u64::MAX));
    }
}
