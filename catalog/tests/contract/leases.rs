//! Leases: what a reader holds, and when it no longer does.

use std::process::{Command, Stdio};
use std::time::Duration;

use tycho_catalog::*;

use crate::memory::Memory;
use crate::place::*;

contract!(
    a_reader_of_another_process_keeps_its_files,
    snapshots_of_one_commit_share_a_lease,
    a_killed_process_holds_nothing,
    a_counter_that_stands_still_ends_a_lease,
    a_fenced_process_reads_and_decides_nothing_more,
    retire_after_ends_the_patience_with_readers,
    a_closed_catalog_leaves_nothing,
);

async fn a_reader_of_another_process_keeps_its_files(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let reader = place.open().await;
    write(&catalog, &storage, flights, &["1"], "a").await;
    let old = current(&reader).await;
    write(&catalog, &storage, flights, &["1"], "b").await;
    write(&catalog, &storage, flights, &["1"], "c").await;
    assert_eq!(storage.files(), [url("dt=1/a.parquet"), url("dt=1/c.parquet")], "nobody ever held b");
    assert_eq!(paths(&old, flights).await, ["dt=1/a.parquet"]);
    assert_eq!(catalog.vacuum(&storage, None, false).await.unwrap(), []);
    let other = make_table(&catalog, table("other")).await;
    let shared = old.clone();
    drop(old);
    assert_eq!(catalog.vacuum(&storage, None, false).await.unwrap(), [], "a clone holds it too");
    drop(shared);
    until(async || place.number("SELECT count(*) FROM leases").await == 0).await;
    assert_eq!(catalog.vacuum(&storage, Some(other), false).await.unwrap(), [], "only that table's files");
    let removed = catalog.vacuum(&storage, Some(flights), false).await.unwrap();
    assert_eq!(removed, [RemovedFile { target: url("dt=1/a.parquet"), tag: None }]);
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 5 seconds");
}

async fn snapshots_of_one_commit_share_a_lease(place: Place) {
    let (catalog, _) = with_flights(&place).await;
    until(async || place.number("SELECT count(*) FROM leases").await == 0).await;
    let first = catalog.snapshot().await.unwrap();
    let (second, third) = (catalog.snapshot().await.unwrap(), first.clone());
    assert_eq!(place.number("SELECT count(*) FROM leases").await, 1);
    drop((first, second));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(place.number("SELECT count(*) FROM leases").await, 1);
    drop(third);
    until(async || place.number("SELECT count(*) FROM leases").await == 0).await;
}

/// Ended even where its test fails.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

async fn a_killed_process_holds_nothing(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1"], "a").await;
    let reader = place.open().await;
    let held = current(&reader).await;
    let sleep = Command::new("sleep").arg("600").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Child(sleep);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
    let started = stat[stat.rfind(')').unwrap()..].split_whitespace().nth(20).unwrap();
    // The reader's row now names the child.
    place
        .sql(&format!(
            "UPDATE processes SET pid = {}, started = {started} WHERE id IN (SELECT max(id) FROM processes)",
            child.0.id()
        ))
        .await;
    write(&catalog, &storage, flights, &["1"], "b").await;
    assert_eq!(storage.files().len(), 2, "it lives and holds a");
    child.0.kill().unwrap();
    // Gone, even before its parent has asked for its exit code.
    let stat = format!("/proc/{}/stat", child.0.id());
    until(async || std::fs::read_to_string(&stat).unwrap().contains(") Z ")).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url("dt=1/b.parquet")]);
    child.0.wait().unwrap();
    assert_eq!(kind(held.files(flights, &Predicate::All).await), ErrorKind::SnapshotTooOld);
}

async fn a_counter_that_stands_still_ends_a_lease(mut place: Place) {
    let storage = Memory::default();
    place.lease_ms = 600;
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1"], "a").await;
    let reader = place.open().await;
    let held = current(&reader).await;
    write(&catalog, &storage, flights, &["1"], "b").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files().len(), 2, "the reader's heart beats");
    // A process of another host whose counter will not move again.
    place.sql("INSERT INTO processes VALUES (900, 'elsewhere', 'pid:[1]', 1, 1, 5, 0)").await;
    place.sql("INSERT INTO leases VALUES (900, 2)").await;
    drop(held);
    until(async || place.number("SELECT count(*) FROM leases WHERE process_id <> 900").await == 0).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files().len(), 2, "it was not watched for long enough");
    tokio::time::sleep(Duration::from_millis(1000)).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url("dt=1/b.parquet")]);
}

async fn a_fenced_process_reads_and_decides_nothing_more(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let zombie = place.open().await;
    let mut transaction = zombie.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "zombie").await;
    transaction.append(flights, vec![file]).await.unwrap();
    let view = transaction.view();
    place.sql("UPDATE processes SET fenced = 1 WHERE id = (SELECT max(id) FROM processes)").await;
    place.sql("DELETE FROM leases WHERE process_id = (SELECT max(id) FROM processes)").await;
    assert_eq!(kind(view.files(flights, &Predicate::All).await), ErrorKind::SnapshotTooOld);
    assert_eq!(kind(transaction.commit(&storage).await), ErrorKind::Fenced);
    assert_eq!(storage.staged(), Vec::<String>::new());
    write(&zombie, &storage, flights, &["1"], "alive").await;
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/alive.parquet"], "it goes on as a new process");
}

async fn retire_after_ends_the_patience_with_readers(mut place: Place) {
    let storage = Memory::default();
    place.retire_after_ms = 400;
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1", "2"], "a").await;
    let old = current(&catalog).await;
    write(&catalog, &storage, flights, &["1"], "b").await;
    assert_eq!(old.files(flights, &Predicate::All).await.unwrap().len(), 2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url("dt=1/b.parquet"), url("dt=2/a.parquet")]);
    let error = old.files(flights, &Predicate::All).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::SnapshotTooOld);
    assert!(error.message.contains("tycho.retire_after"), "{error}");
    assert_eq!(old.files(flights, &dt("2")).await.unwrap().len(), 1, "what was not overwritten can be read on");
    drop(old);
    until(async || place.number("SELECT count(*) FROM leases").await == 0).await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM files").await, 2);
}

async fn a_closed_catalog_leaves_nothing(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "a").await;
    transaction.append(flights, vec![file]).await.unwrap();
    catalog.close().await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM leases").await, 0);
    let other = place.open().await;
    assert_eq!(other.recover(&storage).await.unwrap().aborted, 1);
    assert_eq!(kind(transaction.commit(&storage).await), ErrorKind::Fenced);
    other.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM processes").await, 0, "vacuum needs no lease of its own");
    assert_eq!(place.number("SELECT count(*) FROM transactions WHERE state <> 'committed'").await, 0);
}
