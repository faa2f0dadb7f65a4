//! `inpo doctor`: a look at a run before it starts.

use std::path::PathBuf;

use clap::Args;
use inpo_console::find_model;
use inpo_core::oracle::Oracle;
use inpo_core::train::doctor::{Disk, Doctor, DoctorOptions, Examination, Forecast, Lengths};
use inpo_core::train::{Models, RunConfig, TrainError};
use serde_json::json;

use crate::error::CliError;
use crate::print::{lines, tell};
use crate::run::read;

/// Looks at a run before it starts: what the model reads, what is asked, what it takes. Trains nothing that is kept.
///
/// Everything that would stop the run is listed: settings, paths, models, prompts, servers. One iteration on a few prompts is
/// measured in a folder beside `output_dir` and thrown away; a judge that costs something is asked four comparisons.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// TOML configuration of `inpo run`.
    #[arg(long)]
    config: PathBuf,
    /// Override a setting, for instance `train.learning_rate=1e-5`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Override `device`: flex (the CPU), cuda:N, tch, wgpu, cpu; `inpo devices` lists them.
    #[arg(long)]
    device: Option<String>,
    /// How many prompts to show as the model reads them.
    #[arg(long, default_value_t = 2)]
    rows: usize,
    /// Prompts to measure on, 0: measure nothing and ask no judge. Default: as many as fill the sampler's batch twice, at most
    /// 32.
    #[arg(long)]
    probe_prompts: Option<usize>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<(), CliError> {
    let mut config = read(&args.config, &args.overrides)?;
    if let Some(device) = &args.device {
        config.common.device.clone_from(device);
    }
    let mut problems = Problems::default();
    problems.check(config.check_output_dir());
    let doctor = Doctor::new(&config)?;
    let device = inpo_core::device(&config.common.device)?;
    let scratch = doctor.config();
    let oracle = problems.check(scratch.init_oracle(&device, find_model));
    let second = problems.check(scratch.init_eval_oracle(&device, find_model));
    let loaded = Models::load(&config.common, None, &device, find_model);
    let loaded = loaded.and_then(|models| models.with_opponents(&config, &device, find_model));
    let models = problems.check(loaded);
    let judges = [oracle.as_ref(), second.as_ref().and_then(Option::as_ref)];
    let mut facts = Vec::new();
    for judge in judges.into_iter().flatten().map(Oracle::judged) {
        match judge.judge().look() {
            Ok(found) => facts.extend(found),
            Err(error) => problems.add(CliError::Other(error.to_string())),
        }
    }
    let options = DoctorOptions {
        shown: args.rows,
        // A judge that does not answer is not asked.
        probe_prompts: match problems.found.is_empty() {
            true => args.probe_prompts,
            false => Some(0),
        },
    };
    let examination = match (models, &oracle) {
        (Some(models), Some(oracle)) => {
            if options.probe_prompts != Some(0) {
                tell("measuring one iteration on a few prompts ..");
            }
            let second = second.as_ref().and_then(Option::as_ref);
            problems.check(doctor.examine(models, oracle, second, &options))
        }
        _ => None,
    };
    if let Some(examination) = &examination {
        if args.json {
            let mut document = json!(examination);
            document["judges"] = json!(facts);
            lines([document.to_string()])?;
        } else {
            lines(text(&config, examination, &facts))?;
        }
    }
    problems.result()
}

/// What would stop the run.
#[derive(Default)]
struct Problems {
    found: Vec<CliError>,
}

impl Problems {
    fn add(&mut self, error: CliError) {
        self.found.push(error);
    }

    fn check<T>(&mut self, result: Result<T, TrainError>) -> Option<T> {
        result.map_err(|error| self.add(error.into())).ok()
    }

    /// The last one, after all others were told.
    fn result(mut self) -> Result<(), CliError> {
        let Some(last) = self.found.pop() else {
            return Ok(());
        };
        for error in self.found {
            tell(&format!("error: {error}"));
        }
        Err(last)
    }
}

/// The examination for people.
fn text(config: &RunConfig, found: &Examination, facts: &[String]) -> Vec<String> {
    let mut lines = vec![found.header()];
    lines.extend(facts.iter().map(|fact| format!("judge      {fact}")));
    lines.push(String::new());
    for (name, lengths) in [
        ("prompts", &found.prompts),
        ("held-out prompts", &found.eval_prompts),
    ] {
        lines.extend(lengths.iter().flat_map(|lengths| histogram(name, lengths)));
    }
    lines.push(format!(
        "A prompt may have {} tokens beside generation.max_new_tokens, {}: all fit, and none is cut.",
        found.prompt_limit, config.generation.max_new_tokens
    ));
    for prompt in &found.shown {
        lines.push(String::new());
        let (id, count) = (prompt.prompt_id, prompt.token_ids.len());
        lines.push(format!(
            "Prompt {id} as the model reads it, {count} tokens:"
        ));
        lines.push(format!("{:?}", prompt.text));
        let ids: Vec<String> = prompt.token_ids.iter().map(u32::to_string).collect();
        lines.push(ids.join(" "));
    }
    lines.push(String::new());
    for plan in &found.iterations {
        lines.push(format!(
            "iteration {}: {} prompts, at most {} optimiser steps, anchors {}",
            plan.iteration, plan.prompts, plan.steps_at_most, plan.anchors
        ));
    }
    lines.push(String::new());
    if found.differs_from_paper.is_empty() {
        lines.push("Every setting that the paper states is the paper's.".to_owned());
    } else {
        lines.push("Not as in the paper (arXiv 2407.00617, section 5):".to_owned());
    }
    for difference in &found.differs_from_paper {
        lines.push(format!(
            "  {} = {} (paper: {})",
            difference.key, difference.here, difference.paper
        ));
    }
    if let Some(judge) = &found.judge {
        let cost = judge
            .cost
            .map_or(String::new(), |cost| format!(", costing {cost:.2}"));
        lines.push(String::new());
        lines.push(format!(
            "The judge would be asked at most {} comparisons in {} calls: about {} tokens read and at most {} written{cost}.",
            judge.comparisons, judge.calls, judge.prompt_tokens, judge.completion_tokens
        ));
        lines.push(format!(
            "It was asked {} and took {:.2} s for each; {} answers could not be used.",
            judge.asked, judge.seconds_per_comparison, judge.invalid
        ));
    }
    lines.extend(found.forecast.iter().flat_map(forecast));
    lines.extend(found.disk.iter().map(disk));
    let warnings = found.warnings.iter();
    lines.extend(warnings.map(|warning| format!("warning: {warning}")));
    lines
}

/// A histogram of token counts.
fn histogram(name: &str, lengths: &Lengths) -> Vec<String> {
    let Lengths {
        prompts,
        min,
        median,
        p90,
        max,
        ..
    } = lengths;
    let mut lines = vec![format!(
        "{prompts} {name} of {min} to {max} tokens, median {median}, nine of ten at most {p90}"
    )];
    let most = lengths.histogram.iter().map(|bar| bar.1).max().unwrap_or(1);
    for (last, count) in &lengths.histogram {
        let bar = "#".repeat((count * 40).div_ceil(most));
        lines.push(format!("  up to {last:>6}  {count:>7}  {bar}"));
    }
    lines
}

fn forecast(forecast: &Forecast) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!(
            "Measured on {} prompts: responses of {:.0} tokens ({:.0} % cut off), {} pairs kept. If that stays so, the run takes",
            forecast.prompts,
            forecast.response_tokens,
            100.0 * forecast.clipped_ratio,
            forecast.pairs
        ),
    ];
    for stage in &forecast.stages {
        lines.push(format!(
            "  {:<12} {:>10}  {} {}",
            stage.stage,
            duration(stage.seconds),
            stage.count,
            stage.unit
        ));
    }
    lines.push(format!(
        "  {:<12} {:>10}",
        "all",
        duration(forecast.seconds)
    ));
    if let Some(peak) = forecast.peak_memory {
        let free = forecast.available_memory;
        let free = free.map_or(String::new(), |free| {
            format!(" of {} that are free", bytes(free))
        });
        lines.push(format!("  {:<12} {:>10}{free}", "memory", bytes(peak)));
    }
    lines
}

fn disk(disk: &Disk) -> String {
    let free = disk.free;
    let free = free.map_or(String::new(), |free| {
        format!(" of {} that are free", bytes(free))
    });
    format!("  {:<12} {:>10}{free}", "disk", bytes(disk.needed))
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 600.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn bytes(count: u64) -> String {
    let mib = count as f64 / f64::from(1 << 20);
    match mib {
        mib if mib < 1024.0 => format!("{mib:.0} MiB"),
        mib => format!("{:.1} GiB", mib / 1024.0),
    }
}
