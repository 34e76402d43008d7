//! Parameters as psycopg, pgjdbc and libpq send them.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int32Type, IntervalMonthDayNano, TimeUnit};

use super::super::types::oid;
use super::*;

fn read(bytes: &[u8], format: Format, oid: u32) -> Result<ScalarValue> {
    let target = types::declared_type(oid).unwrap().unwrap();
    parameter(Some(bytes), format, oid, &target, &mut Zone::parse("Europe/Berlin").unwrap())
}

fn text(text: &str, oid: u32) -> ScalarValue {
    read(text.as_bytes(), Format::Text, oid).unwrap()
}

fn refused(text: &str, oid: u32) -> &'static str {
    read(text.as_bytes(), Format::Text, oid).unwrap_err().sqlstate()
}

#[test]
fn numbers_and_booleans() {
    assert_eq!(text(" 7 ", oid::INT2), ScalarValue::Int16(Some(7)));
    assert_eq!(text("-9223372036854775808", oid::INT8), ScalarValue::Int64(Some(i64::MIN)));
    assert_eq!(refused("40000", oid::INT2), "22003");
    assert_eq!(refused("1.5", oid::INT4), "22P02");
    assert_eq!(text("-Infinity", oid::FLOAT8), ScalarValue::Float64(Some(f64::NEG_INFINITY)));
    for word in ["t", "TRUE", "on", "1", "y"] {
        assert_eq!(text(word, oid::BOOL), ScalarValue::Boolean(Some(true)), "{word}");
    }
    assert_eq!(text("of", oid::BOOL), ScalarValue::Boolean(Some(false)));
    assert_eq!(refused("o", oid::BOOL), "22P02");
    assert_eq!(read(&[0, 0, 0, 5], Format::Binary, oid::INT4).unwrap(), ScalarValue::Int32(Some(5)));
    assert_eq!(read(&[0, 5], Format::Binary, oid::INT4).unwrap_err().sqlstate(), "22P03");
}

#[test]
fn a_small_integer_fits_a_wide_parameter() {
    let mut zone = Zone::parse("UTC").unwrap();
    let value = parameter(Some(&[0, 5]), Format::Binary, oid::INT2, &DataType::Int64, &mut zone).unwrap();
    assert_eq!(value, ScalarValue::Int64(Some(5)));
    let null = parameter(None, Format::Binary, oid::INT2, &DataType::Int64, &mut zone).unwrap();
    assert_eq!(null, ScalarValue::Int64(None));
    let beyond = parameter(Some(b"300"), Format::Text, oid::INT2, &DataType::Int8, &mut zone);
    assert_eq!(beyond.unwrap_err().sqlstate(), "22003");
}

#[test]
fn numerics_of_text_and_of_groups_agree() {
    let of = |digits: i128, scale: i8| ScalarValue::Decimal128(Some(digits), 38, scale);
    let mut zone = Zone::parse("UTC").unwrap();
    let mut read = |bytes: &[u8], format| {
        let target = DataType::Decimal128(38, 4);
        parameter(Some(bytes), format, oid::NUMERIC, &target, &mut zone)
    };
    for (word, digits) in
        [("1.5", 15_000), ("-0.05", -500), ("12345.67", 123_456_700), ("1e3", 10_000_000), (".5", 5_000), ("0", 0)]
    {
        assert_eq!(read(word.as_bytes(), Format::Text).unwrap(), of(digits, 4), "{word}");
    }
    assert_eq!(read(b"1.23455", Format::Text).unwrap(), of(12_346, 4));
    let image = [0, 3, 0, 1, 0x40, 0, 0, 2, 0, 1, 0x09, 0x29, 0x1a, 0x2c];
    assert_eq!(read(&image, Format::Binary).unwrap(), of(-123_456_700, 4));
    let hundredth = [0, 1, 0xff, 0xff, 0, 0, 0, 2, 0, 100];
    assert_eq!(read(&hundredth, Format::Binary).unwrap(), of(100, 4));
    assert_eq!(read(&[0, 0, 0, 0, 0xC0, 0, 0, 0], Format::Binary).unwrap_err().sqlstate(), "22003");
    assert_eq!(read(b"1.2.3", Format::Text).unwrap_err().sqlstate(), "22P02");
    assert_eq!(read(b"", Format::Text).unwrap_err().sqlstate(), "22P02");
}

#[test]
fn dates_and_times() {
    assert_eq!(text("2018-03-05", oid::DATE), ScalarValue::Date32(Some(17_595)));
    assert_eq!(text("20180305", oid::DATE), ScalarValue::Date32(Some(17_595)));
    assert_eq!(text("0001-12-31 BC", oid::DATE), ScalarValue::Date32(Some(-719_163)));
    assert_eq!(refused("2018-02-29", oid::DATE), "22P02");
    assert_eq!(refused("infinity", oid::DATE), "22008");
    assert_eq!(text("12:34:56.789", oid::TIME), ScalarValue::Time64Microsecond(Some(45_296_789_000)));
    let micros = 1_520_253_296_500_000;
    let local = ScalarValue::TimestampMicrosecond(Some(micros), None);
    assert_eq!(text("2018-03-05 12:34:56.5", oid::TIMESTAMP), local);
    assert_eq!(text("2018-03-05T12:34:56.5+07", oid::TIMESTAMP), local);
    let instant = ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    assert_eq!(text("2018-03-05 13:34:56.5", oid::TIMESTAMPTZ), instant);
    assert_eq!(text("2018-03-05 12:34:56.5Z", oid::TIMESTAMPTZ), instant);
    assert_eq!(text("2018-03-05 07:34:56.5-05:00", oid::TIMESTAMPTZ), instant);
    assert_eq!(text("2018-03-05 18:04:56.5 Asia/Kolkata", oid::TIMESTAMPTZ), instant);
    assert_eq!(read(&[0; 8], Format::Binary, oid::TIMESTAMP).unwrap(), {
        ScalarValue::TimestampMicrosecond(Some(946_684_800_000_000), None)
    });
    assert_eq!(refused("2018-03-05 25:00", oid::TIMESTAMP), "22P02");
    assert_eq!(
        text("1 year 2 mons 3 days 04:05:06", oid::INTERVAL),
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(14, 3, 14_706_000_000_000)))
    );
}

#[test]
fn bytes_uuids_and_json() {
    assert_eq!(text("\\x00fF", oid::BYTEA), ScalarValue::Binary(Some(vec![0, 255])));
    assert_eq!(text("a\\\\b\\000", oid::BYTEA), ScalarValue::Binary(Some(b"a\\b\0".to_vec())));
    assert_eq!(refused("\\x0", oid::BYTEA), "22P02");
    let uuid = "00010203-0405-0607-0809-0a0b0c0d0e0f";
    let bytes: Vec<u8> = (0..16).collect();
    assert_eq!(read(&bytes, Format::Binary, oid::UUID).unwrap(), ScalarValue::Utf8(Some(uuid.into())));
    assert_eq!(text(&uuid.to_uppercase(), oid::UUID), ScalarValue::Utf8(Some(uuid.into())));
    assert_eq!(read(b"\x01{}", Format::Binary, oid::JSONB).unwrap(), ScalarValue::Utf8(Some("{}".into())));
    assert_eq!(read(b"\xff", Format::Text, oid::TEXT).unwrap_err().sqlstate(), "22021");
}

fn integers(value: ScalarValue) -> Vec<Option<i32>> {
    let ScalarValue::List(list) = value else { panic!("no list") };
    list.value(0).as_primitive::<Int32Type>().iter().collect()
}

#[test]
fn arrays() {
    assert_eq!(integers(text("{1, NULL,3}", 1007)), [Some(1), None, Some(3)]);
    assert_eq!(integers(text("{}", 1007)), []);
    let ScalarValue::List(words) = text(r#"{plain,"a \"b\"","NULL",""}"#, 1009) else { panic!("no list") };
    let words = words.value(0);
    let words: Vec<_> = words.as_string::<i32>().iter().flatten().collect();
    assert_eq!(words, ["plain", "a \"b\"", "NULL", ""]);
    assert_eq!(refused("{1,2", 1007), "22P02");
    assert_eq!(refused("{1,,2}", 1007), "22P02");
    assert_eq!(refused("{{1},{2}}", 1007), "0A000");
    let image =
        [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9, 255, 255, 255, 255];
    assert_eq!(integers(read(&image, Format::Binary, 1007).unwrap()), [Some(9), None]);
    assert_eq!(integers(read(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23], Format::Binary, 1007).unwrap()), []);
    assert_eq!(read(&image[..30], Format::Binary, 1007).unwrap_err().sqlstate(), "22P03");
    let ScalarValue::List(numerics) = text("{1.5,NULL,22.25}", 1231) else { panic!("no list") };
    assert_eq!(numerics.value(0).len(), 3);
}

#[test]
fn a_zone_reads_times_that_are_skipped_or_come_twice() {
    let target = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut zone = Zone::parse("Europe/Berlin").unwrap();
    let mut seconds = |text: &str| match parameter(
        Some(text.as_bytes()),
        Format::Text,
        oid::TIMESTAMPTZ,
        &target,
        &mut zone,
    )
    .unwrap()
    {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => micros / 1_000_000,
        other => panic!("{other:?}"),
    };
    // Skipped on 2018-03-25: read as +01. Twice on 2018-10-28: the second one, +01.
    assert_eq!(seconds("2018-03-25 02:30:00"), 1_521_941_400);
    assert_eq!(seconds("2018-10-28 02:30:00"), 1_540_690_200);
}
