//! What lies at a place: whether data files do, and one object by its URL.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use super::TableContext;
use super::listing::{Root, is_data_path};
use super::stores::{self, Location};
use crate::error::Result;

/// Whether any data file lies at or below a location; hidden files and folders do not count.
pub async fn has_files(url: &str, options: &BTreeMap<String, String>, context: &TableContext) -> Result<bool> {
    let root = Root::open(url, options, context)?;
    let mut listed = root
        .store
        .list(Some(&root.location.key))
        .try_filter(|meta| std::future::ready(meta.size > 0 && is_data_path(&meta.location, &root.location.key)));
    match listed.next().await {
        None => Ok(false),
        Some(Ok(_)) => Ok(true),
        Some(Err(object_store::Error::NotFound { .. })) => Ok(false),
        Some(Err(e)) => Err(e.into()),
    }
}

/// The store of an object and its path there.
pub fn object_at(
    url: &str,
    options: &BTreeMap<String, String>,
    context: &TableContext,
) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let (_, store) = stores::object_store_for(url, options, context)?;
    Ok((store, Location::parse(url)?.key))
}
