//! What the catalog asks of the place where data files are: publish what was staged, abandon it, delete what is old.
//!
//! The catalog knows no object store; `tycho::tables` implements this for local disks and for S3.

use async_trait::async_trait;

use crate::error::Result;

/// A staged file and where it becomes visible. Both are absolute; the target is a URL whose path is plain text as on disk
/// or in the bucket, with nothing percent-encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedFile {
    pub staged: String,
    /// Absolute URL of the file once published.
    pub target: String,
    pub size_bytes: u64,
}

/// A file that is to be deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovedFile {
    /// Absolute URL.
    pub target: String,
    /// For foreign files: delete only if the tag is still this one (`ForeignFile::tag`).
    pub tag: Option<String>,
}

/// What became of each file that was to be published, in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Visible now, or visible before.
    Done,
    /// Neither the staged file nor the target is there.
    Lost,
}

/// Every call is idempotent: another process may have done, or be doing, the same.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Makes every staged byte durable (files and their folders), before the decision.
    async fn sync(&self, staged: &[StagedFile]) -> Result<()>;
    /// Makes staged files visible at their targets, durably.
    async fn publish(&self, files: &[StagedFile]) -> Result<Vec<Published>>;
    /// Removes staging areas (as recorded by `Transaction::record_staging`) with all that is still in them.
    async fn abandon(&self, staging: &[String]) -> Result<()>;
    /// Deletes files; one that is already gone is no error. Folders that become empty below `prune_below` (a table's root) go too.
    async fn delete(&self, files: &[RemovedFile]) -> Result<()>;
}
