//! Time, given from outside. Nobody below the drivers reads a clock.

use std::fmt;

use crate::unit::Micros;

/// Microseconds since an instant that only this node knows. Never compared between nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Later by a duration; stops at the end of time.
    pub fn after(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The duration since an earlier instant; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }

    /// The duration until a later instant; zero if it has passed.
    pub fn until(self, later: Self) -> Micros {
        later.since(self)
    }
}

/// Milliseconds since 1970-01-01 UTC by the wall clock: for people and records. Requests are never decided by it; what ends
/// on a day is: certificates, invites, and entries of the catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// How long ago an earlier moment was; zero if it was not earlier.
    pub fn since(self, earlier: Self) -> Micros {
        Micros::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The day in UTC.
    pub fn day(self) -> Day {
        Day(u32::try_from(self.0 / DAY_MS).unwrap_or(u32::MAX))
    }
}

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

/// Days since 1970-01-01, in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day of a date, if there is one.
    pub fn of_date(year: u32, month: u32, day: u32) -> Option<Self> {
        // Years begin in March, so that the leap day is the last of its year (Hinnant, "chrono-Compatible Low-Level Date
        // Algorithms").
        let shifted = year.checked_sub(u32::from(month <= 2)).filter(|year| *year <= 9_999)?;
        let of_year = (153 * (month.checked_add(9)? % 12) + 2) / 5 + day.min(99);
        let days = (365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + of_year).checked_sub(719_469)?;
        // A date that is written the same is one: no thirteenth month, no 30th of February.
        (Self(days).date() == (year, month, day)).then_some(Self(days))
    }

    /// Reads a date as it is written: `2027-01-01`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('-').map(|number| number.parse::<u32>().ok());
        let day = Self::of_date(numbers.next()??, numbers.next()??, numbers.next()??)?;
        // What is written the same is one: no signs, and as many digits.
        (day.to_string() == text).then_some(day)
    }

    /// Year, month and day of the month.
    pub fn date(self) -> (u32, u32, u32) {
        let shifted = u64::from(self.0) + 719_468;
        // Eras have 400 years.
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        (small(year), small(month), small(day))
    }
}

impl fmt::Display for Day {
    /// As RFC 3339 writes it: `2027-01-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_the_same_both_ways() {
        for (day, text) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_819, "2027-01-01")] {
            assert_eq!(Day(day).to_string(), text);
        }
        let mut next = Day(0);
        for year in 1970..2110 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = Day::of_date(year, month, day) {
                        assert_eq!(found, next, "{year}-{month}-{day} follows the day before");
                        next = Day(next.0 + 1);
                    }
                }
            }
        }
        assert_eq!(next, Day::of_date(2110, 1, 1).unwrap());
        for (year, month, day) in
            [(2027, 2, 29), (2027, 13, 1), (2027, 0, 1), (2027, 1, 0), (1969, 12, 31), (2100, 2, 29)]
        {
            assert_eq!(Day::of_date(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!(Day::of_date(u32::MAX, u32::MAX, u32::MAX), None);
        assert_eq!(WallTime(86_400_000 * 20_819 - 1).day(), Day(20_818));
    }
}
