//! Tables over files on an S3 server (MinIO): read as they are, pruned, and refused for writing until that is built.

use std::process::Command;

use crate::server::{TYCHO, errors};
use crate::service::wanted;

struct Bucket {
    endpoint: String,
    access_key: String,
    secret_key: String,
}

fn bucket(test: &str) -> Option<Bucket> {
    Some(Bucket {
        endpoint: wanted(test, "TEST_TYCHO_S3_ENDPOINT")?,
        access_key: wanted(test, "TEST_TYCHO_S3_ACCESS_KEY")?,
        secret_key: wanted(test, "TEST_TYCHO_S3_SECRET_KEY")?,
    })
}

impl Bucket {
    fn put(&self, key: &str, file: &std::path::Path) {
        let status = Command::new("curl")
            .args(["-sS", "-f", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user"])
            .arg(format!("{}:{}", self.access_key, self.secret_key))
            .arg("-T")
            .arg(file)
            // curl signs the path as it is given, and the signature wants it encoded.
            .arg(format!("{}/lake/{}", self.endpoint, key.replace('=', "%3D")))
            .status()
            .expect("curl runs");
        assert!(status.success(), "{key} was not put");
    }

    fn command(&self, warehouse: &std::path::Path, statements: &str) -> Command {
        let mut command = Command::new(TYCHO);
        command
            .args(["sql", "--output", "csv", "--warehouse"])
            .arg(warehouse)
            .args(["-c", statements])
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ALLOW_HTTP", "true");
        command
    }
}

#[test]
fn tables_over_a_bucket() {
    let Some(bucket) = bucket("s3::tables_over_a_bucket") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let local = dir.path().join("local");
    crate::server::run_sql(
        &local,
        "CREATE TABLE t (id BIGINT, dt STRING) USING parquet PARTITIONED BY (dt);
         INSERT INTO t SELECT value, concat('d', cast(value % 2 AS string)) FROM generate_series(1, 100);",
    );
    let prefix = format!("tables-{}", std::process::id());
    let root = local.join("t");
    for file in crate::server::files_below(&root).iter().filter(|f| f.ends_with(".parquet")) {
        bucket.put(&format!("{prefix}/t/{file}"), &root.join(file));
    }
    let csv = dir.path().join("airports.csv");
    std::fs::write(&csv, "iata,city\nMAD,Madrid\nBCN,Barcelona\n").expect("a file");
    bucket.put(&format!("{prefix}/csv/airports.csv"), &csv);
    let statements = format!(
        "CREATE EXTERNAL TABLE t USING parquet LOCATION 's3a://lake/{prefix}/t';
         MSCK REPAIR TABLE t;
         CREATE EXTERNAL TABLE airports USING csv OPTIONS (header 'true') LOCATION 's3://lake/{prefix}/csv/';
         SELECT dt, count(*) AS n FROM t GROUP BY dt ORDER BY dt;
         SELECT city FROM airports ORDER BY city;"
    );
    let output = bucket.command(&dir.path().join("w"), &statements).output().expect("tycho sql runs");
    assert!(output.status.success(), "{}", errors(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("d0,50\nd1,50\n") && shown.contains("Barcelona\nMadrid\n"), "{shown}");

    let refused =
        bucket.command(&dir.path().join("w"), "INSERT INTO t VALUES (1, 'x')").output().expect("tycho sql runs");
    assert!(errors(&refused).contains("0A000"), "{}", errors(&refused));
    let options = format!(
        "CREATE EXTERNAL TABLE o USING parquet OPTIONS (fs.s3a.endpoint '{}', fs.s3a.access.key '{}', fs.s3a.secret.key 'wrong')
         LOCATION 's3n://lake/{prefix}/t'",
        bucket.endpoint, bucket.access_key
    );
    let refused = bucket.command(&dir.path().join("w"), &options).output().expect("tycho sql runs");
    assert!(!refused.status.success() && !errors(&refused).contains("wrong"), "{}", errors(&refused));
}
