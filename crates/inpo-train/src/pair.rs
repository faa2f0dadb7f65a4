//! A pair ready for training.

use inpo_data::Digester;
use inpo_policy::Sequence;

/// A pair ready for training: ids, labels and the anchors' log-prob sums, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainPair {
    /// What an error calls it.
    pub name: String,
    /// Prompt and preferred response.
    pub chosen: Sequence,
    /// Prompt and the other response.
    pub rejected: Sequence,
    /// Prompt and the response of the exploration term, where the objective has one.
    pub explored: Option<Sequence>,
    /// P(chosen beats rejected), for soft labels.
    pub probability: f64,
    /// Win rate against the sampler, or reward, of chosen and rejected, for labels that are scores.
    pub scores: [f64; 2],
    /// Weight of this pair's loss; 1 unless pairs are enumerated with their probabilities.
    pub weight: f64,
    /// Log-probs of chosen and rejected under each of the objective's anchors, in their order.
    pub anchors: Vec<[f64; 2]>,
    /// log pi_ref of chosen and rejected, for the metrics.
    pub reference: [f64; 2],
    /// log pi_t of chosen and rejected, for the metrics.
    pub previous: [f64; 2],
    /// Log-probs of chosen and rejected under the weights that training starts with.
    pub start: [f64; 2],
}

impl TrainPair {
    /// A pair, chosen first, whose policy starts at the log-probs `start`, with those under its anchors;
    /// labels are those of a sure win, and the metrics take `start` for pi_ref and pi_t.
    pub fn new(
        chosen: Sequence,
        rejected: Sequence,
        start: [f64; 2],
        anchors: Vec<[f64; 2]>,
    ) -> Self {
        Self {
            name: "a pair".to_owned(),
            chosen,
            rejected,
            explored: None,
            probability: 1.0,
            scores: [1.0, 0.0],
            weight: 1.0,
            anchors,
            reference: start,
            previous: start,
            start,
        }
    }

    /// Response tokens of chosen and rejected.
    pub fn tokens(&self) -> [usize; 2] {
        [&self.chosen, &self.rejected].map(|sequence| sequence.response().len())
    }
}

/// A digest of everything that training reads of the pairs, in their order.
pub(crate) fn digest(pairs: &[TrainPair]) -> String {
    let mut digester = Digester::default();
    for pair in pairs {
        // Every field is in it, and a float as the shortest text that reads back as it.
        digester.update(format!("{pair:?}\n").as_bytes());
    }
    digester.hex()
}
