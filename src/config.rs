//! Configuration: `tycho.toml`, then the environment (`TYCHO_*`), then flags; the later wins.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::settings::{self, Settings};
use crate::sql::Dialect;

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "tycho.toml";
const DEFAULT_WAREHOUSE: &str = "tycho-warehouse";
const DEFAULT_LISTEN: &str = "127.0.0.1:5439";
/// Keys of tycho.toml outside `[settings]`; the flags have the same names.
const KEYS: &[&str] = &["warehouse", "catalog", "listen", "settings"];

/// What a process is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// URL of the folder that holds everything, with a trailing slash: `file:///srv/lake/`, `s3://bucket/lake/`.
    pub warehouse: String,
    /// `sqlite:/absolute/path` or `postgres://…`.
    pub catalog: String,
    /// Address and port that `serve` listens on.
    pub listen: String,
    pub settings: Settings,
    /// The tycho.toml that was read.
    pub file: Option<PathBuf>,
    /// What looks like a mistake and is none for certain, such as an unknown TYCHO_… variable.
    pub warnings: Vec<String>,
}

/// What the command line says of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub warehouse: Option<String>,
    pub catalog: Option<String>,
    pub listen: Option<String>,
    /// `--set name=value`, in order.
    pub set: Vec<(String, String)>,
}

/// What was said so far; places are texts, made absolute against the folder they were said in.
struct Said {
    warehouse: Option<String>,
    catalog: Option<String>,
    listen: Option<String>,
    settings: Settings,
    warnings: Vec<String>,
}

impl Config {
    /// Reads the file, the environment (name, value) and the flags. `dialect` is what sessions start with unless one of them
    /// says otherwise. Reads files, writes nothing. Errors (F0000, 22023, 42704) name the file and line, variable or flag.
    pub fn load(flags: &Flags, environment: &[(String, String)], dialect: Dialect) -> Result<Config> {
        let mut settings = Settings::new();
        settings.set("sql_dialect", if dialect == Dialect::Spark { "spark" } else { "postgres" }, true)?;
        let mut said = Said { warehouse: None, catalog: None, listen: None, settings, warnings: Vec::new() };
        let variable = |name: &str| environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let here = std::env::current_dir()?;

        let named = flags.config.clone().or_else(|| variable("TYCHO_CONFIG").map(PathBuf::from));
        let file = named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()));
        if let Some(file) = &file {
            let text = std::fs::read_to_string(file).map_err(|e| {
                Error::new(Kind::Configuration, format!("cannot read {}: {e}", file.display())).with_source(e)
            })?;
            let folder = here.join(file).parent().map_or(here.clone(), Path::to_path_buf);
            read_file(&mut said, &text, &file.display().to_string(), &folder)?;
        }
        read_environment(&mut said, environment, &here)?;
        for (place, value) in [(&mut said.warehouse, &flags.warehouse), (&mut said.catalog, &flags.catalog)] {
            if let Some(value) = value {
                *place = Some(absolute(value, &here));
            }
        }
        if flags.listen.is_some() {
            said.listen.clone_from(&flags.listen);
        }
        for (name, value) in &flags.set {
            said.settings.set(name, value, true).map_err(|e| within(e, "--set"))?;
        }
        said.finish(file, &here)
    }

    /// The warehouse's folder, if it is on a local disk.
    pub fn local_warehouse(&self) -> Option<PathBuf> {
        Url::parse(&self.warehouse).ok().filter(|u| u.scheme() == "file").and_then(|u| u.to_file_path().ok())
    }

    /// The catalog's address without its password.
    pub fn catalog_shown(&self) -> String {
        match Url::parse(&self.catalog) {
            Ok(mut url) if url.password().is_some() => {
                let _ = url.set_password(Some("********"));
                url.to_string()
            }
            _ => self.catalog.clone(),
        }
    }
}

impl Said {
    fn finish(self, file: Option<PathBuf>, here: &Path) -> Result<Config> {
        let warehouse = warehouse_url(&self.warehouse.unwrap_or_else(|| absolute(DEFAULT_WAREHOUSE, here)))?;
        let local = warehouse.scheme() == "file";
        let catalog = match self.catalog {
            Some(catalog) => catalog,
            None if local => {
                let folder = warehouse.to_file_path().map_err(|()| {
                    Error::new(Kind::Configuration, format!("the warehouse {warehouse} is no folder of this machine"))
                })?;
                format!("sqlite:{}", folder.join(".tycho/catalog.sqlite").display())
            }
            None => {
                return Err(Error::new(
                    Kind::Configuration,
                    format!("the warehouse {warehouse} needs a catalog of its own"),
                )
                .with_hint("set --catalog postgres://…: SQLite is for warehouses on a local disk"));
            }
        };
        let remote = ["postgres://", "postgresql://"].iter().any(|scheme| catalog.starts_with(scheme));
        if !remote && !catalog.starts_with("sqlite:") {
            return Err(Error::new(Kind::Configuration, "the catalog is neither sqlite: nor postgres://")
                .with_hint("write sqlite:PATH or postgres://user@host/database"));
        }
        if !remote && !local {
            return Err(Error::new(
                Kind::Configuration,
                format!("a catalog in SQLite cannot serve the warehouse {warehouse}, which is not local"),
            )
            .with_hint("set --catalog postgres://…"));
        }
        Ok(Config {
            warehouse: warehouse.into(),
            catalog,
            listen: self.listen.unwrap_or_else(|| DEFAULT_LISTEN.to_owned()),
            settings: self.settings,
            file,
            warnings: self.warnings,
        })
    }
}

/// A path becomes absolute; what names a scheme (`s3://…`, `postgres://…`) stays; `sqlite:` keeps its scheme.
fn absolute(place: &str, folder: &Path) -> String {
    match place.strip_prefix("sqlite:") {
        Some(path) => format!("sqlite:{}", folder.join(path.strip_prefix("//").unwrap_or(path)).display()),
        None if place.contains("://") || place.starts_with("file:") => place.to_owned(),
        None => folder.join(place).display().to_string(),
    }
}

fn warehouse_url(place: &str) -> Result<Url> {
    let wrong = |why: &str| Error::new(Kind::Configuration, format!("the warehouse `{place}` {why}"));
    let url = if place.starts_with('/') {
        // Dots go, so that one folder has one name.
        Url::from_directory_path(normal(Path::new(place))).map_err(|()| wrong("is no folder"))?
    } else {
        let mut url = Url::parse(place).map_err(|e| wrong(&format!("is neither a folder nor a URL: {e}")))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        url
    };
    match url.scheme() {
        "file" => Ok(url),
        "s3" | "s3a" | "s3n" => {
            Url::parse(&url.as_str().replacen(url.scheme(), "s3", 1)).map_err(|e| wrong(&e.to_string()))
        }
        other => Err(wrong(&format!("is on `{other}://`, which is not known; it can be a folder or s3://"))),
    }
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

fn within(mut error: Error, place: &str) -> Error {
    error.message = format!("{place}: {}", error.message);
    error
}

fn read_file(said: &mut Said, text: &str, file: &str, folder: &Path) -> Result<()> {
    let at = |offset: usize| format!("{file}, line {}", text[..offset.min(text.len())].matches('\n').count() + 1);
    let document = DeTable::parse(text).map_err(|e| {
        let place = e.span().map_or_else(|| file.to_owned(), |s| at(s.start));
        Error::new(Kind::Configuration, format!("{place}: {}", e.message()))
    })?;
    for (key, value) in document.get_ref() {
        let place = at(key.span().start);
        let wrong = |expected: &str| {
            Error::new(Kind::Configuration, format!("{place}: `{}` must be {expected}", key.get_ref()))
        };
        let value_text = || value.get_ref().as_str().ok_or_else(|| wrong("text in quotes"));
        match key.get_ref().as_ref() {
            "warehouse" => said.warehouse = Some(absolute(value_text()?, folder)),
            "catalog" => said.catalog = Some(absolute(value_text()?, folder)),
            "listen" => said.listen = Some(value_text()?.to_owned()),
            "settings" => {
                let table = value.get_ref().as_table().ok_or_else(|| wrong("a table: write [settings]"))?;
                read_settings(said, table, "", &at)?;
            }
            other => {
                let error = Error::new(Kind::Configuration, format!("{place}: unknown key `{other}`"));
                return Err(error.with_hint(match settings::nearest(other, KEYS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if toml_setting(other).is_some() => format!("write `{other}` under [settings]"),
                    None => format!("the keys are {}", KEYS.join(", ")),
                }));
            }
        }
    }
    Ok(())
}

/// `prefix`: the dotted name of the table within `[settings]`, with its dot (`spark.sql.`).
fn read_settings(said: &mut Said, table: &DeTable<'_>, prefix: &str, at: &impl Fn(usize) -> String) -> Result<()> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let place = at(key.span().start);
        let text = match value.get_ref() {
            DeValue::Table(inner) => {
                read_settings(said, inner, &format!("{name}."), at)?;
                continue;
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(on) => on.to_string(),
            _ => {
                return Err(Error::new(
                    Kind::Configuration,
                    format!("{place}: `{name}` must be a number, a Boolean or text"),
                ));
            }
        };
        let declared = toml_setting(&name).map_or(name.as_str(), |s| s.name);
        said.settings.set(declared, &text, true).map_err(|e| within(e, &place))?;
    }
    Ok(())
}

/// A setting by its name without `tycho.` or by its whole name.
fn toml_setting(name: &str) -> Option<&'static settings::Setting> {
    settings::find(name).or_else(|| settings::find(&format!("tycho.{name}")))
}

fn read_environment(said: &mut Said, environment: &[(String, String)], here: &Path) -> Result<()> {
    for (name, value) in environment.iter().filter(|(name, _)| name.starts_with("TYCHO_")) {
        match name.as_str() {
            "TYCHO_CONFIG" | "TYCHO_LOG" => {}
            "TYCHO_WAREHOUSE" => said.warehouse = Some(absolute(value, here)),
            "TYCHO_CATALOG" => said.catalog = Some(absolute(value, here)),
            "TYCHO_LISTEN" => said.listen = Some(value.clone()),
            other => match settings::SETTINGS.iter().find(|s| s.environment_name() == other) {
                Some(setting) => said.settings.set(setting.name, value, true).map_err(|e| within(e, other))?,
                // Not an error: Kubernetes sets TYCHO_PORT and the like in every pod beside a service of that name.
                None => said.warnings.push(unknown_variable(other)),
            },
        }
    }
    Ok(())
}

fn unknown_variable(name: &str) -> String {
    let known: Vec<String> = settings::SETTINGS.iter().map(|s| s.environment_name()).collect();
    let names = known.iter().map(String::as_str).chain(["TYCHO_WAREHOUSE", "TYCHO_CATALOG", "TYCHO_LISTEN"]);
    match settings::nearest(name, names) {
        Some(near) => format!("the environment variable {name} is not known: did you mean {near}?"),
        None => format!("the environment variable {name} is not known"),
    }
}
