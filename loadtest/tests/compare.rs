//! The comparison end to end, in small: the program runs itself as server and as client. What comes out is checked for
//! shape and for what holds on any machine, never for speed.

mod common;

use common::run;
use serde_json::Value;

#[test]
fn every_scenario_runs_against_both_floors_and_is_divided_by_the_first() {
    let folder = std::env::temp_dir().join(format!("fanwire-compare-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
    let path = |name: &str| folder.join(name).to_str().expect("text").to_owned();
    let (json, chart) = (path("compare.json"), path("compare.html"));
    // Both on one core, since a machine may have no more.
    let mut words = vec!["compare", "--rounds", "2", "--duration", "200ms", "--server-core", "0", "--client-core", "0"];
    words.extend(["--peers", "none", "--servers", "floor,floor-uring", "--idle", "50", "--readers", "20"]);
    words.extend(["--echoes", "5", "--json", &json, "--chart", &chart]);
    let (code, out, err) = run(&words);
    assert_eq!(code, Some(0), "{err}\n{out}");
    assert_eq!(err.lines().filter(|line| line.starts_with("round ")).count(), 20, "{err}");

    let results: Value = serde_json::from_str(&std::fs::read_to_string(json).expect("written")).expect("JSON");
    let cases = results["cases"].as_array().expect("a list");
    let names: Vec<_> = cases.iter().filter_map(|case| case["case"].as_str()).collect();
    assert_eq!(names, ["hold", "fanout", "fanout-32", "echo", "connect"]);
    for case in cases {
        for server in case["servers"].as_array().expect("a list") {
            let (name, rounds) = (&server["server"], server["rounds"].as_array().expect("a list"));
            let failed = rounds.iter().filter(|round| !round["failed"].is_null()).count();
            // A kernel may have no io_uring for us.
            assert!(failed == 0 || (name == "floor-uring" && failed == 2), "{case}: {err}");
            let reached = rounds.iter().all(|round| round["reach"].as_f64().is_none_or(|reach| reach == 1.0));
            assert!(reached, "{case}");
        }
    }
    let floor = &cases[1]["servers"][0];
    assert_eq!(floor["figures"][0]["ratio"], 1.0, "{floor}");
    assert_eq!(floor["figures"][0]["rounds"], 2, "{floor}");
    assert!(std::fs::read_to_string(chart).expect("written").contains("<svg"));
    std::fs::remove_dir_all(folder).expect("it was made above");
}
