//! A catalog in PostgreSQL: two servers without local state, each seeing the other's commits at once.

use crate::server::Server;
use crate::service::wanted;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_a_catalog() {
    let Some(url) = wanted("catalog_postgres::two_servers_share_a_catalog", "TEST_TYCHO_POSTGRES") else { return };
    let (admin, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("PostgreSQL");
    tokio::spawn(connection);
    let name = format!("shared_{}", std::process::id());
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a database");
    let catalog = match url.rsplit_once('/') {
        Some((server, _)) => format!("{server}/{name}"),
        None => panic!("{url} names no database"),
    };
    let dir = tempfile::tempdir().expect("a folder");
    let one = Server::over(dir.path(), &["--catalog", &catalog]);
    let two = Server::over(dir.path(), &["--catalog", &catalog]);
    let (first, second) = (one.connect().await, two.connect().await);
    first
        .batch_execute("CREATE TABLE t (id BIGINT, dt STRING) USING parquet PARTITIONED BY (dt)")
        .await
        .expect("a table");
    for (round, client) in [&first, &second, &first, &second].into_iter().enumerate() {
        let statement = format!("INSERT OVERWRITE TABLE t PARTITION (dt = 'x') SELECT {round}::bigint");
        client.batch_execute(&statement).await.expect("an overwrite");
        for reader in [&first, &second] {
            let row = reader.query_one("SELECT sum(id)::bigint, count(*) FROM t", &[]).await.expect("a row");
            assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (round as i64, 1));
        }
    }
}
