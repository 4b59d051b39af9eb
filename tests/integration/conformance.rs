//! The suites of the two ports and of the steward between them, on every adapter; beside them, what only one
//! adapter promises.

mod in_process;
mod postgres;
mod postgres_tls;
mod postgres_versions;
mod rabbitmq;
mod sqlite;

use tests::conformance::ledger::{Postgres, SqliteInMemory, SqliteOnFile};
use tests::conformance::queue::{InProcess, RabbitMq};

tests::ledger_suite!(ledger_sqlite_on_file, real, SqliteOnFile::new().await);
tests::ledger_suite!(ledger_sqlite_in_memory, paused, SqliteInMemory::new());
tests::ledger_suite!(ledger_postgres, real, Postgres::new().await);

tests::queue_suite!(queue_in_process, paused, InProcess::new());
tests::queue_suite!(queue_rabbitmq, real, RabbitMq::new().await);

tests::steward_suite!(steward_sqlite_on_file, real, (SqliteOnFile::new().await, InProcess::new()));
tests::steward_suite!(steward_sqlite_in_memory, paused, (SqliteInMemory::new(), InProcess::new()));
tests::steward_suite!(steward_postgres, real, (Postgres::new().await, InProcess::new()));
tests::steward_suite!(steward_rabbitmq, real, (SqliteOnFile::new().await, RabbitMq::new().await));
