//! One writer for the whole database: a thread that takes what is queued into one transaction.
//!
//! SQLite allows one writer at a time whatever we do; queueing before it turns many small commits, each with
//! its own fsync, into few large ones. A job runs in a savepoint of its own, so that one that fails takes
//! nothing back from its neighbours; nobody is answered before the commit.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use crate::ledger::LedgerError;

/// Jobs that share one transaction at most.
const JOBS_PER_TRANSACTION: usize = 64;

/// Told after the commit whether it went through.
type Answer = Box<dyn FnOnce(Result<(), Arc<rusqlite::Error>>) + Send>;
/// Given the open transaction, or why there is none.
type Job = Box<dyn FnOnce(Result<&Connection, Arc<rusqlite::Error>>) -> Answer + Send>;

pub(super) enum Writer {
    Thread {
        jobs: Option<mpsc::Sender<Job>>,
        thread: Option<JoinHandle<()>>,
    },
    /// On the caller's own thread: under tokio's paused time a wait for another thread would look like idle
    /// time and make the clock jump.
    Inline(Mutex<Connection>),
}

impl Writer {
    pub(super) fn thread(mut connection: Connection) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new().name("ledger-writer".into()).spawn(move || {
            while let Ok(first) = queue.recv() {
                let batch =
                    std::iter::once(first).chain(queue.try_iter().take(JOBS_PER_TRANSACTION - 1)).collect();
                run(&mut connection, batch);
            }
        })?;
        Ok(Self::Thread { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn inline(connection: Connection) -> Self {
        Self::Inline(Mutex::new(connection))
    }

    /// Runs `job` in a transaction and answers once that is committed. `doing` names it in an error.
    pub(super) async fn write<T, F>(&self, doing: &'static str, job: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = connection
                .map_err(|source| failed(doing, source))
                .and_then(|connection| in_savepoint(connection, doing, job));
            Box::new(move |commit| {
                // The asker may be gone; the write stands all the same.
                let _ = reply.send(commit.map_err(|source| failed(doing, source)).and(result));
            })
        });
        match self {
            Self::Thread { jobs, .. } => {
                let jobs = jobs.as_ref().expect("the sender is only taken on drop");
                jobs.send(job).map_err(|_| failed(doing, WriterGone))?;
            }
            Self::Inline(connection) => {
                run(&mut connection.lock().unwrap_or_else(PoisonError::into_inner), vec![job]);
            }
        }
        answer.await.map_err(|_| failed(doing, WriterGone))?
    }

    /// Reads on the writer's own connection: only the inline writer shares it.
    pub(super) fn inline_connection(&self) -> Option<&Mutex<Connection>> {
        match self {
            Self::Thread { .. } => None,
            Self::Inline(connection) => Some(connection),
        }
    }
}

impl Drop for Writer {
    /// Waits for what is queued: a commit in hand is finished, and the file is closed, before the lock file
    /// beside it is let go.
    fn drop(&mut self) {
        if let Self::Thread { jobs, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the ledger's writer has stopped")]
struct WriterGone;

pub(super) fn failed(
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LedgerError {
    LedgerError::Database { doing, source: source.into() }
}

fn in_savepoint<T>(
    connection: &Connection,
    doing: &'static str,
    job: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let step = |sql| connection.execute_batch(sql).map_err(|source| failed(doing, source));
    step("SAVEPOINT job")?;
    match job(connection) {
        Ok(value) => step("RELEASE job").map(|()| value),
        Err(error) => {
            step("ROLLBACK TO job; RELEASE job")?;
            Err(error)
        }
    }
}

fn run(connection: &mut Connection, batch: Vec<Job>) {
    let (answers, committed): (Vec<Answer>, _) =
        match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => {
                let answers = batch.into_iter().map(|job| job(Ok(&transaction))).collect();
                (answers, transaction.commit().map_err(Arc::new))
            }
            Err(error) => {
                let error = Arc::new(error);
                (batch.into_iter().map(|job| job(Err(error.clone()))).collect(), Ok(()))
            }
        };
    for answer in answers {
        answer(committed.clone());
    }
}
