//! Laws that every method keeps, and the table that they are chosen from.

use inpo_game::games::cyclic_three;
use inpo_game::{MatrixGame, Strategy};
use inpo_solver::{
    Algorithm, Checkpoint, Choice, Executor, FromChoice, Inpo, Method, MethodSettings, MethodState,
    Onpo, Plays, Problem, Reference, Schedule, Solver, SolverError, Sppo, State, StepSize,
};

mod common;

fn problem(tau: f64) -> Problem<MatrixGame> {
    let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
    Problem::new(cyclic_three(), reference, tau).unwrap()
}

#[test]
fn every_method_resumes_to_the_bit_from_its_text_exact_and_sampled() {
    for (method, tau) in common::methods() {
        let problem = problem(tau);
        for comparisons in [0, 6] {
            if comparisons > 0 && method.exact_only() {
                continue;
            }
            let executor = |iterations| {
                let e = Executor::new(&problem, method.clone()).iterations(iterations);
                match comparisons {
                    0 => e,
                    m => e.sampled(m, 11),
                }
            };
            let whole = executor(25).run().unwrap();
            let checkpoint = Checkpoint {
                solver: method.clone(),
                state: executor(11).run().unwrap().state,
            };
            let text = serde_json::to_string(&checkpoint).unwrap();
            let read: Checkpoint<Method> = serde_json::from_str(&text).unwrap();
            assert_eq!(read.solver, method);
            let rest = executor(25).resume(read.state).run().unwrap();
            assert_eq!(rest.state, whole.state, "{}", method.name());
            assert_eq!(rest.history, whole.history[11..], "{}", method.name());
        }
    }
}

#[test]
fn a_state_of_another_method_or_game_is_refused() {
    let problem = problem(0.0);
    let run = |method: Method| Executor::new(&problem, method).run().unwrap().state;
    let state = run(Sppo::new(StepSize::Constant(1.0)).into());
    let onpo = Method::from(Onpo::new(StepSize::Constant(1.0)));
    let error = onpo.resume(&problem, &state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state is one of Sppo, but the solver is onpo"
    );
    let flat = MatrixGame::new(vec![vec![0.5; 2]; 2]).unwrap();
    for (method, tau) in common::methods() {
        let state = Executor::new(&self::problem(tau), method.clone()).run();
        let small = Problem::new(&flat, Strategy::uniform(2), tau).unwrap();
        let error = method.resume(&small, &state.unwrap().state).unwrap_err();
        assert!(
            error.to_string().contains("the game has 2 actions"),
            "{error}"
        );
    }
}

#[test]
fn a_state_made_with_another_reference_is_refused() {
    let one = problem(0.1);
    let other = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
    let method = Method::from(Inpo::new(StepSize::Constant(1.0)));
    let state = Executor::new(&one, method.clone()).run().unwrap().state;
    let error = method.resume(&other, &state).unwrap_err();
    assert!(
        error.to_string().contains("it was made with another one"),
        "{error}"
    );
}

#[test]
fn estimates_that_send_every_action_to_nothing_are_an_error() {
    // One action and one lost comparison: an advantage of -1/2 over an eta of 1e-320.
    let single = MatrixGame::new(vec![vec![0.5]]).unwrap();
    let problem = Problem::new(single, Strategy::uniform(1), 0.0).unwrap();
    let solver = Sppo::new(StepSize::Constant(1e-320));
    let run = Executor::new(&problem, solver).sampled(1, 0).iterations(5);
    let error = run.run().unwrap_err();
    assert!(matches!(error, SolverError::NotFinite { .. }), "{error}");
}

#[test]
fn the_tag_is_the_name() {
    for (method, _) in common::methods() {
        let value = serde_json::to_value(&method).unwrap();
        let tag = value["algorithm"].as_str().unwrap();
        assert!(method.name().starts_with(tag), "{tag}");
    }
}

/// Names, aliases and whether a method has a KL: users' commands rely on them, and on their order in the help.
#[test]
fn the_names_of_old_are_in_the_table_in_their_order() {
    let want: [(&str, &[&str], bool); 15] = [
        ("inpo", &[], true),
        ("nash_md", &["nash-md"], true),
        ("nash_ema", &["nash-ema"], true),
        ("sppo", &["hedge", "mwu", "multiplicative_weights"], false),
        ("iterative_ipo", &["iterative-ipo"], false),
        ("iterative_dpo", &["iterative-dpo"], false),
        ("onpo", &["omwu"], false),
        ("egpo", &[], true),
        ("mpo", &["mmd", "magnetic"], true),
        ("comal", &[], true),
        ("mnpo", &[], false),
        ("regret_matching", &["regret-matching"], false),
        ("regret_matching_plus", &["regret-matching-plus"], false),
        ("fictitious_play", &["fictitious-play"], true),
        ("replicator", &[], true),
    ];
    let mut entries = Method::ALGORITHMS.iter();
    for (name, aliases, has_kl) in want {
        let entry = entries.find(|entry| entry.name == name).expect(name);
        assert_eq!((entry.aliases, entry.has_kl()), (aliases, has_kl), "{name}");
    }
    assert_eq!(Method::named("OMWU").map(|entry| entry.name), Some("onpo"));
    assert_eq!(Method::named("spo"), None);
}

#[test]
fn every_entry_is_of_its_method_and_says_what_it_is() {
    let (start, settings) = (Strategy::uniform(3), given());
    for entry in Method::ALGORITHMS {
        let method = Method::from_choice(&choice(entry, &settings, &start)).unwrap();
        assert_eq!(method.algorithm(), entry);
        assert!(
            !entry.help.is_empty() && !entry.help.ends_with('.'),
            "{}",
            entry.name
        );
        let same = |other: &&Algorithm| other.is_called(entry.name);
        assert_eq!(
            Method::ALGORITHMS.iter().filter(same).count(),
            1,
            "{}",
            entry.name
        );
    }
    let mine = &Algorithm {
        name: "mine",
        ..Algorithm::DEFAULT
    };
    let error = Method::from_choice(&choice(mine, &settings, &start)).unwrap_err();
    assert_eq!(error.to_string(), "there is no method \"mine\"");
}

/// Every setting, none of them the default.
fn given() -> MethodSettings {
    MethodSettings {
        tau: Some(0.3),
        eta: Some(0.7),
        schedule: None,
        period: Some(9),
        decay: Some(0.25),
        history_weights: Some(vec![0.75, 0.25]),
        base: Some(Reference::Fixed),
        step: Some(0.125),
    }
}

fn choice<'a>(
    algorithm: &'static Algorithm,
    settings: &'a MethodSettings,
    start: &'a Strategy,
) -> Choice<'a> {
    Choice {
        algorithm,
        settings,
        start,
        iterations: 16,
    }
}

/// The settings of a method as JSON, without its tag.
fn built(name: &str, settings: &MethodSettings) -> serde_json::Value {
    let start = Strategy::uniform(3);
    let entry = Method::named(name).unwrap();
    let method = Method::from_choice(&choice(entry, settings, &start)).unwrap();
    let mut value = serde_json::to_value(method).unwrap();
    value.as_object_mut().unwrap().remove("algorithm");
    value
}

#[test]
fn a_method_reads_what_is_given_and_else_its_defaults() {
    use serde_json::json;

    let step = json!({"constant": 0.7});
    let eta = MethodSettings {
        eta: Some(0.7),
        ..MethodSettings::default()
    };
    for (name, by_default, all) in [
        (
            "inpo",
            json!({"step_size": step}),
            json!({"step_size": step}),
        ),
        (
            "nash_ema",
            json!({"step_size": step, "decay": 0.5}),
            json!({"step_size": step, "decay": 0.25}),
        ),
        (
            "iterative_ipo",
            json!({"step_size": step, "reference": "previous"}),
            json!({"step_size": step, "reference": "fixed"}),
        ),
        (
            "mpo",
            json!({"step_size": step, "tau": 0.0, "period": 20}),
            json!({"step_size": step, "tau": 0.3, "period": 9}),
        ),
        (
            "mnpo",
            json!({"step_size": step, "weights": [0.5, 0.3, 0.2], "opponents": "history"}),
            json!({"step_size": step, "weights": [0.75, 0.25], "opponents": "history"}),
        ),
        (
            "regret_matching_plus",
            json!({"plus": true}),
            json!({"plus": true}),
        ),
        ("replicator", json!({"step": 0.5}), json!({"step": 0.125})),
    ] {
        assert_eq!(built(name, &eta), by_default, "{name}");
        assert_eq!(built(name, &given()), all, "{name}");
    }
}

#[test]
fn schedules_give_the_step_sizes_of_their_theorems() {
    use serde_json::json;

    let with = |schedule, eta| MethodSettings {
        tau: Some(0.1),
        schedule: Some(schedule),
        eta,
        ..MethodSettings::default()
    };
    let theory = with(Schedule::Theory, None);
    assert_eq!(built("inpo", &theory), json!({"step_size": "theory"}));
    assert_eq!(
        built("onpo", &theory),
        json!({"step_size": {"constant": 2.0}})
    );
    // 1 / (4 tau)
    assert_eq!(built("mpo", &theory)["step_size"], json!({"constant": 2.5}));
    let scale = |value: &serde_json::Value| value["step_size"]["sqrt"]["scale"].as_f64().unwrap();
    // sqrt(1 / (8 log 3)), and INPO's 1 / sqrt(log 3)
    assert!((scale(&built("sppo", &theory)) - 0.337_312_1).abs() < 1e-6);
    let sqrt = built("sppo", &with(Schedule::Sqrt, None));
    assert!((scale(&sqrt) - 0.954_064_2).abs() < 1e-6, "{sqrt}");
    assert_eq!(sqrt["step_size"]["sqrt"]["horizon"], 16);
    assert_eq!(scale(&built("sppo", &with(Schedule::Sqrt, Some(3.0)))), 3.0);

    let start = Strategy::uniform(3);
    let nothing = MethodSettings::default();
    let inpo = choice(Method::named("inpo").unwrap(), &nothing, &start);
    assert_eq!(
        Method::from_choice(&inpo).unwrap_err().to_string(),
        "eta is missing: the constant schedule needs an inverse step size"
    );
}

#[test]
fn settings_that_are_not_read_are_named_in_order() {
    let unused = |name: &str, schedule| {
        let given = MethodSettings {
            schedule,
            ..given()
        };
        Method::named(name).unwrap().unused(&given).join(" ")
    };
    let constant = Some(Schedule::Constant);
    let all = "eta schedule period decay history_weights base step";
    assert_eq!(unused("fictitious_play", constant), all);
    assert_eq!(
        unused("inpo", constant),
        "period decay history_weights base step"
    );
    assert_eq!(
        unused("inpo", Some(Schedule::Theory)),
        "eta period decay history_weights base step"
    );
    assert_eq!(unused("comal", constant), "decay history_weights base step");
    assert_eq!(
        unused("replicator", None),
        "eta period decay history_weights base"
    );
    let inpo = Method::named("inpo").unwrap();
    assert!(inpo.unused(&MethodSettings::default()).is_empty());
}

#[test]
fn a_method_refuses_the_games_that_it_does_not_play() {
    for (method, tau) in common::methods() {
        method.validate(&problem(tau)).unwrap();
        let algorithm = method.name();
        let (tau, want) = match method.algorithm().plays {
            Plays::Plain => (
                0.1,
                SolverError::PlainGameOnly {
                    algorithm,
                    tau: 0.1,
                },
            ),
            Plays::Regularised => (0.0, SolverError::NeedsTau { algorithm }),
            Plays::Either => continue,
        };
        assert_eq!(method.validate(&problem(tau)), Err(want));
    }
}

#[test]
fn the_state_of_any_method_needs_its_method() {
    let problem = problem(0.0);
    let error = MethodState::at(&problem, problem.reference()).unwrap_err();
    assert!(
        error.to_string().contains("call `start` of the method"),
        "{error}"
    );
}
