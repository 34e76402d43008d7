//! Ten thousand partitions are not ten thousand statements.

use tycho_catalog::*;

use crate::memory::Memory;
use crate::place::*;

contract!(ten_thousand_partitions_in_one_commit,);

const PARTITIONS: usize = 10_000;

async fn ten_thousand_partitions_in_one_commit(place: Place) {
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    for round in 0..3 {
        let mut transaction = catalog.begin(begin()).await.unwrap();
        let area = format!("staging:{}/", transaction.id());
        transaction.record_staging(std::slice::from_ref(&area)).await.unwrap();
        let files = (0..PARTITIONS)
            .map(|n| {
                let staged = format!("{area}{n}");
                storage.stage(&staged);
                new_file(staged, &format!("{n:05}"), &format!("round{round}"))
            })
            .collect();
        transaction.overwrite(dynamic(flights, files)).await.unwrap();
        let before = catalog.statements_sent();
        let started = std::time::Instant::now();
        let committed = transaction.commit(&storage).await.unwrap();
        let statements = catalog.statements_sent() - before;
        println!("{statements} statements, {:?}", started.elapsed());
        assert!(statements < 120, "{statements} statements");
        assert_eq!(committed.files_added, PARTITIONS as u64);
        assert_eq!(committed.partitions[&flights].len(), PARTITIONS);
        assert_eq!(storage.files().len(), PARTITIONS);
    }
    let view = current(&catalog).await;
    let before = catalog.statements_sent();
    let started = std::time::Instant::now();
    let partitions = view.partitions(flights, &Predicate::All).await.unwrap();
    let files = view.files(flights, &Predicate::All).await.unwrap();
    println!("{} statements, {:?}", catalog.statements_sent() - before, started.elapsed());
    assert_eq!((partitions.len(), files.len()), (PARTITIONS, PARTITIONS));
    assert!(partitions.iter().all(|p| p.version == 4));
    let some = Predicate::Compare { column: 0, op: Comparison::Lt, value: Value::Text("03000".into()) };
    assert_eq!(view.files(flights, &some).await.unwrap().len(), 3000);
    assert!(catalog.statements_sent() - before < 30);
    let mut transaction = catalog.begin(begin()).await.unwrap();
    transaction.truncate(flights, some, vec![]).await.unwrap();
    transaction.commit(&storage).await.unwrap();
    assert_eq!(current(&catalog).await.totals(flights).await.unwrap().files, 7000);
    drop(view);
    catalog.vacuum(&storage, None, false).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM changes WHERE scope = 'partition'").await, PARTITIONS as i64);
}
