//! Which catalog may write a location: the file `_tycho_owner` that a catalog leaves there with its first write.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind, Write};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};
use serde::{Deserialize, Serialize};

use super::TableContext;
use super::local_storage::{local_path, make_folders, sync_folders};
use crate::error::{Error, Kind, Result};

const OWNER_FILE: &str = "_tycho_owner";

#[derive(Serialize, Deserialize)]
struct Owner {
    /// Id of the catalog.
    catalog: String,
}

/// Makes sure that the location is this catalog's to write (`_tycho_owner`), leaving the mark with the first write. Another
/// catalog's location is refused with 42501.
pub async fn claim_location(root: &str, catalog_id: &str, _context: &TableContext) -> Result<()> {
    let folder = local_path(root)?;
    let catalog = catalog_id.to_owned();
    let owner = tokio::task::spawn_blocking(move || owner_of(&folder, &catalog))
        .await
        .map_err(|e| Error::new(Kind::Internal, format!("claiming a location was stopped: {e}")))??;
    if owner == catalog_id {
        return Ok(());
    }
    Err(Error::new(
        Kind::InsufficientPrivilege,
        format!("the location `{root}` is written by catalog {owner}; this is catalog {catalog_id}"),
    )
    .with_hint(format!(
        "write through the catalog that owns it, or choose another location; if catalog {owner} is gone for good, \
         remove the file {OWNER_FILE} there"
    )))
}

/// The id of the catalog that owns the folder: `catalog`, if nobody did until now.
fn owner_of(folder: &Path, catalog: &str) -> Result<String> {
    let mark = folder.join(OWNER_FILE);
    match read_owner(&mark) {
        Err(e) if e.kind == Kind::FileMissing => {}
        known => return known,
    }
    let mut changed = BTreeSet::from([folder.to_owned()]);
    make_folders(folder, &mut changed).map_err(|e| io_error("create", folder, e))?;
    // Written whole under another name and then renamed, so that nobody reads half a mark.
    let draft = folder.join(format!(".tycho-owner-{}", uuid::Uuid::new_v4().simple()));
    let owner = Owner { catalog: catalog.to_owned() };
    let text = serde_json::to_vec(&owner).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    let written = write_durably(&draft, &text).and_then(|()| rename_if_absent(&draft, &mark));
    if let Err(error) = written {
        let _ = fs::remove_file(&draft);
        if error.kind() != IoKind::AlreadyExists {
            return Err(io_error("write", &mark, error));
        }
    }
    sync_folders(&changed)?;
    read_owner(&mark)
}

fn read_owner(mark: &Path) -> Result<String> {
    let text = fs::read(mark).map_err(|e| io_error("read", mark, e))?;
    let owner: Owner = serde_json::from_slice(&text).map_err(|e| {
        Error::new(Kind::DataCorrupted, format!("`{}` does not say which catalog owns the folder: {e}", mark.display()))
    })?;
    Ok(owner.catalog)
}

fn write_durably(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Renames unless the target exists (`AlreadyExists`).
fn rename_if_absent(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system has no such rename: a hard link fails on an existing target just as well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

fn io_error(action: &str, path: &Path, error: io::Error) -> Error {
    let kind = if error.kind() == IoKind::NotFound { Kind::FileMissing } else { Kind::Io };
    Error::new(kind, format!("could not {action} `{}`: {error}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_catalog_owns_a_location() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("db/table");
        assert_eq!(owner_of(&root, "aaaa0001").expect("claimed"), "aaaa0001");
        assert_eq!(owner_of(&root, "aaaa0001").expect("claimed before"), "aaaa0001");
        assert_eq!(owner_of(&root, "bbbb0002").expect("read"), "aaaa0001");
        let entries: Vec<_> = fs::read_dir(&root).expect("listed").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(entries, [OWNER_FILE], "no draft is left");
    }

    #[test]
    fn of_many_claims_at_once_one_wins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let owners: BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|i| scope.spawn(move || format!("c{i}"))).map(|t| t.join().expect("named")).collect();
            let claims: Vec<_> = threads
                .into_iter()
                .map(|id| {
                    scope.spawn({
                        let root = folder.path().to_owned();
                        move || owner_of(&root, &id).expect("claimed")
                    })
                })
                .collect();
            claims.into_iter().map(|claim| claim.join().expect("no panic")).collect()
        });
        assert_eq!(owners.len(), 1, "{owners:?}");
    }

    #[test]
    fn a_damaged_mark_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(OWNER_FILE), "half").expect("written");
        let error = owner_of(folder.path(), "aaaa0001").expect_err("damaged");
        assert_eq!(error.kind, Kind::DataCorrupted);
    }
}
