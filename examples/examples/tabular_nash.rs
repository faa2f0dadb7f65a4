//! INPO on a game that can be solved by hand.
//!
//! Three answers beat each other in a circle: b beats a with 0.9, c beats b with 0.9, a beats c
//! with 0.8. No ranking explains that, but the game has an equilibrium. INPO's exact step plays
//! against itself, with a KL to the uniform reference (tau = 0.1, inverse step size eta = 1), and
//! its last policy converges to the Nash policy of that regularised game. The duality gap of the
//! last and of the average policy go to an SVG.
//!
//! ```text
//! cargo run --release --example tabular_nash [FILE.svg]
//! ```
//!
//! Runs in a moment; no model, no data. What it must end with: a gap of 1.03e-9 after 100
//! iterations, and the policy 0.3371, 0.2835, 0.3794.

use std::error::Error;

use inpo_core::game::{PreferenceGame, Strategy, games};
use inpo_core::plot::{Chart, Scale, Series};
use inpo_core::solver::{Inpo, Iterates, Problem, State, StepSize};

const TAU: f64 = 0.1;
const ETA: f64 = 1.0;
const ITERATIONS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "tabular_nash.svg".into());

    let game = games::cyclic_three();
    let reference = Strategy::uniform(game.num_actions());
    let problem = Problem::new(game, reference, TAU)?;
    let inpo = Inpo::new(StepSize::Constant(ETA));

    let mut last = Series {
        name: "last policy",
        points: Vec::new(),
    };
    let mut average = Series {
        name: "average policy",
        points: Vec::new(),
    };
    println!("INPO, tau = {TAU}, eta = {ETA} (inverse step size)\n");
    println!("iteration       a       b       c   duality gap   of the average");
    for state in Iterates::new(&problem, &inpo, problem.reference())?.take(ITERATIONS + 1) {
        let state = state?;
        let n = state.iteration();
        let gap = problem.duality_gap(state.strategy());
        let average_gap = problem.duality_gap(state.average());
        last.points.push((n as f64, gap));
        average.points.push((n as f64, average_gap));
        if matches!(n, 0..=5 | 10 | 20 | 30 | 50 | 100) {
            let [a, b, c] = [0, 1, 2].map(|y| state.strategy()[y]);
            println!("{n:>9}  {a:.4}  {b:.4}  {c:.4}  {gap:>12.4e}  {average_gap:>15.4e}");
        }
    }

    let nash = problem.nash()?;
    println!("\nregularised Nash  {}", show(&nash));
    let plain = inpo_core::game::nash(problem.game())?;
    println!("plain Nash        {}  (4/11, 3/11, 4/11)", show(&plain));

    let chart = Chart {
        title: "INPO on the cyclic game, tau = 0.1, eta = 1",
        x_label: "iteration",
        y_label: "duality gap",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
    };
    chart.write_svg(&file, &[last, average])?;
    println!("\nwrote {file}");
    Ok(())
}

fn show(strategy: &Strategy) -> String {
    let entries: Vec<String> = strategy.iter().map(|p| format!("{p:.4}")).collect();
    entries.join("  ")
}
