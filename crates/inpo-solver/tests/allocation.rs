//! A step allocates nothing once it has run: the work is the win rates and a few passes.

use inpo_game::{MatrixOracle, Strategy, games};
use inpo_solver::{ExactFeedback, Problem, SampledFeedback, Solver};

mod common;

/// Small enough for one thread, where every allocation is seen.
const ACTIONS: usize = 60;

#[test]
fn no_method_allocates_in_its_steps() {
    // The counter does count.
    let made = allocation_counter::measure(|| drop(Strategy::uniform(ACTIONS)));
    assert_eq!(made.count_total, 1);
    // The fits of iterative DPO do allocate, and it takes no samples.
    for (method, tau) in common::methods()
        .into_iter()
        .filter(|(method, _)| !method.exact_only())
    {
        let game = games::uniform(ACTIONS, 1).unwrap();
        let problem = Problem::new(game, Strategy::uniform(ACTIONS), tau).unwrap();
        let mut exact = ExactFeedback::new(problem.game(), 0);
        let mut sampled = SampledFeedback::new(MatrixOracle::new(problem.game()), 50, 1, 0);
        let mut state = method.init(&problem, problem.reference()).unwrap();
        let mut steps = |count| {
            for _ in 0..count {
                method.step(&problem, &mut exact, &mut state).unwrap();
                method.step(&problem, &mut sampled, &mut state).unwrap();
            }
        };
        steps(5);
        let used = allocation_counter::measure(|| steps(50));
        assert_eq!(used.count_total, 0, "{}: {used:?}", method.name());
    }
}
