//! The time of day, as the log and the `Date` header write it. std knows seconds since 1970 only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970 began.
pub fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment, taken apart in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    year: i64,
    month: i64,
    day: i64,
    weekday: i64,
    second_of_day: u64,
    millisecond: u32,
}

impl Utc {
    /// This moment.
    pub fn now() -> Self {
        Self::from_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// The moment so long after 1970 began.
    pub fn from_epoch(since: Duration) -> Self {
        // Howard Hinnant's civil_from_days: years begin in March, so that the leap day ends them, and 400 of
        // them (an era) have always the same number of days.
        let days = i64::try_from(since.as_secs() / 86_400).unwrap_or(0);
        let shifted = days + 719_468; // from 0000-03-01
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            weekday: (days + 4) % 7, // 1970 began on a Thursday
            second_of_day: since.as_secs() % 86_400,
            millisecond: since.subsec_millis(),
        }
    }

    fn time(self) -> (u64, u64, u64) {
        (self.second_of_day / 3600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }

    /// `2026-11-20T23:59:01.042Z` (RFC 3339), for the log and for files.
    pub fn rfc3339(self) -> String {
        let (hour, minute, second) = self.time();
        let Self { year, month, day, millisecond, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }

    /// `Fri, 20 Nov 2026 23:59:01 GMT` (RFC 9110, 5.6.7), for the `Date` header.
    pub fn http_date(self) -> String {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let name =
            |names: &[&'static str], at: i64| usize::try_from(at).ok().and_then(|at| names.get(at).copied());
        let weekday = name(&DAYS, self.weekday).unwrap_or("Sun");
        let month = name(&MONTHS, self.month - 1).unwrap_or("Jan");
        let (hour, minute, second) = self.time();
        format!("{weekday}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", self.day, self.year)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: u64, rfc3339: &str, http_date: &str) {
        let moment = Utc::from_epoch(Duration::from_millis(millis));
        assert_eq!((moment.rfc3339().as_str(), moment.http_date().as_str()), (rfc3339, http_date));
    }

    #[test]
    fn moments_are_taken_apart() {
        check(0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z", "Tue, 29 Feb 2000 00:00:00 GMT");
        check(1_795_219_141_042, "2026-11-20T23:59:01.042Z", "Fri, 20 Nov 2026 23:59:01 GMT");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 GMT");
    }
}
