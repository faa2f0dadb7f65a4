//! Best and worst by a score.

use super::ScoreKind;

/// Scores this close are equal: they are sums of a few numbers in [0, 1].
const SAME: f64 = 1e-12;

impl ScoreKind {
    /// What a comparison adds to the score of its first response.
    pub(super) fn credit(self, probability: f64) -> f64 {
        match self {
            Self::Borda => probability,
            Self::Copeland if probability > 0.5 => 1.0,
            Self::Copeland if probability < 0.5 => 0.0,
            Self::Copeland => 0.5,
        }
    }
}

/// Best and worst of scored responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) best: usize,
    pub(super) worst: usize,
    /// Whether all scores are equal.
    pub(super) level: bool,
}

/// The first of the highest and the last of the lowest scores, as in a bracket, where the first of a tie wins.
pub(super) fn ends(scores: &[f64]) -> Ends {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let best = scores.iter().position(|s| *s >= highest - SAME);
    let worst = scores.iter().rposition(|s| *s <= lowest + SAME);
    Ends {
        best: best.unwrap_or(0),
        worst: worst.unwrap_or(0),
        level: highest - lowest <= SAME,
    }
}

/// All pairs of `count` responses.
pub(super) fn all_pairs(count: usize) -> Vec<(usize, usize)> {
    let pairs = (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
    pairs.collect()
}

/// The mean credit of each of `count` responses over the others, from the outcomes of [`all_pairs`].
pub(super) fn scores(kind: ScoreKind, count: usize, outcomes: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for ((i, j), p) in all_pairs(count).into_iter().zip(outcomes) {
        sums[i] += kind.credit(*p);
        sums[j] += kind.credit(1.0 - p);
    }
    sums.iter_mut().for_each(|s| *s /= (count - 1) as f64);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// P = 0 : 1 0.9, 0 : 2 0.4, 1 : 2 0.5. Borda 1.3/2, 0.6/2, 1.1/2; Copeland 1/2, 0.5/2, 1.5/2.
    #[test]
    fn borda_and_copeland_by_hand() {
        let outcomes = [0.9, 0.4, 0.5];
        let borda = scores(ScoreKind::Borda, 3, &outcomes);
        for (got, want) in borda.iter().zip([0.65, 0.3, 0.55]) {
            assert!((got - want).abs() < 1e-15);
        }
        let copeland = scores(ScoreKind::Copeland, 3, &outcomes);
        assert_eq!(copeland, [0.5, 0.25, 0.75]);
        let ends = ends(&copeland);
        assert_eq!((ends.best, ends.worst, ends.level), (2, 1, false));
    }

    #[test]
    fn of_equal_scores_the_first_is_best_and_the_last_is_worst() {
        let found = ends(&[0.7, 0.2, 0.7, 0.2]);
        assert_eq!((found.best, found.worst, found.level), (0, 3, false));
        let found = ends(&[0.1 + 0.2, 0.3, 0.3]);
        assert_eq!((found.best, found.worst, found.level), (0, 2, true));
    }
}
