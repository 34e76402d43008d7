//! Two writers: who lands, who gets a conflict, who is sealed again on a newer base, who waits.

use std::sync::Arc;
use std::time::Duration;

use tycho_catalog::*;

use crate::memory::{Memory, Trouble};
use crate::place::*;

contract!(
    writers_of_different_partitions_both_land,
    explicit_writers_of_one_partition_conflict,
    single_statements_of_one_partition_land_one_after_the_other,
    appends_never_conflict_with_appends,
    an_append_that_read_conflicts_with_an_overwrite_of_it,
    a_changed_definition_is_a_conflict,
    a_scope_covers_partitions_that_are_not_there_yet,
    a_writer_waits_for_a_sealed_one,
    a_dead_sealed_writer_is_rolled_forward_by_the_next,
    many_writers_of_two_processes_leave_a_whole_table,
);

/// Opens a transaction that overwrites partitions, and does not commit it.
async fn writing(
    catalog: &Catalog,
    storage: &Memory,
    table: TableId,
    with: Begin,
    day: &str,
    name: &str,
) -> Transaction {
    let mut transaction = catalog.begin(with).await.unwrap();
    let file = stage(&transaction, storage, day, name).await;
    transaction.overwrite(dynamic(table, vec![file])).await.unwrap();
    transaction
}

async fn writers_of_different_partitions_both_land(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let other = place.open().await;
    let first = writing(&catalog, &storage, flights, explicit(), "1", "a").await;
    let second = writing(&other, &storage, flights, explicit(), "2", "b").await;
    first.commit(&storage).await.unwrap();
    second.commit(&storage).await.unwrap();
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/a.parquet", "dt=2/b.parquet"]);
}

async fn explicit_writers_of_one_partition_conflict(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let other = place.open().await;
    let first = writing(&catalog, &storage, flights, explicit(), "1", "a").await;
    let second = writing(&other, &storage, flights, explicit(), "1", "b").await;
    first.commit(&storage).await.unwrap();
    assert_eq!(kind(second.commit(&storage).await), ErrorKind::Conflict);
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/a.parquet"]);
    assert_eq!(storage.staged(), Vec::<String>::new(), "the loser's files are abandoned");
    assert_eq!(storage.files(), [url("dt=1/a.parquet")]);

    let mut appending = catalog.begin(begin()).await.unwrap();
    let file = stage(&appending, &storage, "1", "c").await;
    appending.append(flights, vec![file]).await.unwrap();
    let second = writing(&other, &storage, flights, explicit(), "1", "d").await;
    appending.commit(&storage).await.unwrap();
    assert_eq!(kind(second.commit(&storage).await), ErrorKind::Conflict, "an append is lost to an overwrite as well");
}

async fn single_statements_of_one_partition_land_one_after_the_other(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let source = make_table(&catalog, table("source")).await;
    write(&catalog, &storage, source, &["1", "2"], "s").await;
    let other = place.open().await;
    // (what was read, whether foreign, lands)
    let cases = [(Some((source, dt("1"), false)), true), (Some((source, dt("1"), true)), false), (None, true)];
    for (n, (read, lands)) in cases.into_iter().enumerate() {
        let first = writing(&catalog, &storage, flights, begin(), "1", &format!("a{n}")).await;
        let mut second = writing(&other, &storage, flights, begin(), "1", &format!("b{n}")).await;
        if let Some((table, predicate, foreign)) = read {
            second.note_read(table, predicate, foreign);
        }
        first.commit(&storage).await.unwrap();
        write(&catalog, &storage, source, &["2"], &format!("s{n}")).await;
        let result = second.commit(&storage).await;
        assert_eq!(result.is_ok(), lands, "case {n}: {result:?}");
        let winner = if lands { "b" } else { "a" };
        assert_eq!(paths(&current(&catalog).await, flights).await, [format!("dt=1/{winner}{n}.parquet")]);
    }
    let mut second = writing(&other, &storage, flights, begin(), "1", "stale").await;
    second.note_read(source, dt("2"), false);
    write(&catalog, &storage, flights, &["1"], "fresh").await;
    write(&catalog, &storage, source, &["2"], "changed").await;
    assert_eq!(kind(second.commit(&storage).await), ErrorKind::Conflict, "what it read has changed");
}

async fn appends_never_conflict_with_appends(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let other = place.open().await;
    let mut transactions = vec![];
    for (catalog, name) in [(&catalog, "a"), (&other, "b")] {
        let mut transaction = catalog.begin(explicit()).await.unwrap();
        let file = stage(&transaction, &storage, "new", name).await;
        transaction.append(flights, vec![file]).await.unwrap();
        transactions.push(transaction);
    }
    for transaction in transactions {
        transaction.commit(&storage).await.unwrap();
    }
    let view = current(&catalog).await;
    assert_eq!(paths(&view, flights).await, ["dt=new/a.parquet", "dt=new/b.parquet"]);
    assert_eq!(folders(&view, flights).await, ["dt=new"]);
    assert_eq!(view.totals(flights).await.unwrap().partitions, 1);
}

async fn an_append_that_read_conflicts_with_an_overwrite_of_it(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    for (read, lands) in [(dt("1"), false), (dt("2"), true)] {
        let mut transaction = catalog.begin(begin()).await.unwrap();
        let file = stage(&transaction, &storage, "3", &format!("{lands}")).await;
        transaction.append(flights, vec![file]).await.unwrap();
        transaction.note_read(flights, read, false);
        write(&catalog, &storage, flights, &["1"], &format!("w{lands}")).await;
        assert_eq!(transaction.commit(&storage).await.is_ok(), lands);
    }
}

async fn a_changed_definition_is_a_conflict(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let altering = async |comment: &str| {
        let mut transaction = catalog.begin(begin()).await.unwrap();
        let mut definition = (*transaction.view().table_by_id(flights).await.unwrap().unwrap()).clone();
        definition.comment = Some(comment.into());
        transaction.alter_table(definition).await.unwrap();
        transaction
    };
    let mut appending = catalog.begin(begin()).await.unwrap();
    let file = stage(&appending, &storage, "1", "a").await;
    appending.append(flights, vec![file]).await.unwrap();
    let (first, second) = (altering("first").await, altering("second").await);
    first.commit(&storage).await.unwrap();
    assert_eq!(kind(second.commit(&storage).await), ErrorKind::Conflict);
    assert_eq!(kind(appending.commit(&storage).await), ErrorKind::Conflict);
    let altered = altering("third").await;
    write(&catalog, &storage, flights, &["1"], "b").await;
    altered.commit(&storage).await.unwrap();
    let mut dropping = catalog.begin(explicit()).await.unwrap();
    dropping.drop_table(flights).await.unwrap();
    write(&catalog, &storage, flights, &["1"], "c").await;
    assert_eq!(kind(dropping.commit(&storage).await), ErrorKind::Conflict);
}

async fn a_scope_covers_partitions_that_are_not_there_yet(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    for (day, lands) in [("5", false), ("6", true)] {
        let mut transaction = catalog.begin(explicit()).await.unwrap();
        let overwrite = Overwrite { scope: dt("5"), register: Some(partition("5")), ..dynamic(flights, vec![]) };
        transaction.overwrite(overwrite).await.unwrap();
        write(&catalog, &storage, flights, &[day], "a").await;
        assert_eq!(transaction.commit(&storage).await.is_ok(), lands);
    }
    let mut truncating = catalog.begin(begin()).await.unwrap();
    truncating.truncate(flights, Predicate::All, vec![]).await.unwrap();
    write(&catalog, &storage, flights, &["7"], "new").await;
    truncating.commit(&storage).await.unwrap();
    assert_eq!(paths(&current(&catalog).await, flights).await, Vec::<String>::new(), "sealed on the newer base");
}

async fn a_writer_waits_for_a_sealed_one(place: Place) {
    let storage = Arc::new(Memory::default());
    let (catalog, flights) = with_flights(&place).await;
    let first = writing(&catalog, &storage, flights, begin(), "1", "slow").await;
    let id = first.id();
    storage.trouble_at(1, Trouble::Down);
    let slow = tokio::spawn({
        let storage = storage.clone();
        async move { first.commit(&*storage).await }
    });
    while catalog.transaction_state(id).await.unwrap() != "sealed" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let calm = Memory::default();
    // Another partition, and an append elsewhere, need not wait.
    write(&catalog, &calm, flights, &["2"], "quick").await;
    assert_eq!(catalog.transaction_state(id).await.unwrap(), "sealed");
    assert_eq!(catalog.recover(&calm).await.unwrap(), Recovered { in_progress: 1, ..Recovered::default() });
    let waiting = writing(&catalog, &calm, flights, begin(), "1", "after").await;
    let waiting = tokio::spawn(async move { waiting.commit(&calm).await });
    storage.heal();
    let slow = slow.await.unwrap().unwrap();
    assert!(waiting.await.unwrap().unwrap().commit > slow.commit);
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/after.parquet", "dt=2/quick.parquet"]);
}

async fn a_dead_sealed_writer_is_rolled_forward_by_the_next(place: Place) {
    let storage = Arc::new(Memory::default());
    let (catalog, flights) = with_flights(&place).await;
    let dying = place.open().await;
    let first = writing(&dying, &storage, flights, begin(), "1", "dead").await;
    let id = first.id();
    storage.trouble_at(1, Trouble::Hang);
    let hanging = tokio::spawn({
        let storage = storage.clone();
        async move { first.commit(&*storage).await }
    });
    while catalog.transaction_state(id).await.unwrap() != "sealed" {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    place.kill_newest().await;
    storage.heal();
    let mut next = writing(&catalog, &storage, flights, begin(), "1", "next").await;
    next.note_read(flights, dt("2"), false);
    next.commit(&*storage).await.unwrap();
    assert_eq!(catalog.transaction_state(id).await.unwrap(), "committed");
    assert_eq!(catalog.commits(Some(flights), 10).await.unwrap().len(), 3);
    assert_eq!(storage.files(), [url("dt=1/next.parquet")]);
    hanging.abort();
}

async fn many_writers_of_two_processes_leave_a_whole_table(place: Place) {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 5;
    let storage = Arc::new(Memory::default());
    let (catalog, flights) = with_flights(&place).await;
    let catalogs = [catalog.clone(), place.open().await];
    let mut tasks = vec![];
    for writer in 0..WRITERS {
        let (catalog, storage) = (catalogs[writer % 2].clone(), storage.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                // Each overwrites both partitions at once, so that a mixture would show.
                write(&catalog, &storage, flights, &["1", "2"], &format!("w{writer}r{round}")).await;
                let view = current(&catalog).await;
                let seen = paths(&view, flights).await;
                assert_eq!(seen.len(), 2, "{seen:?}");
                assert_eq!(seen[0].replace("dt=1", "dt=2"), seen[1], "one commit or another, never both");
                for path in &seen {
                    assert!(storage.files().contains(&url(path)), "a leased file was deleted: {path}");
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(catalog.current_commit().await.unwrap() as usize, 1 + WRITERS * ROUNDS);
    tokio::time::sleep(Duration::from_millis(300)).await;
    catalog.vacuum(&*storage, None, false).await.unwrap();
    assert_eq!(storage.files().len(), 2);
    assert_eq!(storage.staged(), Vec::<String>::new());
}
