//! A method of `inpo game compare`: NAME[:KEY=VALUE,..].

use clap::ValueEnum;
use inpo_core::solver::{Algorithm, Method, MethodSettings, Reference, Schedule, Solver};

use super::method::{Base, ScheduleArg, Watch};
use crate::error::CliError;

/// A method with the settings of its spec and, where the spec has none, of the flags.
pub(super) struct Contender {
    pub(super) spec: String,
    pub(super) algorithm: &'static Algorithm,
    pub(super) settings: MethodSettings,
    pub(super) watch: Watch,
}

/// Reads NAME[:KEY=VALUE,..]; settings that the spec leaves out come from the flags.
pub(super) fn parse(
    spec: &str,
    flags: MethodSettings,
    watch: Watch,
) -> Result<Contender, CliError> {
    let fail = |what: String| CliError::Input(format!("--algorithm {spec}: {what}"));
    let (name, settings) = spec.split_once(':').unwrap_or((spec, ""));
    let algorithm = Method::named(name).ok_or_else(|| {
        let known: Vec<&str> = Method::ALGORITHMS.iter().map(|entry| entry.name).collect();
        fail(format!(
            "there is no method {name:?}: it must be one of {}",
            known.join(", ")
        ))
    })?;
    // The spec alone first: a setting of its own that the method does not read is an error, a flag is not.
    let mut contender = Contender {
        spec: spec.to_owned(),
        algorithm,
        settings: MethodSettings::default(),
        watch,
    };
    for setting in settings.split(',').filter(|s| !s.is_empty()) {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| fail(format!("{setting:?} is not of the form KEY=VALUE")))?;
        let number = || {
            let parsed = value.parse::<f64>();
            parsed.map_err(|_| fail(format!("{key} is {value:?}, which is not a number")))
        };
        let own = &mut contender.settings;
        match key {
            "tau" => own.tau = Some(number()?),
            "eta" => own.eta = Some(number()?),
            "decay" => own.decay = Some(number()?),
            "step" => own.step = Some(number()?),
            "period" => {
                let period = value.parse::<u64>();
                own.period = Some(period.map_err(|_| {
                    fail(format!("period is {value:?}, which is not a whole number"))
                })?);
            }
            "history_weights" => {
                let weights: Result<Vec<f64>, _> = value.split('+').map(str::parse).collect();
                let weights = weights.map_err(|_| {
                    fail(format!(
                        "history_weights is {value:?}: give numbers with + between them"
                    ))
                })?;
                own.history_weights = Some(weights);
            }
            "schedule" => {
                let schedule = choice::<ScheduleArg>(value).map_err(fail)?;
                own.schedule = Some(Schedule::from(schedule));
            }
            "base" => own.base = Some(Reference::from(choice::<Base>(value).map_err(fail)?)),
            "watch" => contender.watch = choice(value).map_err(fail)?,
            _ => {
                return Err(fail(format!(
                    "there is no setting {key:?}: it must be tau, eta, schedule, period, decay, base, \
                     step, history_weights or watch"
                )));
            }
        }
    }
    let own = contender.settings;
    if let Some(name) = algorithm.unused(&own).first() {
        return Err(fail(format!(
            "{name} is not used by this method as it is set"
        )));
    }
    contender.settings = MethodSettings {
        // The tau of the flag is for methods with a KL; a spec with an eta has a constant schedule.
        tau: own.tau.or(flags.tau.filter(|_| algorithm.has_kl())),
        schedule: own
            .schedule
            .or(flags.schedule.filter(|_| own.eta.is_none())),
        eta: own.eta.or(flags.eta),
        period: own.period.or(flags.period),
        decay: own.decay.or(flags.decay),
        history_weights: own.history_weights.or(flags.history_weights),
        base: own.base.or(flags.base),
        step: own.step.or(flags.step),
    };
    Ok(contender)
}

fn choice<T: ValueEnum>(value: &str) -> Result<T, String> {
    T::from_str(value, true).map_err(|_| {
        let known: Vec<String> = T::value_variants()
            .iter()
            .filter_map(|v| v.to_possible_value())
            .map(|v| v.get_name().to_owned())
            .collect();
        format!("{value:?} is not one of {}", known.join(", "))
    })
}
