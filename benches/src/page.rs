//! What is left of a bench: a page in Markdown, a picture, and every single trial.

use std::fmt::Write as _;
use std::path::Path;

use crate::plan::{CAPACITY, IN_FLIGHT, Scenario, System, WORKERS};
use crate::processes::Machine;
use crate::summary::{Goal, Median, Trial, goals, medians, rate};

/// Around the trials.
pub(crate) struct Frame {
    pub(crate) machine: Machine,
    pub(crate) began: jiff::Timestamp,
    pub(crate) minutes: f64,
    /// Share of the processors that had other work.
    pub(crate) others: f64,
    pub(crate) rounds: usize,
    pub(crate) commit: String,
}

/// Writes all three.
pub(crate) fn write(into: &Path, frame: &Frame, trials: &[Trial]) -> std::io::Result<String> {
    let medians = medians(trials);
    let page = page(frame, &medians);
    std::fs::create_dir_all(into)?;
    std::fs::write(into.join("results.md"), &page)?;
    std::fs::write(into.join("rows-per-second.svg"), picture(&medians))?;
    std::fs::write(into.join("trials.csv"), every(trials))?;
    Ok(page)
}

fn page(frame: &Frame, medians: &[Median]) -> String {
    let Frame { machine, rounds, .. } = frame;
    let mut page = String::new();
    let _ = writeln!(
        page,
        "# Results\n\n\
         Written by `make bench`. What the columns mean, how it is run and what the figures are made of:\n\
         [README.md](README.md). Every single trial: [trials.csv](trials.csv).\n\n\
         - **When**: {}, {:.0} minutes, {rounds} rounds of interleaved trials; the table has their medians\n\
         - **Commit**: {}\n\
         - **Machine**: {}, {} cores, {} GB, Linux {}; the simulated FHIR server, Postgres and RabbitMQ on the same cores\n\
         - **Other work on the machine meanwhile**: {:.1} % of its processor time{}\n\
         - **In flight**: {IN_FLIGHT} requests in all, but where it says untuned; {WORKERS} workers; hidden capacity {CAPACITY} requests/s\n",
        frame.began.strftime("%Y-%m-%d %H:%M UTC"),
        frame.minutes,
        frame.commit,
        machine.processor,
        machine.cores,
        machine.memory_gb,
        machine.kernel,
        frame.others * 100.0,
        if frame.others > 0.03 {
            ": **a busy machine, on which ratios and CPU hold better than rows/s**"
        } else {
            ""
        },
    );
    page.push_str("![Rows a second](rows-per-second.svg)\n\n## What was asked\n\n");
    page.push_str(&goals_table(&goals(medians)));
    page.push_str("\n## Medians\n\n");
    page.push_str(&table(medians));
    page
}

fn goals_table(goals: &[Goal]) -> String {
    let mut table = String::from("| what | asked | measured | |\n| --- | --- | --- | --- |\n");
    for Goal { what, wanted, measured, is_met } in goals {
        let _ = writeln!(
            table,
            "| {what} | {wanted} | {measured} | {} |",
            if *is_met { "met" } else { "**missed**" }
        );
    }
    table
}

fn table(medians: &[Median]) -> String {
    let mut table = String::from(
        "| FHIR server | who | rows | rows/s | of raw | of in flight ÷ latency | CPU s per 1,000 rows | peak MB | requests a row | capacity used | refused | lost | written twice |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let maybe = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    for median in medians {
        let refused = median.scenario.is_hidden.then_some(median.refused * 100.0);
        let refused = refused.map_or_else(|| "–".to_owned(), |share| format!("{share:.2} %"));
        let _ = writeln!(
            table,
            "| {} | {} | {} | {:.0} | {} | {} | {:.3} | {:.0} | {:.3} | {} | {refused} | {} | {} |",
            median.scenario.name(),
            median.system.name(),
            median.rows,
            median.rate,
            maybe(median.ratio, 2),
            maybe(median.of_limit, 3),
            median.cpu,
            median.peak,
            median.requests_a_row,
            maybe(median.used, 3),
            median.lost,
            median.twice,
        );
    }
    table
}

fn every(trials: &[Trial]) -> String {
    let mut csv = String::from(
        "round,server,system,rows,seconds,rows_per_second,cpu_seconds,peak_bytes,requests,refused,capacity_used,lost,written_twice\n",
    );
    for Trial { round, scenario, system, measured } in trials {
        let used = measured.used.map_or_else(String::new, |used| format!("{used:.4}"));
        let _ = writeln!(
            csv,
            "{round},\"{}\",{},{},{:.3},{:.1},{:.2},{},{},{},{used},{},{}",
            scenario.name(),
            system.name(),
            measured.rows,
            measured.seconds,
            rate(measured),
            measured.cpu,
            measured.peak,
            measured.requests,
            measured.refused,
            measured.lost,
            measured.twice
        );
    }
    csv
}

const WIDTH: f64 = 760.0;
const NAMES: f64 = 290.0;
const BAR: f64 = 13.0;
const GAP: f64 = 12.0;

/// Bars of rows a second, a group for each server.
fn picture(medians: &[Median]) -> String {
    let most = medians.iter().map(|median| median.rate).fold(1.0, f64::max);
    let (mut bars, mut y, mut above) = (String::new(), 34.0, None::<Scenario>);
    for median in medians {
        if above != Some(median.scenario) {
            y += GAP;
            let _ =
                writeln!(bars, "<text x=\"8\" y=\"{:.0}\">{}</text>", y + BAR - 3.0, median.scenario.name());
            above = Some(median.scenario);
        }
        let width = median.rate / most * (WIDTH - NAMES - 60.0);
        let _ = writeln!(
            bars,
            "<rect x=\"{NAMES}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{:.0}\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.0}\">{:.0}</text>",
            BAR - 2.0,
            colour(median.system),
            NAMES + width + 5.0,
            y + BAR - 3.0,
            median.rate
        );
        y += BAR;
    }
    let legend: String = System::ALL
        .iter()
        .enumerate()
        .map(|(at, system)| {
            let x = NAMES + 120.0 * at as f64;
            format!(
                "<rect x=\"{x}\" y=\"12\" width=\"11\" height=\"11\" fill=\"{}\"/><text x=\"{}\" y=\"22\">{}</text>\n",
                colour(*system),
                x + 16.0,
                system.name()
            )
        })
        .collect();
    let height = y + GAP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n\
         <title>Rows a second by FHIR server and system</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n\
         <text x=\"8\" y=\"22\" font-weight=\"bold\">Rows a second</text>\n{legend}{bars}</svg>\n"
    )
}

fn colour(system: System) -> &'static str {
    match system {
        System::Raw => "#9aa0a6",
        System::Standalone => "#1a73e8",
        System::Cluster => "#e8710a",
    }
}
