//! Intervals in text format: `1 year 2 mons 3 days -04:05:06.7`, `3 day 5 second`, `1.5 hours ago`.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::text::clock;
use crate::wire::encode::datetime::MICROS_PER_SECOND;

const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A number with up to six decimal places, in millionths.
fn millionths(text: &str) -> Option<i64> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    if magnitude.len() < 2 && whole.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|whole| *whole >= 0)? };
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let value = whole.checked_mul(1_000_000)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

#[derive(Default)]
struct Parts {
    months: i64,
    days: i64,
    micros: i64,
}

impl Parts {
    /// Adds `amount` millionths of a unit. A fraction spills into the next smaller part, a month having 30 days.
    fn add(&mut self, amount: i64, unit: &str) -> Option<()> {
        let (months, days, micros) = match unit.to_ascii_lowercase().as_str() {
            "y" | "yr" | "yrs" | "year" | "years" => (12, 0, 0),
            "mon" | "mons" | "month" | "months" => (1, 0, 0),
            "w" | "week" | "weeks" => (0, 7, 0),
            "d" | "day" | "days" => (0, 1, 0),
            "h" | "hr" | "hrs" | "hour" | "hours" => (0, 0, MICROS_PER_HOUR),
            "m" | "min" | "mins" | "minute" | "minutes" => (0, 0, 60 * MICROS_PER_SECOND),
            "s" | "sec" | "secs" | "second" | "seconds" => (0, 0, MICROS_PER_SECOND),
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => (0, 0, 1_000),
            "us" | "usec" | "usecs" | "microsecond" | "microseconds" => (0, 0, 1),
            _ => return None,
        };
        let million = 1_000_000_i128;
        let months_part = i128::from(amount) * months;
        let days_part = i128::from(amount) * days + if months == 1 { months_part % million * 30 } else { 0 };
        let micros_part = i128::from(amount) * i128::from(micros) + days_part % million * i128::from(MICROS_PER_DAY);
        self.months = self.months.checked_add(i64::try_from(months_part / million).ok()?)?;
        self.days = self.days.checked_add(i64::try_from(days_part / million).ok()?)?;
        self.micros = self.micros.checked_add(i64::try_from(micros_part / million).ok()?)?;
        Some(())
    }
}

/// `None` for what is no interval, or one that does not fit.
pub(super) fn parse(text: &str) -> Option<IntervalMonthDayNano> {
    let mut parts = Parts::default();
    let mut words =
        text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|word| !word.is_empty()).peekable();
    let mut sign = 1;
    words.peek()?;
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (negative, time) = word.strip_prefix('-').map_or((false, word), |time| (true, time));
            let micros = hours(time.strip_prefix('+').unwrap_or(time))?;
            parts.micros = parts.micros.checked_add(if negative { -micros } else { micros })?;
        } else if word.eq_ignore_ascii_case("ago") && words.peek().is_none() {
            sign = -1;
        } else if word != "@" {
            let letters = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
            let amount = millionths(&word[..letters])?;
            let unit = if letters < word.len() { &word[letters..] } else { words.next().unwrap_or("seconds") };
            parts.add(amount, unit)?;
        }
    }
    Some(IntervalMonthDayNano::new(
        i32::try_from(sign * parts.months).ok()?,
        i32::try_from(sign * parts.days).ok()?,
        (sign * parts.micros).checked_mul(1_000)?,
    ))
}

/// `H…:MM[:SS[.ffffff]]`, hours without bound.
fn hours(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let hours: i64 = hours.parse().ok().filter(|hours| *hours >= 0)?;
    let minutes = format!("00:{rest}");
    let (micros, rest) = clock(&minutes)?;
    hours.checked_mul(MICROS_PER_HOUR)?.checked_add(micros).filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_forms_are_read() {
        let micros = |months, days, micros: i64| Some(IntervalMonthDayNano::new(months, days, micros * 1_000));
        for (text, expected) in [
            ("1 year 2 mons 3 days 04:05:06.7", micros(14, 3, 14_706_700_000)),
            ("-1 years -2 mons +3 days -04:05:06", micros(-14, 3, -14_706_000_000)),
            ("100:00:00", micros(0, 0, 360_000_000_000)),
            // psycopg, pgjdbc, and what people write.
            ("3 day 5 second 7 microsecond", micros(0, 3, 5_000_007)),
            ("0 years 0 mons 0 days 4 hours 5 mins 6.5 secs", micros(0, 0, 14_706_500_000)),
            ("1.5 months", micros(1, 15, 0)),
            ("1.5 days ago", micros(0, -1, -43_200_000_000)),
            ("2h", micros(0, 0, 7_200_000_000)),
            ("", None),
            ("1 parsec", None),
            ("x", None),
            ("1:2:3:4", None),
            ("-", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
