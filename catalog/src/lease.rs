//! Who is alive, and which snapshots they hold. A process has one row whose counter its heartbeat raises, and one row a
//! commit whose files it reads. Others take it for dead when the counter stands still for `tycho.lease` by their own
//! monotonic clock or, on the same host, at once when the process is gone; then it is *fenced*: it decides nothing more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::catalog::{Catalog, Inner, read_current};
use crate::error::{Error, ErrorKind, Result};
use crate::model::CommitNumber;
use crate::schema::take_numbers;
use crate::store::{Database, Lock, Mode, Tx, params};

/// This process as the catalog knows it.
pub(crate) struct Process {
    pub(crate) id: i64,
    fenced: AtomicBool,
    /// How many snapshots of this process share each lease row.
    held: Mutex<BTreeMap<CommitNumber, usize>>,
    /// Commits whose last share was dropped and whose rows are still to be removed.
    idle: Mutex<BTreeSet<CommitNumber>>,
    /// Held while lease rows are written or removed, so that a removal never meets a new holder.
    gate: tokio::sync::Mutex<()>,
}

/// One snapshot's share of a lease row.
pub(crate) struct Lease {
    pub(crate) catalog: Catalog,
    pub(crate) process: Arc<Process>,
    pub(crate) commit: CommitNumber,
    released: AtomicBool,
}

/// What this process saw of the counters of others.
#[derive(Default)]
pub(crate) struct Observations {
    counters: HashMap<i64, (i64, Instant)>,
}

/// Where a process runs, as far as another process can check it.
struct Identity {
    boot_id: String,
    pid_namespace: String,
    pid: i64,
    started: i64,
}

impl Identity {
    fn own() -> Identity {
        let read = |path: &str| std::fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
        let namespace = std::fs::read_link("/proc/self/ns/pid").map(|p| p.to_string_lossy().into_owned());
        let pid = i64::from(std::process::id());
        Identity {
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.unwrap_or_default(),
            pid,
            started: start_time(pid).unwrap_or(0),
        }
    }

    /// Whether `other` ran in this boot and PID namespace and is certainly gone.
    fn sees_gone(&self, other: &Identity) -> bool {
        let comparable = !self.boot_id.is_empty() && !self.pid_namespace.is_empty();
        comparable
            && self.boot_id == other.boot_id
            && self.pid_namespace == other.pid_namespace
            && start_time(other.pid) != Some(other.started)
    }
}

/// When a process started, in clock ticks since boot (field 22 of /proc/PID/stat); `None` if it is gone or a zombie.
fn start_time(pid: i64) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl Catalog {
    /// This process's row, made at its first use and again after a fence.
    pub(crate) async fn process(&self) -> Result<Arc<Process>> {
        let mut slot = self.inner.process.lock().await;
        if let Some(process) = slot.as_ref()
            && !process.fenced.load(Ordering::Acquire)
        {
            return Ok(process.clone());
        }
        let identity = Identity::own();
        let mut tx = self.begin_database(Mode::Write).await?;
        let id = take_numbers(&mut *tx, "process", 1).await?;
        tx.execute(
            "INSERT INTO processes (id, boot_id, pid_namespace, pid, started, counter, fenced) \
             VALUES ($1, $2, $3, $4, $5, 0, 0)",
            params![id, identity.boot_id, identity.pid_namespace, identity.pid, identity.started],
        )
        .await?;
        tx.commit().await?;
        let process = Arc::new(Process {
            id,
            fenced: AtomicBool::new(false),
            held: Mutex::default(),
            idle: Mutex::default(),
            gate: Default::default(),
        });
        *slot = Some(process.clone());
        if !self.inner.heartbeat_started.swap(true, Ordering::AcqRel) {
            let period = Duration::from_millis((self.inner.options.lease_ms / 3).max(10));
            self.inner.runtime.spawn(heartbeat(Arc::downgrade(&self.inner), period));
        }
        Ok(process)
    }

    /// Leases the current commit for this process.
    pub(crate) async fn lease_current(&self) -> Result<Arc<Lease>> {
        loop {
            let process = self.process().await?;
            let current = self.current_commit().await?;
            self.note_current(current);
            let shared = {
                let mut held = process.held.lock();
                held.get_mut(&current).map(|count| *count += 1).is_some()
            };
            if shared {
                return Ok(self.new_lease(process, current));
            }
            let gate = process.gate.lock().await;
            let mut tx = self.begin_database(Mode::WriteRelaxed).await?;
            tx.lock(Lock::Lease, false).await?;
            if is_fenced(&mut *tx, process.id).await? {
                process.fenced.store(true, Ordering::Release);
                continue;
            }
            let current = read_current(&mut *tx).await?;
            tx.execute(
                "INSERT INTO leases (process_id, commit_number) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                params![process.id, current],
            )
            .await?;
            tx.commit().await?;
            *process.held.lock().entry(current).or_insert(0) += 1;
            drop(gate);
            return Ok(self.new_lease(process, current));
        }
    }

    fn new_lease(&self, process: Arc<Process>, commit: CommitNumber) -> Arc<Lease> {
        Arc::new(Lease { catalog: self.clone(), process, commit, released: AtomicBool::new(false) })
    }

    /// Removes the leases of snapshots that were dropped, without waiting for the task that would do it.
    pub(crate) async fn release_idle(&self) -> Result<()> {
        let process = self.inner.process.lock().await.clone();
        match process {
            Some(process) => process.remove_idle(&*self.inner.database).await,
            None => Ok(()),
        }
    }

    /// Ends this process's leases and its row in the catalog. Open transactions of it can then no longer commit.
    pub async fn close(&self) -> Result<()> {
        let process = self.inner.process.lock().await.take();
        if let Some(process) = process {
            process.fenced.store(true, Ordering::Release);
            end_process(&*self.inner.database, process.id).await?;
        }
        Ok(())
    }

    /// Looks at every process and fences those that are dead: gone from this host, or with a counter that stood still for
    /// `tycho.lease`. Returns the number fenced.
    pub(crate) async fn fence_dead(&self) -> Result<u64> {
        let own = self.inner.process.lock().await.as_ref().map(|p| p.id);
        let dead = match self.inner.observe(own).await {
            Ok(dead) => dead,
            Err(error) => {
                // What was not seen cannot have stood still.
                self.inner.observations.lock().counters.clear();
                return Err(error);
            }
        };
        let mut fenced = 0;
        for (id, counter) in dead {
            let mut tx = self.begin_database(Mode::Write).await?;
            tx.lock(Lock::Commit, true).await?;
            tx.lock(Lock::Lease, true).await?;
            let changed = tx
                .execute(
                    "UPDATE processes SET fenced = 1 WHERE id = $1 AND counter = $2 AND fenced = 0",
                    params![id, counter],
                )
                .await?;
            if changed > 0 {
                tx.execute("DELETE FROM leases WHERE process_id = $1", params![id]).await?;
                tracing::info!(process = id, "a process is gone; its leases end");
            }
            tx.commit().await?;
            fenced += changed;
        }
        Ok(fenced)
    }
}

impl Inner {
    /// (id, counter) of the processes that are dead by what this process sees.
    async fn observe(&self, own: Option<i64>) -> Result<Vec<(i64, i64)>> {
        let mut tx = self.database.begin(Mode::Read).await?;
        let rows = tx
            .query("SELECT id, boot_id, pid_namespace, pid, started, counter FROM processes WHERE fenced = 0", &[])
            .await?;
        tx.commit().await?;
        let here = Identity::own();
        let lease = Duration::from_millis(self.options.lease_ms);
        let mut dead = vec![];
        let mut observed = HashMap::new();
        let mut observations = self.observations.lock();
        for mut row in rows {
            let (id, counter) = (row.int(0)?, row.int(5)?);
            if Some(id) == own {
                continue;
            }
            let there =
                Identity { boot_id: row.text(1)?, pid_namespace: row.text(2)?, pid: row.int(3)?, started: row.int(4)? };
            let since = match observations.counters.get(&id) {
                Some((seen, since)) if *seen == counter => *since,
                _ => Instant::now(),
            };
            if here.sees_gone(&there) || since.elapsed() >= lease {
                dead.push((id, counter));
            }
            observed.insert(id, (counter, since));
        }
        observations.counters = observed;
        Ok(dead)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(process) = self.process.get_mut().take() else { return };
        let database = self.database.clone();
        // If the runtime has ended this does nothing, and the process row goes with the process.
        self.runtime.spawn(async move {
            if let Err(error) = end_process(&*database, process.id).await {
                tracing::debug!(%error, "the lease of this process could not be ended; it runs out by itself");
            }
        });
    }
}

/// Fences a process on its own wish, so that its open transactions are aborted by whoever recovers next.
async fn end_process(database: &dyn Database, id: i64) -> Result<()> {
    let mut tx = database.begin(Mode::Write).await?;
    tx.lock(Lock::Commit, true).await?;
    tx.lock(Lock::Lease, true).await?;
    tx.execute("UPDATE processes SET fenced = 1 WHERE id = $1", params![id]).await?;
    tx.execute("DELETE FROM leases WHERE process_id = $1", params![id]).await?;
    tx.commit().await
}

/// Whether a process may no longer decide: fenced, or so long ago that its row is gone.
pub(crate) async fn is_fenced(tx: &mut dyn Tx, process: i64) -> Result<bool> {
    let rows = tx.query("SELECT fenced FROM processes WHERE id = $1", params![process]).await?;
    rows.first().map_or(Ok(true), |row| Ok(row.int(0)? != 0))
}

/// Raises the counter of this process and watches those of others, until the catalog is dropped.
async fn heartbeat(inner: Weak<Inner>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.beat().await {
            inner.observations.lock().counters.clear();
            tracing::warn!(%error, "the heartbeat did not reach the catalog");
        }
    }
}

impl Inner {
    async fn beat(self: &Arc<Self>) -> Result<()> {
        let process = self.process.lock().await.clone();
        if let Some(process) = &process {
            let mut tx = self.database.begin(Mode::WriteRelaxed).await?;
            let beaten = tx
                .execute("UPDATE processes SET counter = counter + 1 WHERE id = $1 AND fenced = 0", params![process.id])
                .await?;
            let current = read_current(&mut *tx).await?;
            tx.commit().await?;
            Catalog { inner: self.clone() }.note_current(current);
            if beaten == 0 {
                process.fenced.store(true, Ordering::Release);
            }
        }
        self.observe(process.map(|p| p.id)).await?;
        Ok(())
    }
}

impl Lease {
    /// Gives up this share now; the row goes with the last one.
    pub(crate) async fn release(&self) -> Result<()> {
        if self.released.swap(true, Ordering::AcqRel) || !self.process.let_go(self.commit) {
            return Ok(());
        }
        self.process.remove_idle(&*self.catalog.inner.database).await
    }

    /// Fails where the snapshot may have lost files: the lease was released, or its process fenced.
    pub(crate) async fn check(&self, tx: &mut dyn Tx) -> Result<()> {
        if self.released.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Invalid, "the transaction of this view has ended"));
        }
        let rows = tx
            .query(
                "SELECT 1 FROM leases WHERE process_id = $1 AND commit_number = $2",
                params![self.process.id, self.commit],
            )
            .await?;
        if rows.is_empty() {
            return Err(Error::new(
                ErrorKind::SnapshotTooOld,
                format!("the lease on commit {} has run out (tycho.lease); run the statement again", self.commit),
            ));
        }
        Ok(())
    }
}

impl Process {
    /// Takes one share back; says whether it was the last.
    fn let_go(&self, commit: CommitNumber) -> bool {
        let mut held = self.held.lock();
        match held.get_mut(&commit) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) => {
                held.remove(&commit);
                self.idle.lock().insert(commit);
                true
            }
            None => false,
        }
    }

    /// Removes the rows of leases that nobody here holds any more.
    async fn remove_idle(&self, database: &dyn Database) -> Result<()> {
        let _gate = self.gate.lock().await;
        let idle: Vec<CommitNumber> = {
            let held = self.held.lock();
            self.idle.lock().iter().copied().filter(|commit| !held.contains_key(commit)).collect()
        };
        if !idle.is_empty() {
            let mut tx = database.begin(Mode::WriteRelaxed).await?;
            for commit in &idle {
                tx.execute(
                    "DELETE FROM leases WHERE process_id = $1 AND commit_number = $2",
                    params![self.id, *commit],
                )
                .await?;
            }
            tx.commit().await?;
        }
        let mut left = self.idle.lock();
        idle.iter().for_each(|commit| {
            left.remove(commit);
        });
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.released.swap(true, Ordering::AcqRel) || !self.process.let_go(self.commit) {
            return;
        }
        let (database, process) = (self.catalog.inner.database.clone(), self.process.clone());
        self.catalog.inner.runtime.spawn(async move {
            if let Err(error) = process.remove_idle(&*database).await {
                tracing::warn!(%error, "a lease could not be released; the next release tries again");
            }
        });
    }
}
