//! Partitions and files: appends, overwrites of every kind, truncation, foreign files, tables that overlap.

use tycho_catalog::*;

use crate::memory::Memory;
use crate::place::*;

contract!(
    an_append_and_an_overwrite_land,
    a_dynamic_overwrite_replaces_the_partitions_it_fills,
    a_scope_is_replaced_whole,
    partitions_are_registered_dropped_and_emptied,
    a_transaction_reads_its_own_writes,
    a_table_without_partition_columns_has_one_partition,
    a_dropped_managed_table_loses_its_files,
    a_dropped_external_table_gives_up_its_files,
    foreign_files_are_told_apart_and_removed,
    a_file_that_another_table_names_is_never_deleted,
    a_given_up_file_outlives_another_table_that_names_it,
);

async fn an_append_and_an_overwrite_land(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "a").await;
    transaction.append(flights, vec![file]).await.unwrap();
    let id = transaction.id();
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!((committed.files_added, committed.files_removed), (1, 0));
    assert_eq!(committed.partitions[&flights], ["dt=1"]);
    let view = current(&catalog).await;
    let file = view.files(flights, &dt("1")).await.unwrap().remove(0);
    assert_eq!((file.added_by, file.rows, file.size_bytes, file.staged.as_deref()), (id, 10, 100, None));
    assert_eq!(file.statistics[0].max, Some(Value::Int(90)));
    assert!(file.sorted_by[0].nulls_first);
    assert_eq!(storage.files(), [url("dt=1/a.parquet")]);
    assert_eq!(view.totals(flights).await.unwrap(), TableTotals { partitions: 1, files: 1, rows: 10, bytes: 100 });
    drop(view);
    let committed = write(&catalog, &storage, flights, &["1"], "b").await;
    assert_eq!((committed.files_added, committed.files_removed), (1, 1));
    assert_eq!(storage.files(), [url("dt=1/b.parquet")]);
    assert_eq!(place.number("SELECT count(*) FROM files").await, 1, "a deleted file is forgotten");
    let commit = &catalog.commits(None, 1).await.unwrap()[0];
    assert_eq!((commit.files_added, commit.files_removed, commit.rows_added, commit.bytes_added), (1, 1, 10, 100));
    assert_eq!(catalog.commit_of(commit.transaction).await.unwrap().as_ref(), Some(commit));
}

async fn a_dynamic_overwrite_replaces_the_partitions_it_fills(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1", "2", "3"], "a").await;
    let second = write(&catalog, &storage, flights, &["2"], "b").await;
    let view = current(&catalog).await;
    assert_eq!(paths(&view, flights).await, ["dt=1/a.parquet", "dt=2/b.parquet", "dt=3/a.parquet"]);
    let versions: Vec<_> = view.partitions(flights, &Predicate::All).await.unwrap().iter().map(|p| p.version).collect();
    assert_eq!(versions, [2, second.commit, 2]);
    assert_eq!(view.table_version(flights).await.unwrap(), second.commit);
    let pruned = view.files(flights, &dt("3")).await.unwrap();
    assert_eq!(pruned.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["dt=3/a.parquet"]);
    assert_eq!(view.partitions(flights, &dt("2")).await.unwrap()[0].version, second.commit);
    assert_eq!(view.files(flights, &Predicate::Nothing).await.unwrap(), []);
}

async fn a_scope_is_replaced_whole(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1", "2", "3"], "a").await;
    for (drop_empty, left) in [(false, vec!["dt=1", "dt=2", "dt=3"]), (true, vec!["dt=2"])] {
        let mut transaction = catalog.begin(begin()).await.unwrap();
        let file = stage(&transaction, &storage, "2", &format!("b{drop_empty}")).await;
        let overwrite = Overwrite { scope: Predicate::All, drop_empty, ..dynamic(flights, vec![file]) };
        transaction.overwrite(overwrite).await.unwrap();
        assert_eq!(folders(&transaction.view(), flights).await, left);
        transaction.commit(&storage).await.unwrap();
        let view = current(&catalog).await;
        assert_eq!(paths(&view, flights).await, [format!("dt=2/b{drop_empty}.parquet")]);
        assert_eq!(folders(&view, flights).await, left);
    }
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let overwrite = Overwrite { scope: dt("9"), register: Some(partition("9")), ..dynamic(flights, vec![]) };
    transaction.overwrite(overwrite).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    assert_eq!(folders(&current(&catalog).await, flights).await, ["dt=2", "dt=9"], "empty, and registered");
}

async fn partitions_are_registered_dropped_and_emptied(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let elsewhere = NewPartition { location: Some("s3://bucket/one/".into()), ..partition("1") };
    transaction.register_partitions(flights, vec![elsewhere, partition("2")]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    write(&catalog, &storage, flights, &["1", "2"], "a").await;
    let location = async |catalog: &Catalog| {
        current(catalog).await.partitions(flights, &dt("1")).await.unwrap()[0].location.clone()
    };
    assert_eq!(location(&catalog).await.as_deref(), Some("s3://bucket/one/"), "an overwrite keeps the location");
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "static").await;
    let overwrite = Overwrite { scope: dt("1"), drop_empty: true, ..dynamic(flights, vec![file]) };
    transaction.overwrite(overwrite).await.unwrap();
    let seen = transaction.view().partitions(flights, &dt("1")).await.unwrap().remove(0);
    assert_eq!(seen.location.as_deref(), Some("s3://bucket/one/"));
    transaction.commit(&storage).await.unwrap();
    assert_eq!(location(&catalog).await.as_deref(), Some("s3://bucket/one/"), "one in static mode too");
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.truncate(flights, dt("1"), vec![]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    let view = current(&catalog).await;
    assert_eq!(paths(&view, flights).await, ["dt=2/a.parquet"]);
    assert_eq!(folders(&view, flights).await, ["dt=1", "dt=2"]);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.drop_partitions(flights, vec!["dt=1".into(), "dt=2".into()], vec![]).await.unwrap();
    transaction.register_partitions(flights, vec![partition("1")]).await.unwrap();
    assert_eq!(folders(&transaction.view(), flights).await, ["dt=1"]);
    transaction.commit(&storage).await.unwrap();
    assert_eq!(folders(&current(&catalog).await, flights).await, ["dt=1"]);
    assert_eq!(location(&catalog).await, None, "dropped and registered anew");
    drop(view);
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), Vec::<String>::new());
    assert_eq!(place.number("SELECT count(*) FROM partitions").await, 1, "ended rows go");
    assert_eq!(folders(&current(&catalog).await, flights).await, ["dt=1"]);
}

async fn a_transaction_reads_its_own_writes(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1", "2"], "a").await;
    let mut transaction = catalog.begin(explicit()).await.unwrap();
    let first = stage(&transaction, &storage, "1", "b").await;
    let second = stage(&transaction, &storage, "1", "c").await;
    let third = stage(&transaction, &storage, "3", "c").await;
    let before = transaction.view();
    transaction.overwrite(dynamic(flights, vec![first.clone()])).await.unwrap();
    let files = transaction.view().files(flights, &dt("1")).await.unwrap();
    assert_eq!(files[0].staged.as_ref(), Some(&first.staged));
    assert_eq!(files[0].added_by, transaction.id());
    transaction.append(flights, vec![second.clone(), third]).await.unwrap();
    assert_eq!(
        paths(&transaction.view(), flights).await,
        ["dt=1/b.parquet", "dt=1/c.parquet", "dt=2/a.parquet", "dt=3/c.parquet"]
    );
    assert_eq!(transaction.view().totals(flights).await.unwrap().rows, 40);
    assert_eq!(paths(&before, flights).await, ["dt=1/a.parquet", "dt=2/a.parquet"], "a view does not move");
    transaction.truncate(flights, dt("3"), vec![]).await.unwrap();
    transaction.drop_partitions(flights, vec!["dt=1".into()], vec![]).await.unwrap();
    transaction.append(flights, vec![second]).await.unwrap();
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!((committed.files_added, committed.files_removed), (1, 1));
    let view = current(&catalog).await;
    assert_eq!(paths(&view, flights).await, ["dt=1/c.parquet", "dt=2/a.parquet"]);
    assert_eq!(folders(&view, flights).await, ["dt=1", "dt=2", "dt=3"]);
    assert_eq!(storage.files(), [url("dt=1/c.parquet"), url("dt=2/a.parquet")]);
    assert_eq!(storage.staged(), Vec::<String>::new());
    assert_eq!(kind(before.files(flights, &Predicate::All).await), ErrorKind::Invalid, "it ended with its transaction");
}

async fn a_table_without_partition_columns_has_one_partition(place: Place) {
    let storage = Memory::default();
    let catalog = place.open().await;
    let definition = TableDefinition { partition_columns: 0, ..table("plain") };
    let plain = make_table(&catalog, definition).await;
    assert_eq!(folders(&current(&catalog).await, plain).await, [""]);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let staged = stage(&transaction, &storage, "1", "a").await;
    let whole = NewPartition { folder: String::new(), values: vec![], location: None };
    transaction.append(plain, vec![NewFile { partition: whole, path: "a.parquet".into(), ..staged }]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    let view = current(&catalog).await;
    assert_eq!(view.partitions(plain, &Predicate::All).await.unwrap()[0].version, 2);
    assert_eq!(storage.files(), ["file:///lake/lake.db/plain/a.parquet"]);
}

async fn a_dropped_managed_table_loses_its_files(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1", "2"], "a").await;
    let reader = current(&catalog).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.drop_table(flights).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    assert_eq!(storage.files().len(), 2, "a reader holds them");
    assert_eq!(paths(&reader, flights).await.len(), 2);
    drop(reader);
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), Vec::<String>::new());
    assert_eq!(place.number("SELECT count(*) FROM changes WHERE table_id > 0").await, 0);
}

async fn a_dropped_external_table_gives_up_its_files(place: Place) {
    let storage = Memory::default();
    let catalog = place.open().await;
    let definition = || TableDefinition { kind: TableKind::External, writers: Writers::Shared, ..table("flights") };
    let old = make_table(&catalog, definition()).await;
    let name = format!("part-{}-1", catalog.id());
    write(&catalog, &storage, old, &["1"], &format!("old-{name}")).await;
    let reader = current(&catalog).await;
    write(&catalog, &storage, old, &["1"], &name).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.drop_table(old).await.unwrap();
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!(committed.files_removed, 0);
    let new = make_table(&catalog, definition()).await;
    let live = foreign(&format!("dt=1/{name}.parquet"), "");
    let superseded = foreign(&format!("dt=1/old-{name}.parquet"), "");
    let listed = vec![live.clone(), superseded];
    let view = current(&catalog).await;
    assert_eq!(
        view.foreign(new, listed.clone()).await.unwrap(),
        std::slice::from_ref(&live),
        "only what was live is given up"
    );
    drop((reader, view));
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url(&live.path)], "vacuum deletes the superseded one and leaves the given-up one");
    assert_eq!(current(&catalog).await.foreign(new, listed.clone()).await.unwrap(), std::slice::from_ref(&live));
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.truncate(new, Predicate::All, vec![live]).await.unwrap();
    assert_eq!(transaction.view().foreign(new, listed.clone()).await.unwrap(), []);
    transaction.commit(&storage).await.unwrap();
    assert_eq!(storage.files(), Vec::<String>::new());
    assert_eq!(current(&catalog).await.foreign(new, listed).await.unwrap(), []);
}

async fn foreign_files_are_told_apart_and_removed(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    let own = format!("part-{}-1", catalog.id());
    write(&catalog, &storage, flights, &["1"], &own).await;
    let theirs = [foreign("dt=1/spark-0.parquet", "e1"), foreign("dt=1/spark-1.parquet", "e2")];
    theirs.iter().for_each(|f| storage.put(&url(&f.path), &f.tag));
    let stray = foreign(&format!("dt=1/part-{}-77.parquet", catalog.id()), "x");
    let listed = vec![foreign(&format!("dt=1/{own}.parquet"), ""), theirs[0].clone(), theirs[1].clone(), stray];
    let old = current(&catalog).await;
    assert_eq!(old.foreign(flights, listed.clone()).await.unwrap(), theirs);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "new").await;
    let overwrite = Overwrite { foreign: theirs.to_vec(), ..dynamic(flights, vec![file]) };
    transaction.overwrite(overwrite).await.unwrap();
    storage.put(&url(&theirs[1].path), "changed since");
    let committed = transaction.commit(&storage).await.unwrap();
    assert_eq!(committed.files_removed, 3);
    assert_eq!(old.foreign(flights, listed.clone()).await.unwrap(), theirs, "they belong to older snapshots");
    assert_eq!(storage.files().len(), 4, "which hold them");
    drop(old);
    catalog.vacuum(&storage, None, false).await.unwrap();
    let view = current(&catalog).await;
    assert_eq!(view.foreign(flights, listed).await.unwrap(), []);
    assert_eq!(
        storage.files(),
        [url("dt=1/new.parquet"), url(&theirs[1].path)],
        "a changed file is not ours to delete"
    );
    let again = foreign("dt=1/spark-1.parquet", "changed since");
    assert_eq!(view.foreign(flights, vec![again.clone()]).await.unwrap(), [again]);
}

async fn a_file_that_another_table_names_is_never_deleted(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    // The same folder under its absolute spelling.
    let other = TableDefinition { location: Some("file:///lake/lake.db/flights/".into()), ..table("twin") };
    let twin = make_table(&catalog, other).await;
    write(&catalog, &storage, flights, &["1"], "shared").await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "shared").await;
    transaction.append(twin, vec![file]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    write(&catalog, &storage, flights, &["1"], "next").await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert!(storage.files().contains(&url("dt=1/shared.parquet")));
    write(&catalog, &storage, twin, &["1"], "own").await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url("dt=1/next.parquet"), url("dt=1/own.parquet")]);
}

async fn a_given_up_file_outlives_another_table_that_names_it(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1"], "shared").await;
    let location = table("flights").location;
    let twin = make_table(&catalog, TableDefinition { kind: TableKind::External, location, ..table("twin") }).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "shared").await;
    transaction.append(twin, vec![file]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.drop_table(twin).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    write(&catalog, &storage, flights, &["1"], "next").await;
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(storage.files(), [url("dt=1/next.parquet"), url("dt=1/shared.parquet")]);
}
