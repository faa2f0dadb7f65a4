//! The same methods, played exactly.

use std::error::Error;

use inpo_core::game::{PreferenceGame, Strategy};
use inpo_core::solver::{
    Comal, Egpo, Inpo, Iterates, IterativeDpo, IterativeIpo, Method, Mnpo, Mpo, NashMd, Onpo,
    Opponents, Problem, Reference, Solver, SolverError, Sppo, State, StepSize,
};
use inpo_core::train::Algorithm;

use super::settings::{Settings, has_tau};

/// Three equal weights: the default of `inpo run`.
const HISTORY: usize = 3;

/// The exact solver with the settings that `algorithm` is trained with; none where the loss's minimiser is no update of
/// a solver, as the hinge's. ENPO's exploration term is left out.
fn method(algorithm: Algorithm, settings: &Settings) -> Option<Method> {
    let period = settings.period as u64;
    let section = settings.section(algorithm);
    let eta = section.eta.or(section.beta)?;
    let (step, tau) = (StepSize::Constant(eta), settings.tau);
    Some(match algorithm {
        Algorithm::Inpo | Algorithm::Enpo => Inpo::new(step).into(),
        Algorithm::NashMd => NashMd::new(step).into(),
        Algorithm::Egpo => Egpo::new(step).into(),
        Algorithm::Comal => Comal::new(step, tau, period).into(),
        Algorithm::Mpo => Mpo::new(step, tau, period).into(),
        Algorithm::Onpo => Onpo::new(step).into(),
        Algorithm::Mnpo => Mnpo {
            step_size: step,
            weights: vec![1.0 / HISTORY as f64; HISTORY],
            opponents: Opponents::Current,
        }
        .into(),
        Algorithm::Sppo | Algorithm::Rebel | Algorithm::Dno => Sppo::new(step).into(),
        Algorithm::OnlineIpo | Algorithm::Ipo | Algorithm::IpoMean => {
            IterativeIpo::new(step, Reference::Fixed).into()
        }
        Algorithm::IterativeIpo => IterativeIpo::new(step, Reference::Previous).into(),
        Algorithm::Dpo => IterativeDpo::new(step, Reference::Fixed).into(),
        Algorithm::DnoPrct | Algorithm::IterativeDpo => {
            IterativeDpo::new(step, Reference::Previous).into()
        }
        _ => return None,
    })
}

/// Methods on pairs from the reference, whose exact iterates stay where the first step ends.
fn is_fixed_data(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Ipo | Algorithm::IpoMean | Algorithm::Dpo | Algorithm::Hinge
    )
}

/// The exact iterates pi_1 = `reference`, pi_2, .., as many as the run has; fewer where the solver cannot go
/// on (a Bradley-Terry fit at the border of the simplex), none for the hinge.
///
/// # Errors
///
/// Settings that the solver refuses.
pub fn exact_strategies<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    algorithm: Algorithm,
    settings: &Settings,
) -> Result<Vec<Strategy>, Box<dyn Error>> {
    let Some(method) = method(algorithm, settings) else {
        return Ok(Vec::new());
    };
    let problem = problem(game, reference, algorithm, settings)?;
    let steps = if is_fixed_data(algorithm) {
        settings.iterations.min(1)
    } else {
        settings.iterations
    };
    let mut strategies = Vec::with_capacity(settings.iterations + 1);
    for state in Iterates::new(&problem, &method, reference)?.take(steps + 1) {
        match state {
            Ok(state) => strategies.push(state.strategy().clone()),
            Err(_) => return Ok(strategies),
        }
    }
    if let Some(last) = strategies.last().cloned() {
        strategies.resize(settings.iterations + 1, last);
    }
    Ok(strategies)
}

/// The game that `algorithm` solves. COMAL and MPO solve the plain one; their KL is their own.
fn problem<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    algorithm: Algorithm,
    settings: &Settings,
) -> Result<Problem<G>, SolverError> {
    let moves = settings.ref_update_every(algorithm) > 0;
    let tau = if has_tau(algorithm) && !moves {
        settings.tau
    } else {
        0.0
    };
    Problem::new(game.clone(), reference.clone(), tau)
}

/// What the linearised exact method says against these settings, in a sentence.
///
/// # Errors
///
/// Settings that the solver refuses.
pub fn caution<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    algorithm: Algorithm,
    settings: &Settings,
) -> Result<Option<String>, Box<dyn Error>> {
    let Some(method) = method(algorithm, settings) else {
        return Ok(None);
    };
    let problem = problem(game, reference, algorithm, settings)?;
    let caution = method.caution(&problem, &problem.nash()?);
    Ok(caution.map(|caution| caution.to_string()))
}

/// The regularised Nash policy, where the methods of the regularised game end at best.
///
/// # Errors
///
/// Those of the solver.
pub fn floor<G: PreferenceGame + Clone>(
    game: &G,
    reference: &Strategy,
    tau: f64,
) -> Result<Strategy, Box<dyn Error>> {
    Ok(Problem::new(game.clone(), reference.clone(), tau)?.nash()?)
}
