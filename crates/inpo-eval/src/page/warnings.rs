//! What to be careful about: each warning has a rule with its threshold here.

use serde::Serialize;

use super::RunReport;
use crate::evaluation::Evaluation;
use crate::interval::Interval;

/// The win rate by the held-out judge may fall by this much below an earlier iteration's, while that by the training judge
/// rises.
pub const HELD_OUT_FALL: f64 = 0.02;

/// How much longer than the reference's the policy's responses may be.
pub const LENGTH_GROWTH: f64 = 1.5;

/// The share of comparisons asked in both orders whose verdict may change with the order.
pub const ORDER_INCONSISTENCY: f64 = 0.25;

/// How far from 1/2 the share of verdicts for the response shown first may lie.
pub const FIRST_POSITION: f64 = 0.1;

/// The share of verdicts that may be invalid.
pub const INVALID: f64 = 0.05;

/// The share of triples of responses that may be cyclic.
pub const CYCLES: f64 = 0.1;

/// The fewest held-out prompts.
pub const FEW_PROMPTS: usize = 40;

/// The share of responses that the token limit may cut off.
pub const CUT_OFF: f64 = 0.1;

/// The share of prompts whose pair may be dropped.
pub const DROPPED: f64 = 0.5;

/// Something to be careful about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The rule's name.
    pub rule: &'static str,
    /// What was seen.
    pub sentence: String,
    /// When the rule warns.
    pub when: String,
    /// What to do.
    pub advice: &'static str,
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Everything to be careful about in a run.
pub(super) fn warnings(report: &RunReport) -> Vec<Warning> {
    let mut found = Vec::new();
    unfinished(report, &mut found);
    if let Some((last, before)) = report.iterations.split_last()
        && last.iteration > 0
    {
        over_optimisation(last, before, &mut found);
        length(last, before, &mut found);
        prompts(report, last, &mut found);
        cut_off(last, &mut found);
    }
    judge(report, &mut found);
    pairs(report, &mut found);
    found
}

fn unfinished(report: &RunReport, found: &mut Vec<Warning>) {
    if report.summary.is_finished {
        return;
    }
    let done = report.summary.iterations_done;
    let of = match report.summary.iterations_planned {
        Some(planned) => format!("{done} of {planned} iterations are trained"),
        None => format!("{done} iterations are trained"),
    };
    found.push(Warning {
        rule: "unfinished",
        sentence: format!("The run is not finished: {of}."),
        when: "trainer_state.json, which a run writes at its end, is not there".to_owned(),
        advice: "Go on with --resume, then write the report again.",
    });
}

fn over_optimisation(last: &Evaluation, before: &[Evaluation], found: &mut Vec<Warning>) {
    let Some(held_out) = last.held_out_win_rate_vs_ref else {
        return;
    };
    let rate = last.win_rate_vs_ref;
    let beats = |interval: Interval| interval.low > 0.5;
    let advice = "Ship an earlier iteration, stop earlier, raise objective.tau, or train with a judge that is harder to please.";
    if beats(rate) && !beats(held_out) && last.oracle_gap.is_some_and(|gap| gap.low > 0.0) {
        found.push(Warning {
            rule: "over-optimisation",
            sentence: format!(
                "By the training judge iteration {} wins {rate} against the reference, by the held-out judge {held_out}: \
                 the gain is the training judge's alone.",
                last.iteration
            ),
            when: "the training judge's interval lies above 50 %, the held-out judge's does not, and their difference lies \
                   above 0"
                .to_owned(),
            advice,
        });
        return;
    }
    let worse = before.iter().find(|earlier| {
        let theirs = earlier.held_out_win_rate_vs_ref;
        let fell = theirs.is_some_and(|theirs| theirs.mean - held_out.mean > HELD_OUT_FALL);
        fell && rate.mean > earlier.win_rate_vs_ref.mean
    });
    if let Some(earlier) = worse {
        found.push(Warning {
            rule: "over-optimisation",
            sentence: format!(
                "From iteration {} to {} the win rate against the reference rises by the training judge ({:.1} to {:.1} %) and \
                 falls by the held-out judge ({:.1} to {:.1} %).",
                earlier.iteration,
                last.iteration,
                100.0 * earlier.win_rate_vs_ref.mean,
                100.0 * rate.mean,
                100.0 * earlier.held_out_win_rate_vs_ref.map_or(0.5, |rate| rate.mean),
                100.0 * held_out.mean,
            ),
            when: format!(
                "the win rate rises by the training judge and falls by more than {} by the held-out judge",
                percent(HELD_OUT_FALL)
            ),
            advice,
        });
    }
}

fn length(last: &Evaluation, before: &[Evaluation], found: &mut Vec<Warning>) {
    let rate = last.win_rate_vs_ref;
    if let Some(controlled) = &last.length_controlled
        && rate.low > 0.5
        && controlled.win_rate.low <= 0.5
    {
        found.push(Warning {
            rule: "length exploitation",
            sentence: format!(
                "Iteration {} wins {rate} against the reference, and {} with the effect of length taken out.",
                last.iteration, controlled.win_rate
            ),
            when: "the interval of the win rate lies above 50 %, that of the length-controlled one does not".to_owned(),
            advice: "Read the samples; choose a judge that does not prefer length, or limit generation.max_new_tokens.",
        });
    }
    let reference = before.first().filter(|first| first.iteration == 0);
    if let Some(reference) = reference
        && last.mean_length > LENGTH_GROWTH * reference.mean_length
    {
        found.push(Warning {
            rule: "length growth",
            sentence: format!(
                "The responses of iteration {} have {:.1} tokens on average, those of the reference {:.1}.",
                last.iteration, last.mean_length, reference.mean_length
            ),
            when: format!("the mean length is more than {LENGTH_GROWTH} times the reference's"),
            advice: "Look at the length-controlled win rate and at select/len_chosen_minus_rejected; a judge that prefers \
                     length makes policies long.",
        });
    }
}

fn prompts(report: &RunReport, last: &Evaluation, found: &mut Vec<Warning>) {
    if last.prompts < FEW_PROMPTS {
        found.push(Warning {
            rule: "few prompts",
            sentence: format!(
                "The evaluation has {} held-out prompt{}.",
                last.prompts,
                match last.prompts {
                    1 => ", and one says nothing of others: its intervals are points",
                    _ => "s",
                }
            ),
            when: format!("there are fewer than {FEW_PROMPTS} held-out prompts"),
            advice: "Give data.eval_prompts more prompts: intervals of few are wide, and the probe's are too narrow.",
        });
    }
    let shipped = report.shipped().unwrap_or(last);
    let rate = shipped.win_rate_vs_ref;
    if shipped.iteration > 0 && rate.holds(0.5) {
        found.push(Warning {
            rule: "undecided",
            sentence: format!(
                "The win rate of iteration {} against the reference, {rate}, is not told apart from 50 %.",
                shipped.iteration
            ),
            when: "the interval of the win rate holds 50 %".to_owned(),
            advice: "Take more held-out prompts; four times as many make an interval half as wide.",
        });
    }
    let value = |key: &str| {
        let mut settings = report.settings.iter();
        settings.find(|s| s.key == key).map(|s| &s.value)
    };
    let held_out = value("data.eval_prompts");
    if held_out.is_some() && held_out == value("data.prompts") {
        found.push(Warning {
            rule: "prompts not held out",
            sentence: "The policy is evaluated on the file of prompts that it is trained on."
                .to_owned(),
            when: "data.eval_prompts names the file of data.prompts".to_owned(),
            advice: "Keep some prompts apart and name their file in data.eval_prompts.",
        });
    }
}

fn cut_off(last: &Evaluation, found: &mut Vec<Warning>) {
    if last.clipped_ratio > CUT_OFF {
        found.push(Warning {
            rule: "truncated responses",
            sentence: format!(
                "{} of the responses of iteration {} are cut off at the token limit.",
                percent(last.clipped_ratio),
                last.iteration
            ),
            when: format!("more than {} are cut off", percent(CUT_OFF)),
            advice: "Raise generation.max_new_tokens: the judge sees unfinished responses, and the policy does not learn to end.",
        });
    }
}

fn judge(report: &RunReport, found: &mut Vec<Warning>) {
    let advice = "Check the judge with `inpo judge --report` on a few of these responses, and choose another, or ask it in \
                  both orders.";
    let rules = [
        JudgeRule {
            metric: "judge/order_inconsistency",
            name: "inconsistent judge",
            fair: 0.0,
            most: ORDER_INCONSISTENCY,
            what: "of the judge's comparisons change their verdict with the order",
        },
        JudgeRule {
            metric: "judge/first_position_rate",
            name: "position bias",
            fair: 0.5,
            most: FIRST_POSITION,
            what: "of the judge's verdicts are for the response shown first",
        },
        JudgeRule {
            metric: "judge/invalid_rate",
            name: "invalid verdicts",
            fair: 0.0,
            most: INVALID,
            what: "of the judge's verdicts are invalid",
        },
        JudgeRule {
            metric: "judge/cycle_rate",
            name: "cyclic judge",
            fair: 0.0,
            most: CYCLES,
            what: "of the triples of responses beat each other in a circle",
        },
    ];
    for rule in rules {
        let excess = |share: f64| (share - rule.fair).abs();
        let values = report.training.values(rule.metric);
        let worst = values.max_by(|(_, a), (_, b)| excess(*a).total_cmp(&excess(*b)));
        if let Some((stage, value)) = worst.filter(|(_, value)| excess(*value) > rule.most) {
            let (iteration, share, what) = (stage.iteration, percent(value), rule.what);
            found.push(Warning {
                rule: rule.name,
                sentence: format!("In iteration {iteration} {share} {what}."),
                when: format!(
                    "the share differs from {} by more than {}",
                    percent(rule.fair),
                    percent(rule.most)
                ),
                advice,
            });
        }
    }
}

/// A share of the judge's answers, and how far it may be from that of a fair judge.
struct JudgeRule {
    metric: &'static str,
    name: &'static str,
    fair: f64,
    most: f64,
    what: &'static str,
}

fn pairs(report: &RunReport, found: &mut Vec<Warning>) {
    let selections = report.training.stages.iter();
    let selections = selections.filter(|stage| stage.metrics.contains_key("select/pairs"));
    let worst = selections
        .map(|stage| {
            let metrics = stage.metrics.iter();
            let dropped = metrics.filter(|(key, _)| key.starts_with("select/dropped_"));
            let dropped: f64 = dropped.filter_map(|(_, value)| value.as_f64()).sum();
            let kept = stage.metrics["select/pairs"].as_f64().unwrap_or(0.0);
            (stage.iteration, dropped, kept)
        })
        .filter(|(_, dropped, kept)| *dropped > DROPPED * (dropped + kept))
        .max_by(|a, b| (a.1 / (a.1 + a.2)).total_cmp(&(b.1 / (b.1 + b.2))));
    if let Some((iteration, dropped, kept)) = worst {
        found.push(Warning {
            rule: "degenerate pairs",
            sentence: format!(
                "In iteration {iteration} {dropped} of {} pairs are dropped: ties, equal or empty responses, or lost finals.",
                dropped + kept
            ),
            when: format!("more than {} are dropped", percent(DROPPED)),
            advice: "Raise generation.temperature or num_generations, narrow oracle.tie_band, or choose another \
                     selection.strategy; see the table of the selection.",
        });
    }
}
