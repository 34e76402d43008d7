//! kill -9 in the middle of an INSERT OVERWRITE: afterwards the old rows or the new ones, whole, and nothing stray after VACUUM.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::server::{Server, errors, files_below, run_sql, sql};

/// Rows of the source; large enough that a statement takes a good part of a second.
const ROWS: i64 = 400_000;
const DAYS: i64 = 20;

fn make(warehouse: &Path) {
    run_sql(
        warehouse,
        &format!(
            "CREATE TABLE source (id BIGINT, day STRING, payload STRING) USING parquet;
             INSERT INTO source SELECT value, concat('2018-03-', lpad(cast(value % {DAYS} + 1 AS string), 2, '0')),
               md5(cast(value AS string)) FROM generate_series(1, {ROWS});
             CREATE TABLE target (id BIGINT, generation BIGINT, payload STRING, dt STRING) USING parquet PARTITIONED BY (dt);
             {}",
            overwrite(0)
        ),
    );
}

fn overwrite(generation: i64) -> String {
    format!(
        "INSERT OVERWRITE TABLE target PARTITION (dt) SELECT id, cast({generation} AS bigint), payload, day FROM source
         DISTRIBUTE BY day SORT BY payload;"
    )
}

/// The one generation whose rows the table holds, whole.
fn generation(warehouse: &Path) -> i64 {
    let text = run_sql(
        warehouse,
        "SELECT min(generation), max(generation), count(*), count(DISTINCT id), count(DISTINCT dt) FROM target",
    );
    let line = text.lines().nth(1).unwrap_or_else(|| panic!("a row expected: {text}"));
    let numbers: Vec<i64> = line.split(',').map(|n| n.parse().expect("a number")).collect();
    assert_eq!(numbers[0], numbers[1], "rows of two generations: {line}");
    assert_eq!(numbers[2..], [ROWS, ROWS, DAYS], "rows are missing or doubled: {line}");
    numbers[0]
}

/// After VACUUM the table's folder holds its data files, one a day, and nothing else but the owner's mark.
fn nothing_stray(warehouse: &Path) {
    run_sql(warehouse, "VACUUM");
    let listed = run_sql(warehouse, "SELECT count(*) FROM tycho.files WHERE `table` = 'target'");
    let live: usize = listed.lines().nth(1).expect("a count").parse().expect("a number");
    let files = files_below(&warehouse.join("target"));
    let data = files.iter().filter(|f| f.ends_with(".parquet")).count();
    assert_eq!(data, live, "files of the table: {files:?}");
    let strays: Vec<_> = files.iter().filter(|f| !f.ends_with(".parquet") && *f != "_tycho_owner").collect();
    assert!(strays.is_empty(), "{strays:?}");
}

/// How long one overwrite takes here, so that kills fall within it.
fn duration(warehouse: &Path) -> Duration {
    let start = Instant::now();
    run_sql(warehouse, &overwrite(1));
    start.elapsed()
}

#[test]
fn killed_shell_leaves_old_or_new_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let warehouse = dir.path();
    make(warehouse);
    let takes = duration(warehouse);
    let seed = 20_180_305;
    let mut random = StdRng::seed_from_u64(seed);
    let mut before = 1;
    for round in 2..14 {
        let mut child = sql(warehouse, &overwrite(round)).spawn().expect("tycho sql starts");
        std::thread::sleep(takes.mul_f64(random.random_range(0.05..1.1)));
        let _ = child.kill();
        child.wait().expect("it has ended");
        let now = generation(warehouse);
        assert!(now == before || now == round, "generation {now} after {before} and {round} (seed {seed})");
        before = now;
    }
    run_sql(warehouse, &overwrite(100));
    assert_eq!(generation(warehouse), 100);
    nothing_stray(warehouse);
}

#[test]
fn killed_server_leaves_old_or_new_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let warehouse = dir.path();
    make(warehouse);
    let takes = duration(warehouse);
    let mut random = StdRng::seed_from_u64(42);
    let mut before = 1;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for round in 2..12 {
        let mut server = Server::over(warehouse, &[]);
        runtime.block_on(async {
            let client = server.connect().await;
            let statement = format!("SET sql_dialect = spark; {}", overwrite(round));
            let running = tokio::spawn(async move { client.batch_execute(&statement).await });
            tokio::time::sleep(takes.mul_f64(random.random_range(0.05..1.1))).await;
            server.kill();
            let _ = running.await;
        });
        let now = generation(warehouse);
        assert!(now == before || now == round, "generation {now} after {before} and {round}");
        before = now;
        nothing_stray(warehouse);
    }
    run_sql(warehouse, &overwrite(100));
    assert_eq!(generation(warehouse), 100);
    nothing_stray(warehouse);
}

/// A statement that fails half-way leaves the table as it was, and no file.
#[test]
fn failed_overwrite_leaves_the_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let warehouse = dir.path();
    make(warehouse);
    let failing = "INSERT OVERWRITE TABLE target PARTITION (dt)
        SELECT id, cast(id / (id - 399999) AS bigint), payload, day FROM source";
    let output = sql(warehouse, failing).output().expect("tycho sql runs");
    if output.status.success() {
        panic!("it was to fail: {}", errors(&output));
    }
    assert_eq!(generation(warehouse), 0);
    nothing_stray(warehouse);
}
