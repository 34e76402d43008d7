//! Writers and readers at once: who lands, who gets 40001, what readers see.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::server::{Server, errors, run_sql, sql};

const MAKE: &str = "CREATE TABLE source (id BIGINT) USING parquet;
    INSERT INTO source SELECT value FROM generate_series(1, 300000);
    CREATE TABLE t (id BIGINT, writer STRING, dt STRING) USING parquet PARTITIONED BY (dt);
    INSERT INTO t VALUES (0, 'first', 'a'), (0, 'first', 'b');";

fn overwrite(partition: &str, writer: &str) -> String {
    format!("INSERT OVERWRITE TABLE t PARTITION (dt = '{partition}') SELECT id, '{writer}' FROM source SORT BY id DESC")
}

fn two_processes(warehouse: &Path, first: &str, second: &str) -> [std::process::Output; 2] {
    let start = |text: &str| {
        sql(warehouse, text).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tycho sql starts")
    };
    let (a, b) = (start(first), start(second));
    [a.wait_with_output().expect("the first ends"), b.wait_with_output().expect("the second ends")]
}

#[test]
fn two_processes_overwrite_different_partitions() {
    let dir = tempfile::tempdir().expect("a folder");
    run_sql(dir.path(), MAKE);
    for output in two_processes(dir.path(), &overwrite("a", "one"), &overwrite("b", "two")) {
        assert!(output.status.success(), "{}", errors(&output));
    }
    let rows = run_sql(dir.path(), "SELECT dt, writer, count(*) AS n FROM t GROUP BY dt, writer ORDER BY dt");
    assert_eq!(rows, "dt,writer,n\na,one,300000\nb,two,300000\n");
}

#[test]
fn two_processes_overwrite_one_partition_one_after_the_other() {
    let dir = tempfile::tempdir().expect("a folder");
    run_sql(dir.path(), MAKE);
    for output in two_processes(dir.path(), &overwrite("a", "one"), &overwrite("a", "two")) {
        assert!(output.status.success(), "{}", errors(&output));
    }
    let rows = run_sql(dir.path(), "SELECT count(DISTINCT writer) AS writers, count(*) AS n FROM t WHERE dt = 'a'");
    assert_eq!(rows, "writers,n\n1,300000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_blocks_one_lands_and_the_other_is_told() {
    let server = Server::start();
    run_sql(&server.warehouse, MAKE);
    let (first, second) = (server.connect().await, server.connect().await);
    for (client, writer) in [(&first, "one"), (&second, "two")] {
        client.batch_execute("BEGIN").await.expect("BEGIN");
        client.batch_execute(&overwrite("a", writer)).await.expect("the overwrite");
    }
    first.batch_execute("COMMIT").await.expect("the first lands");
    let error = second.batch_execute("COMMIT").await.expect_err("the second is refused");
    assert_eq!(error.code().map(|c| c.code()), Some("40001"), "{error}");
    let rows = run_sql(&server.warehouse, "SELECT DISTINCT writer FROM t WHERE dt = 'a'");
    assert_eq!(rows, "writer\none\n");
}

/// A SELECT that runs while partitions are overwritten sees one snapshot, and its files stay in place.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_select_reads_one_snapshot() {
    use futures::StreamExt;
    let server = Server::start();
    run_sql(&server.warehouse, MAKE);
    let writer = server.connect().await;
    writer.batch_execute(&overwrite("a", "old")).await.expect("the old rows");
    let reader = server.connect().await;
    let none: [i32; 0] = [];
    let rows = reader.query_raw("SELECT writer FROM t WHERE dt = 'a'", none).await.expect("the query starts");
    let mut rows = std::pin::pin!(rows);
    let first = rows.next().await.expect("a row").expect("no error");
    assert_eq!(first.get::<_, &str>(0), "old");
    writer.batch_execute(&overwrite("a", "new")).await.expect("the new rows");
    let mut count = 1;
    while let Some(row) = rows.next().await {
        assert_eq!(row.expect("no error").get::<_, &str>(0), "old");
        count += 1;
    }
    assert_eq!(count, 300_000);
    let row = writer.query_one("SELECT min(writer), count(*) FROM t WHERE dt = 'a'", &[]).await.expect("a row");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("new", 300_000));
}

/// Readers all along: every answer is one writer's rows, whole.
#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_two_writers() {
    let server = Arc::new(Server::start());
    run_sql(&server.warehouse, MAKE);
    let stop = Arc::new(AtomicBool::new(false));
    let reading = {
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        tokio::spawn(async move {
            let client = server.connect().await;
            let mut answers = 0;
            while !stop.load(Ordering::Relaxed) {
                let row = client
                    .query_one("SELECT count(DISTINCT writer), count(*) FROM t WHERE dt = 'a'", &[])
                    .await
                    .expect("an answer");
                assert_eq!(row.get::<_, i64>(0), 1);
                assert!([1, 300_000].contains(&row.get::<_, i64>(1)));
                answers += 1;
            }
            answers
        })
    };
    let writer = server.connect().await;
    for round in 0..8 {
        writer.batch_execute(&overwrite("a", &format!("writer{round}"))).await.expect("an overwrite");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reading.await.expect("the reader") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_overwrite_leaves_nothing() {
    let server = Server::start();
    run_sql(&server.warehouse, MAKE);
    let client = server.connect().await;
    let token = client.cancel_token();
    let slow = "INSERT OVERWRITE TABLE t PARTITION (dt = 'a')
        SELECT a.id, md5(cast(a.id + b.id AS text)) FROM source a CROSS JOIN source b";
    let running = tokio::spawn(async move { client.batch_execute(slow).await });
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let asked = std::time::Instant::now();
    token.cancel_query(tokio_postgres::NoTls).await.expect("the request");
    let error = running.await.expect("the task").expect_err("it was cancelled");
    assert_eq!(error.code().map(|c| c.code()), Some("57014"), "{error}");
    assert!(asked.elapsed() < std::time::Duration::from_secs(5));
    run_sql(&server.warehouse, "VACUUM");
    let rows = run_sql(&server.warehouse, "SELECT id, writer FROM t WHERE dt = 'a'");
    assert_eq!(rows, "id,writer\n0,first\n");
    let files = crate::server::files_below(&server.warehouse.join("t"));
    assert_eq!(files.iter().filter(|f| f.contains("staging")).count(), 0, "{files:?}");
}
