use super::*;

fn load(toml: Option<&str>, environment: &[(&str, &str)], flags: Flags) -> Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let mut flags = flags;
    if let Some(toml) = toml {
        let file = folder.path().join("tycho.toml");
        std::fs::write(&file, toml).unwrap();
        flags.config = Some(file);
    }
    let environment: Vec<_> = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut config = Config::load(&flags, &environment, Dialect::Spark)?;
    // Paths below the temporary folder are shown as FOLDER.
    for place in [&mut config.warehouse, &mut config.catalog] {
        *place = place.replace(folder.path().to_str().unwrap(), "FOLDER");
    }
    Ok(config)
}

fn failure(toml: &str) -> (String, String) {
    let error = load(Some(toml), &[], Flags::default()).unwrap_err();
    let message = error.message.split_once("tycho.toml").map_or(error.message.clone(), |(_, rest)| rest.to_owned());
    (message, error.hint.unwrap_or_default())
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let toml = "warehouse = 'lake'\nlisten = '127.0.0.1:1'\n[settings]\nbatch_size = 1024\nretire_after = '1min'\nlease = '10s'\n";
    let set = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let flags = Flags { set: set("tycho.lease", "40s"), listen: Some("127.0.0.1:3".into()), ..Flags::default() };
    let environment = [("TYCHO_RETIRE_AFTER", "2min"), ("TYCHO_LEASE", "20s"), ("TYCHO_LISTEN", "127.0.0.1:2")];
    let config = load(Some(toml), &environment, flags).unwrap();
    assert_eq!(config.warehouse, "file://FOLDER/lake/");
    assert_eq!(config.catalog, "sqlite:FOLDER/lake/.tycho/catalog.sqlite");
    assert_eq!(config.listen, "127.0.0.1:3");
    assert_eq!(config.settings.integer("tycho.batch_size"), 1024);
    assert_eq!(config.settings.text("tycho.retire_after"), "2min");
    assert_eq!(config.settings.text("tycho.lease"), "40s");
}

#[test]
fn the_commands_dialect_is_a_default_only() {
    assert_eq!(load(Some(""), &[], Flags::default()).unwrap().settings.dialect(), Dialect::Spark);
    let config = load(Some("[settings]\nsql_dialect = 'postgres'"), &[], Flags::default()).unwrap();
    assert_eq!(config.settings.dialect(), Dialect::Postgres);
}

#[test]
fn spark_keys_need_no_quotes() {
    let toml = "[settings]\nspark.sql.shuffle.partitions = 200\nspark.sql.sources.partitionOverwriteMode = 'static'\n";
    let config = load(Some(toml), &[], Flags::default()).unwrap();
    assert_eq!(config.settings.foreign("spark.sql.shuffle.partitions"), Some("200"));
    assert_eq!(config.settings.text("partitionOverwriteMode"), "static");
}

#[test]
fn mistakes_in_the_file_name_their_line() {
    for (toml, message, hint) in [
        ("\nwarehous = 'x'", ", line 2: unknown key `warehous`", "did you mean `warehouse`?"),
        ("history = '0'", ", line 1: unknown key `history`", "write `history` under [settings]"),
        (
            "[settings]\n\nretire_afer = '1s'",
            ", line 3: unrecognized configuration parameter `retire_afer`",
            "did you mean tycho.retire_after?",
        ),
        ("[settings]\nhistory = '7d'", ", line 2: tycho.history can only be 0, not `7d`: history is not built yet", ""),
        ("listen = 5439", ", line 1: `listen` must be text in quotes", ""),
        ("[settings]\nsearch_path = ['a']", ", line 2: `search_path` must be a number, a Boolean or text", ""),
    ] {
        let (was, was_hint) = failure(toml);
        assert_eq!(was, message, "{toml}");
        assert!(hint.is_empty() || was_hint == hint, "{toml}: {was_hint}");
    }
    assert!(failure("a = = 1").0.starts_with(", line 1: "));
}

#[test]
fn the_catalog_fits_the_warehouse() {
    let with = |warehouse: &str, catalog: Option<&str>| {
        let flags = Flags { warehouse: Some(warehouse.into()), catalog: catalog.map(Into::into), ..Flags::default() };
        load(None, &[], flags)
    };
    assert!(with("s3://bucket/lake", None).unwrap_err().message.contains("needs a catalog"));
    assert!(with("s3a://bucket/lake", Some("sqlite:x")).unwrap_err().message.contains("not local"));
    assert!(with("/srv/lake", Some("mysql://x")).unwrap_err().message.contains("neither"));
    assert!(with("ftp://x/y", None).unwrap_err().message.contains("ftp"));
    let config = with("s3a://bucket/lake", Some("postgres://u:secret@h/d")).unwrap();
    assert_eq!(config.warehouse, "s3://bucket/lake/");
    assert_eq!(config.catalog_shown(), "postgres://u:********@h/d");
    assert_eq!(config.local_warehouse(), None);
    let config = with("/srv/./a/../lake with space", None).unwrap();
    assert_eq!(config.local_warehouse(), Some("/srv/lake with space".into()));
    assert_eq!(config.catalog, "sqlite:/srv/lake with space/.tycho/catalog.sqlite");
}

#[test]
fn unknown_variables_are_only_warned_of() {
    let config =
        load(None, &[("TYCHO_RETIRE_AFER", "1s"), ("TYCHO_LOG", "debug"), ("OTHER", "x")], Flags::default()).unwrap();
    assert_eq!(
        config.warnings,
        ["the environment variable TYCHO_RETIRE_AFER is not known: did you mean TYCHO_RETIRE_AFTER?"]
    );
    let error = load(None, &[("TYCHO_LEASE", "soon")], Flags::default()).unwrap_err();
    assert!(error.message.starts_with("TYCHO_LEASE: invalid value"), "{error}");
}
