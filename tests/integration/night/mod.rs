//! Whole nights in one process, each ended by the oracle [`tests::night::Scene::check`].

mod batches;
mod concurrent;
mod conflicts;
mod credentials;
mod dry_run;
mod history;
mod lossless;
mod metrics;
mod notices;
mod numbers;
mod ordinary;
mod outages;
mod patches;
mod patients;
mod paused;
mod personal_data;
mod replay;
mod retries;
mod selection;
mod sheet;
mod stopped;
mod supersession;
mod throttling;
mod tokens;
mod ways;
