use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;

use super::*;

fn layout(format: Format) -> Layout {
    let values = value::Style { time_zone: "Europe/Berlin".to_owned() };
    Layout { format, expanded: Expanded::Auto, width: None, values }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(*n, a.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, a)| a).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn bytes(layout: &Layout, batches: &[RecordBatch]) -> Vec<u8> {
    let mut sink = sink(layout, batches[0].schema()).unwrap();
    let mut out = Vec::new();
    sink.begin(&mut out).unwrap();
    let mut rows = 0;
    for batch in batches {
        sink.batch(batch, &mut out).unwrap();
        rows += batch.num_rows() as u64;
    }
    sink.finish(rows, &mut out).unwrap();
    out
}

fn printed(layout: &Layout, batches: &[RecordBatch]) -> String {
    String::from_utf8(bytes(layout, batches)).unwrap()
}

fn cities() -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(300)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("Zürich"), Some(""), None]));
    batch(vec![("id", ids), ("city", names)])
}

#[test]
fn tables_are_aligned_as_psql_aligns_them() {
    let text = printed(&layout(Format::Table), &[cities()]);
    assert_eq!(text, "  id |  city\n-----+--------\n   1 | Zürich\n     |\n 300 |\n(3 rows)\n\n");
    let none = cities().slice(0, 0);
    assert_eq!(printed(&layout(Format::Table), &[none]), " id | city\n----+------\n(0 rows)\n\n");
    let one = cities().slice(0, 1);
    assert!(printed(&layout(Format::Table), &[one]).ends_with("(1 row)\n\n"));
}

#[test]
fn rows_wider_than_the_terminal_are_expanded() {
    let narrow = Layout { width: Some(13), ..layout(Format::Table) };
    let text = printed(&narrow, &[cities()]);
    assert!(text.starts_with("-[ RECORD 1 ]---\nid   | 1\ncity | Zürich\n-[ RECORD 2 ]"), "{text}");
    let wide = Layout { width: Some(14), ..layout(Format::Table) };
    assert!(printed(&wide, &[cities()]).starts_with("  id |"));
    let off = Layout { expanded: Expanded::Off, ..narrow };
    assert!(printed(&off, &[cities()]).starts_with("  id |"));
}

#[test]
fn long_results_are_printed_in_chunks_under_one_heading() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(100_000..125_000));
    let mut sink = sink(&layout(Format::Table), batch(vec![("n", numbers.clone())]).schema()).unwrap();
    let mut out = Vec::new();
    sink.batch(&batch(vec![("n", numbers)]), &mut out).unwrap();
    // Two chunks of 10,000 and their heading: the third waits.
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 20_002);
    sink.finish(25_000, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("---").count(), text.lines().nth(1).unwrap().matches("---").count());
    assert!(text.ends_with(" 124999\n(25000 rows)\n\n"));
    assert!(text.lines().nth(2 + 10_000).unwrap().ends_with("110000"));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a\tb", "red\u{1b}[31m", "two\nlines"]));
    let text = printed(&layout(Format::Table), &[batch(vec![("t", texts)])]);
    assert!(text.contains(" a\\tb\n") && text.contains(" red\\x1B[31m\n") && text.contains(" two\n lines\n"), "{text}");
}

#[test]
fn csv_tells_null_from_the_empty_text() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), Some("say \"hi\""), Some(""), None]));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None, Some(1e20), Some(f64::NAN)]));
    let text = printed(&layout(Format::Csv), &[batch(vec![("t, x", texts), ("n", numbers)])]);
    assert_eq!(text, "\"t, x\",n\n\"a,b\",1.5\n\"say \"\"hi\"\"\",\n\"\",1e+20\n,NaN\n");
}

#[test]
fn json_is_one_object_a_line() {
    let text = printed(&layout(Format::Json), &[cities()]);
    assert_eq!(text, "{\"id\":1,\"city\":\"Zürich\"}\n{\"id\":null,\"city\":\"\"}\n{\"id\":300,\"city\":null}\n");
    let one: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let twice = batch(vec![("n", one.clone()), ("n", one)]);
    assert_eq!(printed(&layout(Format::Json), &[twice]), "{\"n\":1,\"n_2\":1}\n");
}

#[test]
fn hive_prints_as_the_spark_sql_command_line() {
    let text = printed(&layout(Format::Hive), &[cities()]);
    assert_eq!(text, "1\tZürich\nNULL\t\n300\tNULL\n");
}

#[test]
fn parquet_reads_back() {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = bytes(&layout(Format::Parquet), &[cities(), cities()]);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).unwrap().build().unwrap();
    let read: Vec<RecordBatch> = reader.map(|b| b.unwrap()).collect();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 6);
    assert_eq!(read[0].column(1).as_string::<i32>().value(0), "Zürich");
}

/// One value in the three forms.
#[track_caller]
fn check(array: ArrayRef, postgres: &str, hive: &str, json: &str) {
    let style = value::Style { time_zone: "Europe/Berlin".to_owned() };
    for (form, expected) in [(value::Form::Postgres, postgres), (value::Form::Hive, hive), (value::Form::Json, json)] {
        let mut text = String::new();
        value::write(array.as_ref(), 0, form, &style, &mut text).unwrap();
        assert_eq!(text, expected, "{form:?}");
    }
}

#[test]
fn simple_values() {
    check(Arc::new(BooleanArray::from(vec![true])), "t", "true", "true");
    check(
        Arc::new(Int64Array::from(vec![i64::MIN])),
        "-9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775808",
    );
    check(Arc::new(StringArray::from(vec!["a\"b\n"])), "a\"b\n", "a\"b\n", "\"a\\\"b\\n\"");
    check(Arc::new(BinaryArray::from(vec![&b"hi"[..]])), "\\x6869", "hi", "\"\\\\x6869\"");
    check(Arc::new(Date32Array::from(vec![11327])), "2001-01-05", "2001-01-05", "\"2001-01-05\"");
    let decimal = Decimal128Array::from(vec![-1234500]).with_precision_and_scale(10, 3).unwrap();
    check(Arc::new(decimal), "-1234.500", "-1234.500", "-1234.500");
}

#[test]
fn floats_are_shortest_in_each_systems_exponent_form() {
    for (number, postgres, hive) in [
        (0.1, "0.1", "0.1"),
        (1.0, "1", "1.0"),
        (-0.0, "-0", "-0.0"),
        (1e6, "1000000", "1000000.0"),
        (1e7, "10000000", "1.0E7"),
        (123456789.125, "123456789.125", "1.23456789125E8"),
        (1e15, "1e+15", "1.0E15"),
        (1.5e-5, "1.5e-05", "1.5E-5"),
        (0.0001, "0.0001", "1.0E-4"),
        (0.001, "0.001", "0.001"),
    ] {
        check(Arc::new(Float64Array::from(vec![number])), postgres, hive, hive);
    }
    check(Arc::new(Float32Array::from(vec![0.1])), "0.1", "0.1", "0.1");
    check(Arc::new(Float32Array::from(vec![1e6])), "1e+06", "1000000.0", "1000000.0");
    check(Arc::new(Float64Array::from(vec![f64::INFINITY])), "Infinity", "Infinity", "\"Infinity\"");
}

#[test]
fn timestamps_are_shown_in_the_sessions_time_zone() {
    let local = TimestampMicrosecondArray::from(vec![978_676_200_120_000]);
    let text = "2001-01-05 06:30:00.12";
    check(Arc::new(local.clone()), text, text, &format!("\"{text}\""));
    let instant = local.with_timezone("UTC");
    check(Arc::new(instant), "2001-01-05 07:30:00.12+01", "2001-01-05 07:30:00.12", "\"2001-01-05 07:30:00.12+01\"");
    let before = TimestampMillisecondArray::from(vec![-1]);
    check(Arc::new(before), "1969-12-31 23:59:59.999", "1969-12-31 23:59:59.999", "\"1969-12-31 23:59:59.999\"");
}

#[test]
fn nested_values() {
    let numbers = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None, Some(2)])]);
    check(Arc::new(numbers), "{1,NULL,2}", "[1,null,2]", "[1,null,2]");

    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("a"), Some(""), Some("b c"), Some("null"), Some("q\"")]);
    check(
        Arc::new(texts.finish()),
        "{a,\"\",\"b c\",\"null\",\"q\\\"\"}",
        "[\"a\",\"\",\"b c\",\"null\",\"q\\\"\"]",
        "[\"a\",\"\",\"b c\",\"null\",\"q\\\"\"]",
    );

    let place = StructArray::from(vec![
        (Arc::new(Field::new("city", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["St Louis"])) as ArrayRef),
        (
            Arc::new(Field::new("rank", DataType::Int32, true)),
            Arc::new(Int32Array::from(vec![None::<i32>])) as ArrayRef,
        ),
    ]);
    check(
        Arc::new(place.clone()),
        "(\"St Louis\",)",
        "{\"city\":\"St Louis\",\"rank\":null}",
        "{\"city\":\"St Louis\",\"rank\":null}",
    );
    let field = Arc::new(Field::new("item", place.data_type().clone(), true));
    let offsets = datafusion::arrow::buffer::OffsetBuffer::from_lengths([1]);
    let places = ListArray::new(field, offsets, Arc::new(place), None);
    check(
        Arc::new(places),
        "{\"(\\\"St Louis\\\",)\"}",
        "[{\"city\":\"St Louis\",\"rank\":null}]",
        "[{\"city\":\"St Louis\",\"rank\":null}]",
    );

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("a");
    map.values().append_value(1);
    map.append(true).unwrap();
    check(Arc::new(map.finish()), "{\"a\":1}", "{\"a\":1}", "{\"a\":1}");
}
