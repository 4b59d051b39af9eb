//! The programs of a cluster, `producer`, `worker` and `dashboard`, on a real Postgres and a real RabbitMQ.

mod away;
mod backups;
mod containers;
mod core_dumps;
mod dashboard;
mod dead_letters;
mod detached;
mod doctor;
mod drained;
mod dying;
mod killed;
mod log_lines;
mod metrics;
mod notices;
pub(crate) mod ordinary;
mod paused;
mod personal_data;
mod queues;
mod rekeyed;
mod restarts;
mod starts;
mod stopped;
mod supersession;
mod upgrades;
