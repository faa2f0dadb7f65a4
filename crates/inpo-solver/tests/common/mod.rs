//! Every method of the table, for the laws that all of them share.

use inpo_game::Strategy;
use inpo_solver::{Choice, FromChoice, Method, MethodSettings, Plays, Reference, Solver};

/// Every method in every game that it plays, with eta = 2 and the tau of the game.
pub(crate) fn methods() -> Vec<(Method, f64)> {
    let settings = MethodSettings {
        tau: Some(0.1),
        eta: Some(2.0),
        period: Some(7),
        base: Some(Reference::Fixed),
        ..MethodSettings::default()
    };
    let start = Strategy::uniform(3);
    let mut methods = Vec::new();
    for algorithm in Method::ALGORITHMS {
        let choice = Choice {
            algorithm,
            settings: &settings,
            start: &start,
            iterations: 100,
        };
        let method = Method::from_choice(&choice).unwrap();
        let taus: &[f64] = match algorithm.plays {
            Plays::Plain => &[0.0],
            Plays::Regularised => &[0.1],
            Plays::Either => &[0.0, 0.1],
        };
        methods.extend(taus.iter().map(|&tau| (method.clone(), tau)));
    }
    methods
}
