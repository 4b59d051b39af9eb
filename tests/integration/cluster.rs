//! The programs of a cluster, `producer`, `worker` and `dashboard`, on a real Postgres and a real RabbitMQ.

mod dashboard;
mod dead_letters;
mod detached;
mod killed;
mod metrics;
mod ordinary;
mod personal_data;
mod queues;
mod restarts;
mod starts;
mod stopped;
mod supersession;
