//! What is in a table's folders: data files, and partition folders named `column=value`.
//!
//! Names that begin with `_` or `.` and empty files are no data, as in Spark (`_SUCCESS`, `_temporary`, `.hive-staging…`,
//! `_spark_metadata`, …).

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tycho_catalog::{Column, ForeignFile, NewPartition, Partition, Predicate, TableDefinition, Value, View};

use super::TableContext;
use super::stores::{self, Location, listed_tag};
use super::{unescape, value_from_text};
use crate::error::{Error, Kind, Result};

/// How many folders are listed at once.
const PARALLEL_LISTINGS: usize = 32;

/// Whether a file or folder of this name is none of a table's data.
pub(super) fn is_hidden(name: &str) -> bool {
    (name.starts_with('_') && !name.contains('='))
        || name.starts_with('.')
        || name.ends_with("_$folder$")
        || name.ends_with("._COPYING_")
}

/// The root folder of a table and its store.
pub(super) struct Root {
    /// Absolute URL, with a trailing slash.
    pub url: String,
    pub location: Location,
    pub store: Arc<dyn ObjectStore>,
}

impl Root {
    pub fn open(
        url: &str,
        options: &std::collections::BTreeMap<String, String>,
        context: &TableContext,
    ) -> Result<Root> {
        let (_, store) = stores::object_store_for(url, options, context)?;
        Ok(Root { url: stores::with_slash(url), location: Location::parse(url)?, store })
    }

    pub fn of_table(definition: &TableDefinition, context: &TableContext) -> Result<Root> {
        let location = definition.location.as_ref().ok_or_else(|| {
            Error::new(
                Kind::WrongObjectType,
                format!("{} has no location; it is no table of files", definition.full_name()),
            )
        })?;
        Root::open(&stores::resolve(location, context), &definition.options, context)
    }

    /// The path of a file as `DataFile::path` has it: relative to the root, or absolute for a file that is not below it.
    fn path_of(&self, key: &Path) -> String {
        let prefix = self.location.key.as_ref();
        match key
            .as_ref()
            .strip_prefix(prefix)
            .map(|rest| if prefix.is_empty() { Some(rest) } else { rest.strip_prefix('/') })
        {
            Some(Some(relative)) if !relative.is_empty() => relative.to_owned(),
            _ => self.location.url_of(key),
        }
    }
}

/// A data file that a listing found.
#[derive(Debug, Clone)]
pub(super) struct ListedFile {
    pub file: ForeignFile,
    pub values: Vec<Value>,
    pub meta: ObjectMeta,
}

/// The data files directly in a folder; where there is no such folder, the single file of that name.
pub(super) async fn folder_files(store: &Arc<dyn ObjectStore>, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let listing = store.list_with_delimiter(Some(folder)).await?;
    let mut files: Vec<_> = listing.objects.into_iter().filter(|meta| is_data(meta, folder)).collect();
    if files.is_empty() && listing.common_prefixes.is_empty() && !folder.as_ref().is_empty() {
        match store.head(folder).await {
            Ok(meta) if meta.size > 0 => files.push(meta),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

fn is_data(meta: &ObjectMeta, folder: &Path) -> bool {
    meta.size > 0 && meta.location != *folder && meta.location.filename().is_some_and(|name| !is_hidden(name))
}

/// Whether a path below a folder is that of a data file: neither it nor a folder on the way is hidden.
pub(super) fn is_data_path(path: &Path, folder: &Path) -> bool {
    let below = path.prefix_match(folder);
    below.is_some_and(|mut parts| !parts.any(|part| is_hidden(part.as_ref())))
        && path.filename().is_some_and(|name| !is_hidden(name))
}

/// All data files below a folder, however deep, but none in hidden folders; sorted by path.
pub(super) async fn files_below(store: &Arc<dyn ObjectStore>, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let mut files: Vec<ObjectMeta> = store
        .list(Some(folder))
        .try_filter(|meta| {
            let below = meta.location.prefix_match(folder);
            let visible = below.is_some_and(|mut parts| !parts.any(|part| is_hidden(part.as_ref())));
            std::future::ready(visible && is_data(meta, folder))
        })
        .try_collect()
        .await?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(files)
}

/// Lists the folders of known partitions, in parallel.
pub(super) async fn files_of_partitions(
    definition: &TableDefinition,
    partitions: &[Partition],
    context: &TableContext,
) -> Result<Vec<ListedFile>> {
    let root = Root::of_table(definition, context)?;
    let root = &root;
    let listed: Vec<Vec<ListedFile>> = futures::stream::iter(partitions.to_vec())
        .map(|partition| async move {
            let url = match &partition.location {
                Some(location) => location.clone(),
                None => stores::join(&root.url, &partition.folder),
            };
            let location = Location::parse(&url)?;
            let store = match location.bucket == root.location.bucket {
                true => root.store.clone(),
                false => stores::object_store_for(&url, &definition.options, context)?.1,
            };
            let files = folder_files(&store, &location.key).await?;
            Ok::<_, Error>(files.into_iter().map(|meta| listed_file(root, &location, &partition, meta)).collect())
        })
        .buffered(PARALLEL_LISTINGS)
        .try_collect()
        .await?;
    Ok(listed.into_iter().flatten().collect())
}

fn listed_file(root: &Root, location: &Location, partition: &Partition, meta: ObjectMeta) -> ListedFile {
    let path = match location.bucket == root.location.bucket {
        true => root.path_of(&meta.location),
        false => location.url_of(&meta.location),
    };
    let file = ForeignFile {
        partition: partition.folder.clone(),
        path,
        size_bytes: meta.size,
        tag: listed_tag(location, &meta),
    };
    ListedFile { file, values: partition.values.clone(), meta }
}

/// Data files in place below a table's root, in folders of the table's partition columns that may match; registered or not.
async fn files_in_place(
    definition: &TableDefinition,
    predicate: &Predicate,
    context: &TableContext,
) -> Result<Vec<ListedFile>> {
    let root = Root::of_table(definition, context)?;
    let columns = definition.partition_columns();
    if *predicate == Predicate::Nothing {
        return Ok(vec![]);
    }
    if columns.is_empty() {
        let files = folder_files(&root.store, &root.location.key).await?;
        let whole = whole_table();
        return Ok(files.into_iter().map(|meta| listed_file(&root, &root.location, &whole, meta)).collect());
    }
    // Level by level as long as the predicate leaves folders out, then all below at once.
    let mut folders = vec![root.location.key.clone()];
    for level in 0..columns.len() {
        if unrestricted_from(predicate, level) {
            break;
        }
        folders = subfolders(&root, folders, &columns[..=level], predicate).await?;
    }
    let metas: Vec<Vec<ObjectMeta>> = futures::stream::iter(folders)
        .map(|folder| {
            let store = root.store.clone();
            async move { files_below(&store, &folder).await }
        })
        .buffered(PARALLEL_LISTINGS)
        .try_collect()
        .await?;
    let mut found = Vec::new();
    for meta in metas.into_iter().flatten() {
        let Some((folder, values)) = partition_of(&root, &meta.location, columns, true)? else { continue };
        if predicate.may_match(&values) {
            let path = root.path_of(&meta.location);
            let file =
                ForeignFile { partition: folder, path, size_bytes: meta.size, tag: listed_tag(&root.location, &meta) };
            found.push(ListedFile { file, values, meta });
        }
    }
    Ok(found)
}

/// The one partition of a table without partition columns.
pub(super) fn whole_table() -> Partition {
    Partition { folder: String::new(), values: vec![], location: None, version: 0, registered: true }
}

async fn subfolders(root: &Root, folders: Vec<Path>, columns: &[Column], predicate: &Predicate) -> Result<Vec<Path>> {
    let listed: Vec<Vec<Path>> = futures::stream::iter(folders)
        .map(|folder| {
            let store = root.store.clone();
            async move { Ok::<_, Error>(store.list_with_delimiter(Some(&folder)).await?.common_prefixes) }
        })
        .buffered(PARALLEL_LISTINGS)
        .try_collect()
        .await?;
    let mut kept = Vec::new();
    for folder in listed.into_iter().flatten() {
        if let Some((_, values)) = partition_of(root, &folder, columns, false)?
            && predicate.may_match(&values)
        {
            kept.push(folder);
        }
    }
    Ok(kept)
}

/// Whether a predicate says nothing of the columns from `first` on.
fn unrestricted_from(predicate: &Predicate, first: usize) -> bool {
    match predicate {
        Predicate::All | Predicate::Nothing => true,
        Predicate::Compare { column, .. }
        | Predicate::In { column, .. }
        | Predicate::IsNull { column }
        | Predicate::IsNotNull { column } => *column < first,
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().all(|p| unrestricted_from(p, first)),
    }
}

/// Folder text and values of the partition that a path below the root is in; `None` if its folders are not those of the
/// partition columns. A value that does not fit its column's type is an error.
fn partition_of(root: &Root, path: &Path, columns: &[Column], is_file: bool) -> Result<Option<(String, Vec<Value>)>> {
    let relative = root.path_of(path);
    let mut segments: Vec<&str> = relative.split('/').collect();
    if is_file {
        segments.pop();
    }
    if segments.len() != columns.len() {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(columns.len());
    for (segment, column) in segments.iter().zip(columns) {
        let Some((name, text)) = segment.split_once('=') else { return Ok(None) };
        if !unescape(name).eq_ignore_ascii_case(&column.name) {
            return Ok(None);
        }
        let text = unescape(text);
        let value = value_from_text(&text, &column.data_type).ok_or_else(|| {
            Error::new(
                Kind::InvalidText,
                format!(
                    "folder {}{} has the value `{text}`, which is no {} of partition column `{}`",
                    root.url,
                    segments.join("/"),
                    column.data_type,
                    column.name
                ),
            )
            .with_hint("rename or remove the folder, or declare the column STRING")
        })?;
        values.push(value);
    }
    Ok(Some((segments.join("/"), values)))
}

/// Partition folders in place under a table's location that hold data files (for MSCK REPAIR and the NOTICE of CREATE
/// TABLE), sorted by folder. A folder whose value does not fit its column's type is an error naming it.
pub async fn partition_folders(definition: &TableDefinition, context: &TableContext) -> Result<Vec<NewPartition>> {
    if definition.partition_columns == 0 {
        return Ok(vec![]);
    }
    let files = files_in_place(definition, &Predicate::All, context).await?;
    Ok(distinct_partitions(files))
}

fn distinct_partitions(files: Vec<ListedFile>) -> Vec<NewPartition> {
    let by_folder: std::collections::BTreeMap<String, Vec<Value>> =
        files.into_iter().map(|f| (f.file.partition, f.values)).collect();
    by_folder.into_iter().map(|(folder, values)| NewPartition { folder, values, location: None }).collect()
}

/// Files that a listing finds in the partitions of a table that may match, ours and foreign, for `View::foreign`: in matching
/// folders below the root, registered or not, and in the locations of registered partitions that have one of their own.
pub async fn list_files(
    definition: &TableDefinition,
    view: &View,
    predicate: &Predicate,
    context: &TableContext,
) -> Result<Vec<ForeignFile>> {
    let mut files = files_in_place(definition, predicate, context).await?;
    if definition.partition_columns > 0 {
        let mut elsewhere = view.partitions(definition.id, predicate).await?;
        elsewhere.retain(|p| p.location.is_some());
        // A folder below the root is not the partition's, if that one is elsewhere.
        files.retain(|f| !elsewhere.iter().any(|p| p.folder == f.file.partition));
        files.extend(files_of_partitions(definition, &elsewhere, context).await?);
    }
    Ok(files.into_iter().map(|f| f.file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::DataType;
    use tycho_catalog::{Comparison, TableKind, Writers};

    fn table(location: String) -> TableDefinition {
        let column = |id, name: &str, data_type| Column {
            id,
            name: name.into(),
            data_type,
            sql_type: None,
            nullable: true,
            comment: None,
            default: None,
        };
        TableDefinition {
            id: 1,
            database: "d".into(),
            name: "t".into(),
            kind: TableKind::External,
            provider: "parquet".into(),
            location: Some(location),
            columns: vec![
                column(1, "a", DataType::Int64),
                column(2, "city", DataType::Utf8),
                column(3, "hour", DataType::Int32),
            ],
            partition_columns: 2,
            next_column_id: 4,
            options: Default::default(),
            properties: Default::default(),
            comment: None,
            hive_format: false,
            view: None,
            writers: Writers::Shared,
        }
    }

    #[tokio::test]
    async fn partition_folders_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("t x");
        for path in [
            "city=a%3Ab ü/hour=07/1.parquet",
            "city=a%3Ab ü/hour=07/2.parquet",
            "CITY=c/Hour=8/1.parquet",
            "city=__HIVE_DEFAULT_PARTITION__/hour=9/1.parquet",
            "city=c/hour=10/_SUCCESS",
            "city=c/hour=11/deeper/1.parquet",
            "city=c/1.parquet",
            "_temporary/0/city=c/hour=12/1.parquet",
            ".hive-staging_x/city=c/hour=13/1.parquet",
            "other=c/hour=14/1.parquet",
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::create_dir_all(root.join("city=c/hour=15")).unwrap();
        let context = TableContext { runtime: Default::default(), warehouse: String::new() };
        let definition = table(format!("file://{}/", root.display()));
        let all = files_in_place(&definition, &Predicate::All, &context).await.unwrap();
        let found = distinct_partitions(all.clone());
        let text = |t: &str| Value::Text(t.to_owned());
        let expect = [
            ("CITY=c/Hour=8", vec![text("c"), Value::Int(8)]),
            ("city=__HIVE_DEFAULT_PARTITION__/hour=9", vec![Value::Null, Value::Int(9)]),
            ("city=a%3Ab ü/hour=07", vec![text("a:b ü"), Value::Int(7)]),
        ];
        let found: Vec<_> = found.into_iter().map(|p| (p.folder, p.values)).collect();
        assert_eq!(found, expect.map(|(folder, values)| (folder.to_owned(), values)));
        assert!(all.iter().any(|f| f.file.path == "city=a%3Ab ü/hour=07/2.parquet"), "{all:?}");

        let seven = Predicate::Compare { column: 1, op: Comparison::Eq, value: Value::Int(7) };
        let city = Predicate::Compare { column: 0, op: Comparison::Eq, value: text("a:b ü") };
        for predicate in [seven.clone(), city.clone(), Predicate::And(vec![city, seven])] {
            let files = files_in_place(&definition, &predicate, &context).await.unwrap();
            assert_eq!(files.len(), 2, "{predicate:?}");
        }
        let nothing = files_in_place(&definition, &Predicate::Nothing, &context).await.unwrap();
        assert!(nothing.is_empty());

        std::fs::create_dir_all(root.join("city=c/hour=late")).unwrap();
        std::fs::write(root.join("city=c/hour=late/1.parquet"), "x").unwrap();
        let error = files_in_place(&definition, &Predicate::All, &context).await.unwrap_err();
        assert_eq!(error.kind, Kind::InvalidText);
        assert!(error.message.contains("city=c/hour=late") && error.message.contains("`late`"), "{error}");
    }
}
