//! Equilibria and analysis.

use serde_json::Value;

use crate::bench::{Bench, CYCLIC, close, keys, numbers};

#[test]
fn nash_of_the_plain_and_of_the_regularised_game() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let plain = bench.json("nash g.json --json");
    assert_eq!(
        keys(&plain),
        ["duality_gap", "exploitability", "residual", "strategy"]
    );
    close(
        &numbers(&plain["strategy"]),
        &[4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0],
        1e-12,
    );
    assert!(plain["duality_gap"].as_f64().unwrap() <= 2e-9);

    let regularised = bench.json("nash g.json --tau 0.1 --json");
    let want = [0.3371358500656738, 0.2834641090988817, 0.37940004083544443];
    close(&numbers(&regularised["strategy"]), &want, 1e-12);
    // The gap is that of the KL game; the exploitability that of the plain one, half of 11.3's.
    close(
        &[regularised["duality_gap"].as_f64().unwrap()],
        &[0.0],
        1e-14,
    );
    let exploitability = regularised["exploitability"].as_f64().unwrap();
    close(&[exploitability], &[0.024489777239701027 / 2.0], 1e-12);
    assert!(regularised["residual"].as_f64().unwrap() <= 1e-12);
}

#[test]
fn the_reference_of_the_file_is_used() {
    let bench = Bench::new();
    let game = CYCLIC.replacen('{', r#"{"reference": [0.25, 0.45, 0.30], "#, 1);
    bench.file("g.json", &game);
    let nash = bench.json("nash g.json --tau 0.2 --json");
    let want = [0.24907627897693874, 0.3334710059782671, 0.41745271504479414];
    close(&numbers(&nash["strategy"]), &want, 1e-12);
}

#[test]
fn analyse_names_the_cycle() {
    let bench = Bench::new();
    bench.file("g.json", CYCLIC);
    let found = bench.json("analyse g.json --tau 0.01 --json");
    assert_eq!(found["condorcet_winner"], Value::Null);
    assert_eq!(
        (found["cyclic_triads"].as_u64(), found["triads"].as_u64()),
        (Some(1), Some(1))
    );
    let want = [0.3609620458023815, 0.2728577522789052, 0.36618020191871326];
    close(
        &numbers(&found["regularised_nash"]["strategy"]),
        &want,
        1e-12,
    );
    let all = serde_json::json!([0, 1, 2]);
    for set in ["smith_set", "schwartz_set", "nash_support"] {
        assert_eq!(found[set], all, "{set}");
    }
    assert_eq!(found["nash_is_unique"], true);
    close(&numbers(&found["borda"]), &[0.45, 0.5, 0.55], 1e-15);
    close(&numbers(&found["copeland"]), &[0.5, 0.5, 0.5], 0.0);
    // s = (-1, 0, 1)/30: 12/900 of 0.82.
    let share = found["transitive_share"].as_f64().unwrap();
    close(&[share], &[12.0 / 900.0 / 0.82], 1e-14);
}

#[test]
fn analyse_says_what_is_undefined_for_a_sure_winner() {
    let bench = Bench::new();
    bench.file("g.csv", "top,low\n0.5,1\n0,0.5\n");
    let found = bench.json("analyse g.csv --json");
    assert_eq!(found["condorcet_winner"], 0);
    assert_eq!(found["smith_set"], serde_json::json!([0]));
    assert_eq!(found["transitive_share_log_odds"], Value::Null);
    let table = String::from_utf8(bench.game("analyse g.csv").stdout).unwrap();
    assert!(
        table.contains("undefined: a preference is 0 or 1"),
        "{table}"
    );
}
