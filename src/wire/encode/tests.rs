//! Text forms and binary images against what PostgreSQL 15 sends for the same values.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::*;
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int32Type, IntervalMonthDayNano, Schema, TimeUnit, i256};
use datafusion::arrow::record_batch::RecordBatch;

use super::datetime::{Zone, civil, days_from_civil};
use super::*;

/// The one column of the array's rows as they are sent; `None`: NULL.
fn send(array: ArrayRef, format: Format, zone: &str) -> Vec<Option<Vec<u8>>> {
    try_send(Field::new("c", array.data_type().clone(), true), array, format, zone).unwrap()
}

fn try_send(field: Field, array: ArrayRef, format: Format, zone: &str) -> Result<Vec<Option<Vec<u8>>>> {
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
    let mut encoder = RowEncoder::new(schema, vec![format], Zone::parse(zone).unwrap());
    let mut open = encoder.open(&batch)?;
    let mut out = BytesMut::new();
    let rows = open.write(&mut encoder, usize::MAX, usize::MAX, &mut out)?;
    assert_eq!(rows, batch.num_rows());
    let mut cells = Vec::new();
    let mut rest = &out[..];
    while let Some((kind, frame)) = rest.split_first() {
        assert_eq!(*kind, b'D');
        let length = i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        assert_eq!(&frame[4..6], [0, 1], "one column");
        let size = i32::from_be_bytes(frame[6..10].try_into().unwrap());
        cells.push((size >= 0).then(|| frame[10..length].to_vec()));
        assert_eq!(size.max(0) as usize, length - 10);
        rest = &frame[length..];
    }
    Ok(cells)
}

/// What the rows look like as text in a zone.
fn text_in(array: ArrayRef, zone: &str) -> Vec<String> {
    let cells = send(array, Format::Text, zone);
    cells.into_iter().map(|cell| cell.map_or("<null>".into(), |bytes| String::from_utf8(bytes).unwrap())).collect()
}

fn text(array: impl Array + 'static) -> Vec<String> {
    text_in(Arc::new(array), "UTC")
}

/// The binary image of the rows in hex.
fn hex(array: impl Array + 'static) -> Vec<String> {
    let cells = send(Arc::new(array), Format::Binary, "UTC");
    cells.into_iter().map(|cell| cell.unwrap().iter().map(|byte| format!("{byte:02x}")).collect()).collect()
}

#[test]
fn integers_and_booleans() {
    assert_eq!(text(BooleanArray::from(vec![Some(true), Some(false), None])), ["t", "f", "<null>"]);
    assert_eq!(hex(BooleanArray::from(vec![true, false])), ["01", "00"]);
    assert_eq!(text(Int64Array::from(vec![i64::MIN, -1, 0])), ["-9223372036854775808", "-1", "0"]);
    assert_eq!(hex(Int64Array::from(vec![-2])), ["fffffffffffffffe"]);
    assert_eq!(hex(Int8Array::from(vec![-2])), ["fffe"]);
    assert_eq!(hex(UInt8Array::from(vec![255])), ["00ff"]);
    assert_eq!(hex(UInt16Array::from(vec![65_535])), ["0000ffff"]);
    assert_eq!(hex(UInt32Array::from(vec![u32::MAX])), ["00000000ffffffff"]);
    assert_eq!(text(UInt64Array::from(vec![u64::MAX])), ["18446744073709551615"]);
}

#[test]
fn floats_are_the_shortest_text_that_reads_back() {
    let values = [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (1e20, "1e+20"),
        (1e15, "1e+15"),
        (123_456_789_012_345.0, "123456789012345"),
        (1_234_567_890_123_456.0, "1.234567890123456e+15"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1.2345e-7, "1.2345e-07"),
        (1e100, "1e+100"),
        (f64::MAX, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
        (f64::NAN, "NaN"),
    ];
    let (numbers, texts): (Vec<f64>, Vec<&str>) = values.into_iter().unzip();
    assert_eq!(text(Float64Array::from(numbers)), texts);
    let singles = Float32Array::from(vec![1.0, 0.1, 999_999.0, 1_000_000.0, 1.5e-5, 3.4e38]);
    assert_eq!(text(singles), ["1", "0.1", "999999", "1e+06", "1.5e-05", "3.4e+38"]);
    assert_eq!(hex(Float64Array::from(vec![1.5])), ["3ff8000000000000"]);
}

fn decimals(values: Vec<i128>, precision: u8, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
}

#[test]
fn numerics_keep_their_scale() {
    assert_eq!(text(decimals(vec![150, -5, 0, 123_456], 10, 2)), ["1.50", "-0.05", "0.00", "1234.56"]);
    assert_eq!(text(decimals(vec![12, 0], 5, -2)), ["1200", "0"]);
    let wide = Decimal256Array::from(vec![i256::from_string(&format!("-1{}", "0".repeat(60))).unwrap()]);
    let wide = wide.with_precision_and_scale(70, 59).unwrap();
    assert_eq!(text(wide), [format!("-10.{}", "0".repeat(59))]);
}

#[test]
fn numerics_in_binary_are_groups_of_four_digits_around_the_point() {
    // SELECT encode(numeric_send(…), 'hex'): count, weight, sign, shown places, digits.
    let values = [
        (0, "0000000000000002"),
        (1, "0001ffff000000020064"),
        (100, "00010000000000020001"),
        (-150, "000200004000000200011388"),
        (1_234_567, "0003000100000002000109291a2c"),
        (1_000_000_000_000, "00010002000000020064"),
    ];
    let (numbers, images): (Vec<i128>, Vec<&str>) = values.into_iter().unzip();
    assert_eq!(hex(decimals(numbers, 20, 2)), images);
    assert_eq!(hex(decimals(vec![12_345], 10, 0)), ["000200010000000000010929"]);
    assert_eq!(hex(decimals(vec![12], 5, -2)), ["000100000000000004b0"]);
}

#[test]
fn dates_and_times() {
    let days = |year, month, day| days_from_civil(year, month, day) as i32;
    let dates = Date32Array::from(vec![0, days(2018, 3, 5), days(12_018, 3, 5), days(-43, 3, 15), days(0, 12, 31)]);
    assert_eq!(text(dates), ["1970-01-01", "2018-03-05", "12018-03-05", "0044-03-15 BC", "0001-12-31 BC"]);
    assert_eq!(hex(Date32Array::from(vec![0, 10_957])), ["ffffd533", "00000000"]);
    let times = Time64MicrosecondArray::from(vec![0, 45_296_789_000, 86_399_999_999]);
    assert_eq!(text(times), ["00:00:00", "12:34:56.789", "23:59:59.999999"]);
    assert_eq!(text(Time32SecondArray::from(vec![61])), ["00:01:01"]);
}

#[test]
fn civil_days_come_back() {
    for days in (-1_000_000..4_000_000).step_by(997) {
        let (year, month, day) = civil(days);
        assert_eq!(days_from_civil(year, month, day), days);
    }
    assert_eq!(civil(11_016), (2000, 2, 29));
}

#[test]
fn timestamps_of_every_unit() {
    let expected = ["2018-03-05 12:34:56"];
    let second = 1_520_253_296;
    assert_eq!(text(TimestampSecondArray::from(vec![second])), expected);
    assert_eq!(text(TimestampMillisecondArray::from(vec![second * 1_000])), expected);
    assert_eq!(text(TimestampMicrosecondArray::from(vec![second * 1_000_000])), expected);
    assert_eq!(text(TimestampNanosecondArray::from(vec![second * 1_000_000_000])), expected);
    // Before 1970 too, nanoseconds are cut towards the past.
    assert_eq!(text(TimestampNanosecondArray::from(vec![-1])), ["1969-12-31 23:59:59.999999"]);
    assert_eq!(text(TimestampMicrosecondArray::from(vec![1_500_000])), ["1970-01-01 00:00:01.5"]);
    assert_eq!(hex(TimestampSecondArray::from(vec![946_684_801])), ["00000000000f4240"]);
    let field = Field::new("c", DataType::Timestamp(TimeUnit::Second, None), true);
    let beyond = try_send(field, Arc::new(TimestampSecondArray::from(vec![i64::MAX])), Format::Binary, "UTC");
    assert_eq!(beyond.unwrap_err().sqlstate(), "22008");
}

#[test]
fn instants_are_shown_in_the_session_zone() {
    let at = |seconds: i64| -> ArrayRef { Arc::new(TimestampSecondArray::from(vec![seconds]).with_timezone("UTC")) };
    assert_eq!(text_in(at(1_520_253_296), "UTC"), ["2018-03-05 12:34:56+00"]);
    assert_eq!(text_in(at(1_520_253_296), "europe/berlin"), ["2018-03-05 13:34:56+01"]);
    assert_eq!(text_in(at(1_530_253_296), "Europe/Berlin"), ["2018-06-29 08:21:36+02"]);
    assert_eq!(text_in(at(1_520_253_296), "Asia/Kolkata"), ["2018-03-05 18:04:56+05:30"]);
    assert_eq!(text_in(at(1_520_253_296), "-03:30"), ["2018-03-05 09:04:56-03:30"]);
    assert_eq!(text_in(at(-3_000_000_000), "Europe/Berlin"), ["1874-12-07 19:33:28+00:53:28"]);
    // Either side of a change on one day.
    let change = Arc::new(TimestampSecondArray::from(vec![1_521_939_599, 1_521_939_600]).with_timezone("UTC"));
    assert_eq!(text_in(change, "Europe/Berlin"), ["2018-03-25 01:59:59+01", "2018-03-25 03:00:00+02"]);
}

#[test]
fn intervals_in_style_postgres() {
    let interval = |months, days, micros: i64| IntervalMonthDayNano::new(months, days, micros * 1_000);
    let array = IntervalMonthDayNanoArray::from(vec![
        Some(interval(0, 0, 0)),
        Some(interval(14, 3, 14_706_789_000)),
        Some(interval(-14, 3, -14_706_000_000)),
        Some(interval(1, -1, 60_000_000)),
        Some(interval(0, 1, 0)),
        Some(interval(0, 0, 360_000_000_000)),
        Some(interval(-12, 0, 0)),
        None,
    ]);
    let expected = [
        "00:00:00",
        "1 year 2 mons 3 days 04:05:06.789",
        "-1 years -2 mons +3 days -04:05:06",
        "1 mon -1 days +00:01:00",
        "1 day",
        "100:00:00",
        "-1 years",
        "<null>",
    ];
    assert_eq!(text(array), expected);
    let image = hex(IntervalMonthDayNanoArray::from(vec![interval(14, 3, 1)]));
    assert_eq!(image, ["0000000000000001000000030000000e"]);
    assert_eq!(text(DurationMillisecondArray::from(vec![-1_500])), ["-00:00:01.5"]);
    assert_eq!(text(IntervalYearMonthArray::from(vec![25])), ["2 years 1 mon"]);
}

#[test]
fn text_and_bytes() {
    assert_eq!(text(StringArray::from(vec!["", "ä\n"])), ["", "ä\n"]);
    assert_eq!(text(StringViewArray::from(vec!["longer than twelve bytes"])), ["longer than twelve bytes"]);
    assert_eq!(text(LargeStringArray::from(vec![Some("x"), None])), ["x", "<null>"]);
    assert_eq!(text(BinaryArray::from(vec![&b"\x00\xff"[..], b""])), ["\\x00ff", "\\x"]);
    assert_eq!(hex(BinaryViewArray::from(vec![&b"\x00\xff"[..]])), ["00ff"]);
    assert_eq!(text(NullArray::new(2)), ["<null>", "<null>"]);
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    assert_eq!(text(dictionary), ["a", "<null>", "a"]);
}

#[test]
fn uuids_by_their_extension_type() {
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned())];
    let field = Field::new("c", DataType::FixedSizeBinary(16), true).with_metadata(metadata.into());
    let bytes: Vec<u8> = (0..16).collect();
    let array = Arc::new(FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap());
    let sent = try_send(field, array, Format::Text, "UTC").unwrap();
    assert_eq!(sent[0].as_deref(), Some(&b"00010203-0405-0607-0809-0a0b0c0d0e0f"[..]));
}

#[test]
fn lists_are_arrays() {
    let integers = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    assert_eq!(text(integers.clone()), ["{1,NULL}", "{}", "<null>"]);
    let image = hex(integers.slice(0, 2));
    assert_eq!(image[0], "00000001000000010000001700000002000000010000000400000001ffffffff");
    assert_eq!(image[1], "000000000000000000000017");

    let words = StringArray::from(vec!["plain", "", "null", "a b", "q\"\\", "{,}", "ä"]);
    let element = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let list = ListArray::new(element, OffsetBuffer::from_lengths([7]), Arc::new(words), None);
    assert_eq!(text(list), [r#"{plain,"","null","a b","q\"\\","{,}",ä}"#]);
}

#[test]
fn lists_of_lists_are_dimensions() {
    let inner = |rows: [Vec<Option<i32>>; 2]| ListArray::from_iter_primitive::<Int32Type, _, _>(rows.map(Some));
    let outer = |inner: ListArray| {
        let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        ListArray::new(field, OffsetBuffer::from_lengths([2]), Arc::new(inner), None)
    };
    let square = outer(inner([vec![Some(1), Some(2)], vec![Some(3), Some(4)]]));
    assert_eq!(text(square.clone()), ["{{1,2},{3,4}}"]);
    let image = hex(square);
    assert!(image[0].starts_with("00000002000000000000001700000002000000010000000200000001"), "{}", image[0]);
    let ragged = outer(inner([vec![Some(1)], vec![]]));
    assert_eq!(text(ragged.clone()), ["{{1},{}}"]);
    let field = Field::new("c", ragged.data_type().clone(), true);
    let refused = try_send(field, Arc::new(ragged), Format::Binary, "UTC");
    assert_eq!(refused.unwrap_err().sqlstate(), "0A000");
}

#[test]
fn structs_and_maps_are_json() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b\"", DataType::Utf8, true),
        Field::new("d", DataType::Date32, true),
        Field::new("f", DataType::Float64, true),
    ]);
    let structs = StructArray::new(
        fields,
        vec![
            Arc::new(Int32Array::from(vec![Some(1), None])),
            Arc::new(StringArray::from(vec!["x\n\u{1}", "y"])),
            Arc::new(Date32Array::from(vec![0, 0])),
            Arc::new(Float64Array::from(vec![1.0, f64::NAN])),
        ],
        None,
    );
    assert_eq!(
        text(structs),
        [r#"{"a":1,"b\"":"x\n\u0001","d":"1970-01-01","f":1}"#, r#"{"a":null,"b\"":"y","d":"1970-01-01","f":"NaN"}"#]
    );
    let mut map = MapBuilder::new(None, Int32Builder::new(), TimestampMicrosecondBuilder::new());
    map.keys().append_value(7);
    map.values().append_value(0);
    map.append(true).unwrap();
    map.append(true).unwrap();
    assert_eq!(text(map.finish()), [r#"{"7":"1970-01-01T00:00:00"}"#, "{}"]);
}

#[test]
fn rows_are_written_up_to_a_limit() {
    let array: ArrayRef = Arc::new(Int32Array::from_iter_values(0..10));
    let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int32, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
    let mut encoder = RowEncoder::new(schema, vec![Format::Binary], Zone::parse("UTC").unwrap());
    let mut open = encoder.open(&batch).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(open.write(&mut encoder, 3, usize::MAX, &mut out).unwrap(), 3);
    // A DataRow of one int4 has 15 bytes; the one that passes the mark is the last.
    assert_eq!(open.write(&mut encoder, usize::MAX, 3 * 15 + 16, &mut out).unwrap(), 2);
    assert_eq!(open.write(&mut encoder, usize::MAX, usize::MAX, &mut out).unwrap(), 5);
    assert!(open.is_empty());
    assert_eq!(out.len(), 10 * 15);
}
