//! Tables over files that other engines left: pruning as EXPLAIN tells it, and what a reader of the files sees.

use crate::server::run_sql;

fn plan(warehouse: &std::path::Path, query: &str) -> String {
    run_sql(warehouse, &format!("EXPLAIN {query}"))
}

#[test]
fn explain_counts_pruned_partitions_and_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let warehouse = dir.path();
    run_sql(
        warehouse,
        "CREATE TABLE t (id BIGINT, dt STRING) USING parquet PARTITIONED BY (dt);
         INSERT INTO t SELECT value, concat('d', cast(value % 10 AS string)) FROM generate_series(0, 999);
         INSERT INTO t SELECT value, 'd3' FROM generate_series(5000, 5999);",
    );
    let by_partition = plan(warehouse, "SELECT count(id + 1) FROM t WHERE dt = 'd3'");
    assert!(by_partition.contains("partitions=1/10"), "{by_partition}");
    let by_function = plan(warehouse, "SELECT sum(id) FROM t WHERE substr(dt, 2) IN ('4', '5')");
    assert!(by_function.contains("partitions=2/10"), "{by_function}");
    let by_statistics = plan(warehouse, "SELECT sum(id) FROM t WHERE id > 4000");
    assert!(by_statistics.contains("files=1/11"), "{by_statistics}");
}

#[test]
fn files_written_are_hive_style_and_plain() {
    let dir = tempfile::tempdir().expect("a folder");
    let warehouse = dir.path();
    run_sql(
        warehouse,
        "CREATE TABLE t (id BIGINT, EventType STRING, h INT) USING parquet PARTITIONED BY (EventType, h);
         INSERT INTO t VALUES (1, 'a:b', 7), (2, NULL, 8);",
    );
    let files = crate::server::files_below(&warehouse.join("t"));
    let folders: Vec<&str> = files.iter().filter_map(|f| f.rsplit_once('/').map(|(folder, _)| folder)).collect();
    assert_eq!(folders, ["EventType=__HIVE_DEFAULT_PARTITION__/h=8", "EventType=a%3Ab/h=7"]);
    let shown = run_sql(warehouse, "SELECT * FROM t ORDER BY id");
    assert_eq!(shown, "id,EventType,h\n1,a:b,7\n2,,8\n");
}
