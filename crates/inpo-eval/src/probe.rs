//! How far a policy can be exploited by choosing among samples.

/// What the best of its other samples gains against a policy, for one prompt, from the judge's matrix of its K samples,
/// `preference[i][j]` = P(sample i beats sample j). None of fewer than three: there is nothing to choose.
///
/// Each sample c is played once by the best of the K - 1 others, the one with the highest mean preference against the rest of
/// them; ties are shared. Since c has no say in who plays it, the mean is an unbiased estimate of
///
/// ```text
/// P(best of K - 1 > pi) - 1/2  <=  max_y P(y > pi) - 1/2
/// ```
///
/// The right side is the policy's exploitability.
#[must_use]
pub fn best_of_others(preference: &[Vec<f64>]) -> Option<f64> {
    let count = preference.len();
    if count < 3 {
        return None;
    }
    let of_sample = |c: usize| {
        let others = || (0..count).filter(move |&i| i != c);
        let scores: Vec<(usize, f64)> = others()
            .map(|i| {
                let rest = others().filter(|&j| j != i);
                (i, rest.map(|j| preference[i][j]).sum())
            })
            .collect();
        played_by_best(&scores, |i| preference[i][c])
    };
    Some((0..count).map(of_sample).sum::<f64>() / count as f64 - 0.5)
}

/// What the best of another policy's samples gains against a policy, for one prompt, from `preference[i][c]` = P(the other's
/// sample i beats the policy's sample c). None where the policy has fewer than two samples or the other has none.
///
/// Each sample c is played by the one with the highest mean preference against the policy's other samples; ties are shared.
/// The mean is an unbiased estimate of what that choice gains, which is at most the policy's exploitability.
#[must_use]
pub fn best_against(preference: &[Vec<f64>]) -> Option<f64> {
    let count = preference.first()?.len();
    if count < 2 {
        return None;
    }
    let of_sample = |c: usize| {
        let score = |row: &Vec<f64>| row.iter().sum::<f64>() - row[c];
        let scores: Vec<(usize, f64)> = preference.iter().map(score).enumerate().collect();
        played_by_best(&scores, |i| preference[i][c])
    };
    Some((0..count).map(of_sample).sum::<f64>() / count as f64 - 0.5)
}

/// The mean preference of those with the highest score, up to rounding.
fn played_by_best(scores: &[(usize, f64)], preference: impl Fn(usize) -> f64) -> f64 {
    let best = scores.iter().fold(f64::MIN, |best, s| best.max(s.1));
    let best: Vec<f64> = scores
        .iter()
        .filter(|s| s.1 >= best - 1e-9)
        .map(|s| preference(s.0))
        .collect();
    best.iter().sum::<f64>() / best.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 beats 1 and 2 with 0.9 and 0.8, 1 beats 2 with 0.6. Of the others of 0 the better is 1 (0.6), which loses 0.1 to
    /// it; of those of 1 it is 0 (0.8), which wins 0.9; of those of 2 again 0 (0.9), which wins 0.8: 1.8 / 3 - 1/2.
    #[test]
    fn three_samples_by_hand() {
        let matrix = [
            vec![0.5, 0.9, 0.8],
            vec![0.1, 0.5, 0.6],
            vec![0.2, 0.4, 0.5],
        ];
        assert!((best_of_others(&matrix).unwrap() - 0.1).abs() < 1e-12);
        assert_eq!(best_of_others(&matrix[..2]), None);
        // Rock, paper, scissors: whoever wins among two loses to the third.
        let circle = [
            vec![0.5, 1.0, 0.0],
            vec![0.0, 0.5, 1.0],
            vec![1.0, 0.0, 0.5],
        ];
        assert_eq!(best_of_others(&circle), Some(-0.5));
        // All tie.
        assert_eq!(best_of_others(&vec![vec![0.5; 4]; 4]), Some(0.0));
    }

    /// Against c = 0 the choice is by column 1: sample 1 (0.7), which wins 0.2; against c = 1 by column 0: sample 0, which
    /// wins 0.3: 0.25 - 1/2.
    #[test]
    fn the_choice_looks_at_the_other_opponents() {
        let preference = [vec![0.9, 0.3], vec![0.2, 0.7]];
        assert!((best_against(&preference).unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(best_against(&[vec![0.9], vec![0.2]]), None);
    }
}
