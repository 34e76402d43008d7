//! Texts of setting values: read leniently, kept in the one form that SHOW prints.

use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Setting, SettingKind};
use crate::error::{Error, Kind, Result};

/// A checked value: the text SHOW prints, and its number (0 or 1, milliseconds, bytes) for kinds that have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub text: String,
    pub number: i64,
}

impl Stored {
    pub(super) fn text(text: impl Into<String>) -> Stored {
        Stored { text: text.into(), number: 0 }
    }
}

const DURATION_UNITS: &[(&str, f64)] = &[
    ("us", 0.001),
    ("microsecond", 0.001),
    ("ms", 1.0),
    ("millisecond", 1.0),
    ("s", 1e3),
    ("sec", 1e3),
    ("second", 1e3),
    ("min", 6e4),
    ("m", 6e4),
    ("minute", 6e4),
    ("h", 3.6e6),
    ("hour", 3.6e6),
    ("d", 8.64e7),
    ("day", 8.64e7),
];

const SIZE_UNITS: &[(&str, f64)] = &[
    ("b", 1.0),
    ("byte", 1.0),
    ("k", 1024.0),
    ("kb", 1024.0),
    ("kib", 1024.0),
    ("m", 1048576.0),
    ("mb", 1048576.0),
    ("mib", 1048576.0),
    ("g", 1073741824.0),
    ("gb", 1073741824.0),
    ("gib", 1073741824.0),
    ("t", 1099511627776.0),
    ("tb", 1099511627776.0),
    ("tib", 1099511627776.0),
];

/// Checks `value` against the setting's kind.
pub(super) fn parse(setting: &Setting, value: &str) -> Result<Stored> {
    let value = value.trim();
    match setting.kind {
        SettingKind::Bool => match boolean(value) {
            Some(on) => Ok(Stored { text: if on { "on" } else { "off" }.to_owned(), number: on.into() }),
            None => Err(invalid(setting, value, "on or off")),
        },
        SettingKind::Integer { min, max } => match value.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Stored { text: number.to_string(), number }),
            Ok(_) => Err(invalid(setting, value, &format!("between {min} and {max}"))),
            Err(_) => Err(invalid(setting, value, "a whole number")),
        },
        SettingKind::Duration => match quantity(value, DURATION_UNITS) {
            Some(number) => Ok(Stored { text: duration_text(number), number }),
            None => Err(invalid(
                setting,
                value,
                "a time such as 500ms, 30s, 5min, 2h or 7d; a number alone is milliseconds",
            )),
        },
        SettingKind::Size => match quantity(value, SIZE_UNITS) {
            Some(number) => Ok(Stored { text: size_text(number), number }),
            None => Err(invalid(setting, value, "a size such as 64kB, 256MB or 2GB; a number alone is bytes")),
        },
        SettingKind::Text if setting.name == "DateStyle" => date_style(setting, value),
        SettingKind::Text => Ok(Stored::text(value)),
        SettingKind::Enum(allowed) => enumerated(setting, value, allowed),
        SettingKind::TimeZone => time_zone(setting, value).map(Stored::text),
    }
}

fn invalid(setting: &Setting, value: &str, expected: &str) -> Error {
    Error::new(Kind::InvalidParameterValue, format!("invalid value for {}: `{value}`", setting.name))
        .with_hint(format!("it takes {expected}"))
}

/// PostgreSQL's words for a Boolean, unique prefixes included.
pub(super) fn boolean(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    match value.as_str() {
        "on" | "1" => Some(true),
        "of" | "off" | "0" => Some(false),
        "" => None,
        v if "true".starts_with(v) || "yes".starts_with(v) => Some(true),
        v if "false".starts_with(v) || "no".starts_with(v) => Some(false),
        _ => None,
    }
}

fn enumerated(setting: &Setting, value: &str, allowed: &'static [&'static str]) -> Result<Stored> {
    let plain = |s: &str| s.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let asked = match plain(value).as_str() {
        "postgresql" if setting.name == "sql_dialect" => "postgres".to_owned(),
        "unicode" if setting.name == "client_encoding" => "utf8".to_owned(),
        other => other.to_owned(),
    };
    let found = allowed.iter().find(|a| plain(a) == asked).or_else(|| {
        let wanted = boolean(value)?;
        allowed.iter().find(|a| boolean(a) == Some(wanted))
    });
    match found {
        Some(found) => Ok(Stored { text: (*found).to_owned(), number: boolean(found).unwrap_or(false).into() }),
        None if allowed.len() == 1 => Err(invalid(setting, value, &format!("only {}", allowed[0]))),
        None => Err(invalid(setting, value, &format!("one of {}", allowed.join(", ")))),
    }
}

/// A number with a unit of `units`, in the smallest of them; a number alone is in it already. Not negative.
fn quantity(value: &str, units: &[(&str, f64)]) -> Option<i64> {
    let split = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = if unit.is_empty() {
        1.0
    } else {
        let singular = unit.strip_suffix('s').filter(|s| s.len() > 2);
        units.iter().find(|(name, _)| *name == unit || Some(*name) == singular)?.1
    };
    if let (Ok(whole), true) = (number.parse::<i64>(), factor >= 1.0) {
        return whole.checked_mul(factor as i64);
    }
    let product = (number.parse::<f64>().ok()? * factor).round();
    (product < i64::MAX as f64).then_some(product as i64)
}

/// Milliseconds as PostgreSQL shows them: in the largest unit that leaves no fraction.
pub(super) fn duration_text(milliseconds: i64) -> String {
    largest_unit(milliseconds, &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")])
}

/// Bytes as PostgreSQL shows them: in the largest unit (of 1024) that leaves no fraction.
pub(super) fn size_text(bytes: i64) -> String {
    largest_unit(bytes, &[(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"), (1, "B")])
}

fn largest_unit(number: i64, units: &[(i64, &str)]) -> String {
    match units.iter().find(|(size, _)| number != 0 && number % size == 0) {
        Some((size, name)) => format!("{}{name}", number / size),
        None => number.to_string(),
    }
}

/// Output is always ISO; the order of day, month and year is kept. PostgreSQL takes the words in any order.
fn date_style(setting: &Setting, value: &str) -> Result<Stored> {
    let mut order = "MDY";
    for word in value.split([',', ' ']).filter(|w| !w.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "iso" => {}
            "mdy" | "us" | "noneuro" | "noneuropean" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return Err(invalid(setting, value, "ISO with one of MDY, DMY, YMD")),
        }
    }
    Ok(Stored::text(format!("ISO, {order}")))
}

/// An IANA name in any case, or an offset east of Greenwich (`+02:00`, `-8`), in the form that Arrow reads.
fn time_zone(setting: &Setting, value: &str) -> Result<String> {
    let expected = "a name such as Europe/Berlin or an offset such as +02:00";
    if value.eq_ignore_ascii_case("z") || value.eq_ignore_ascii_case("zulu") {
        return Ok("UTC".to_owned());
    }
    if let Some(zone) = TZ_VARIANTS.iter().find(|z: &&Tz| z.name().eq_ignore_ascii_case(value)) {
        return Ok(zone.name().to_owned());
    }
    if let Some(offset) = offset(value) {
        return Ok(offset);
    }
    let prefixed = ["utc", "gmt", "ut"].iter().any(|p| {
        value.get(..p.len()).is_some_and(|head| head.eq_ignore_ascii_case(p)) && offset(&value[p.len()..]).is_some()
    });
    if prefixed {
        let plain = value.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let sign = if plain.starts_with('-') { "west" } else { "east" };
        return Err(Error::new(
            Kind::InvalidParameterValue,
            format!("invalid value for {}: `{value}` means opposite offsets in Spark and PostgreSQL", setting.name),
        )
        .with_hint(format!("write `{plain}` for hours {sign} of Greenwich")));
    }
    Err(invalid(setting, value, expected))
}

fn offset(value: &str) -> Option<String> {
    let (sign, digits) = match value.as_bytes().first()? {
        b'+' => ('+', &value[1..]),
        b'-' => ('-', &value[1..]),
        _ => ('+', value),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "0"),
    };
    let whole = |s: &str| if s.bytes().all(|b| b.is_ascii_digit()) { s.parse::<u32>().ok() } else { None };
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    if hours > 15 || minutes > 59 {
        return None;
    }
    Some(if hours == 0 && minutes == 0 { "UTC".to_owned() } else { format!("{sign}{hours:02}:{minutes:02}") })
}
