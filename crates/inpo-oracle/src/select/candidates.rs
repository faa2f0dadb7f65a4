//! The selection among one prompt's responses: who may be in a pair, who meets, and what becomes of the pair.

use inpo_data::{Completion, FinishReason};

use super::{Dropped, PairStrategy, Players, Selected, SelectionConfig, Step, Usable, usable};
use crate::judge::Answers;

/// The responses to one prompt among which a pair is selected; see [`SelectionConfig::among`].
///
/// ```
/// use inpo_data::Completion;
/// use inpo_oracle::{Answers, PairStrategy, SelectionConfig};
///
/// let responses = ["a", "b", "a", ""].map(Completion::finished);
/// let config = SelectionConfig::new(PairStrategy::RoundRobin);
/// let candidates = config.among(&responses, 0);
/// assert_eq!(candidates.matches(&Answers::new(4)), [(0, 1)]);
/// ```
#[derive(Clone, Debug)]
pub struct Candidates<'r> {
    config: SelectionConfig,
    responses: &'r [Completion],
    usable: Option<Usable>,
    players: Option<Players>,
}

impl SelectionConfig {
    /// Whether responses that cannot be in a pair are left out before anything is asked; see [`among`](Self::among).
    #[must_use]
    pub fn leaves_out(&self) -> bool {
        let all_play = matches!(
            self.strategy(),
            PairStrategy::Tournament | PairStrategy::Iid
        );
        self.drop_truncated || !all_play
    }

    /// The selection among a prompt's `responses`. `seed` decides whatever the strategy draws for the prompt.
    ///
    /// Responses that are empty or equal to an earlier one, and with `drop_truncated` those that were cut off, are left
    /// out before anything is asked. Not so with `tournament` and `iid` without `drop_truncated`: there every response
    /// plays, as in the paper (and as in the first release, whose runs stay what they were), and a pair of equal
    /// responses, or with an empty one, is dropped afterwards.
    #[must_use]
    pub fn among<'r>(&self, responses: &'r [Completion], seed: u64) -> Candidates<'r> {
        let usable = self
            .leaves_out()
            .then(|| usable(responses, self.drop_truncated));
        let players = match &usable {
            Some(usable) => Players::new(responses, &usable.kept, seed),
            None => {
                let all: Vec<usize> = (0..responses.len()).collect();
                Players::new(responses, &all, seed)
            }
        };
        Candidates {
            config: *self,
            responses,
            usable,
            players,
        }
    }
}

impl Candidates<'_> {
    /// Who may be in a pair, and who was left out; none where every response plays.
    #[must_use]
    pub fn usable(&self) -> Option<&Usable> {
        self.usable.as_ref()
    }

    /// The most comparisons that the selection needs.
    #[must_use]
    pub fn comparisons(&self) -> usize {
        let count = self.players.as_ref().map_or(0, Players::len);
        self.config.comparisons(count)
    }

    /// The matches that the selection needs next, given the answers so far; none once it has its pair.
    #[must_use]
    pub fn matches(&self, answers: &Answers) -> Vec<(usize, usize)> {
        let players = self.players.as_ref();
        players.map_or_else(Vec::new, |players| self.config.matches(answers, players))
    }

    /// What the selection makes of the answers so far; see [`SelectionConfig::step`]. A pair of equal responses, or with
    /// an empty one, is dropped.
    #[must_use]
    pub fn step(&self, answers: &Answers, draw: Option<f64>) -> Step {
        let Some(players) = &self.players else {
            return Step::Done(Err(Dropped::Few));
        };
        match self.config.step(answers, players, draw) {
            Step::Done(Ok(selected)) => Step::Done(self.fit(selected)),
            other => other,
        }
    }

    fn fit(&self, selected: Selected) -> Result<Selected, Dropped> {
        let (chosen, rejected) = (
            &self.responses[selected.chosen],
            &self.responses[selected.rejected],
        );
        let same = match (&chosen.token_ids, &rejected.token_ids) {
            (Some(a), Some(b)) => a == b,
            _ => chosen.text == rejected.text,
        };
        if same {
            Err(Dropped::Duplicate)
        } else if is_blank(chosen) || is_blank(rejected) {
            Err(Dropped::Empty)
        } else {
            Ok(selected)
        }
    }
}

/// Whether there is nothing to train on: no token but the end, or, where no ids are known, no text.
fn is_blank(response: &Completion) -> bool {
    let end = usize::from(response.finish_reason == FinishReason::Stop);
    match &response.token_ids {
        Some(ids) => ids.len() <= end,
        None => response.text.trim().is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::SelectionCounts;

    /// P(0 beats 1) = 0.75 and so on: each response beats the later ones.
    fn earlier_wins(count: usize) -> Answers {
        let p = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => 0.75,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.25,
        };
        let row = |i| (0..count).map(|j| Some(p(i, j))).collect();
        Answers::from_matrix((0..count).map(row).collect())
    }

    /// Four responses of which the third repeats the first and the last is empty. The tournament of the first release
    /// lets all play: 0 beats 1, 2 beats 3, then 0 against 2 and 1 against 3. A round robin asks 0 against 1 alone.
    #[test]
    fn the_first_strategies_let_all_play_and_the_others_leave_out() {
        let responses = ["a", "b", "a", " "].map(Completion::finished);
        let nothing = Answers::new(4);
        let default = SelectionConfig::default();
        let tournament = default.among(&responses, 0);
        assert_eq!(tournament.matches(&nothing), [(0, 1), (2, 3)]);
        assert_eq!((tournament.comparisons(), tournament.usable()), (5, None));
        let iid = SelectionConfig::new(PairStrategy::Iid);
        assert_eq!(iid.among(&responses, 0).matches(&nothing), [(0, 1)]);
        let round_robin = SelectionConfig::new(PairStrategy::RoundRobin);
        let left = round_robin.among(&responses, 0);
        assert_eq!(left.matches(&nothing), [(0, 1)]);
        assert_eq!(left.comparisons(), 1);
        let usable = left.usable().unwrap();
        assert_eq!((usable.empty, usable.duplicate), (1, 1));
        // Asked for, the tournament leaves out too.
        let cut = [Completion::cut_off("a"), Completion::finished("b")];
        let few = SelectionConfig {
            drop_truncated: true,
            ..default
        };
        let few = few.among(&cut, 0);
        assert_eq!(
            (few.comparisons(), few.matches(&Answers::new(2))),
            (0, vec![])
        );
        assert_eq!(
            few.step(&Answers::new(2), None),
            Step::Done(Err(Dropped::Few))
        );
    }

    #[test]
    fn a_pair_that_teaches_nothing_is_dropped_and_counted() {
        let config = SelectionConfig::default();
        let mut counts = SelectionCounts::default();
        let mut outcome = |texts: [&str; 2]| {
            let responses = texts.map(Completion::finished);
            let candidates = config.among(&responses, 0);
            let Step::Done(outcome) = candidates.step(&earlier_wins(2), None) else {
                panic!("all is answered");
            };
            counts.count(&candidates, &outcome);
            outcome
        };
        assert_eq!(outcome(["a", "a"]), Err(Dropped::Duplicate));
        assert_eq!(outcome(["a", " "]), Err(Dropped::Empty));
        assert_eq!(outcome(["a", "b"]).unwrap().probability, 0.75);
        let expected = SelectionCounts {
            pairs: 1,
            duplicate: 1,
            empty: 1,
            ..SelectionCounts::default()
        };
        assert_eq!(counts, expected);
        // With ids these decide: a token of white space is something to train on.
        let with_ids = |text: &str, ids: &[u32]| Completion {
            token_ids: Some(ids.to_vec()),
            ..Completion::finished(text)
        };
        let responses = [with_ids("a", &[5, 0]), with_ids(" ", &[6, 0])];
        let step = config.among(&responses, 0).step(&earlier_wins(2), None);
        assert!(matches!(step, Step::Done(Ok(_))));
        let responses = [with_ids("a", &[5, 0]), with_ids("a", &[7, 0])];
        let step = config.among(&responses, 0).step(&earlier_wins(2), None);
        assert!(matches!(step, Step::Done(Ok(_))));
    }
}
