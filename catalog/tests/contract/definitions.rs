//! Databases, tables, layers, savepoints, the migration record, idempotency keys, ownership.

use std::collections::BTreeMap;

use arrow_schema::DataType;
use tycho_catalog::*;

use crate::memory::Memory;
use crate::place::*;

contract!(
    tables_are_made_changed_and_dropped,
    names_are_taken_once,
    savepoints_nest_and_shadow,
    a_transaction_without_changes_makes_no_commit,
    the_schema_is_recorded_and_kept,
    many_may_make_the_catalog_at_once,
    a_newer_catalog_is_refused,
    an_idempotency_key_commits_once,
    geodata_layers_are_versioned,
    locations_have_owners,
);

async fn tables_are_made_changed_and_dropped(place: Place) {
    let storage = Memory::default();
    let catalog = place.open().await;
    let before = current(&catalog).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    assert_eq!(kind(transaction.create_table(table("flights")).await), ErrorKind::NotFound);
    transaction.create_database(database("lake")).await.unwrap();
    let made = transaction.create_table(table("flights")).await.unwrap();
    assert_eq!(transaction.view().table("lake", "flights").await.unwrap(), Some(made.clone()));
    assert_eq!(current(&catalog).await.databases().await.unwrap(), vec![]);
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!(committed.commit, 1);
    assert_eq!(before.database("lake").await.unwrap(), None, "a snapshot stays as it was");

    let after = current(&catalog).await;
    assert_eq!(after.table("lake", "flights").await.unwrap(), Some(made.clone()));
    assert_eq!(after.table_version(made.id).await.unwrap(), 1);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let mut renamed = (*made).clone();
    renamed.name = "journeys".into();
    renamed.columns.insert(1, column(3, "carrier", DataType::Utf8));
    transaction.alter_table(renamed).await.unwrap();
    assert_eq!(transaction.view().table("lake", "flights").await.unwrap(), None);
    let names: Vec<_> = transaction.view().tables("lake").await.unwrap().iter().map(|t| t.name.clone()).collect();
    assert_eq!(names, ["journeys"]);
    transaction.commit(&storage).await.unwrap();
    assert_eq!(after.tables("lake").await.unwrap(), vec![made.clone()]);
    let now = current(&catalog).await;
    assert_eq!(now.table("lake", "flights").await.unwrap(), None);
    assert_eq!(now.table("lake", "journeys").await.unwrap().unwrap().columns.len(), 3);

    let mut transaction = catalog.begin(begin()).await.unwrap();
    assert_eq!(kind(transaction.drop_database("lake").await), ErrorKind::InUse);
    transaction.drop_table(made.id).await.unwrap();
    transaction.drop_database("lake").await.unwrap();
    transaction.commit(&storage).await.unwrap();
    assert_eq!(current(&catalog).await.databases().await.unwrap(), vec![]);
    let commits = catalog.commits(None, 10).await.unwrap();
    assert_eq!(commits.iter().map(|c| c.number).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((commits[0].user.as_deref(), commits[0].statement.as_deref()), (Some("ada"), Some("INSERT OVERWRITE")));
    assert_eq!(catalog.commits(Some(made.id), 2).await.unwrap().len(), 2);
}

async fn names_are_taken_once(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    assert_eq!(kind(transaction.create_table(table("flights")).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(transaction.create_database(database("lake")).await), ErrorKind::AlreadyExists);
    transaction.drop_table(flights).await.unwrap();
    let again = transaction.create_table(table("flights")).await.unwrap();
    assert_ne!(again.id, flights, "an id is never reused");
    transaction.commit(&storage).await.unwrap();

    let (mut first, mut second) = (catalog.begin(begin()).await.unwrap(), catalog.begin(begin()).await.unwrap());
    first.create_table(table("airports")).await.unwrap();
    second.create_table(table("airports")).await.unwrap();
    first.commit(&storage).await.unwrap();
    assert_eq!(kind(second.commit(&storage).await), ErrorKind::Conflict);

    make_table(&catalog, TableDefinition { database: "pond".into(), ..table("ducks") }).await;
    let mut dropping = catalog.begin(begin()).await.unwrap();
    let ducks = dropping.view().table("pond", "ducks").await.unwrap().unwrap();
    dropping.drop_table(ducks.id).await.unwrap();
    dropping.drop_database("pond").await.unwrap();
    let mut filling = catalog.begin(begin()).await.unwrap();
    filling.create_table(TableDefinition { database: "pond".into(), ..table("geese") }).await.unwrap();
    filling.commit(&storage).await.unwrap();
    assert_eq!(kind(dropping.commit(&storage).await), ErrorKind::Conflict, "no table is left without a database");
}

async fn savepoints_nest_and_shadow(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(explicit()).await.unwrap();
    let kept = stage(&transaction, &storage, "1", "kept").await;
    let lost = stage(&transaction, &storage, "1", "lost").await;
    transaction.append(flights, vec![kept]).await.unwrap();
    transaction.savepoint("a");
    let changes = transaction.changes_made();
    transaction.overwrite(dynamic(flights, vec![lost])).await.unwrap();
    transaction.create_table(table("airports")).await.unwrap();
    transaction.savepoint("a");
    transaction.drop_table(flights).await.unwrap();
    assert_eq!(transaction.view().table("lake", "flights").await.unwrap(), None);
    transaction.rollback_to("a").unwrap();
    assert_eq!(paths(&transaction.view(), flights).await, ["dt=1/lost.parquet"]);
    transaction.release("a").unwrap();
    assert!(transaction.changes_made() > changes);
    transaction.rollback_to("a").unwrap();
    assert_eq!(transaction.changes_made(), changes);
    assert_eq!(paths(&transaction.view(), flights).await, ["dt=1/kept.parquet"]);
    transaction.rollback_to("a").unwrap();
    transaction.release("a").unwrap();
    assert_eq!(kind(transaction.rollback_to("a")), ErrorKind::Invalid);
    transaction.commit(&storage).await.unwrap();
    let now = current(&catalog).await;
    assert_eq!(paths(&now, flights).await, ["dt=1/kept.parquet"]);
    assert_eq!(now.table("lake", "airports").await.unwrap(), None);
    assert_eq!(storage.files(), [url("dt=1/kept.parquet")]);
    assert_eq!(storage.staged(), Vec::<String>::new(), "what a savepoint undid is abandoned");
}

async fn a_transaction_without_changes_makes_no_commit(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    stage(&transaction, &storage, "1", "unused").await;
    transaction.overwrite(dynamic(flights, vec![])).await.unwrap();
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!((committed.commit, committed.files_added), (1, 0));
    assert_eq!(catalog.commits(None, 10).await.unwrap().len(), 1);
    assert_eq!(storage.staged(), Vec::<String>::new());
}

async fn the_schema_is_recorded_and_kept(place: Place) {
    let (catalog, flights) = with_flights(&place).await;
    assert_eq!(catalog.id().len(), 8);
    assert!(catalog.id().bytes().all(|b| b.is_ascii_hexdigit()));
    let again = place.open().await;
    assert_eq!((again.id(), again.incarnation()), (catalog.id(), 1));
    assert_eq!(current(&again).await.table("lake", "flights").await.unwrap().unwrap().id, flights);
    assert_eq!(place.number("SELECT count(*) FROM migrations").await, 1);
}

async fn many_may_make_the_catalog_at_once(place: Place) {
    let opened = futures::future::join_all((0..6).map(|_| place.open())).await;
    assert!(opened.iter().all(|catalog| catalog.id() == opened[0].id()));
}

async fn a_newer_catalog_is_refused(place: Place) {
    place.open().await;
    place.sql("UPDATE meta SET value = '7' WHERE name = 'schema_version'").await;
    place.open().await;
    place.sql("UPDATE meta SET value = '99.1.0' WHERE name = 'oldest_binary'").await;
    let error = place.try_open().await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("99.1.0"), "{error}");
}

async fn an_idempotency_key_commits_once(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let keyed = |hash: &str| Begin { idempotency: Some(("key".into(), hash.into())), ..begin() };
    let mut first = catalog.begin(keyed("h")).await.unwrap();
    let mut racing = catalog.begin(keyed("h")).await.unwrap();
    for (transaction, name) in [(&mut first, "first"), (&mut racing, "racing")] {
        let file = stage(transaction, &storage, "1", name).await;
        transaction.append(flights, vec![file]).await.unwrap();
    }
    let committed = first.commit(&storage).await.unwrap();
    assert_eq!(racing.commit(&storage).await.unwrap(), committed);
    let later = catalog.begin(keyed("h")).await.unwrap();
    assert_eq!(later.repeated().unwrap().number, committed.commit);
    assert_eq!(later.commit(&storage).await.unwrap(), committed);
    assert_eq!(kind(catalog.begin(keyed("other")).await.map(|_| ())), ErrorKind::IdempotencyMismatch);
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/first.parquet"]);
    assert_eq!(storage.staged(), Vec::<String>::new());
}

async fn geodata_layers_are_versioned(place: Place) {
    let storage = Memory::default();
    let catalog = place.open().await;
    let layer = |data: &str| GeodataLayer {
        set: "default".into(),
        name: "us_places".into(),
        fields: vec![("city".into(), DataType::Utf8)],
        geometry: "wkt".into(),
        sql: "SELECT city, wkt FROM places".into(),
        settings: BTreeMap::new(),
        data: data.into(),
    };
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.put_geodata_layer(layer("one")).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    let old = current(&catalog).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.put_geodata_layer(layer("two")).await.unwrap();
    assert_eq!(transaction.view().geodata_layers().await.unwrap(), [layer("two")]);
    transaction.commit(&storage).await.unwrap();
    assert_eq!(old.geodata_layers().await.unwrap(), [layer("one")]);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    assert_eq!(kind(transaction.drop_geodata_layer("default", "none").await), ErrorKind::NotFound);
    transaction.drop_geodata_layer("default", "us_places").await.unwrap();
    transaction.commit(&storage).await.unwrap();
    assert_eq!(current(&catalog).await.geodata_layers().await.unwrap(), []);
}

async fn locations_have_owners(place: Place) {
    let catalog = place.open().await;
    assert!(!catalog.owns("file:///lake/lake.db/flights/").await.unwrap());
    catalog.note_owner("file:///lake/lake.db/flights/").await.unwrap();
    assert!(catalog.owns("warehouse:lake.db/flights/").await.unwrap(), "both spellings are one place");
    place.sql("UPDATE owned_locations SET catalog_id = '00000000'").await;
    assert!(!catalog.owns("warehouse:lake.db/flights/").await.unwrap());
    assert_eq!(catalog.owner("warehouse:lake.db/flights/").await.unwrap().as_deref(), Some("00000000"));
    catalog.forget_owner("warehouse:lake.db/flights/").await.unwrap();
    assert_eq!(catalog.owner("warehouse:lake.db/flights/").await.unwrap(), None);
}
