//! The report as one HTML file that can be mailed: no script, nothing from elsewhere, no personal data. It reads well in
//! print and in the dark. Made from the same report as the table and the JSON, and from the run's series.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::{Language, Outcome, Reason, meaning};
use shared::ledger::{RunId, SamplePoint};
use shared::report::{Report, thousands};

use crate::command::{CommandError, Said};
use crate::producer::{Producer, ProducerError};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--ground:#fff;--mark:#0b57d0}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--line:#30363d;--ground:#0d1117;--mark:#79b8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:48rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.soft{color:var(--soft)}
svg{width:100%;height:auto}svg path{fill:none;stroke:var(--mark);stroke-width:2}svg line{stroke:var(--line)}svg text{fill:var(--soft);font-size:12px}
@media print{:root{--ink:#000;--soft:#333;--line:#999;--ground:#fff;--mark:#000}body{max-width:none;padding:0}h2{break-after:avoid}tr,svg{break-inside:avoid}}";

/// Writes the report that a command ended with; of several, the last: that of the date which was asked for.
pub(crate) async fn write(producer: &Producer, said: &[Said], path: &Path) -> Result<(), CommandError> {
    let last = said.iter().rev().find_map(|said| match said {
        Said::Report(report) => Some(report),
        Said::Text(_) => None,
    });
    let Some(report) = last else { return Ok(()) };
    // Workers that drained since may have finished rows.
    let report = producer.report_again(report).await?.unwrap_or_else(|| report.as_ref().clone());
    let series = match report.run_id.parse::<RunId>() {
        Ok(run) => producer.backing.ledger.samples(run).await.map_err(ProducerError::from)?,
        Err(_) => Vec::new(),
    };
    let html = page(&report, &series, &producer.zone);
    std::fs::write(path, html).map_err(|source| CommandError::ReportFile { path: path.to_owned(), source })
}

/// The whole file; times in `zone`.
pub(crate) fn page(report: &Report, series: &[SamplePoint], zone: &TimeZone) -> String {
    let dry = report.kind == "dry_run";
    let what = if dry { "Dry run" } else { "Night" };
    let title = escaped(&format!("{what} of {}, {}", report.run_date, report.job));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main>\n<h1>{title}</h1>\n"
    );
    let dead = report.count(Outcome::DeadLettered);
    let verdict = match (report.state, dry, dead) {
        ("closed", true, _) => "Nothing was written: “updated” means it would have been.".to_owned(),
        ("closed", false, 0) => {
            "Finished; every row has its outcome, and there are no dead letters.".to_owned()
        }
        ("closed", false, _) => format!("Finished, with {} dead letters to look at.", thousands(dead)),
        _ => format!(
            "Not finished ({}): {} rows have no outcome yet.",
            report.state,
            thousands(report.rows_open)
        ),
    };
    let _ = writeln!(
        out,
        "<p><strong>{verdict}</strong> {} rows in {:.0} s, {:.0} a second.</p>",
        thousands(report.rows_selected),
        report.duration_seconds,
        report.rows_per_second
    );
    outcomes(&mut out, report);
    reasons(&mut out, report);
    picture(&mut out, report, series);
    timeline(&mut out, report, zone);
    let _ = writeln!(
        out,
        "<p class=\"soft\">{} rows in the sheet, {} requests to the FHIR server, {} tried again. Run {}.</p>",
        thousands(report.rows_read),
        thousands(report.fhir_requests),
        thousands(report.retries),
        report.run_id
    );
    if report.sheet_changed_while_read {
        out.push_str("<p>The sheet kept changing while it was read; each row is as last seen.</p>\n");
    }
    out.push_str("</main></body></html>\n");
    out
}

fn outcomes(out: &mut String, report: &Report) {
    out.push_str("<h2>What became of the rows</h2>\n<table><thead><tr><th scope=\"col\">Outcome</th><th scope=\"col\" class=\"n\">Rows</th></tr></thead><tbody>\n");
    for outcome in Outcome::ALL.iter().filter(|outcome| report.count(**outcome) > 0) {
        let rows = thousands(report.count(*outcome));
        let _ = writeln!(out, "<tr><th scope=\"row\">{outcome}</th><td class=\"n\">{rows}</td></tr>");
    }
    if report.rows_open > 0 {
        let rows = thousands(report.rows_open);
        let _ = writeln!(out, "<tr><th scope=\"row\">no outcome yet</th><td class=\"n\">{rows}</td></tr>");
    }
    out.push_str("</tbody></table>\n");
}

fn reasons(out: &mut String, report: &Report) {
    if report.reasons.is_empty() {
        return;
    }
    out.push_str("<h2>Why, and what helps</h2>\n<table><thead><tr><th scope=\"col\">Reason</th><th scope=\"col\" class=\"n\">Rows</th><th scope=\"col\">Meaning</th></tr></thead><tbody>\n");
    for (code, rows) in &report.reasons {
        let means = code.parse::<Reason>().map_or("", |reason| meaning(reason, Language::En));
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{code}</th><td class=\"n\">{}</td><td>{}</td></tr>",
            thousands(*rows),
            escaped(means)
        );
    }
    out.push_str("</tbody></table>\n");
}

/// Nothing where too little was seen to draw.
fn picture(out: &mut String, report: &Report, series: &[SamplePoint]) {
    let at = |at: Timestamp| at.duration_since(report.started_at).as_secs_f64();
    let mut seen: Vec<(f64, u64)> = series.iter().map(|point| (at(point.at), point.sample.done())).collect();
    if let (Some(end), Some(last)) = (report.finished_at, series.last()) {
        // A rate over less than half a second says nothing.
        if seen.len() > 1 && at(end) - at(last.at) < 0.5 {
            seen.pop();
        }
        seen.push((at(end), last.sample.done() + last.sample.open));
    }
    let rates: Vec<(f64, f64)> = seen
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0)
        .map(|pair| (pair[1].0, pair[1].1.saturating_sub(pair[0].1) as f64 / (pair[1].0 - pair[0].0)))
        .collect();
    let (Some(first), Some(last)) = (seen.first(), rates.last()) else { return };
    if rates.len() < 2 {
        return;
    }
    let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let mut path = String::new();
    for (index, (at, rate)) in rates.iter().enumerate() {
        let x = 28.0 + (at - first.0) / (last.0 - first.0) * 664.0;
        let y = 152.0 - rate / most * 124.0;
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { " L" });
    }
    let _ = writeln!(
        out,
        "<h2 id=\"pace\">Throughput over time</h2>\n<p id=\"pace-text\">Rows a second, over {:.0} s; at most {}.</p>\n\
         <svg viewBox=\"0 0 720 180\" role=\"img\" aria-labelledby=\"pace\" aria-describedby=\"pace-text\">\
         <line x1=\"28\" y1=\"152\" x2=\"692\" y2=\"152\"/><line x1=\"28\" y1=\"28\" x2=\"692\" y2=\"28\"/>\
         <text x=\"28\" y=\"20\">{}</text><text x=\"28\" y=\"170\">0</text><text x=\"692\" y=\"170\" text-anchor=\"end\">{:.0} s</text>\
         <path d=\"{path}\"/></svg>",
        last.0 - first.0,
        thousands(most.round() as u64),
        thousands(most.round() as u64),
        last.0 - first.0
    );
}

fn timeline(out: &mut String, report: &Report, zone: &TimeZone) {
    let mut steps: Vec<(&str, Timestamp)> = vec![("Locked and opened", report.started_at)];
    let later = [
        ("Sheet read, every row noted", report.snapshot_at),
        ("First write", report.first_write_at),
        ("Every row published to the queue", report.published_at),
        ("Last write", report.last_write_at),
        ("Closed", report.finished_at),
    ];
    steps.extend(later.into_iter().filter_map(|(what, at)| at.map(|at| (what, at))));
    steps.sort_by_key(|(_, at)| *at);
    out.push_str("<h2>Timeline</h2>\n<table><tbody>\n");
    for (what, at) in steps {
        let at = at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
        let _ = writeln!(out, "<tr><th scope=\"row\">{what}</th><td class=\"n\">{}</td></tr>", escaped(&at));
    }
    out.push_str("</tbody></table>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
