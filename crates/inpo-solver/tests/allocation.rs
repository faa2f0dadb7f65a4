//! A step allocates nothing once it has run: the work is the win rates and a few passes.

use inpo_game::{MatrixOracle, Strategy, games};
use inpo_solver::{
    Comal, Egpo, ExactFeedback, FictitiousPlay, Inpo, Method, Mnpo, Mpo, NashEma, NashMd, Onpo,
    Problem, RegretMatching, Replicator, SampledFeedback, Solver, Sppo, StepSize,
};

/// Small enough for one thread, where every allocation is seen.
const ACTIONS: usize = 60;

#[test]
fn no_method_allocates_in_its_steps() {
    let step = StepSize::Constant(4.0);
    let methods: [(Method, f64); 13] = [
        (Inpo::new(step).into(), 0.1),
        (NashMd::new(step).into(), 0.1),
        (NashEma::new(step, 0.5).into(), 0.1),
        (Sppo::new(step).into(), 0.0),
        (Onpo::new(step).into(), 0.0),
        (Egpo::new(step).into(), 0.1),
        (Mpo::new(step, 0.1, 7).into(), 0.0),
        (Comal::new(step, 0.1, 7).into(), 0.0),
        (Mnpo::new(step, vec![0.5, 0.3, 0.2]).into(), 0.0),
        (RegretMatching::new().into(), 0.0),
        (RegretMatching::plus().into(), 0.0),
        (FictitiousPlay::new().into(), 0.0),
        (Replicator::new(0.5).into(), 0.1),
    ];
    // The counter does count.
    let made = allocation_counter::measure(|| drop(Strategy::uniform(ACTIONS)));
    assert_eq!(made.count_total, 1);
    for (method, tau) in methods {
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
