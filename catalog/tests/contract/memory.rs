//! A storage in memory that fails where a test wants it to.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use tycho_catalog::{Error, ErrorKind, Published, RemovedFile, Result, StagedFile, Storage};

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It fails, and so does every later one, until `heal`.
    Down,
    /// It fails half done, once.
    Half,
    /// It never returns, as if the process were killed in it.
    Hang,
}

#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    staged: BTreeSet<String>,
    /// By URL: the tag.
    files: BTreeMap<String, String>,
    operations: usize,
    trouble: Option<(usize, Trouble)>,
    calls: Vec<&'static str>,
}

impl Memory {
    pub fn stage(&self, path: &str) {
        self.state.lock().staged.insert(path.into());
    }

    /// A file of somebody else.
    pub fn put(&self, url: &str, tag: &str) {
        self.state.lock().files.insert(url.into(), tag.into());
    }

    /// Staged files disappear.
    pub fn lose_staged(&self) {
        self.state.lock().staged.clear();
    }

    pub fn trouble_at(&self, operation: usize, trouble: Trouble) {
        let mut state = self.state.lock();
        state.operations = 0;
        state.trouble = Some((operation, trouble));
    }

    pub fn heal(&self) {
        self.state.lock().trouble = None;
    }

    pub fn operations(&self) -> usize {
        self.state.lock().operations
    }

    pub fn calls(&self) -> Vec<&'static str> {
        self.state.lock().calls.clone()
    }

    pub fn staged(&self) -> Vec<String> {
        self.state.lock().staged.iter().cloned().collect()
    }

    pub fn files(&self) -> Vec<String> {
        self.state.lock().files.keys().cloned().collect()
    }

    async fn enter(&self, call: &'static str) -> Result<bool> {
        let (half, hang) = {
            let mut state = self.state.lock();
            state.calls.push(call);
            let now = state.operations;
            state.operations += 1;
            match state.trouble {
                Some((at, Trouble::Down)) if now >= at => return Err(broken()),
                Some((at, Trouble::Half)) if now == at => (true, false),
                Some((at, Trouble::Hang)) if now >= at => (false, true),
                _ => (false, false),
            }
        };
        if hang {
            std::future::pending::<()>().await;
        }
        Ok(half)
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Storage, "the disk is on fire")
}

fn first_half<T>(all: &[T], half: bool) -> &[T] {
    if half { &all[..all.len() / 2] } else { all }
}

fn outcome<T>(half: bool, value: T) -> Result<T> {
    if half { Err(broken()) } else { Ok(value) }
}

#[async_trait]
impl Storage for Memory {
    async fn sync(&self, _: &[StagedFile]) -> Result<()> {
        let half = self.enter("sync").await?;
        outcome(half, ())
    }

    async fn publish(&self, files: &[StagedFile]) -> Result<Vec<Published>> {
        let half = self.enter("publish").await?;
        let mut state = self.state.lock();
        let mut published = vec![];
        for file in first_half(files, half) {
            if state.staged.remove(&file.staged) {
                state.files.insert(file.target.clone(), String::new());
            }
            let there = state.files.contains_key(&file.target);
            published.push(if there { Published::Done } else { Published::Lost });
        }
        outcome(half, published)
    }

    async fn abandon(&self, staging: &[String]) -> Result<()> {
        let half = self.enter("abandon").await?;
        let mut state = self.state.lock();
        for area in first_half(staging, half) {
            state.staged.retain(|path| !path.starts_with(area.as_str()));
        }
        outcome(half, ())
    }

    async fn delete(&self, files: &[RemovedFile]) -> Result<()> {
        let half = self.enter("delete").await?;
        let mut state = self.state.lock();
        for file in first_half(files, half) {
            if file.tag.is_none() || state.files.get(&file.target) == file.tag.as_ref() {
                state.files.remove(&file.target);
            }
        }
        outcome(half, ())
    }
}
