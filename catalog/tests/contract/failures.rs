//! Crashes and failing storage at every moment of an overwrite: afterwards the table is old or new, whole, and nothing
//! is left lying about.

use std::sync::Arc;
use std::time::Duration;

use tycho_catalog::*;

use crate::memory::{Memory, Trouble};
use crate::place::*;

contract!(
    a_storage_that_goes_down_at_any_operation,
    a_storage_that_fails_half_way_once,
    a_process_that_dies_at_any_operation,
    a_process_that_dies_while_it_writes,
    lost_files_undo_the_transaction,
    a_dropped_transaction_is_collected,
    a_half_retired_commit_is_retired_by_the_next,
);

/// An overwrite of two partitions out of three, by a transaction that is not committed yet.
async fn prepared(catalog: &Catalog, storage: &Memory, flights: TableId) -> Transaction {
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let files = vec![stage(&transaction, storage, "1", "new").await, stage(&transaction, storage, "2", "new").await];
    stage(&transaction, storage, "2", "rolled-back").await;
    transaction.overwrite(dynamic(flights, files)).await.unwrap();
    transaction
}

/// The table is old or new, storage holds exactly its files, and a writer can go on.
async fn check(catalog: &Catalog, storage: &Memory, flights: TableId) -> &'static str {
    catalog.vacuum(storage, None, false).await.unwrap();
    let view = current(catalog).await;
    let seen = paths(&view, flights).await;
    let old = ["dt=1/old.parquet", "dt=2/old.parquet", "dt=3/old.parquet"];
    let new = ["dt=1/new.parquet", "dt=2/new.parquet", "dt=3/old.parquet"];
    assert!(seen == old || seen == new, "neither old nor new: {seen:?}");
    assert_eq!(storage.files(), seen.iter().map(|p| url(p)).collect::<Vec<_>>());
    assert_eq!(storage.staged(), Vec::<String>::new());
    drop(view);
    write(catalog, storage, flights, &["1", "2", "3"], "later").await;
    assert_eq!(storage.files().len(), 3);
    if seen == old { "old" } else { "new" }
}

async fn three_days(place: &Place) -> (Catalog, TableId, Arc<Memory>) {
    let storage = Arc::new(Memory::default());
    let (catalog, flights) = with_flights(place).await;
    write(&catalog, &storage, flights, &["1", "2", "3"], "old").await;
    (catalog, flights, storage)
}

async fn fresh(place: &Place) -> Place {
    let mut place = if place.is_sqlite() { Place::sqlite() } else { Place::postgres("").await.unwrap() };
    place.lease_ms = 60_000;
    place
}

/// How many operations an overwrite has when nothing fails.
async fn operations(place: &Place) -> usize {
    let (catalog, flights, storage) = three_days(place).await;
    let transaction = prepared(&catalog, &storage, flights).await;
    storage.trouble_at(usize::MAX, Trouble::Down);
    transaction.commit(&*storage).await.unwrap();
    storage.operations()
}

async fn a_storage_that_goes_down_at_any_operation(place: Place) {
    let count = operations(&place).await;
    assert!(count >= 4, "sync, publish, abandon, delete");
    let mut outcomes = vec![];
    for n in 0..count {
        let (catalog, flights, storage) = three_days(&fresh(&place).await).await;
        let transaction = prepared(&catalog, &storage, flights).await;
        storage.trouble_at(n, Trouble::Down);
        let result = transaction.commit(&*storage).await;
        storage.heal();
        let outcome = check(&catalog, &storage, flights).await;
        match result {
            Ok(_) => assert_eq!(outcome, "new"),
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => {}
            Err(_) => assert_eq!(outcome, "old"),
        }
        outcomes.push(outcome);
    }
    assert_eq!((outcomes[0], outcomes[1]), ("old", "new"), "the decision is between sync and publish");
}

async fn a_storage_that_fails_half_way_once(place: Place) {
    for n in 0..operations(&place).await {
        let (catalog, flights, storage) = three_days(&fresh(&place).await).await;
        let transaction = prepared(&catalog, &storage, flights).await;
        storage.trouble_at(n, Trouble::Half);
        let result = transaction.commit(&*storage).await;
        assert_eq!(result.is_ok(), n > 0, "after SEALED it is tried again");
        assert_eq!(check(&catalog, &storage, flights).await, if n > 0 { "new" } else { "old" });
    }
}

async fn a_process_that_dies_at_any_operation(place: Place) {
    for n in 0..operations(&place).await {
        let place = fresh(&place).await;
        let (catalog, flights, storage) = three_days(&place).await;
        let transaction = prepared(&catalog, &storage, flights).await;
        storage.trouble_at(n, Trouble::Hang);
        let committing = tokio::spawn({
            let storage = storage.clone();
            async move { transaction.commit(&*storage).await }
        });
        while storage.operations() <= n {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        place.kill_all().await;
        storage.heal();
        let survivor = place.open().await;
        check(&survivor, &storage, flights).await;
        committing.abort();
    }
}

async fn a_process_that_dies_while_it_writes(place: Place) {
    let (catalog, flights, storage) = three_days(&place).await;
    let transaction = prepared(&catalog, &storage, flights).await;
    let survivor = place.open().await;
    assert_eq!(survivor.recover(&*storage).await.unwrap(), Recovered::default(), "it lives");
    assert_eq!(storage.staged().len(), 3);
    place.kill_all().await;
    assert_eq!(survivor.recover(&*storage).await.unwrap(), Recovered { aborted: 1, ..Recovered::default() });
    assert_eq!(storage.staged(), Vec::<String>::new());
    assert_eq!(kind(transaction.commit(&*storage).await), ErrorKind::Fenced, "it may decide nothing more");
    assert_eq!(check(&survivor, &storage, flights).await, "old");
}

async fn lost_files_undo_the_transaction(place: Place) {
    let (catalog, flights, storage) = three_days(&place).await;
    let mut transaction = prepared(&catalog, &storage, flights).await;
    transaction.create_database(database("other")).await.unwrap();
    let mut definition = (*transaction.view().table_by_id(flights).await.unwrap().unwrap()).clone();
    definition.comment = Some("changed".into());
    transaction.alter_table(definition).await.unwrap();
    let id = transaction.id();
    storage.lose_staged();
    let area = format!("staging:{id}/");
    storage.stage(&format!("{area}2-new"));
    assert_eq!(kind(transaction.commit(&*storage).await), ErrorKind::Storage);
    assert_eq!(catalog.transaction_state(id).await.unwrap(), "aborted");
    let view = current(&catalog).await;
    assert_eq!(view.database("other").await.unwrap(), None);
    assert_eq!(view.table("lake", "flights").await.unwrap().unwrap().comment, None);
    drop(view);
    assert_eq!(place.number(&format!("SELECT count(*) FROM changes WHERE transaction_id = {id}")).await, 0);
    assert_eq!(check(&catalog, &storage, flights).await, "old");
}

async fn a_dropped_transaction_is_collected(place: Place) {
    let (catalog, flights, storage) = three_days(&place).await;
    drop(prepared(&catalog, &storage, flights).await);
    catalog.recover(&*storage).await.unwrap();
    assert_eq!(storage.staged(), Vec::<String>::new());
    assert_eq!(check(&catalog, &storage, flights).await, "old");
    let transaction = prepared(&catalog, &storage, flights).await;
    transaction.abort(&*storage).await.unwrap();
    assert_eq!(storage.staged(), Vec::<String>::new());
}

async fn a_half_retired_commit_is_retired_by_the_next(place: Place) {
    let (catalog, flights, storage) = three_days(&place).await;
    let transaction = prepared(&catalog, &storage, flights).await;
    storage.trouble_at(3, Trouble::Down);
    transaction.commit(&*storage).await.unwrap();
    assert_eq!(storage.calls().last(), Some(&"delete"));
    assert_eq!(storage.files().len(), 5, "the old ones are still there");
    storage.heal();
    let dry = catalog.vacuum(&*storage, None, true).await.unwrap();
    assert_eq!(
        dry.iter().map(|f| f.target.clone()).collect::<Vec<_>>(),
        [url("dt=1/old.parquet"), url("dt=2/old.parquet")]
    );
    assert_eq!(storage.files().len(), 5, "a dry run deletes nothing");
    assert_eq!(check(&catalog, &storage, flights).await, "new");
}
