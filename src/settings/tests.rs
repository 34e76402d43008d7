use super::*;

fn set(name: &str, value: &str) -> Result<String> {
    let mut settings = Settings::new();
    settings.set(name, value, true)?;
    settings.show(name)
}

fn hint(error: &Error) -> String {
    error.hint.clone().unwrap_or_default()
}

#[test]
fn every_default_reads_back_as_itself() {
    for (setting, stored) in SETTINGS.iter().zip(&Settings::new().values.declared) {
        assert_eq!(value::parse(setting, &stored.text).unwrap(), *stored, "{}", setting.name);
        assert!(!setting.help.is_empty() && !setting.help.contains('\n'), "{}", setting.name);
    }
}

#[test]
fn names_in_the_environment_are_all_different() {
    let mut seen = std::collections::HashSet::new();
    assert!(SETTINGS.iter().all(|s| seen.insert(s.environment_name())));
    assert_eq!(find("tycho.history").unwrap().environment_name(), "TYCHO_HISTORY");
    assert_eq!(find("sql_dialect").unwrap().environment_name(), "TYCHO_SQL_DIALECT");
}

#[test]
fn values_are_shown_as_postgresql_shows_them() {
    for (name, value, shown) in [
        ("statement_timeout", "30s", "30s"),
        ("statement_timeout", "300000", "5min"),
        ("statement_timeout", "1500", "1500ms"),
        ("statement_timeout", "1.5 s", "1500ms"),
        ("statement_timeout", "2 hours", "2h"),
        ("statement_timeout", "86400s", "1d"),
        ("statement_timeout", "0", "0"),
        ("STATEMENT_Timeout", " 5 MIN ", "5min"),
        ("tycho.target_file_size", "256MiB", "256MB"),
        ("tycho.target_file_size", "1536kB", "1536kB"),
        ("tycho.target_file_size", "1073741824", "1GB"),
        ("tycho.target_file_size", "1000", "1000B"),
        ("row_security", "F", "off"),
        ("row_security", "1", "on"),
        ("sql_dialect", "PostgreSQL", "postgres"),
        ("client_encoding", "utf-8", "UTF8"),
        ("datestyle", "German, ISO", ""),
        ("datestyle", "european", "ISO, DMY"),
        ("default_transaction_isolation", "READ COMMITTED", "read committed"),
        ("partitionoverwritemode", "STATIC", "static"),
        ("spark.sql.ansi.enabled", "FALSE", "false"),
        ("timezone", "europe/berlin", "Europe/Berlin"),
        ("spark.sql.session.timezone", "+2", "+02:00"),
        ("timezone", "-08:30", "-08:30"),
        ("timezone", "+0530", "+05:30"),
        ("timezone", "local", "UTC"),
    ] {
        match set(name, value) {
            Ok(text) => assert_eq!(text, shown, "{name} = {value}"),
            Err(e) => assert!(shown.is_empty(), "{name} = {value}: {e}"),
        }
    }
}

#[test]
fn refused_values_say_what_is_allowed() {
    for (name, value, words) in [
        ("sql_dialect", "hive", "spark, postgres"),
        ("row_security", "maybe", "on or off"),
        ("extra_float_digits", "4", "between -15 and 3"),
        ("statement_timeout", "-1", "milliseconds"),
        ("statement_timeout", "5 parsecs", "milliseconds"),
        ("tycho.target_file_size", "99999999999TB", "bytes"),
        ("client_encoding", "LATIN1", "only UTF8"),
        ("timezone", "Mars/Olympus", "Europe/Berlin"),
        ("timezone", "UTC+3", "+3"),
        ("tycho.history", "7d", "retire_after"),
    ] {
        let error = set(name, value).unwrap_err();
        assert_eq!(error.sqlstate(), "22023", "{name} = {value}");
        assert!(hint(&error).contains(words), "{name} = {value}: {}", hint(&error));
    }
    assert_eq!(set("tycho.history", "0").unwrap(), "0");
    assert_eq!(set("tycho.lease", "0").unwrap_err().sqlstate(), "22023");
}

#[test]
fn unknown_names_suggest_the_near_one() {
    for (name, near) in [
        ("statment_timeout", "statement_timeout"),
        ("tycho.retire_afer", "tycho.retire_after"),
        ("history", "tycho.history"),
        ("TIMEZONES", "TimeZone"),
    ] {
        let error = Settings::new().set(name, "x", true).unwrap_err();
        assert_eq!(error.sqlstate(), "42704");
        assert_eq!(hint(&error), format!("did you mean {near}?"));
    }
    assert_eq!(hint(&Settings::new().show("wombat").unwrap_err()), "SHOW ALL names every setting");
}

#[test]
fn only_configuration_changes_the_process() {
    let mut settings = Settings::new();
    let error = settings.set("tycho.lease", "10s", false).unwrap_err();
    assert_eq!(error.sqlstate(), "22023");
    assert!(hint(&error).contains("TYCHO_LEASE"), "{}", hint(&error));
    settings.set("tycho.lease", "10s", true).unwrap();
    assert_eq!(settings.duration_ms("tycho.lease"), 10_000);
    assert!(settings.set("server_version", "16", true).is_err());
    settings.set_fact("session_authorization", "alice").unwrap();
    assert_eq!(settings.text("session_authorization"), "alice");
}

#[test]
fn sessions_do_not_disturb_each_other_and_reset_to_where_they_began() {
    let mut process = Settings::new();
    process.set("statement_timeout", "1min", true).unwrap();
    let mut one = process.for_session();
    let two = process.for_session();
    one.set("statement_timeout", "5s", false).unwrap();
    one.set("spark.executor.memory", "4g", false).unwrap();
    one.set_fact("session_authorization", "alice").unwrap();
    assert_eq!(two.duration_ms("statement_timeout"), 60_000);
    assert_eq!(one.duration_ms("statement_timeout"), 5_000);
    one.reset("STATEMENT_TIMEOUT").unwrap();
    assert_eq!(one.text("statement_timeout"), "1min");
    one.set("sql_dialect", "spark", false).unwrap();
    assert_eq!(one.dialect(), Dialect::Spark);
    one.reset_all();
    assert_eq!(one.dialect(), Dialect::Postgres);
    assert!(one.foreign("spark.executor.memory").is_none());
    assert_eq!(one.text("session_authorization"), "alice");
}

#[test]
fn keys_of_other_systems_are_kept_and_their_secrets_hidden() {
    let mut settings = Settings::new();
    settings.set("hive.exec.dynamic.partition.mode", "nonstrict", true).unwrap();
    settings.set("spark.hadoop.fs.s3a.secret.key", "abc", false).unwrap();
    settings.set("myapp.user_id", "7", false).unwrap();
    assert_eq!(settings.show("HIVE.exec.dynamic.partition.mode").unwrap(), "nonstrict");
    assert_eq!(settings.show("spark.hadoop.fs.s3a.secret.key").unwrap(), "********");
    assert_eq!(settings.foreign("spark.hadoop.fs.s3a.secret.key"), Some("abc"));
    assert!(Settings::new().set("myapp.user_id", "7", true).is_err());
    let all = settings.all();
    assert!(all.is_sorted_by_key(|(name, _, _)| name.to_ascii_lowercase()));
    assert!(all.iter().any(|(name, value, d)| name == "myapp.user_id" && value == "7" && d.is_none()));
    assert!(all.iter().all(|(_, value, _)| value != "abc"));
}
