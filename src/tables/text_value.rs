//! Values as Spark spells them, and text as Spark casts it (`UTF8String.toIntExact`, `SparkDateTimeUtils.stringToDate`,
//! `stringToTimestamp`, `Decimal.fromString`).

use std::fmt::Write;
use std::str::FromStr;

use chrono::{Offset, TimeZone};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use tycho_catalog::Value;

const MICROS_A_SECOND: i64 = 1_000_000;
const MICROS_A_DAY: i64 = 86_400 * MICROS_A_SECOND;

/// The canonical text of a value; `None` for NULL. Binary values are taken for UTF-8, as Spark does.
pub(super) fn value_to_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float_to_text(format!("{f:e}"), *f),
        Value::Decimal { unscaled, scale } => decimal_to_text(*unscaled, *scale),
        Value::Date(days) => date_to_text((*days).into()),
        Value::Timestamp(micros) => timestamp_to_text(*micros),
        Value::Text(text) => text.clone(),
        Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    })
}

/// As Java prints it: plain between 1e-3 and 1e7, `1.0E10` beyond, always with a fraction. `shortest` is the shortest exact
/// form in exponent notation (`{:e}`). Both zeros are `0.0`, since they are equal as values.
pub(super) fn float_to_text(shortest: String, value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits = mantissa.replace('.', "");
    if !(-3..7).contains(&exponent) {
        let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{fraction}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()))
    } else {
        format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
    }
}

pub(super) fn decimal_to_text(unscaled: i128, scale: i8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    if scale <= 0 {
        let zeros = if unscaled == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return format!("{sign}{digits}{}", "0".repeat(zeros));
    }
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

pub(super) fn date_to_text(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    let sign = match year {
        ..0 => "-",
        0..=9999 => "",
        _ => "+",
    };
    format!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

/// `2018-03-05 07:08:09.5`: no zeros at the end of the fraction, no fraction where it is zero.
pub(super) fn timestamp_to_text(micros: i64) -> String {
    let mut text = date_to_text(micros.div_euclid(MICROS_A_DAY));
    let of_day = micros.rem_euclid(MICROS_A_DAY);
    let (seconds, fraction) = (of_day / MICROS_A_SECOND, of_day % MICROS_A_SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(text, " {hour:02}:{minute:02}:{second:02}").expect("a String takes all text");
    if fraction != 0 {
        let fraction = format!("{fraction:06}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// Text without white space around it, cast to a type that is neither text nor binary.
pub(super) fn value_from_trimmed(text: &str, data_type: &DataType) -> Option<Value> {
    match data_type {
        DataType::Boolean => boolean(text),
        DataType::Int8 => integer::<i8>(text),
        DataType::Int16 => integer::<i16>(text),
        DataType::Int32 => integer::<i32>(text),
        DataType::Int64 => integer::<i64>(text),
        DataType::UInt8 => integer::<u8>(text),
        DataType::UInt16 => integer::<u16>(text),
        DataType::UInt32 => integer::<u32>(text),
        DataType::Float32 | DataType::Float16 => {
            float(text).and_then(|t| t.parse::<f32>().ok()).map(|f| Value::Float(f.into()))
        }
        DataType::Float64 => float(text).and_then(|t| t.parse().ok()).map(Value::Float),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            decimal_from_text(text, *p, *s).map(|unscaled| Value::Decimal { unscaled, scale: *s })
        }
        DataType::Date32 => date_from_text(text).map(Value::Date),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            timestamp_from_text(text, zone.is_some()).map(Value::Timestamp)
        }
        _ => None,
    }
}

fn boolean(text: &str) -> Option<Value> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(Value::Boolean(true)),
        "f" | "false" | "n" | "no" | "0" => Some(Value::Boolean(false)),
        _ => None,
    }
}

/// A sign and digits, nothing else: `1.9` and `1e3` are no integers.
fn integer<T: FromStr + Into<i64>>(text: &str) -> Option<Value> {
    text.parse::<T>().ok().map(|i| Value::Int(i.into()))
}

/// The text in the form that Rust parses: Java's `Infinity`, `inf` and `NaN` in any case, and the suffixes `d` and `f`.
fn float(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    if lower.len() - unsigned.len() > 1 {
        return None;
    }
    match unsigned {
        "nan" if lower == "nan" => return Some(lower),
        "inf" | "infinity" => return Some(lower),
        _ => {}
    }
    let number = lower.strip_suffix(['d', 'f']).unwrap_or(&lower);
    number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')).then(|| number.to_owned())
}

/// The unscaled value, rounded half up (away from zero) to the scale; `None` if it is no number or has too many digits.
pub(super) fn decimal_from_text(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').skip_while(|d| *d == 0).collect();
    // How many of the digits stand before the last place of the scale.
    let leading = whole.len() + fraction.len() - digits.len();
    let kept = (whole.len() as i64 - leading as i64) + i64::from(exponent) + i64::from(scale);
    let limit = 10_i128.checked_pow(precision.into())?;
    let mut unscaled: i128 = 0;
    if !digits.is_empty() {
        if kept > i64::from(precision) {
            return None;
        }
        for place in 0..kept.max(0) as usize {
            unscaled = unscaled * 10 + i128::from(digits.get(place).copied().unwrap_or(0));
        }
        let next = usize::try_from(kept).ok().and_then(|at| digits.get(at));
        if next.is_some_and(|digit| *digit >= 5) {
            unscaled += 1;
        }
    }
    (unscaled < limit).then_some(if negative { -unscaled } else { unscaled })
}

/// Days since 1970 from `[+-]yyyy[-[m]m[-[d]d]]`; after a day, a blank or `T` and anything may follow.
pub(super) fn date_from_text(text: &str) -> Option<i32> {
    let (days, _) = date_prefix(text)?;
    i32::try_from(days).ok()
}

/// Days and what follows the day (without its blank or `T`); `None` for the rest where the date ends the text.
fn date_prefix(text: &str) -> Option<(i64, Option<&str>)> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (date, rest) = match unsigned.find([' ', 'T']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let mut parts = date.split('-');
    let year = parts.next().filter(|y| (4..=7).contains(&y.len())).and_then(digits)?;
    let month = parts.next().map_or(Some(1), two_digits)?;
    let day = parts.next();
    if parts.next().is_some() || rest.is_some() && day.is_none() {
        return None;
    }
    let day = day.map_or(Some(1), two_digits)?;
    let year = if negative { -year } else { year };
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some((days, rest))
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn two_digits(text: &str) -> Option<i64> {
    (text.len() <= 2).then(|| digits(text))?
}

/// Microseconds since 1970 from a date, or a date and a time with an optional zone (UTC where none is given). `instant`: the
/// zone counts; a timestamp without zone ignores it.
pub(super) fn timestamp_from_text(text: &str, instant: bool) -> Option<i64> {
    let (days, rest) = date_prefix(text)?;
    let midnight = days.checked_mul(MICROS_A_DAY)?;
    let Some(time) = rest.filter(|rest| !rest.is_empty()) else {
        return Some(midnight);
    };
    let zone_at = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
    let (clock, zone) = (time[..zone_at].trim_end(), time[zone_at..].trim());
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let hour = parts.next().and_then(two_digits).filter(|h| *h < 24)?;
    let minute = parts.next().map_or(Some(0), two_digits).filter(|m| *m < 60)?;
    let second = parts.next().map_or(Some(0), two_digits).filter(|s| *s < 60)?;
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Places after the sixth are cut, as Spark cuts them.
    let fraction = format!("{fraction:0<6}")[..6].parse::<i64>().ok()?;
    let local = midnight.checked_add((hour * 3600 + minute * 60 + second) * MICROS_A_SECOND + fraction)?;
    let offset = if zone.is_empty() { 0 } else { zone_offset_seconds(zone, local)? };
    local.checked_sub(if instant { offset * MICROS_A_SECOND } else { 0 })
}

/// Seconds east of UTC of `Z`, `UTC`, `GMT`, `[UTC|GMT]±[h]h[:[m]m[:[s]s]]` or a region (`Europe/Berlin`) at a local time.
fn zone_offset_seconds(zone: &str, local_micros: i64) -> Option<i64> {
    let offset = zone.strip_prefix("UTC").or_else(|| zone.strip_prefix("GMT")).unwrap_or(zone);
    if offset.is_empty() || offset == "Z" {
        return Some(0);
    }
    if let Some(sign) = offset.strip_prefix(['+', '-']) {
        let mut parts = sign.split(':');
        let hours = parts.next().and_then(two_digits).filter(|h| *h <= 18)?;
        let minutes = parts.next().map_or(Some(0), two_digits).filter(|m| *m < 60)?;
        let seconds = parts.next().map_or(Some(0), two_digits).filter(|s| *s < 60)?;
        let total = hours * 3600 + minutes * 60 + seconds;
        return parts.next().is_none().then_some(if offset.starts_with('-') { -total } else { total });
    }
    let region: chrono_tz::Tz = zone.parse().ok()?;
    let local = chrono::DateTime::from_timestamp_micros(local_micros)?.naive_utc();
    let offset = match region.offset_from_local_datetime(&local) {
        chrono::LocalResult::Single(offset) | chrono::LocalResult::Ambiguous(offset, _) => offset,
        // A time that a change of clocks left out: the offset before the change holds, as in Java.
        chrono::LocalResult::None => region.offset_from_utc_datetime(&(local - chrono::TimeDelta::days(1))),
    };
    Some(offset.fix().local_minus_utc().into())
}

/// (year, month, day) in the proleptic Gregorian calendar; the algorithm of Howard Hinnant's "chrono-Compatible Low-Level
/// Date Algorithms", which has no limits within 64 bits that matter here.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::hive_path::{value_from_text, value_to_text};
    use super::*;

    const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn instant() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
    }

    #[test]
    fn text_is_cast_as_spark_casts_it() {
        let decimal = |unscaled, scale| Some(Value::Decimal { unscaled, scale });
        let day = 1_520_208_000_000_000;
        let cases: &[(&str, DataType, Option<Value>)] = &[
            ("1", DataType::Int32, Some(Value::Int(1))),
            ("07", DataType::Int32, Some(Value::Int(7))),
            (" 8 ", DataType::Int32, Some(Value::Int(8))),
            ("+8", DataType::Int32, Some(Value::Int(8))),
            ("-128", DataType::Int8, Some(Value::Int(-128))),
            ("128", DataType::Int8, None),
            ("2147483648", DataType::Int32, None),
            ("9223372036854775807", DataType::Int64, Some(Value::Int(i64::MAX))),
            ("1.9", DataType::Int32, None),
            ("1e3", DataType::Int32, None),
            ("true", DataType::Int32, None),
            ("abc", DataType::Int32, None),
            ("", DataType::Int32, None),
            ("2018-3-5", DataType::Date32, Some(Value::Date(17595))),
            ("2018-03-05", DataType::Date32, Some(Value::Date(17595))),
            (" 2018-03-05 ", DataType::Date32, Some(Value::Date(17595))),
            ("2018-03-05T07:00", DataType::Date32, Some(Value::Date(17595))),
            ("2018-03", DataType::Date32, Some(Value::Date(17591))),
            ("1970", DataType::Date32, Some(Value::Date(0))),
            ("-0001-01-01", DataType::Date32, Some(Value::Date(-719_893))),
            ("2018-02-29", DataType::Date32, None),
            ("2020-02-29", DataType::Date32, Some(Value::Date(18321))),
            ("2018-13-01", DataType::Date32, None),
            ("18-03-05", DataType::Date32, None),
            ("20180305", DataType::Date32, None),
            ("2018-03-05x", DataType::Date32, None),
            ("TRUE", DataType::Boolean, Some(Value::Boolean(true))),
            ("n", DataType::Boolean, Some(Value::Boolean(false))),
            ("0", DataType::Boolean, Some(Value::Boolean(false))),
            ("2", DataType::Boolean, None),
            ("1.50", DataType::Decimal128(5, 2), decimal(150, 2)),
            ("1.005", DataType::Decimal128(5, 2), decimal(101, 2)),
            ("-1.005", DataType::Decimal128(5, 2), decimal(-101, 2)),
            ("0.004", DataType::Decimal128(5, 2), decimal(0, 2)),
            ("0.0004", DataType::Decimal128(5, 2), decimal(0, 2)),
            ("0.005", DataType::Decimal128(5, 2), decimal(1, 2)),
            ("1e2", DataType::Decimal128(5, 2), decimal(10_000, 2)),
            ("999.99", DataType::Decimal128(5, 2), decimal(99_999, 2)),
            ("999.995", DataType::Decimal128(5, 2), None),
            ("1000", DataType::Decimal128(5, 2), None),
            ("1e99", DataType::Decimal128(38, 0), None),
            ("abc", DataType::Decimal128(5, 2), None),
            (".", DataType::Decimal128(5, 2), None),
            ("1.5", DataType::Float64, Some(Value::Float(1.5))),
            ("1e3", DataType::Float64, Some(Value::Float(1000.0))),
            ("-Infinity", DataType::Float64, Some(Value::Float(f64::NEG_INFINITY))),
            ("1.5d", DataType::Float64, Some(Value::Float(1.5))),
            ("0.1", DataType::Float32, Some(Value::Float(0.1_f32.into()))),
            ("x", DataType::Float64, None),
            ("", DataType::Float64, None),
            ("2018-03-05", TIMESTAMP, Some(Value::Timestamp(day))),
            ("2018-03-05 07:08:09.5", TIMESTAMP, Some(Value::Timestamp(day + 25_689_500_000))),
            ("2018-3-5T7:8", TIMESTAMP, Some(Value::Timestamp(day + 25_680_000_000))),
            ("2018-03-05 00:00:00.1234567", TIMESTAMP, Some(Value::Timestamp(day + 123_456))),
            ("2018-03-05 02:00:00+02:00", instant(), Some(Value::Timestamp(day))),
            ("2018-03-05 02:00:00+02:00", TIMESTAMP, Some(Value::Timestamp(day + 7_200_000_000))),
            ("2018-03-05 01:00:00 Europe/Berlin", instant(), Some(Value::Timestamp(day))),
            ("2018-03-05 00:00:00Z", instant(), Some(Value::Timestamp(day))),
            ("2018-03-05 24:00:00", TIMESTAMP, None),
            ("2018-03-05 01:00:00 Nowhere", instant(), None),
        ];
        for (text, data_type, expected) in cases {
            assert_eq!(&value_from_text(text, data_type), expected, "{text:?} as {data_type}");
        }
        assert!(matches!(value_from_text("nan", &DataType::Float64), Some(Value::Float(f)) if f.is_nan()));
    }

    #[test]
    fn values_print_as_spark_prints_them() {
        let float = |f: f64| value_to_text(&Value::Float(f)).expect("not null");
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (100.0, "100.0"),
            (123_456.75, "123456.75"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e10, "1.25E10"),
            (0.001, "0.001"),
            (0.00012, "1.2E-4"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (-0.0, "0.0"),
        ];
        for (value, text) in cases {
            assert_eq!(float(value), text);
        }
        let text = |v: Value| value_to_text(&v).expect("not null");
        assert_eq!(text(Value::Decimal { unscaled: -5, scale: 2 }), "-0.05");
        assert_eq!(text(Value::Decimal { unscaled: 12_345, scale: 2 }), "123.45");
        assert_eq!(text(Value::Decimal { unscaled: 7, scale: 0 }), "7");
        assert_eq!(text(Value::Date(17595)), "2018-03-05");
        assert_eq!(text(Value::Date(-719_893)), "-0001-01-01");
        assert_eq!(text(Value::Date(2_932_897)), "+10000-01-01");
        assert_eq!(text(Value::Timestamp(-1)), "1969-12-31 23:59:59.999999");
        assert_eq!(text(Value::Timestamp(0)), "1970-01-01 00:00:00");
        assert_eq!(text(Value::Boolean(true)), "true");
    }

    #[test]
    fn what_is_printed_reads_back() {
        for days in [-719_893, -1, 0, 17_595, 2_932_896, 3_000_000] {
            let text = value_to_text(&Value::Date(days)).expect("not null");
            assert_eq!(value_from_text(&text, &DataType::Date32), Some(Value::Date(days)), "{text}");
        }
        for float in [1.0, 1e300, 5e-324, 0.1 + 0.2, -123_456_789.125, 9_999_999.5] {
            let text = value_to_text(&Value::Float(float)).expect("not null");
            assert_eq!(value_from_text(&text, &DataType::Float64), Some(Value::Float(float)), "{text}");
        }
    }
}
