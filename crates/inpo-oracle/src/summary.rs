//! What a judge's answers say of the judge.

use inpo_data::Completion;
use inpo_game::OracleCounts;
use serde::Serialize;

use crate::cycles::{CycleReport, cycle_report};
use crate::judge::Answers;

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
    /// The share of decided comparisons that the longer response wins, in characters; equal lengths are left out.
    pub length_preference: Option<f64>,
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
    /// Of the answers about the `responses` to each prompt, and of what the oracle counted while it gave them.
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
    ) -> Self {
        assert_eq!(responses.len(), answers.len(), "answers about each prompt");
        let asked: Vec<f64> = answers.iter().flat_map(Answers::asked).collect();
        let cycles: CycleReport = answers
            .iter()
            .map(|answers| cycle_report(answers.matrix()).expect("answers are complementary"))
            .sum();
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
            triples: cycles.triples,
            cyclic_triples: cycles.cyclic,
            length_preference: length_preference(responses, answers),
            prompt_tokens: counts.prompt_tokens,
            completion_tokens: counts.completion_tokens,
            cost: counts.cost,
            latency: (counts.calls > 0).then(|| counts.seconds / counts.calls as f64),
        }
    }
}

/// The share of decided comparisons that the longer response wins, in characters.
fn length_preference(responses: &[&[Completion]], answers: &[Answers]) -> Option<f64> {
    let (mut longer, mut decided) = (0_u64, 0_u64);
    for (responses, answers) in responses.iter().zip(answers) {
        let lengths: Vec<usize> = responses.iter().map(|r| r.text.chars().count()).collect();
        for i in 0..lengths.len() {
            for j in i + 1..lengths.len() {
                let Some(p) = answers.get((i, j)).filter(|&p| p != 0.5) else {
                    continue;
                };
                if lengths[i] != lengths[j] {
                    decided += 1;
                    longer += u64::from((p > 0.5) == (lengths[i] > lengths[j]));
                }
            }
        }
    }
    (decided > 0).then(|| longer as f64 / decided as f64)
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
        writeln!(f, "for the longer        {}", share(self.length_preference))?;
        let margin = self
            .mean_margin
            .map_or("-".to_owned(), |margin| format!("{margin:.3}"));
        writeln!(f, "mean margin           {margin}")?;
        writeln!(
            f,
            "cyclic triples        {}",
            of(self.cyclic_triples, self.triples)
        )?;
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
        let report = JudgeReport::new("j".to_owned(), &[&first, &second], &answers, &counts);
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
