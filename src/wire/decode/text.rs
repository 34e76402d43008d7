//! Parameters in text format: what PostgreSQL's `*in` functions read.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::binary::{infinite, several_dimensions};
use super::{decimal, interval, list};
use crate::error::{Error, Kind, Result};
use crate::wire::encode::datetime::{MICROS_PER_DAY, MICROS_PER_SECOND, Zone, civil, days_from_civil};
use crate::wire::types::{self, oid};

fn invalid(text: &str, type_oid: u32) -> Error {
    Error::new(Kind::InvalidText, format!("invalid input syntax for type {}: \"{text}\"", types::name(type_oid)))
}

pub(super) fn scalar(text: &str, type_oid: u32, zone: &mut Zone) -> Result<ScalarValue> {
    let word = text.trim();
    Ok(match type_oid {
        oid::BOOL => ScalarValue::Boolean(Some(boolean(word).ok_or_else(|| invalid(text, type_oid))?)),
        oid::INT2 => ScalarValue::Int16(Some(integer(word, type_oid)?)),
        oid::INT4 => ScalarValue::Int32(Some(integer(word, type_oid)?)),
        oid::INT8 => ScalarValue::Int64(Some(integer(word, type_oid)?)),
        oid::OID => ScalarValue::Int64(Some(i64::from(integer::<u32>(word, type_oid)?))),
        // Rust reads `Infinity`, `inf` and `NaN` in any case, as PostgreSQL does.
        oid::FLOAT4 => ScalarValue::Float32(Some(word.parse().map_err(|_| invalid(text, type_oid))?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(word.parse().map_err(|_| invalid(text, type_oid))?)),
        oid::NUMERIC => numeric(word)?,
        oid::BYTEA => ScalarValue::Binary(Some(bytea(text)?)),
        oid::DATE => {
            let micros = timestamp(word, type_oid)?.local;
            let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| invalid(text, type_oid))?;
            ScalarValue::Date32(Some(days))
        }
        oid::TIME => {
            let (micros, rest) = clock(word).ok_or_else(|| invalid(text, type_oid))?;
            if !rest.is_empty() {
                return Err(invalid(text, type_oid));
            }
            ScalarValue::Time64Microsecond(Some(micros))
        }
        // A zone in the text of a timestamp without zone is passed over, as PostgreSQL does.
        oid::TIMESTAMP => ScalarValue::TimestampMicrosecond(Some(timestamp(word, type_oid)?.local), None),
        oid::TIMESTAMPTZ => {
            let read = timestamp(word, type_oid)?;
            let instant = match &read.zone {
                Some(name) => Zone::parse(name).ok_or_else(|| invalid(text, type_oid))?.instant(read.local),
                None => zone.instant(read.local),
            };
            let instant = instant
                .ok_or_else(|| Error::new(Kind::DatetimeOverflow, format!("timestamp out of range: \"{text}\"")))?;
            ScalarValue::TimestampMicrosecond(Some(instant), Some("UTC".into()))
        }
        oid::INTERVAL => {
            let interval = interval::parse(word).ok_or_else(|| invalid(text, type_oid))?;
            ScalarValue::IntervalMonthDayNano(Some(interval))
        }
        oid::UUID => {
            let uuid = uuid::Uuid::try_parse(word).map_err(|_| invalid(text, type_oid))?;
            ScalarValue::Utf8(Some(uuid.to_string()))
        }
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

/// Unique beginnings of true, false, yes, no, on, off, and 1, 0 (bool.c, `parse_bool`).
fn boolean(word: &str) -> Option<bool> {
    let word = word.to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Some(false)
    } else {
        None
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(word: &str, type_oid: u32) -> Result<T> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    word.parse().map_err(|e: std::num::ParseIntError| match e.kind() {
        NegOverflow | PosOverflow => Error::new(
            Kind::NumericOutOfRange,
            format!("value \"{word}\" is out of range for type {}", types::name(type_oid)),
        ),
        _ => invalid(word, type_oid),
    })
}

fn numeric(word: &str) -> Result<ScalarValue> {
    let broken = || invalid(word, oid::NUMERIC);
    if word.eq_ignore_ascii_case("nan") || word.to_ascii_lowercase().trim_start_matches(['+', '-']).starts_with("inf") {
        return Err(Error::new(Kind::NumericOutOfRange, "NaN and infinite numerics are not supported"));
    }
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| broken())?),
        None => (word, 0),
    };
    let (negative, magnitude) = match mantissa.as_bytes().first() {
        Some(b'-') => (true, &mantissa[1..]),
        Some(b'+') => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    if whole.len() + fraction.len() == 0 || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit()) {
        return Err(broken());
    }
    let scale = fraction.len() as i64 - i64::from(exponent);
    if !(-76..=76).contains(&scale) {
        return Err(Error::new(Kind::NumericOutOfRange, "a numeric parameter has more than 76 digits"));
    }
    let mut digits = format!("{whole}{fraction}{}", "0".repeat(usize::try_from(-scale).unwrap_or(0)));
    let leading = digits.bytes().take_while(|byte| *byte == b'0').count().min(digits.len() - 1);
    digits.replace_range(..leading, if negative { "-" } else { "" });
    decimal(&digits, usize::try_from(scale).unwrap_or(0))
}

/// `\x` and hex digits, or the older escape format.
fn bytea(text: &str) -> Result<Vec<u8>> {
    let broken = || invalid(text, oid::BYTEA);
    let mut bytes = Vec::with_capacity(text.len());
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut digits = hex.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        while let Some(high) = digits.next() {
            let low = digits.next().ok_or_else(broken)?;
            bytes.push(value(high).zip(value(low)).map(|(high, low)| high << 4 | low).ok_or_else(broken)?);
        }
        return Ok(bytes);
    }
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            (b'\\', _) => return Err(broken()),
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    Ok(bytes)
}

/// A date with or without a time, read from ISO text.
struct ReadTimestamp {
    /// Microseconds since 1970-01-01 on the clock that the text means.
    local: i64,
    /// Name or offset of that clock's zone.
    zone: Option<String>,
}

/// `YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]][ zone][ BC]`.
fn timestamp(word: &str, type_oid: u32) -> Result<ReadTimestamp> {
    if ["infinity", "-infinity"].contains(&word.to_ascii_lowercase().as_str()) {
        return Err(infinite());
    }
    let broken = || invalid(word, type_oid);
    let (body, before_christ) = match word.len().checked_sub(3).and_then(|at| word.split_at_checked(at)) {
        Some((body, era)) if era.eq_ignore_ascii_case(" bc") => (body, true),
        Some((body, era)) if era.eq_ignore_ascii_case(" ad") => (body, false),
        _ => (word, false),
    };
    let split = body.find([' ', 'T', 't']).unwrap_or(body.len());
    let (date, rest) = body.split_at(split);
    let days = day(date, before_christ).ok_or_else(broken)?;
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    let (time, zone) = if rest.is_empty() { (0, "") } else { clock(rest).ok_or_else(broken)? };
    let zone = zone.trim();
    if !zone.is_empty() && Zone::parse(zone).is_none() {
        return Err(broken());
    }
    let local = days.checked_mul(MICROS_PER_DAY).and_then(|micros| micros.checked_add(time));
    let local =
        local.ok_or_else(|| Error::new(Kind::DatetimeOverflow, format!("timestamp out of range: \"{word}\"")))?;
    Ok(ReadTimestamp { local, zone: (!zone.is_empty()).then(|| zone.to_owned()) })
}

/// Days since 1970-01-01 of `YYYY-MM-DD` or `YYYYMMDD`; `None` for what is no day.
fn day(text: &str, before_christ: bool) -> Option<i64> {
    let digits = |part: &str, most: usize| -> Option<i64> {
        ((1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let mut parts = text.split('-');
    let (year, month, date) = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
        (year, Some(month), Some(date), None) => (digits(year, 7)?, digits(month, 2)?, digits(date, 2)?),
        (compact, None, None, None) if compact.len() == 8 && compact.is_ascii() => {
            (digits(&compact[..4], 4)?, digits(&compact[4..6], 2)?, digits(&compact[6..], 2)?)
        }
        _ => return None,
    };
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&date) {
        return None;
    }
    let year = if before_christ { 1 - year } else { year };
    let days = days_from_civil(year, month as u32, date as u32);
    // The 31st of a shorter month would be a day of the next one.
    (civil(days) == (year, month as u32, date as u32)).then_some(days)
}

/// Microseconds since midnight of `HH:MM[:SS[.ffffff]]`, and what follows it.
pub(super) fn clock(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = [0_i64; 3];
    let mut count = 0;
    for part in clock.split(':') {
        *parts.get_mut(count)? = ((1..=2).contains(&part.len())).then(|| part.parse().ok())??;
        count += 1;
    }
    let [hours, minutes, seconds] = parts;
    if count < 2 || hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { fraction_micros(fraction)? };
    let total = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
    (total <= MICROS_PER_DAY).then_some((total, rest))
}

/// Digits behind the point, rounded to six.
fn fraction_micros(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let six: i64 = format!("{digits:0<6}")[..6].parse().ok()?;
    Some(six + i64::from(digits.as_bytes().get(6).is_some_and(|digit| *digit >= b'5')))
}

/// `{1,NULL,"a b"}` (arrayfuncs.c, `array_in`), of one dimension.
pub(super) fn array(text: &str, element: u32, zone: &mut Zone) -> Result<ScalarValue> {
    let broken = || {
        Error::new(Kind::InvalidText, format!("malformed array literal: \"{text}\""))
            .with_hint("arrays are written {1,2,NULL}")
    };
    let body = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(broken)?;
    let mut values = Vec::new();
    if body.trim().is_empty() {
        return list(values, element);
    }
    let mut characters = body.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let mut item = String::new();
        let quoted = characters.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match characters.next().ok_or_else(broken)? {
                    '"' => break,
                    '\\' => item.push(characters.next().ok_or_else(broken)?),
                    other => item.push(other),
                }
            }
            while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        } else {
            while let Some(next) = characters.next_if(|c| *c != ',') {
                match next {
                    '{' => return Err(several_dimensions()),
                    '}' | '"' => return Err(broken()),
                    '\\' => item.push(characters.next().ok_or_else(broken)?),
                    other => item.push(other),
                }
            }
            item.truncate(item.trim_end().len());
            if item.is_empty() {
                return Err(broken());
            }
        }
        if !quoted && item.eq_ignore_ascii_case("NULL") {
            let data_type = types::declared_type(element)?.unwrap_or(DataType::Utf8);
            values.push(ScalarValue::try_from(&data_type)?);
        } else {
            values.push(scalar(&item, element, zone)?);
        }
        match characters.next() {
            None => return list(values, element),
            Some(',') => {}
            Some(_) => return Err(broken()),
        }
    }
}
