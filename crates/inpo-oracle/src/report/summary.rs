//! What a judge's answers say of the judge.

use inpo_data::Completion;
use inpo_game::OracleCounts;
use serde::Serialize;

use super::BootstrapConfig;
use super::Interval;
use super::adequacy::{Adequacy, AdequacyConfig, bradley_terry_adequacy, votes};
use super::agreement::{Agreement, AgreementError, agreement_of};
use super::cycles::cycle_rate;
use super::length::{LengthPreference, LengthSlope, length_preference};
use super::weak_order::{MAX_RESPONSES, weak_order};
use crate::judge::Answers;

/// Prompts that the test of Bradley-Terry looks at: the first with 3 responses or more. 300 of 8 responses take 7 s.
const TESTED_PROMPTS: usize = 300;

/// The report on a judge: how far its answers can be trusted. docs/judges.md has the definitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeReport {
    /// The judge, with its parameters.
    pub judge: String,
    /// Prompts that it compared responses to.
    pub prompts: usize,
    /// Pairs of responses that were compared.
    pub comparisons: u64,
    /// Requests, or sequences read by a model, that this report cost; verdicts of a journal cost none.
    pub calls: u64,
    /// Verdicts, each in one order.
    pub verdicts: u64,
    /// Verdicts that were known from a journal.
    pub kept: u64,
    /// Verdicts that could not be used.
    pub invalid: u64,
    /// Comparisons with P = 1/2, without those that have no valid verdict.
    pub ties: u64,
    /// Comparisons without a valid verdict.
    pub unanswered: u64,
    /// The share of decided verdicts in one order for the response shown first.
    pub first_position_rate: Option<f64>,
    /// The share of comparisons with a verdict in both orders that change with the order.
    pub order_inconsistency: Option<f64>,
    /// Mean of |2P - 1| over comparisons.
    pub mean_margin: Option<f64>,
    /// Triples of responses to one prompt, all three comparisons asked.
    pub triples: u64,
    /// Triples in which each response beats the next one round.
    pub cyclic_triples: u64,
    /// The interval of 95 % of their share, over prompts.
    pub cyclic_interval: Option<Interval>,
    /// The fewest comparisons whose outcome must change so that each prompt's responses are ranked, ties allowed, summed
    /// over prompts of up to 12 responses.
    pub order_violations: u64,
    /// The share of decided comparisons that the longer response wins, in characters; equal lengths are left out.
    pub length_preference: Option<f64>,
    /// How fast the log-odds of winning grow with the difference in length.
    pub length_slope: LengthSlope,
    /// The difference in length that the slope counts in, in characters.
    pub length_unit: f64,
    /// Whether scores explain the answers, or the preference is cyclic beyond noise.
    pub adequacy: Adequacy,
    /// How often another oracle, or people, say the same.
    pub agreement: Option<Agreement>,
    /// Whom it is compared with.
    pub against: Option<String>,
    /// Tokens that the judge read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// The price of its calls, in the currency of the configuration's prices.
    pub cost: Option<f64>,
    /// Mean seconds from a question to its answer.
    pub latency: Option<f64>,
}

impl JudgeReport {
    /// Of the answers about the `responses` to each prompt, and of what the oracle counted while it gave them. Each answer
    /// is the mean of `votes_per_answer` verdicts: 2 where both orders were asked.
    ///
    /// # Panics
    ///
    /// If there are not as many prompts with responses as answers.
    #[must_use]
    pub fn new(
        judge: String,
        responses: &[&[Completion]],
        answers: &[Answers],
        counts: &OracleCounts,
        votes_per_answer: u32,
    ) -> Self {
        assert_eq!(responses.len(), answers.len(), "answers about each prompt");
        let asked: Vec<f64> = answers.iter().flat_map(Answers::asked).collect();
        let bootstrap = BootstrapConfig::default();
        let cycles = cycle_rate(answers, &bootstrap).expect("answers are complementary");
        let length = length(responses, answers);
        let flips = answers
            .iter()
            .filter(|answers| answers.count() <= MAX_RESPONSES);
        let flips = flips.map(|answers| weak_order(answers).expect("few responses").violations);
        let tested = answers.iter().filter(|answers| answers.count() > 2);
        let tested = tested.take(TESTED_PROMPTS);
        let tested: Vec<_> = tested
            .map(|answers| votes(answers, votes_per_answer))
            .collect();
        let adequacy = bradley_terry_adequacy(&tested, &AdequacyConfig::default());
        let margin = asked.iter().map(|p| (2.0 * p - 1.0).abs()).sum::<f64>();
        let halves = asked.iter().filter(|&&p| p == 0.5).count() as u64;
        Self {
            judge,
            prompts: answers.len(),
            comparisons: asked.len() as u64,
            calls: counts.calls,
            verdicts: counts.verdicts,
            kept: counts.kept,
            invalid: counts.invalid,
            ties: halves.saturating_sub(counts.unanswered),
            unanswered: counts.unanswered,
            first_position_rate: counts.first_position_rate(),
            order_inconsistency: counts.order_inconsistency(),
            mean_margin: (!asked.is_empty()).then(|| margin / asked.len() as f64),
            triples: cycles.report.triples,
            cyclic_triples: cycles.report.cyclic,
            cyclic_interval: cycles.interval,
            order_violations: flips.sum::<usize>() as u64,
            length_preference: length.share,
            length_slope: length.slope,
            length_unit: length.unit,
            adequacy: adequacy.expect("answers are probabilities"),
            agreement: None,
            against: None,
            prompt_tokens: counts.prompt_tokens,
            completion_tokens: counts.completion_tokens,
            cost: counts.cost,
            latency: (counts.calls > 0).then(|| counts.seconds / counts.calls as f64),
        }
    }
}

/// How much the longer response wins, in characters.
fn length(responses: &[&[Completion]], answers: &[Answers]) -> LengthPreference {
    let characters = |r: &Completion| r.text.chars().count();
    let lengths: Vec<Vec<usize>> = responses
        .iter()
        .map(|responses| responses.iter().map(characters).collect())
        .collect();
    let prompts = answers.iter().zip(&lengths);
    let prompts: Vec<_> = prompts
        .map(|(answers, lengths)| (answers, lengths.as_slice()))
        .collect();
    length_preference(&prompts).expect("a length for each response")
}

impl JudgeReport {
    /// The same report with the agreement of another oracle's answers to the same comparisons.
    ///
    /// # Errors
    ///
    /// Answers about other responses.
    pub fn with_agreement(
        mut self,
        answers: &[Answers],
        others: &[Answers],
        name: String,
    ) -> Result<Self, AgreementError> {
        self.agreement = Some(agreement_of(answers, others)?);
        self.against = Some(name);
        Ok(self)
    }
}

impl std::fmt::Display for JudgeReport {
    /// A table of two columns.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = |value: Option<f64>| match value {
            Some(value) => format!("{:.1} %", 100.0 * value),
            None => "-".to_owned(),
        };
        let of = |part: u64, whole: u64| {
            let rate = (whole > 0).then(|| part as f64 / whole as f64);
            format!("{part} of {whole} ({})", share(rate))
        };
        writeln!(f, "judge                 {}", self.judge)?;
        let (comparisons, prompts) = (self.comparisons, self.prompts);
        writeln!(
            f,
            "comparisons           {comparisons} over {prompts} prompts"
        )?;
        writeln!(
            f,
            "calls                 {} ({} verdicts known before)",
            self.calls, self.kept
        )?;
        writeln!(
            f,
            "invalid verdicts      {}",
            of(self.invalid, self.verdicts)
        )?;
        writeln!(f, "ties                  {}", of(self.ties, comparisons))?;
        writeln!(
            f,
            "for the first shown   {}",
            share(self.first_position_rate)
        )?;
        writeln!(
            f,
            "changes with order    {}",
            share(self.order_inconsistency)
        )?;
        let slope = match self.length_slope {
            LengthSlope::Estimate {
                slope, interval, ..
            } => {
                let Interval { low, high } = interval;
                let unit = self.length_unit;
                format!(", log-odds {slope:+.2} [{low:+.2}, {high:+.2}] per {unit:.0} characters")
            }
            _ => String::new(),
        };
        let longer = share(self.length_preference);
        writeln!(f, "for the longer        {longer}{slope}")?;
        let margin = self
            .mean_margin
            .map_or("-".to_owned(), |margin| format!("{margin:.3}"));
        writeln!(f, "mean margin           {margin}")?;
        writeln!(
            f,
            "cyclic triples        {}",
            of(self.cyclic_triples, self.triples)
        )?;
        if let Some(Interval { low, high }) = self.cyclic_interval {
            let [low, high] = [low, high].map(|share| 100.0 * share);
            writeln!(
                f,
                "                      [{low:.1} %, {high:.1} %] over prompts"
            )?;
        }
        writeln!(
            f,
            "flips to an order     {}",
            of(self.order_violations, comparisons)
        )?;
        writeln!(f, "Bradley-Terry         {}", self.adequacy)?;
        if let (Some(agreement), Some(against)) = (&self.agreement, &self.against) {
            let kappa = agreement
                .kappa
                .map_or("-".to_owned(), |kappa| format!("{kappa:.3}"));
            let same = share(agreement.share);
            writeln!(
                f,
                "agreement             {same}, Cohen's kappa {kappa}, with {against}"
            )?;
        }
        let (read, written) = (self.prompt_tokens, self.completion_tokens);
        if read + written > 0 {
            writeln!(f, "tokens                {read} read, {written} written")?;
        }
        if let Some(cost) = self.cost {
            writeln!(f, "cost                  {cost:.4}")?;
        }
        if let Some(latency) = self.latency.filter(|&latency| latency > 0.0) {
            writeln!(f, "mean latency          {latency:.3} s")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three responses of 1, 2 and 3 characters; P(0, 1) = 1, P(1, 2) = 0.75, P(2, 0) = 0.9: a circle. The longer one
    /// wins one of three; margins 1, 0.5 and 0.8. A second prompt has one tie, one comparison without a verdict.
    #[test]
    fn figures_of_a_worked_example() {
        let of = |texts: &[&str]| -> Vec<Completion> {
            texts.iter().map(|&t| Completion::finished(t)).collect()
        };
        let (first, second) = (of(&["a", "bb", "ccc"]), of(&["dd", "ee", "f"]));
        let n = None;
        let matrix = |rows: [[Option<f64>; 3]; 3]| {
            Answers::from_matrix(rows.iter().map(|row| row.to_vec()).collect())
        };
        let answers = [
            matrix([
                [Some(0.5), Some(1.0), Some(0.1)],
                [Some(0.0), Some(0.5), Some(0.75)],
                [Some(0.9), Some(0.25), Some(0.5)],
            ]),
            matrix([
                [Some(0.5), Some(0.5), n],
                [Some(0.5), Some(0.5), Some(0.5)],
                [n, Some(0.5), Some(0.5)],
            ]),
        ];
        let counts = OracleCounts {
            comparisons: 5,
            unanswered: 1,
            verdicts: 10,
            invalid: 2,
            decided: 7,
            first_wins: 4,
            both_orders: 4,
            inconsistent: 1,
            calls: 8,
            kept: 2,
            seconds: 4.0,
            ..OracleCounts::default()
        };
        let report = JudgeReport::new("j".to_owned(), &[&first, &second], &answers, &counts, 1);
        assert_eq!((report.comparisons, report.calls), (5, 8));
        assert_eq!((report.ties, report.unanswered, report.invalid), (1, 1, 2));
        assert_eq!(report.first_position_rate, Some(4.0 / 7.0));
        assert_eq!(report.order_inconsistency, Some(0.25));
        assert!((report.mean_margin.unwrap() - 2.3 / 5.0).abs() < 1e-12);
        assert_eq!((report.triples, report.cyclic_triples), (1, 1));
        // 0 beats 1 and is shorter, 1 beats 2 and is shorter, 2 beats 0 and is longer.
        assert_eq!(report.length_preference, Some(1.0 / 3.0));
        assert_eq!(report.latency, Some(0.5));
        let table = report.to_string();
        assert!(
            table.contains("invalid verdicts      2 of 10 (20.0 %)"),
            "{table}"
        );
        assert!(
            table.contains("cyclic triples        1 of 1 (100.0 %)"),
            "{table}"
        );
    }
}
