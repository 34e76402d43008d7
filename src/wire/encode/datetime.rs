//! Text of dates, times, instants and intervals as PostgreSQL writes them, and the session's time zone.

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Datelike, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use datafusion::arrow::datatypes::TimeUnit;

use super::Unencodable;

pub(in crate::wire) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(in crate::wire) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01, Arrow's epoch, to 2000-01-01, PostgreSQL's.
pub(in crate::wire) const EPOCH_DAYS: i32 = 10_957;
pub(in crate::wire) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * MICROS_PER_DAY;

/// A session's time zone. It remembers the offset of the day asked for last, since neighbouring rows are mostly near in time.
#[derive(Debug, Clone)]
pub struct Zone {
    rule: Rule,
    /// (day since 1970-01-01 in UTC, offset in seconds that holds all of that day).
    last: Option<(i64, i32)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(chrono_tz::Tz),
}

impl Zone {
    /// Reads a zone's name (`Europe/Berlin`, any case) or an ISO offset (`+02`, `-05:30`, `Z`).
    pub fn parse(text: &str) -> Option<Zone> {
        let text = text.trim();
        let rule = match text {
            "" | "Z" | "z" => Rule::Fixed(0),
            _ if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("gmt") => Rule::Fixed(0),
            _ if text.starts_with(['+', '-']) => Rule::Fixed(parse_offset(text)?),
            _ => Rule::Named(*chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text))?),
        };
        Some(Zone { rule, last: None })
    }

    /// Seconds east of Greenwich at an instant (microseconds since 1970-01-01 UTC).
    pub fn offset_at(&mut self, micros: i64) -> i32 {
        let zone = match self.rule {
            Rule::Fixed(offset) => return offset,
            Rule::Named(zone) => zone,
        };
        let day = micros.div_euclid(MICROS_PER_DAY);
        match self.last {
            Some((known, offset)) if known == day => return offset,
            _ => {}
        }
        let start = offset_in(zone, day * 86_400);
        if start == offset_in(zone, (day + 1) * 86_400 - 1) {
            self.last = Some((day, start));
            return start;
        }
        offset_in(zone, micros.div_euclid(MICROS_PER_SECOND))
    }

    /// The instant at which clocks of the zone show `local` (both in microseconds since 1970-01-01). A time that comes twice is
    /// the second one (standard time), one that is skipped is read with the offset before the change, as PostgreSQL does.
    pub fn instant(&mut self, local: i64) -> Option<i64> {
        let zone = match self.rule {
            Rule::Fixed(offset) => return local.checked_sub(i64::from(offset) * MICROS_PER_SECOND),
            Rule::Named(zone) => zone,
        };
        let naive = DateTime::<Utc>::from_timestamp_micros(local)?.naive_utc();
        let offset = match zone.offset_from_local_datetime(&naive) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix().local_minus_utc(),
            LocalResult::None => offset_in(zone, local.div_euclid(MICROS_PER_SECOND) - 86_400),
        };
        local.checked_sub(i64::from(offset) * MICROS_PER_SECOND)
    }
}

fn offset_in(zone: chrono_tz::Tz, seconds: i64) -> i32 {
    let at: NaiveDateTime = match DateTime::<Utc>::from_timestamp(seconds, 0) {
        Some(at) if (-200_000..200_000).contains(&at.year()) => at.naive_utc(),
        // Beyond chrono's calendar: as at its nearer end, where zones no longer change.
        _ if seconds < 0 => NaiveDateTime::MIN,
        _ => NaiveDateTime::MAX,
    };
    zone.offset_from_utc_datetime(&at).fix().local_minus_utc()
}

/// `+HH`, `+HHMM`, `+HH:MM`, `+HH:MM:SS` in seconds east of Greenwich.
pub(in crate::wire) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = match (rest.contains(':'), rest.len()) {
        (true, _) => rest.split(':').collect(),
        (false, 3 | 4) => vec![rest.get(..rest.len() - 2)?, rest.get(rest.len() - 2..)?],
        (false, 1 | 2) => vec![rest],
        _ => return None,
    };
    let mut seconds = 0;
    for (part, (unit, most)) in parts.iter().zip([(3600, 15), (60, 59), (1, 59)]) {
        let value: i32 = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())??;
        if value > most {
            return None;
        }
        seconds += value * unit;
    }
    (parts.len() <= 3).then_some(sign * seconds)
}

/// Proleptic Gregorian (year, month, day) of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date
/// algorithms"). Year 0 is 1 BC.
pub(in crate::wire) fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

/// The inverse of [`civil`]; the caller has checked month and day.
pub(in crate::wire) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn put_two(value: u32, out: &mut BytesMut) {
    out.put_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

/// Writes `2018-03-05`; returns whether ` BC` has to follow behind what else belongs to the value.
fn put_day(days: i64, out: &mut BytesMut) -> bool {
    let (year, month, day) = civil(days);
    let before_christ = year <= 0;
    let shown = if before_christ { 1 - year } else { year };
    if shown < 10_000 {
        put_two((shown / 100) as u32, out);
        put_two((shown % 100) as u32, out);
    } else {
        out.put_slice(itoa::Buffer::new().format(shown).as_bytes());
    }
    out.put_u8(b'-');
    put_two(month, out);
    out.put_u8(b'-');
    put_two(day, out);
    before_christ
}

pub(super) fn put_date(days: i32, out: &mut BytesMut) {
    if put_day(i64::from(days), out) {
        out.put_slice(b" BC");
    }
}

/// `HH:MM:SS[.ffffff]` without trailing zeros, of microseconds since midnight.
pub(super) fn put_time(micros: i64, out: &mut BytesMut) {
    let seconds = micros / MICROS_PER_SECOND;
    put_two((seconds / 3600) as u32, out);
    put_clock_rest(seconds, micros % MICROS_PER_SECOND, out);
}

/// `:MM:SS[.ffffff]`.
fn put_clock_rest(seconds: i64, fraction: i64, out: &mut BytesMut) {
    out.put_u8(b':');
    put_two((seconds / 60 % 60) as u32, out);
    out.put_u8(b':');
    put_two((seconds % 60) as u32, out);
    if fraction != 0 {
        let mut digits = *b".000000";
        let mut rest = fraction;
        for digit in digits[1..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let length = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        out.put_slice(&digits[..length]);
    }
}

/// A timestamp without zone. `separator`: a space, or `T` within JSON.
pub(super) fn put_timestamp(micros: i64, separator: u8, out: &mut BytesMut) {
    let before_christ = put_day(micros.div_euclid(MICROS_PER_DAY), out);
    out.put_u8(separator);
    put_time(micros.rem_euclid(MICROS_PER_DAY), out);
    if before_christ {
        out.put_slice(b" BC");
    }
}

/// An instant in a zone, with its offset: `2018-03-05 12:00:00+01`; within JSON `2018-03-05T12:00:00+01:00`.
pub(super) fn put_instant(micros: i64, separator: u8, zone: &mut Zone, out: &mut BytesMut) -> Result<(), Unencodable> {
    let offset = zone.offset_at(micros);
    let local = micros
        .checked_add(i64::from(offset) * MICROS_PER_SECOND)
        .ok_or(Unencodable::OutOfRange("timestamp with time zone"))?;
    let before_christ = put_day(local.div_euclid(MICROS_PER_DAY), out);
    out.put_u8(separator);
    put_time(local.rem_euclid(MICROS_PER_DAY), out);
    put_offset(offset, separator == b'T', out);
    if before_christ {
        out.put_slice(b" BC");
    }
    Ok(())
}

fn put_offset(offset: i32, with_minutes: bool, out: &mut BytesMut) {
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let (hours, minutes, seconds) = (offset.abs() / 3600, offset.abs() / 60 % 60, offset.abs() % 60);
    put_two(hours as u32, out);
    if with_minutes || minutes != 0 || seconds != 0 {
        out.put_u8(b':');
        put_two(minutes as u32, out);
    }
    if seconds != 0 {
        out.put_u8(b':');
        put_two(seconds as u32, out);
    }
}

/// An interval as PostgreSQL's style `postgres` writes it (datetime.c, `EncodeInterval`): `1 year 2 mons -3 days +04:05:06`.
pub(super) fn put_interval(months: i32, days: i32, micros: i64, out: &mut BytesMut) {
    let mut parts = IntervalParts { first: true, before_negative: false };
    parts.put(months / 12, "year", out);
    parts.put(months % 12, "mon", out);
    parts.put(days, "day", out);
    if !parts.first && micros == 0 {
        return;
    }
    if !parts.first {
        out.put_u8(b' ');
    }
    if micros < 0 {
        out.put_u8(b'-');
    } else if parts.before_negative {
        out.put_u8(b'+');
    }
    let (seconds, fraction) =
        ((micros / MICROS_PER_SECOND).unsigned_abs(), (micros % MICROS_PER_SECOND).unsigned_abs());
    let hours = seconds / 3600;
    if hours < 10 {
        out.put_u8(b'0');
    }
    out.put_slice(itoa::Buffer::new().format(hours).as_bytes());
    put_clock_rest(seconds as i64, fraction as i64, out);
}

struct IntervalParts {
    first: bool,
    /// The part before was negative: a positive one then shows its sign.
    before_negative: bool,
}

impl IntervalParts {
    fn put(&mut self, value: i32, unit: &str, out: &mut BytesMut) {
        if value == 0 {
            return;
        }
        if !self.first {
            out.put_u8(b' ');
        }
        if self.before_negative && value > 0 {
            out.put_u8(b'+');
        }
        out.put_slice(itoa::Buffer::new().format(value).as_bytes());
        out.put_u8(b' ');
        out.put_slice(unit.as_bytes());
        if value != 1 {
            out.put_u8(b's');
        }
        self.before_negative = value < 0;
        self.first = false;
    }
}

/// Microseconds of a value in a unit; nanoseconds are cut towards the past.
pub(super) fn to_micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(MICROS_PER_SECOND),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
}
