//! Every setting, declared once: SET, SHOW, pg_settings, tycho.toml, `tycho check` and the manual read this table.

mod table;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use crate::error::{Error, Kind, Result};
use crate::sql::Dialect;
use value::Stored;

pub use table::SETTINGS;

/// Who may change a setting, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Any session, with SET.
    Session,
    /// Only configuration, when the process starts.
    Process,
    /// Nobody: it tells a fact (`server_version`).
    Fixed,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    /// Other names that mean the same (`spark.sql.session.timeZone`).
    pub aliases: &'static [&'static str],
    pub kind: SettingKind,
    /// Unit as pg_settings shows it: `ms`, `B`, or none.
    pub unit: Option<&'static str>,
    /// As configuration would write it; `auto`: worked out when the process starts.
    pub default: &'static str,
    pub scope: Scope,
    /// One line.
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// Accepts `30s`, `5 min`, plain milliseconds; shown as PostgreSQL shows it.
    Duration,
    /// Accepts `256MiB`, `1GB`, plain bytes.
    Size,
    Text,
    Enum(&'static [&'static str]),
    TimeZone,
}

impl Setting {
    /// The name in the environment: `tycho.history` is `TYCHO_HISTORY`, `sql_dialect` is `TYCHO_SQL_DIALECT`.
    pub fn environment_name(&self) -> String {
        format!("TYCHO_{}", self.toml_name().replace('.', "_").to_ascii_uppercase())
    }

    /// The key under `[settings]` in tycho.toml: the name without `tycho.`.
    pub fn toml_name(&self) -> &'static str {
        self.name.strip_prefix("tycho.").unwrap_or(self.name)
    }

    /// Names the values it takes, for `pg_settings.enumvals` and the manual; empty unless it is an enumeration.
    pub fn allowed_values(&self) -> &'static [&'static str] {
        match self.kind {
            SettingKind::Enum(allowed) => allowed,
            _ => &[],
        }
    }
}

/// Position in [`SETTINGS`] by any of a setting's names, in lower case.
static INDEX: LazyLock<HashMap<String, usize>> = LazyLock::new(|| {
    let mut index = HashMap::new();
    for (position, setting) in SETTINGS.iter().enumerate() {
        for name in std::iter::once(&setting.name).chain(setting.aliases) {
            let before = index.insert(name.to_ascii_lowercase(), position);
            assert!(before.is_none(), "the name {name} is declared twice");
        }
    }
    index
});

/// Keys of other systems that scripts set: kept as text, without a meaning here.
const FOREIGN_PREFIXES: &[&str] = &["spark.", "hive.", "mapreduce.", "mapred."];

/// The declaration of a setting by any of its names, without regard to case.
pub fn find(name: &str) -> Option<&'static Setting> {
    position(name).map(|p| &SETTINGS[p])
}

fn position(name: &str) -> Option<usize> {
    if let Some(position) = INDEX.get(name) {
        return Some(*position);
    }
    INDEX.get(&name.to_ascii_lowercase()).copied()
}

/// The setting that is asked for by a program, not by a user: a name that is not declared is a mistake in the program.
fn declared(name: &str) -> usize {
    position(name).unwrap_or_else(|| panic!("the setting {name} is not declared"))
}

#[derive(Debug, Clone)]
struct Values {
    /// Parallel to [`SETTINGS`].
    declared: Vec<Stored>,
    /// Foreign keys by their lower-case name: the name as written, and the value.
    foreign: BTreeMap<String, (String, String)>,
}

/// The values of one session over the process's own. Cheap to clone: values are shared until one is changed.
#[derive(Debug, Clone)]
pub struct Settings {
    values: Arc<Values>,
    /// What RESET returns to.
    base: Arc<Values>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings::new()
    }
}

impl Settings {
    /// The declared defaults.
    pub fn new() -> Settings {
        static DEFAULTS: LazyLock<Arc<Values>> = LazyLock::new(|| {
            let declared = SETTINGS.iter().map(default_value).collect();
            Arc::new(Values { declared, foreign: BTreeMap::new() })
        });
        Settings { values: DEFAULTS.clone(), base: DEFAULTS.clone() }
    }

    /// A session's settings that start with (and RESET returns to) these.
    pub fn for_session(&self) -> Settings {
        Settings { values: self.values.clone(), base: self.values.clone() }
    }

    /// Checks and sets by any of the setting's names. `configuration`: the caller is tycho.toml, environment or a flag, which
    /// may set `Scope::Process` too. Keys `spark.*`, `hive.*`, `mapreduce.*` without a meaning here are kept as text, as are a
    /// session's names with a dot (PostgreSQL's customised options), except `tycho.*`.
    ///
    /// Errors: 42704 for an unknown name, 22023 for a value that it does not take or a setting that can't be changed so.
    pub fn set(&mut self, name: &str, value: &str, configuration: bool) -> Result<()> {
        let Some(position) = position(name) else {
            return self.set_foreign(name, value, configuration);
        };
        let setting = &SETTINGS[position];
        let refused =
            |why: &str| Error::new(Kind::InvalidParameterValue, format!("{} cannot be changed{why}", setting.name));
        match setting.scope {
            Scope::Fixed => return Err(refused("").with_detail(setting.help)),
            Scope::Process if !configuration => {
                return Err(refused(" in a session").with_hint(format!(
                    "set `{}` under [settings] in tycho.toml, {} in the environment, or start with --set {}={value}",
                    setting.toml_name(),
                    setting.environment_name(),
                    setting.name
                )));
            }
            _ => {}
        }
        self.store(position, checked(setting, value)?);
        Ok(())
    }

    fn set_foreign(&mut self, name: &str, value: &str, configuration: bool) -> Result<()> {
        let key = name.to_ascii_lowercase();
        let known_prefix = FOREIGN_PREFIXES.iter().any(|p| key.starts_with(p));
        let customised = !configuration && key.contains('.') && !key.starts_with("tycho.");
        if !known_prefix && !customised {
            return Err(unknown(name));
        }
        Arc::make_mut(&mut self.values).foreign.insert(key, (name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Sets what SET must not: a fact about the session (`session_authorization`). Panics if the setting is not declared.
    pub fn set_fact(&mut self, name: &str, value: &str) -> Result<()> {
        let position = declared(name);
        self.store(position, checked(&SETTINGS[position], value)?);
        Ok(())
    }

    fn store(&mut self, position: usize, value: Stored) {
        if self.values.declared[position] != value {
            Arc::make_mut(&mut self.values).declared[position] = value;
        }
    }

    /// Returns a setting to what it was when the session began.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        if let Some(position) = position(name) {
            if SETTINGS[position].scope == Scope::Session {
                self.store(position, self.base.declared[position].clone());
            }
            return Ok(());
        }
        let key = name.to_ascii_lowercase();
        match self.base.foreign.get(&key).cloned() {
            Some(value) => Arc::make_mut(&mut self.values).foreign.insert(key, value),
            None if self.values.foreign.contains_key(&key) => Arc::make_mut(&mut self.values).foreign.remove(&key),
            None if FOREIGN_PREFIXES.iter().any(|p| key.starts_with(p)) => None,
            None => return Err(unknown(name)),
        };
        Ok(())
    }

    /// Returns every setting to what it was when the session began; facts stay.
    pub fn reset_all(&mut self) {
        let mut values = (*self.base).clone();
        for (position, setting) in SETTINGS.iter().enumerate() {
            if setting.scope == Scope::Fixed {
                values.declared[position] = self.values.declared[position].clone();
            }
        }
        self.values = Arc::new(values);
    }

    /// As SHOW prints it. A foreign key that looks like a secret is shown as `********`.
    pub fn show(&self, name: &str) -> Result<String> {
        if let Some(position) = position(name) {
            return Ok(self.values.declared[position].text.clone());
        }
        let key = name.to_ascii_lowercase();
        match self.values.foreign.get(&key) {
            Some((_, value)) => Ok(masked(&key, value)),
            None => Err(unknown(name)),
        }
    }

    /// What SHOW prints, of a declared setting. Panics if it is not declared, as the typed ones below do.
    pub fn text(&self, name: &str) -> &str {
        &self.values.declared[declared(name)].text
    }

    pub fn bool(&self, name: &str) -> bool {
        self.number(name) != 0
    }

    pub fn integer(&self, name: &str) -> i64 {
        self.number(name)
    }

    pub fn duration_ms(&self, name: &str) -> u64 {
        self.number(name).unsigned_abs()
    }

    pub fn bytes(&self, name: &str) -> u64 {
        self.number(name).unsigned_abs()
    }

    fn number(&self, name: &str) -> i64 {
        self.values.declared[declared(name)].number
    }

    pub fn dialect(&self) -> Dialect {
        match self.text("sql_dialect") {
            "spark" => Dialect::Spark,
            _ => Dialect::Postgres,
        }
    }

    /// A foreign key (`spark.…`, `hive.…`, a customised option) that was set, by its name in any case.
    pub fn foreign(&self, name: &str) -> Option<&str> {
        self.values.foreign.get(&name.to_ascii_lowercase()).map(|(_, value)| value.as_str())
    }

    /// (name, value, declaration if there is one), sorted by name without case.
    pub fn all(&self) -> Vec<(String, String, Option<&'static Setting>)> {
        let declared = SETTINGS
            .iter()
            .zip(&self.values.declared)
            .map(|(s, value)| (s.name.to_owned(), value.text.clone(), Some(s)));
        let foreign = self.values.foreign.iter().map(|(key, (name, value))| (name.clone(), masked(key, value), None));
        let mut all: Vec<_> = declared.chain(foreign).collect();
        all.sort_by_cached_key(|(name, _, _)| name.to_ascii_lowercase());
        all
    }
}

/// Checks a value, beyond its kind, against what is built.
fn checked(setting: &Setting, value: &str) -> Result<Stored> {
    if setting.default == table::AUTO && value.trim().eq_ignore_ascii_case(table::AUTO) {
        return Ok(default_value(setting));
    }
    if setting.kind == SettingKind::TimeZone && ["local", "default"].iter().any(|w| value.eq_ignore_ascii_case(w)) {
        return Ok(default_value(setting));
    }
    let stored = value::parse(setting, value)?;
    if setting.name == "tycho.history" && stored.number != 0 {
        return Err(Error::new(
            Kind::InvalidParameterValue,
            format!("tycho.history can only be 0, not `{}`: history is not built yet", stored.text),
        )
        .with_hint("superseded files stay for tycho.retire_after; raise that to keep them longer"));
    }
    let must_not_be_zero = ["tycho.lease", "tycho.memory_limit", "tycho.target_file_size"];
    if stored.number == 0 && must_not_be_zero.contains(&setting.name) {
        return Err(Error::new(Kind::InvalidParameterValue, format!("{} must be above 0", setting.name)));
    }
    Ok(stored)
}

fn default_value(setting: &Setting) -> Stored {
    let text = match (setting.default, setting.name) {
        (table::AUTO, "tycho.target_partitions") => {
            std::thread::available_parallelism().map_or(1, |n| n.get()).to_string()
        }
        (table::AUTO, _) => format!("{}MiB", memory_limit_mebibytes()),
        (text, _) => text.to_owned(),
    };
    value::parse(setting, &text).expect("a test reads every default")
}

/// 70% of the memory this process may use: the machine's, or its control group's if that is less.
fn memory_limit_mebibytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemTotal:"))?.to_owned();
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
    });
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read(path)?.trim().parse::<u64>().ok())
        .map(|bytes| bytes >> 20);
    // Where the system does not say (not Linux), 4 GiB is what any machine of today has to spare.
    let available = machine.into_iter().chain(group).min().unwrap_or(4096 * 10 / 7);
    (available * 7 / 10).max(64)
}

fn masked(key: &str, value: &str) -> String {
    let secret =
        ["secret", "password", "token", "access.key", "accesskey", "credential"].iter().any(|s| key.contains(s));
    if secret { "********".to_owned() } else { value.to_owned() }
}

fn unknown(name: &str) -> Error {
    let error = Error::new(Kind::UndefinedObject, format!("unrecognized configuration parameter `{name}`"));
    match nearest(name, INDEX.keys().map(String::as_str)) {
        Some(near) => error.with_hint(format!("did you mean {}?", find(near).map_or(near, |s| s.name))),
        None => error.with_hint("SHOW ALL names every setting"),
    }
}

/// The candidate that `name` was probably meant to be: few edits away, or the same without its prefix.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_ascii_lowercase();
        let (word, its_word) = (last_word(&name), last_word(&lower));
        // A name without its prefix is the prefixed one all the same, and may have a slip in it too.
        let distance = match name.contains('.') && its_word != word {
            true => edits(&name, &lower),
            false => edits(&name, &lower).min(edits(word, its_word)),
        };
        let limit = (name.len().max(lower.len()) / 4).clamp(1, 4);
        if distance <= limit && best.is_none_or(|(d, b)| (distance, candidate) < (d, b)) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Levenshtein's distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
