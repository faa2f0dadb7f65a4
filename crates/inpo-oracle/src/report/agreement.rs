//! How far judges agree, beyond what chance would give.
//!
//! # Which response is the first
//!
//! Samples of a policy have no order: a comparison of responses 2 and 5 might as well be one of 5 and 2. A measure of
//! agreement must not depend on it. The classical coefficients do, because chance agreement is computed from how
//! often each judge says "first", and that depends on how the pairs happen to be written down. So [`agreement`] and
//! [`preference_alpha`] count every comparison in both orientations, each with weight 1/2: "first" and "second" are
//! then equally frequent by construction, chance is left with the frequency of ties alone, and exchanging the responses
//! of any comparison, for all judges at once, changes nothing. [`cohen_kappa`] and [`krippendorff_alpha`] are the
//! textbook forms, for categories that do have a meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::Answers;

/// How far two judges agree about the same comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Comparisons that both answered.
    pub comparisons: usize,
    /// Comparisons with the same outcome.
    pub agreeing: usize,
    /// The share of comparisons with the same outcome, in [0, 1]; none without comparisons.
    pub share: Option<f64>,
    /// Cohen's kappa over comparisons in both orientations; see [`agreement`].
    pub kappa: Option<f64>,
}

/// The agreement of two judges over comparisons, as pairs of outcomes: what the one said, what the other said.
///
/// With t, t' the judges' shares of ties and p the share of equal outcomes,
///
/// ```text
/// kappa = (p - e) / (1 - e),   e = t t' + (1 - t)(1 - t') / 2
/// ```
///
/// which is [`cohen_kappa`] of the table of outcomes averaged with its mirror image (see the module): 1 for equal
/// judges, 0 for judges that decide and flip coins as often as these, negative for opposed ones. It is none where
/// chance alone agrees always (both judges tie always) and where there is nothing to compare.
///
/// Source: J. Cohen, Educational and Psychological Measurement 20 (1960).
pub fn agreement(outcomes: impl IntoIterator<Item = (Outcome, Outcome)>) -> Agreement {
    let mut table = [[0.0; 3]; 3];
    let (mut comparisons, mut agreeing) = (0, 0);
    for (a, b) in outcomes {
        comparisons += 1;
        agreeing += usize::from(a == b);
        table[a as usize][b as usize] += 0.5;
        table[a.mirrored() as usize][b.mirrored() as usize] += 0.5;
    }
    Agreement {
        comparisons,
        agreeing,
        share: (comparisons > 0).then(|| agreeing as f64 / comparisons as f64),
        kappa: cohen_kappa(&table),
    }
}

/// Cohen's kappa of a table: `table[a][b]` counts the items that the one rater put into category a and the other
/// into b,
///
/// ```text
/// kappa = (p_o - p_e) / (1 - p_e),   p_o = sum_a n_aa / n,   p_e = sum_a n_a. n_.a / n^2
/// ```
///
/// None where p_e = 1 (both raters use one and the same category only) and for an empty table.
///
/// Source: J. Cohen, Educational and Psychological Measurement 20 (1960).
#[must_use]
pub fn cohen_kappa<const C: usize>(table: &[[f64; C]; C]) -> Option<f64> {
    let total: f64 = table.iter().flatten().sum();
    if total <= 0.0 {
        return None;
    }
    let observed = (0..C).map(|a| table[a][a]).sum::<f64>() / total;
    let row = |a: usize| table[a].iter().sum::<f64>();
    let column = |a: usize| table.iter().map(|row| row[a]).sum::<f64>();
    let chance = (0..C).map(|a| row(a) * column(a)).sum::<f64>() / (total * total);
    (chance < 1.0).then(|| (observed - chance) / (1.0 - chance))
}

/// Krippendorff's alpha for nominal categories: `units[u][r]` is the category that rater r gave to unit u, none where
/// it gave none.
///
/// Every ordered pair of values within a unit of m >= 2 values adds 1 / (m - 1) to the coincidence o_ck of its
/// categories. With n_c = sum_k o_ck and n = sum_c n_c,
///
/// ```text
/// alpha = 1 - D_o / D_e = 1 - (n - 1) sum_{c != k} o_ck / sum_{c != k} n_c n_k
/// ```
///
/// 1 for perfect agreement, 0 for that of chance. Units with fewer than two values are left out. None where nothing can
/// be paired, or all values that can are of one category: there is no variation to agree about.
///
/// Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).
pub fn krippendorff_alpha<C: Ord + Copy>(units: &[Vec<Option<C>>]) -> Option<f64> {
    let mut coincidences: BTreeMap<(C, C), f64> = BTreeMap::new();
    for unit in units {
        let values: Vec<C> = unit.iter().copied().flatten().collect();
        for (i, &a) in values.iter().enumerate() {
            for (j, &b) in values.iter().enumerate() {
                if i != j {
                    *coincidences.entry((a, b)).or_default() += 1.0 / (values.len() - 1) as f64;
                }
            }
        }
    }
    alpha(&coincidences)
}

/// Krippendorff's alpha of any number of judges over comparisons: `units[u][r]` is what judge r said of comparison
/// u, none where it was not asked.
///
/// It is [`krippendorff_alpha`] with the coincidences averaged with those of the exchanged responses,
/// o'_ck = (o_ck + o_c*k*) / 2 where * exchanges first and second, and n as it was. With t the share of ties among the
/// n values that can be paired,
///
/// ```text
/// D_o = sum_{c != k} o_ck / n,   D_e = n / (n - 1) * (1 - t)(1 + 3 t) / 2
/// ```
///
/// neither of which depends on the orientation of any comparison (see the module).
///
/// None where nothing can be paired, or all values are ties.
#[must_use]
pub fn preference_alpha(units: &[Vec<Option<Outcome>>]) -> Option<f64> {
    let mut coincidences: BTreeMap<(Outcome, Outcome), f64> = BTreeMap::new();
    for unit in units {
        let values: Vec<Outcome> = unit.iter().copied().flatten().collect();
        for (i, &a) in values.iter().enumerate() {
            for (j, &b) in values.iter().enumerate() {
                if i != j {
                    let half = 0.5 / (values.len() - 1) as f64;
                    *coincidences.entry((a, b)).or_default() += half;
                    let mirrored = (a.mirrored(), b.mirrored());
                    *coincidences.entry(mirrored).or_default() += half;
                }
            }
        }
    }
    alpha(&coincidences)
}

fn alpha<C: Ord + Copy>(coincidences: &BTreeMap<(C, C), f64>) -> Option<f64> {
    let mut totals: BTreeMap<C, f64> = BTreeMap::new();
    for (&(c, _), o) in coincidences {
        *totals.entry(c).or_default() += o;
    }
    if totals.len() < 2 {
        return None;
    }
    let total: f64 = totals.values().sum();
    let apart = coincidences.iter().filter(|((c, k), _)| c != k);
    let observed: f64 = apart.map(|(_, o)| o).sum();
    let expected = total * total - totals.values().map(|n| n * n).sum::<f64>();
    Some(1.0 - (total - 1.0) * observed / expected)
}

/// Judges whose answers are not about the same responses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// Another number of prompts.
    #[error(
        "judge {judge} answered about {got} prompts, the first judge about {expected}: agreement needs the same prompts, in the same order"
    )]
    Prompts {
        /// The judge, counted from 0.
        judge: usize,
        /// Its prompts.
        got: usize,
        /// Those of the first judge.
        expected: usize,
    },
    /// Another number of responses.
    #[error(
        "judge {judge} compared {got} responses to prompt {prompt}, the first judge {expected}: agreement needs the same responses"
    )]
    Responses {
        /// The judge, counted from 0.
        judge: usize,
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// Its responses.
        got: usize,
        /// Those of the first judge.
        expected: usize,
    },
}

/// The comparisons of several judges as units of [`preference_alpha`]: `judges[r][p]` holds what judge r said of
/// prompt p. A unit for each pair of responses that any judge compared, prompt by prompt.
///
/// # Errors
///
/// Judges that did not answer about the same prompts with the same numbers of responses.
pub fn outcome_units(judges: &[&[Answers]]) -> Result<Vec<Vec<Option<Outcome>>>, AgreementError> {
    let prompts = judges.first().copied().unwrap_or_default();
    for (judge, answers) in judges.iter().enumerate() {
        if answers.len() != prompts.len() {
            return Err(AgreementError::Prompts {
                judge,
                got: answers.len(),
                expected: prompts.len(),
            });
        }
        for (prompt, (mine, first)) in answers.iter().zip(prompts).enumerate() {
            if mine.count() != first.count() {
                return Err(AgreementError::Responses {
                    judge,
                    prompt,
                    got: mine.count(),
                    expected: first.count(),
                });
            }
        }
    }
    let mut units = Vec::new();
    for (prompt, first) in prompts.iter().enumerate() {
        for i in 0..first.count() {
            for j in i + 1..first.count() {
                let said = |judge: &&[Answers]| judge[prompt].get((i, j)).map(Outcome::of);
                let unit: Vec<Option<Outcome>> = judges.iter().map(said).collect();
                if unit.iter().any(Option::is_some) {
                    units.push(unit);
                }
            }
        }
    }
    Ok(units)
}

/// The agreement of two judges about the comparisons that both answered; see [`agreement`].
///
/// # Errors
///
/// Judges that did not answer about the same prompts with the same numbers of responses.
pub fn agreement_of(a: &[Answers], b: &[Answers]) -> Result<Agreement, AgreementError> {
    let units = outcome_units(&[a, b])?;
    Ok(agreement(units.iter().filter_map(|u| Some((u[0]?, u[1]?)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{First, Second, Tie};

    /// Krippendorff's example of nominal data with gaps (four observers, twelve units, five categories): coincidences 7, 10, 8, 4, 3 on the
    /// diagonal, n_c = 9, 13, 10, 5, 3, n = 40. alpha = (39 * 32 - 344) / (40 * 39 - 344) = 904 / 1216 = 0.743 with
    /// sum n_c (n_c - 1) = 72 + 156 + 90 + 20 + 6 = 344. The last unit has one value and is left out of n. The package
    /// krippendorff 0.9.0 of Python says 0.743421052631579.
    #[test]
    fn the_published_example_of_alpha() {
        let rows = [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ];
        let unit = |u: usize| rows.map(|row| (row[u] > 0).then_some(row[u])).to_vec();
        let units: Vec<Vec<Option<i32>>> = (0..12).map(unit).collect();
        let alpha = krippendorff_alpha(&units).unwrap();
        assert!((alpha - 904.0 / 1216.0).abs() < 1e-12, "{alpha}");
        assert!((alpha - 0.743_421_052_631_579).abs() < 1e-12);
    }

    /// Without variation there is nothing to agree about; a value alone in its unit is not paired.
    #[test]
    fn alpha_needs_pairs_and_variation() {
        assert_eq!(krippendorff_alpha::<u8>(&[]), None);
        assert_eq!(krippendorff_alpha(&[vec![Some(1), Some(1)]]), None);
        assert_eq!(
            krippendorff_alpha(&[vec![Some(1), None], vec![None, Some(2)]]),
            None
        );
        assert_eq!(
            krippendorff_alpha(&[vec![Some(1), Some(1)], vec![Some(2), Some(2)]]),
            Some(1.0)
        );
    }

    /// Two judges, four comparisons: (F, F), (F, F), (F, S), (T, F). Pairs of values: n = 8, of which 4 in units that
    /// differ. Values: F 6, S 1, T 1; averaged with the mirror image F 3.5, S 3.5, T 1. D_e n (n - 1) = 64 -
    /// 12.25 * 2 - 1 = 38.5. alpha = 1 - 7 * 4 / 38.5 = 3 / 11. By the closed form: t = 1/8, (1 - t)(1 + 3t) / 2 is
    /// 0.6015625, and so is 38.5 / 64.
    #[test]
    fn alpha_of_preferences_by_hand_in_any_orientation() {
        let units = [
            (First, First),
            (First, First),
            (First, Second),
            (Tie, First),
        ];
        let both = |flip: u32| {
            let unit = |(u, &(a, b)): (usize, &(Outcome, Outcome))| {
                if flip >> u & 1 == 1 {
                    (a.mirrored(), b.mirrored())
                } else {
                    (a, b)
                }
            };
            units.iter().enumerate().map(unit).collect::<Vec<_>>()
        };
        let mut classical = Vec::new();
        for flip in 0..16 {
            let turned = both(flip);
            let rows: Vec<Vec<Option<Outcome>>> = turned
                .iter()
                .map(|&(a, b)| vec![Some(a), Some(b)])
                .collect();
            let alpha = preference_alpha(&rows).unwrap();
            assert!((alpha - 3.0 / 11.0).abs() < 1e-12, "{flip}: {alpha}");
            // p = 1/2; t = 1/4, t' = 0; e = 3/8; kappa = (1/2 - 3/8) / (5/8) = 1/5.
            let kappa = agreement(turned.iter().copied());
            assert_eq!((kappa.comparisons, kappa.agreeing), (4, 2));
            assert_eq!(kappa.share, Some(0.5));
            assert!((kappa.kappa.unwrap() - 0.2).abs() < 1e-12, "{flip}");
            classical.push(krippendorff_alpha(&rows).unwrap());
        }
        let spread = |v: &[f64]| {
            v.iter().copied().fold(f64::MIN, f64::max) - v.iter().copied().fold(f64::MAX, f64::min)
        };
        assert!(
            spread(&classical) > 0.1,
            "the textbook form does depend on the orientation"
        );
    }

    /// 200 items in three categories, in proportions 0.25 0.13 0.12 / 0.12 0.02 0.16 / 0.03 0.15 0.02.
    /// p_o = 0.29, rows 0.5 0.3 0.2, columns 0.4 0.3 0.3: p_e = 0.20 + 0.09 + 0.06 = 0.35, kappa = -0.06 / 0.65.
    #[test]
    fn kappa_of_a_table() {
        let table = [[50.0, 26.0, 24.0], [24.0, 4.0, 32.0], [6.0, 30.0, 4.0]];
        let kappa = cohen_kappa(&table).unwrap();
        assert!((kappa + 0.06 / 0.65).abs() < 1e-12, "{kappa}");
        assert_eq!(cohen_kappa(&[[0.0; 3]; 3]), None);
        assert_eq!(cohen_kappa(&[[3.0, 0.0], [0.0, 0.0]]), None);
    }

    #[test]
    fn equal_and_opposed_judges() {
        let all = [First, Second, First, First];
        let same = agreement(all.iter().map(|&o| (o, o)));
        assert_eq!((same.share, same.kappa), (Some(1.0), Some(1.0)));
        let opposed = agreement(all.iter().map(|&o| (o, o.mirrored())));
        assert_eq!((opposed.share, opposed.kappa), (Some(0.0), Some(-1.0)));
        // Always a tie: chance agrees always.
        assert_eq!(agreement([(Tie, Tie); 3]).kappa, None);
        assert_eq!(agreement([]).share, None);
        // Always the first is perfect agreement: which one is the first says nothing.
        assert_eq!(agreement([(First, First); 3]).kappa, Some(1.0));
    }

    #[test]
    fn judges_are_compared_where_both_answered() {
        let of = |p01: Option<f64>, p02: Option<f64>| {
            let q = |p: Option<f64>| p.map(|p| 1.0 - p);
            let half = Some(0.5);
            Answers::from_matrix(vec![
                vec![half, p01, p02],
                vec![q(p01), half, None],
                vec![q(p02), None, half],
            ])
        };
        let (a, b) = (of(Some(0.9), Some(0.2)), of(Some(0.6), None));
        let found = agreement_of(std::slice::from_ref(&a), std::slice::from_ref(&b)).unwrap();
        assert_eq!((found.comparisons, found.agreeing), (1, 1));
        let units = outcome_units(&[std::slice::from_ref(&a), std::slice::from_ref(&b)]).unwrap();
        assert_eq!(
            units,
            [vec![Some(First), Some(First)], vec![Some(Second), None]]
        );
        let error = agreement_of(std::slice::from_ref(&a), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "judge 1 answered about 0 prompts, the first judge about 1: agreement needs the same prompts, in the same order"
        );
        let error = agreement_of(&[a], &[Answers::new(2)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "judge 1 compared 2 responses to prompt 0, the first judge 3: agreement needs the same responses"
        );
    }
}
