//! PostgreSQL goes away and comes back.

use tycho_catalog::*;

use crate::memory::Memory;
use crate::place::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_outlives_its_connections() {
    let Some(place) = Place::postgres("a_catalog_outlives_its_connections").await else { return };
    let storage = Memory::default();
    let (catalog, flights) = with_flights(&place).await;
    write(&catalog, &storage, flights, &["1"], "a").await;
    let reader = current(&catalog).await;
    let mut transaction = catalog.begin(begin()).await.unwrap();
    let file = stage(&transaction, &storage, "1", "b").await;
    transaction.overwrite(dynamic(flights, vec![file])).await.unwrap();
    place
        .sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    assert_eq!(paths(&reader, flights).await, ["dt=1/a.parquet"]);
    transaction.commit(&storage).await.unwrap();
    assert_eq!(paths(&current(&catalog).await, flights).await, ["dt=1/b.parquet"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let options =
        OpenOptions { lease_ms: 1000, retire_after_ms: 1000, warehouse: "file:///lake/".into(), create: true };
    // Nothing listens on port 1.
    let error = Catalog::open("postgres://nobody@127.0.0.1:1/none", options).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
