//! `standalone` and `simulators` as an operator starts them: exit statuses, standard output, signals, `kill -9`,
//! files, lists, a terminal, and a FHIR server nobody here wrote.

mod backups;
mod dates;
mod doctor;
mod exports;
mod files;
mod gspread;
mod interrupted;
mod killed;
mod lists;
mod locked;
mod log_lines;
mod metrics;
mod notices;
mod personal_data;
mod refused;
mod rekeyed;
mod replays;
mod reports;
mod retention;
mod sekmet;
mod simulators;
mod stopped;
mod terminal;
