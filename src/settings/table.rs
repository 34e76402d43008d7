//! The declarations. A setting exists by its row here: SET, SHOW, pg_settings, tycho.toml, the environment, `tycho check` and
//! the manual all read this table, so that none of them can disagree.

use super::{Scope, Setting, SettingKind};

/// A default that is worked out when the process starts (cores, a share of the memory).
pub(super) const AUTO: &str = "auto";

const ISOLATION: SettingKind =
    SettingKind::Enum(&["read committed", "repeatable read", "serializable", "read uncommitted"]);

const fn setting(
    name: &'static str,
    kind: SettingKind,
    default: &'static str,
    scope: Scope,
    help: &'static str,
) -> Setting {
    let unit = match kind {
        SettingKind::Duration => Some("ms"),
        SettingKind::Size => Some("B"),
        _ => None,
    };
    Setting { name, aliases: &[], kind, unit, default, scope, help }
}

const fn session(name: &'static str, kind: SettingKind, default: &'static str, help: &'static str) -> Setting {
    setting(name, kind, default, Scope::Session, help)
}

const fn process(name: &'static str, kind: SettingKind, default: &'static str, help: &'static str) -> Setting {
    setting(name, kind, default, Scope::Process, help)
}

const fn fact(name: &'static str, kind: SettingKind, default: &'static str, help: &'static str) -> Setting {
    setting(name, kind, default, Scope::Fixed, help)
}

const fn also(setting: Setting, aliases: &'static [&'static str]) -> Setting {
    Setting { aliases, ..setting }
}

/// All declared settings, in the order of the manual.
pub static SETTINGS: &[Setting] = &[
    // What a statement means.
    session(
        "sql_dialect",
        SettingKind::Enum(&["spark", "postgres"]),
        "postgres",
        "meaning of what Spark and PostgreSQL spell alike; `tycho sql` starts with spark, `tycho serve` with postgres",
    ),
    session(
        "tycho.dialect_conflict",
        SettingKind::Enum(&["default", "error", "notice", "off"]),
        "default",
        "what happens where a form of one dialect holds a construct read by the other's meaning; default: error where it \
         writes, notice where it reads",
    ),
    also(
        session("TimeZone", SettingKind::TimeZone, "UTC", "time zone in which instants are read and shown"),
        &["spark.sql.session.timeZone"],
    ),
    also(
        session(
            "search_path",
            SettingKind::Text,
            "default",
            "databases searched for a table named without one; the first is the current database",
        ),
        &["spark.sql.catalog.currentDatabase"],
    ),
    also(
        session(
            "spark.sql.sources.partitionOverwriteMode",
            SettingKind::Enum(&["dynamic", "static"]),
            "dynamic",
            "what INSERT OVERWRITE replaces: dynamic, the partitions that receive rows; static, all that its PARTITION clause \
             covers",
        ),
        &["partitionOverwriteMode"],
    ),
    session(
        "spark.sql.ansi.enabled",
        SettingKind::Enum(&["true", "false"]),
        "true",
        "accepted for Spark scripts; what is stored is always cast by ANSI rules",
    ),
    // The session.
    session("application_name", SettingKind::Text, "", "name of the client, shown in tycho.queries"),
    session("statement_timeout", SettingKind::Duration, "0", "longest run of a statement; 0: no limit"),
    session(
        "idle_in_transaction_session_timeout",
        SettingKind::Duration,
        "0",
        "longest idle time inside a transaction block before the session is ended; 0: no limit",
    ),
    session("idle_session_timeout", SettingKind::Duration, "0", "longest idle time of a session; 0: no limit"),
    session(
        "lock_timeout",
        SettingKind::Duration,
        "0",
        "longest wait for another writer of the same partition; 0: no limit",
    ),
    session("default_transaction_isolation", ISOLATION, "repeatable read", "isolation of new transactions"),
    session(
        "transaction_isolation",
        ISOLATION,
        "repeatable read",
        "isolation of the current transaction: it reads one snapshot from beginning to end, whatever is asked",
    ),
    session("default_transaction_read_only", SettingKind::Bool, "off", "new transactions refuse to write"),
    session("transaction_read_only", SettingKind::Bool, "off", "the current transaction refuses to write"),
    session("default_transaction_deferrable", SettingKind::Bool, "off", "accepted; without effect"),
    session(
        "tycho.idempotency_key",
        SettingKind::Text,
        "",
        "key of the next write: a repeated write with the same key and text is done once",
    ),
    // Text forms.
    session("client_encoding", SettingKind::Enum(&["UTF8"]), "UTF8", "encoding of the client's text; only UTF8"),
    session("DateStyle", SettingKind::Text, "ISO, MDY", "output is always ISO; the second word reads ambiguous dates"),
    session(
        "IntervalStyle",
        SettingKind::Enum(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        "postgres",
        "text form of intervals",
    ),
    session(
        "extra_float_digits",
        SettingKind::Integer { min: -15, max: 3 },
        "1",
        "above 0: the shortest text that reads back as the same number; else rounded to that many digits fewer",
    ),
    session("bytea_output", SettingKind::Enum(&["hex", "escape"]), "hex", "text form of binary values"),
    session(
        "standard_conforming_strings",
        SettingKind::Enum(&["on"]),
        "on",
        "backslashes in '…' are ordinary characters in the postgres dialect; always on",
    ),
    session(
        "client_min_messages",
        SettingKind::Enum(&[
            "debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "info", "notice", "warning", "error",
        ]),
        "notice",
        "least severity of messages sent to the client",
    ),
    session("escape_string_warning", SettingKind::Bool, "on", "accepted; without effect"),
    session(
        "backslash_quote",
        SettingKind::Enum(&["safe_encoding", "on", "off"]),
        "safe_encoding",
        "accepted; without effect",
    ),
    session("array_nulls", SettingKind::Bool, "on", "accepted; without effect"),
    session("xmloption", SettingKind::Enum(&["content", "document"]), "content", "accepted; without effect"),
    session("row_security", SettingKind::Bool, "on", "accepted; there are no row policies"),
    session("check_function_bodies", SettingKind::Bool, "on", "accepted; without effect"),
    session(
        "synchronous_commit",
        SettingKind::Enum(&["on", "off", "local", "remote_write", "remote_apply"]),
        "on",
        "accepted; a commit is durable when it is reported",
    ),
    session("jit", SettingKind::Bool, "off", "accepted; without effect"),
    session("geqo", SettingKind::Bool, "on", "accepted; without effect"),
    session("default_tablespace", SettingKind::Text, "", "accepted; without effect"),
    session("default_table_access_method", SettingKind::Text, "heap", "accepted; without effect"),
    session("default_text_search_config", SettingKind::Text, "pg_catalog.simple", "accepted; without effect"),
    session("lc_messages", SettingKind::Text, "C.UTF-8", "accepted; messages are English"),
    session("lc_monetary", SettingKind::Text, "C.UTF-8", "accepted; without effect"),
    session("lc_numeric", SettingKind::Text, "C.UTF-8", "accepted; without effect"),
    session("lc_time", SettingKind::Text, "C.UTF-8", "accepted; without effect"),
    // Writing.
    session(
        "tycho.history",
        SettingKind::Duration,
        "0",
        "how long superseded files stay readable after their last lease; history is not built yet: 0 everywhere",
    ),
    session(
        "tycho.retire_after",
        SettingKind::Duration,
        "5min",
        "how long superseded files stay in place at least, for readers that began before the commit",
    ),
    session(
        "tycho.target_file_size",
        SettingKind::Size,
        "256MiB",
        "size at which a writer begins another data file of the same partition",
    ),
    session(
        "tycho.discover_partitions",
        SettingKind::Bool,
        "off",
        "registers partition folders that others made, as reads of a shared table find them",
    ),
    session(
        "tycho.transaction_scratch_limit",
        SettingKind::Size,
        "16GiB",
        "most that one transaction block may keep of its files in the scratch folder",
    ),
    process(
        "tycho.idempotency_keep",
        SettingKind::Duration,
        "7d",
        "how long the outcome of a write with an idempotency key is remembered",
    ),
    process(
        "tycho.lease",
        SettingKind::Duration,
        "30s",
        "a process that did not renew its lease for so long is taken for dead",
    ),
    // Running.
    session(
        "tycho.target_partitions",
        SettingKind::Integer { min: 1, max: 4096 },
        AUTO,
        "parallel streams of one statement; by default one a core",
    ),
    session(
        "tycho.batch_size",
        SettingKind::Integer { min: 16, max: 1_000_000 },
        "8192",
        "rows in one batch between operators",
    ),
    process(
        "tycho.memory_limit",
        SettingKind::Size,
        AUTO,
        "memory that statements may use together before they spill or fail; by default 70% of the machine's",
    ),
    process(
        "tycho.scratch",
        SettingKind::Text,
        "",
        "folder for spilled data and files of open transactions; by default .tycho/scratch in a local warehouse, else the \
         system's temporary folder",
    ),
    process(
        "tycho.scratch_limit",
        SettingKind::Size,
        "100GiB",
        "most that all statements together may spill into the scratch folder",
    ),
    also(
        process(
            "tycho.max_connections",
            SettingKind::Integer { min: 1, max: 100_000 },
            "100",
            "clients that may be connected at once",
        ),
        &["max_connections"],
    ),
    // Facts.
    fact(
        "server_version",
        SettingKind::Text,
        "15.13 (Tycho)",
        "the PostgreSQL version whose behaviour clients may expect",
    ),
    fact("server_version_num", SettingKind::Integer { min: 0, max: i64::MAX }, "150013", "server_version as a number"),
    fact("server_encoding", SettingKind::Text, "UTF8", "encoding of stored text"),
    fact("integer_datetimes", SettingKind::Bool, "on", "timestamps are whole microseconds"),
    fact("max_identifier_length", SettingKind::Integer { min: 0, max: i64::MAX }, "255", "longest name, in bytes"),
    fact(
        "max_index_keys",
        SettingKind::Integer { min: 0, max: i64::MAX },
        "32",
        "there are no indexes; as PostgreSQL says",
    ),
    fact("block_size", SettingKind::Integer { min: 0, max: i64::MAX }, "8192", "as PostgreSQL says"),
    fact("is_superuser", SettingKind::Bool, "on", "whether the session's user may do everything"),
    fact("session_authorization", SettingKind::Text, "tycho", "the session's user"),
    fact("role", SettingKind::Text, "none", "the role taken with SET ROLE"),
    fact("in_hot_standby", SettingKind::Bool, "off", "there is no standby"),
    fact("lc_collate", SettingKind::Text, "C.UTF-8", "text compares by code point"),
    fact("lc_ctype", SettingKind::Text, "C.UTF-8", "classes of characters are Unicode's"),
    fact("ssl", SettingKind::Bool, "off", "connections are not encrypted; only loopback addresses are served"),
];
