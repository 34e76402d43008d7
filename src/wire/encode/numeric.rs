//! Text of floats and numerics as PostgreSQL writes them, and the binary image of numerics.

use std::io::Write;

use bytes::{BufMut, BytesMut};

/// The shortest text that reads back as the same double (`extra_float_digits` ≥ 1): `1`, `0.1`, `1e+20`, `Infinity`, `NaN`.
pub(in crate::wire) fn put_float8(value: f64, out: &mut BytesMut) {
    if put_special(value, out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    // Where PostgreSQL (d2s.c) and ryu both write plain decimals.
    put_finite(text, (1e-4..1e15).contains(&value.abs()), out);
}

/// As [`put_float8`], of a 4-byte float; PostgreSQL turns to exponents from 1e+06 on (f2s.c).
pub(in crate::wire) fn put_float4(value: f32, out: &mut BytesMut) {
    if put_special(f64::from(value), out) {
        return;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    put_finite(text, (1e-4..1e6).contains(&value.abs()), out);
}

fn put_special(value: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else if value == 0.0 {
        if value.is_sign_negative() { b"-0" } else { b"0" }
    } else {
        return false;
    };
    out.put_slice(text);
    true
}

fn put_finite(text: &str, plain: bool, out: &mut BytesMut) {
    if plain {
        out.put_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = magnitude.split_once('e').unwrap_or((magnitude, "0"));
    let exponent: i32 = exponent.parse().expect("ryu writes an integer exponent");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let leading_zeros = digits.len() - significant.len();
    let exponent = exponent + whole.len() as i32 - 1 - leading_zeros as i32;
    let significant = significant.trim_end_matches('0');

    out.put_slice(sign.as_bytes());
    out.put_slice(&significant.as_bytes()[..1]);
    if significant.len() > 1 {
        out.put_u8(b'.');
        out.put_slice(&significant.as_bytes()[1..]);
    }
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    // Writing into memory can't fail.
    let _ = write!(out.writer(), "e{exponent_sign}{:02}", exponent.abs());
}

/// `digits` (an integer, with sign) divided by 10^`scale`, with all `scale` decimal places: `1.50`, `-0.05`, `1200`.
pub(in crate::wire) fn put_decimal(digits: &str, scale: i8, out: &mut BytesMut) {
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |rest| (true, rest));
    if negative {
        out.put_u8(b'-');
    }
    let digits = digits.as_bytes();
    if scale <= 0 {
        out.put_slice(digits);
        if digits != b"0" {
            out.put_bytes(b'0', usize::from(scale.unsigned_abs()));
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.put_slice(whole);
        out.put_u8(b'.');
        out.put_slice(fraction);
    } else {
        out.put_slice(b"0.");
        out.put_bytes(b'0', scale - digits.len());
        out.put_slice(digits);
    }
}

const NUMERIC_POSITIVE: u16 = 0x0000;
const NUMERIC_NEGATIVE: u16 = 0x4000;

/// PostgreSQL's binary numeric (`numeric_send`): count of base-10000 digits, weight of the first, sign, decimal places to show,
/// then the digits.
pub(super) fn put_decimal_binary(digits: &str, scale: i8, out: &mut BytesMut) {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => (NUMERIC_NEGATIVE, rest),
        None => (NUMERIC_POSITIVE, digits),
    };
    let shown = scale.max(0) as u16;
    // How many decimal digits stand left of the point (negative: zeros between the point and the first digit).
    let whole = digits.len() as i32 - i32::from(scale);
    // Groups of four are counted from the point, so the first and the last may be short.
    let groups_left = whole.div_euclid(4) + i32::from(whole.rem_euclid(4) != 0);
    let padding = (groups_left * 4 - whole) as usize;
    let total = (padding + digits.len()).div_ceil(4);
    let digit_at = |index: usize| -> u16 {
        index.checked_sub(padding).and_then(|i| digits.as_bytes().get(i)).map_or(0, |byte| u16::from(byte - b'0'))
    };
    let group = |index: usize| (0..4).fold(0, |value, i| value * 10 + digit_at(index * 4 + i));

    let first = (0..total).find(|index| group(*index) != 0);
    let Some(first) = first else {
        for part in [0, 0, NUMERIC_POSITIVE, shown] {
            out.put_u16(part);
        }
        return;
    };
    let last = (first..total).rfind(|index| group(*index) != 0).unwrap_or(first);
    out.put_u16((last - first + 1) as u16);
    out.put_i16((groups_left - 1 - first as i32) as i16);
    out.put_u16(sign);
    out.put_u16(shown);
    for index in first..=last {
        out.put_u16(group(index));
    }
}
