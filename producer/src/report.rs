//! The report of a run, as it is printed, and the exit status it stands for.

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::Outcome;
use shared::report::{Report, thousands};

/// A table for people, times in `zone`.
pub fn table(report: &Report, zone: &TimeZone) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    let what = if report.kind == "dry_run" { "Dry run (nothing was written)" } else { "Run" };
    let time =
        |at: Timestamp| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
    let mut row = |name: &str, value: String| {
        table.add_row(vec![name.to_owned(), value]);
    };
    row(what, format!("{} of {}", report.run_date, report.job));
    row("Id", report.run_id.clone());
    row("Started", time(report.started_at));
    row("Finished", report.finished_at.map_or_else(|| format!("not yet ({})", report.state), time));
    row("Took", format!("{:.1} s, {:.0} rows/s", report.duration_seconds, report.rows_per_second));
    row("Rows read", thousands(report.rows_read));
    row("Rows selected", thousands(report.rows_selected));
    for outcome in Outcome::ALL {
        let name = match outcome {
            Outcome::Updated if report.kind == "dry_run" => "would be updated".to_owned(),
            outcome => outcome.to_string(),
        };
        row(&format!("  {name}"), thousands(report.count(*outcome)));
    }
    if report.rows_open > 0 {
        row("  (not finished)", thousands(report.rows_open));
    }
    for (reason, rows) in &report.reasons {
        row(&format!("    {reason}"), thousands(*rows));
    }
    for (warning, rows) in &report.warnings {
        row(&format!("  warning {warning}"), thousands(*rows));
    }
    row("FHIR requests", thousands(report.fhir_requests));
    row("Retries", thousands(report.retries));
    if report.sheet_changed_while_read {
        row("Note", "the sheet kept changing while it was read; each row is as last seen".into());
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n{}", remark(report))
}

fn remark(report: &Report) -> String {
    let dead = report.count(Outcome::DeadLettered);
    let applied = report.count(Outcome::SkippedAlreadyApplied);
    let mut lines = Vec::new();
    if applied > 0 {
        lines.push(format!(
            "{} rows were already applied on this date and were not applied again.",
            thousands(applied)
        ));
    }
    if report.kind == "dry_run" && report.count(Outcome::Updated) > 0 {
        lines.push(format!(
            "See what would be updated, from which number to which, with: rows {} --outcome updated",
            report.run_id
        ));
    }
    if dead > 0 && report.kind == "night" {
        lines.push(format!(
            "{} dead letters are open. See them with: dead-letters; try them again with: --replay-dlq",
            thousands(dead)
        ));
    }
    if report.count(Outcome::Rejected) > 0 {
        lines.push(format!(
            "{} rows must be corrected in the sheet. List them with: rows {} --outcome rejected --output csv",
            thousands(report.count(Outcome::Rejected)),
            report.run_date
        ));
    }
    lines.join("\n")
}
