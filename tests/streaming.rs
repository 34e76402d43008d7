//! Results stream: a large SELECT holds the server's memory flat, and a slow client slows the scan.

use futures::StreamExt;

use crate::server::Server;

/// Peak resident memory of a process, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process's status");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("its peak");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib / 1024
}

/// `TEST_TYCHO_STREAM_ROWS` sets the number of rows: 5 million in the short form, 50 million in the long one.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat() {
    let rows: i64 = std::env::var("TEST_TYCHO_STREAM_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000_000);
    let server = Server::start();
    let client = server.connect().await;
    client.simple_query("SELECT 1").await.expect("a first answer");
    let before = peak_mib(server.pid());
    let sql = format!("SELECT value, value * 2 AS twice, 'row ' || value AS text FROM generate_series(1, {rows})");
    let none: [i32; 0] = [];
    let stream = client.query_raw(&sql, none).await.expect("the query starts");
    let mut stream = std::pin::pin!(stream);
    let mut count = 0;
    while let Some(row) = stream.next().await {
        row.expect("a row");
        count += 1;
    }
    assert_eq!(count, rows);
    let after = peak_mib(server.pid());
    assert!(after < before + 100, "the server grew from {before} to {after} MiB over {rows} rows");
}
