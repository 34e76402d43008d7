//! Data files on local disks: staging areas, and the `Storage` that publishes from them by rename.
//!
//! Everything durable is made so here: files and their folders before the decision, folders again after the renames. A URL of
//! a local file is `file://` and the path as it is, nothing percent-encoded, since folder names hold `%3A` literally.
//! Paths that are not UTF-8 have no URL and no place in a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind as IoKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tycho_catalog::{Error as CatalogError, ErrorKind, Published, RemovedFile, StagedFile, Storage};

use crate::error::{Error, Kind, Result};

/// How many threads one call uses for renames, syncs and deletions.
const PARALLEL_CALLS: usize = 8;
/// From how many files or folders on one whole file system is synced at once instead of each alone.
const SYNC_FILE_SYSTEM_FROM: usize = 16;
/// How often a step is tried again when another process removes a folder beneath it or fills one.
const RETRIES: usize = 100;
const STAGING_PREFIX: &str = ".tycho-staging-";

type StorageResult<T> = tycho_catalog::Result<T>;

/// The path behind a `file:` URL. Other schemes are refused with 0A000.
pub fn local_path(url: &str) -> Result<PathBuf> {
    let path = url.strip_prefix("file://").or_else(|| url.strip_prefix("file:"));
    match path {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        Some(_) => Err(Error::new(Kind::InvalidParameterValue, format!("`{url}` names no absolute local path"))
            .with_hint("a local location is file:///folder/")),
        None => Err(Error::new(Kind::FeatureNotSupported, format!("cannot write to `{url}`: it is no local folder"))
            .with_hint("tables on object stores can be read, not written yet; choose a file:/// location")),
    }
}

/// The URL of a local path; the inverse of `local_path`.
pub fn local_url(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if path.is_absolute() => Ok(format!("file://{text}")),
        _ => Err(Error::new(Kind::InvalidParameterValue, format!("{path:?} is no absolute path in UTF-8"))),
    }
}

/// What tells a local file from a later one of the same name: its size in bytes and its modification time.
pub fn file_tag(size_bytes: u64, modified: chrono::DateTime<chrono::Utc>) -> String {
    format!("{size_bytes}-{}.{:09}", modified.timestamp(), modified.timestamp_subsec_nanos())
}

/// The staging area (URL with a trailing slash) of a transaction for a table root: a hidden folder in it, so on the same file
/// system. To be recorded before `write`.
pub fn staging_area(root: &str, transaction: i64) -> String {
    format!("{}/{STAGING_PREFIX}{transaction}/", root.trim_end_matches('/'))
}

/// The `Storage` for tables on local disks; refuses others (0A000).
pub fn local_storage() -> Arc<dyn Storage> {
    Arc::new(LocalStorage)
}

/// Staged files are renamed into place. Blocking calls run on tokio's blocking threads, at most `PARALLEL_CALLS` a call.
#[derive(Debug, Clone, Copy)]
pub struct LocalStorage;

#[async_trait]
impl Storage for LocalStorage {
    async fn sync(&self, staged: &[StagedFile]) -> StorageResult<()> {
        let files = staged.iter().map(|file| storage_path(&file.staged)).collect::<StorageResult<Vec<_>>>()?;
        let folders = files.iter().flat_map(|file| own_folders(file)).collect();
        if files.len() >= SYNC_FILE_SYSTEM_FROM {
            let parents = files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
            // Syncs what the files hold too.
            return blocking(move || sync_file_systems(&parents)).await;
        }
        in_parallel(files, |file| sync_path(&file)).await?;
        blocking(move || sync_folders(&folders)).await
    }

    async fn publish(&self, files: &[StagedFile]) -> StorageResult<Vec<Published>> {
        let steps = files
            .iter()
            .map(|file| Ok((storage_path(&file.staged)?, storage_path(&file.target)?, file.size_bytes)))
            .collect::<StorageResult<Vec<_>>>()?;
        let emptied: BTreeSet<PathBuf> = steps.iter().filter_map(|(staged, ..)| parent(staged)).collect();
        let results = in_parallel(steps, |(staged, target, size)| publish_one(&staged, &target, size)).await?;
        let mut outcomes = Vec::with_capacity(results.len());
        let mut changed = BTreeSet::new();
        for (outcome, folders) in results {
            outcomes.push(outcome);
            changed.extend(folders);
        }
        blocking(move || {
            for folder in &emptied {
                prune_empty(folder, |name| name.contains('=') || name.starts_with(STAGING_PREFIX));
            }
            sync_folders(&changed)
        })
        .await?;
        Ok(outcomes)
    }

    async fn abandon(&self, staging: &[String]) -> StorageResult<()> {
        let folders = staging.iter().map(|url| staging_path(url)).collect::<StorageResult<Vec<_>>>()?;
        in_parallel(folders, |folder| remove_tree(&folder)).await.map(|_| ())
    }

    async fn delete(&self, files: &[RemovedFile]) -> StorageResult<()> {
        let steps = files
            .iter()
            .map(|file| Ok((storage_path(&file.target)?, file.tag.clone())))
            .collect::<StorageResult<Vec<_>>>()?;
        let folders: BTreeSet<PathBuf> = steps.iter().filter_map(|(path, _)| parent(path)).collect();
        in_parallel(steps, |(path, tag)| delete_one(&path, tag.as_deref())).await?;
        blocking(move || {
            // A table's root is not named `column=value`, or holds `_tycho_owner`: it stays.
            let left = folders.iter().filter_map(|folder| prune_empty(folder, |name| name.contains('='))).collect();
            sync_folders(&left)
        })
        .await
    }
}

fn storage_path(url: &str) -> StorageResult<PathBuf> {
    local_path(url).map_err(|e| CatalogError::new(ErrorKind::Storage, e.message.clone()).with_source(e))
}

fn staging_path(url: &str) -> StorageResult<PathBuf> {
    let path = storage_path(url)?;
    let named_so = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(STAGING_PREFIX));
    if named_so {
        Ok(path)
    } else {
        Err(CatalogError::new(ErrorKind::Invalid, format!("`{url}` is no staging area and is not removed")))
    }
}

fn parent(path: &Path) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

fn failed(action: &str, path: &Path, error: io::Error) -> CatalogError {
    CatalogError::new(ErrorKind::Storage, format!("could not {action} `{}`: {error}", path.display()))
        .with_source(error)
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> StorageResult<R> + Send + 'static) -> StorageResult<R> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        CatalogError::new(ErrorKind::Internal, "a storage call was stopped by a panic or by the end of the process")
            .with_source(e)
    })?
}

/// Runs the work on every item, in up to `PARALLEL_CALLS` threads; results in the order of the items.
async fn in_parallel<T, R>(items: Vec<T>, work: fn(T) -> StorageResult<R>) -> StorageResult<Vec<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let share = items.len().div_ceil(PARALLEL_CALLS).max(1);
    let mut items = items.into_iter();
    let mut threads = Vec::new();
    loop {
        let some: Vec<T> = items.by_ref().take(share).collect();
        if some.is_empty() {
            break;
        }
        threads.push(blocking(move || some.into_iter().map(work).collect::<StorageResult<Vec<R>>>()));
    }
    Ok(futures::future::try_join_all(threads).await?.into_iter().flatten().collect())
}

/// The folders between a file and the first folder that is neither a partition's nor a staging area, that one included: those
/// whose entries may be new.
fn own_folders(file: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in file.ancestors().skip(1) {
        folders.push(folder.to_owned());
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.contains('=') && !name.starts_with(STAGING_PREFIX) {
            break;
        }
    }
    folders
}

/// Makes a folder and those above it; adds the folders that got a new entry to `changed`.
pub(super) fn make_folders(folder: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for _ in 0..RETRIES {
        match fs::create_dir(folder) {
            Ok(()) => {
                changed.extend(parent(folder));
                return Ok(());
            }
            Err(e) if e.kind() == IoKind::AlreadyExists => return Ok(()),
            Err(e) if e.kind() == IoKind::NotFound => match folder.parent() {
                // Whoever prunes empty folders may take it away again before the next round.
                Some(above) => make_folders(above, changed)?,
                None => return Err(e),
            },
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(IoKind::NotFound, "another process keeps removing the folder above it"))
}

fn publish_one(staged: &Path, target: &Path, size_bytes: u64) -> StorageResult<(Published, BTreeSet<PathBuf>)> {
    let mut changed: BTreeSet<PathBuf> = own_folders(target).into_iter().collect();
    for _ in 0..RETRIES {
        if let Some(folder) = target.parent() {
            make_folders(folder, &mut changed).map_err(|e| failed("create", folder, e))?;
        }
        let error = match fs::rename(staged, target) {
            Ok(()) => return Ok((Published::Done, changed)),
            Err(e) => e,
        };
        let error = match error.kind() {
            IoKind::CrossesDevices => match copy_then_rename(staged, target) {
                Ok(()) => return Ok((Published::Done, changed)),
                Err(e) => e,
            },
            _ => error,
        };
        if error.kind() != IoKind::NotFound {
            return Err(failed("publish", target, error));
        }
        match (size_of(target)?, size_of(staged)?) {
            (Some(size), _) if size == size_bytes => return Ok((Published::Done, changed)),
            // The folder vanished between its creation and the rename: somebody pruned it while it was empty.
            (_, Some(_)) => continue,
            // What is at the target, if anything, is not what was staged.
            (_, None) => {
                changed.retain(|folder| folder.exists());
                return Ok((Published::Lost, changed));
            }
        }
    }
    Err(failed("publish", target, io::Error::new(IoKind::NotFound, "another process keeps removing its folder")))
}

/// For a partition whose LOCATION is on another file system. The copy is hidden until its rename, under a name of its own, since
/// two processes may do this at once; a crash leaves it there, hidden.
fn copy_then_rename(staged: &Path, target: &Path) -> io::Result<()> {
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let hidden = target.with_file_name(format!(".tycho-copy-{}-{name}", uuid::Uuid::new_v4().simple()));
    let copied = fs::copy(staged, &hidden)
        .and_then(|_| File::open(&hidden)?.sync_all())
        .and_then(|()| fs::rename(&hidden, target));
    if let Err(error) = copied {
        let _ = fs::remove_file(&hidden);
        return Err(error);
    }
    match fs::remove_file(staged) {
        Err(e) if e.kind() != IoKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn size_of(path: &Path) -> StorageResult<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(failed("look up", path, e)),
    }
}

fn delete_one(path: &Path, tag: Option<&str>) -> StorageResult<()> {
    if let Some(tag) = tag {
        match fs::metadata(path) {
            Ok(metadata) => {
                let modified = metadata.modified().map_err(|e| failed("look up", path, e))?;
                if file_tag(metadata.len(), modified.into()) != tag {
                    return Ok(());
                }
            }
            Err(e) if e.kind() == IoKind::NotFound => return Ok(()),
            Err(e) => return Err(failed("look up", path, e)),
        }
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != IoKind::NotFound => Err(failed("delete", path, e)),
        _ => Ok(()),
    }
}

/// Removes a folder and those above it while they are empty and may go by their name. Returns the first that stays, if it
/// is there. What can't be removed stays: an empty folder harms nobody.
fn prune_empty(folder: &Path, may_go: impl Fn(&str) -> bool) -> Option<PathBuf> {
    for folder in folder.ancestors() {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let gone = may_go(name)
            && match fs::remove_dir(folder) {
                Ok(()) => true,
                Err(e) => e.kind() == IoKind::NotFound,
            };
        if !gone {
            return folder.exists().then(|| folder.to_owned());
        }
    }
    None
}

/// Removes a staging area. A writer that was stopped a moment ago may still add a file: then it is tried again.
fn remove_tree(folder: &Path) -> StorageResult<()> {
    let mut tries = 0;
    loop {
        match fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == IoKind::NotFound && !folder.exists() => return Ok(()),
            Err(e) if matches!(e.kind(), IoKind::DirectoryNotEmpty | IoKind::NotFound) && tries < RETRIES => tries += 1,
            Err(e) => return Err(failed("remove", folder, e)),
        }
    }
}

fn sync_path(path: &Path) -> StorageResult<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| failed("sync", path, e))
}

/// Makes the entries of folders durable. One that is gone has none.
pub(super) fn sync_folders(folders: &BTreeSet<PathBuf>) -> StorageResult<()> {
    if folders.len() >= SYNC_FILE_SYSTEM_FROM {
        return sync_file_systems(folders);
    }
    for folder in folders {
        match File::open(folder).and_then(|file| file.sync_all()) {
            Err(e) if e.kind() != IoKind::NotFound => return Err(failed("sync", folder, e)),
            _ => {}
        }
    }
    Ok(())
}

/// One `syncfs` for each file system that the folders are on. (It reports write errors since Linux 5.8.)
fn sync_file_systems(folders: &BTreeSet<PathBuf>) -> StorageResult<()> {
    let mut systems: BTreeMap<u64, (File, &Path)> = BTreeMap::new();
    for folder in folders {
        let opened = File::open(folder).and_then(|file| file.metadata().map(|metadata| (file, metadata.dev())));
        match opened {
            Ok((file, device)) => {
                systems.entry(device).or_insert((file, folder));
            }
            Err(e) if e.kind() == IoKind::NotFound => {}
            Err(e) => return Err(failed("sync", folder, e)),
        }
    }
    for (file, folder) in systems.values() {
        rustix::fs::syncfs(file).map_err(|e| failed("sync the file system of", folder, e.into()))?;
    }
    Ok(())
}
