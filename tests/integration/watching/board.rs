//! Grafana's board. That its queries are answered is seen over a real night, in `night.rs`.

use serde_json::Value;

use super::deployed;
use super::used::unknown;

fn board() -> Value {
    let text = std::fs::read_to_string(deployed("grafana/nightly-sync.json")).expect("a board");
    serde_json::from_str(&text).expect("JSON")
}

/// Every query of every panel, as Grafana sends it for this job.
pub(super) fn queries(job: &str) -> Vec<String> {
    let board = board();
    let panels = board["panels"].as_array().expect("panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets").clone());
    targets
        .map(|target| target["expr"].as_str().expect("a query").to_owned())
        .map(|query| query.replace("$job", job).replace("$__rate_interval", "5m"))
        .collect()
}

#[test]
fn the_board_uses_what_exists_and_all_of_it() {
    let queries = queries("a-job");
    for query in &queries {
        assert_eq!(unknown(query), Vec::<String>::new(), "{query}");
    }
    for metric in shared::metrics::ALL {
        assert!(queries.iter().any(|query| query.contains(metric.name)), "{} is on no panel", metric.name);
    }
    let variables = board()["templating"]["list"].to_string();
    assert!(variables.contains("label_values(nightly_sync_dead_letters_open, job)"), "{variables}");
}

#[test]
fn panels_lie_beside_each_other() {
    let board = board();
    let mut taken = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
        assert!(x + w <= 24, "{}", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(!taken.contains(&place), "{} lies over another", panel["title"]);
            taken.push(place);
        }
    }
}
