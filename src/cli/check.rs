//! `tycho check`: reads the configuration, opens the catalog, tries the folders, and says what is wrong.

use std::path::Path;

use crate::config::Config;
use crate::error::Error;

use super::report;

/// Prints a line for each thing that was tried. Whether all is well.
pub(super) async fn run(config: &Config) -> bool {
    let mut well = config.warnings.is_empty();
    match &config.file {
        Some(file) => println!("configuration  {}", file.display()),
        None => println!("configuration  no tycho.toml; environment and flags"),
    }
    println!("listen         {}", config.listen);
    println!("warehouse      {}", config.warehouse);
    if let Some(folder) = config.local_warehouse() {
        well &= tried("warehouse", writable(&folder));
    }
    let scratch = config.settings.text("tycho.scratch");
    if !scratch.is_empty() {
        println!("scratch        {scratch}");
        well &= tried("scratch", writable(Path::new(scratch)));
    }
    println!("catalog        {}", config.catalog_shown());
    well &= tried("catalog", super::open(config).await.map(|_| ()));
    let defaults = crate::settings::Settings::new();
    for (name, value, setting) in config.settings.all() {
        let default = setting.and_then(|s| defaults.show(s.name).ok());
        if default.as_deref() != Some(value.as_str()) {
            println!("setting        {name} = {value}");
        }
    }
    println!("{}", if well { "all is well" } else { "something is wrong: see above" });
    well
}

fn tried(what: &str, result: Result<(), Error>) -> bool {
    if let Err(error) = &result {
        eprint!("{what}: {}", report::error_text(error, ""));
    }
    result.is_ok()
}

/// Makes the folder, and a file in it that is removed again.
fn writable(folder: &Path) -> Result<(), Error> {
    let probe = folder.join(format!(".tycho-check-{}", std::process::id()));
    let attempt = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(&probe, b"")?;
        std::fs::remove_file(&probe)
    };
    attempt().map_err(|e| {
        let mut error = Error::from(e);
        error.message = format!("cannot write in {}: {}", folder.display(), error.message);
        error
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(writable(&folder.path().join("new/one")).is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = writable(&file).unwrap_err();
        assert!(error.message.starts_with(&format!("cannot write in {}", file.display())), "{error}");
    }
}
