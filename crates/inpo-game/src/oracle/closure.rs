//! A closure as an oracle.

use std::fmt;

use super::{Comparison, OracleError, PreferenceOracle};
use crate::Preference;

/// An oracle that asks a closure for P(first beats second | prompt), one comparison at a time.
///
/// The closure takes the prompt and the two responses by reference, whatever their types are, and
/// returns a probability. Anything else (below 0, above 1, NaN) is an [`OracleError::Invalid`] with
/// the place of the comparison.
///
/// ```
/// use inpo_game::{Comparison, FnOracle, PreferenceOracle};
///
/// let brevity = FnOracle::new("brevity", |_: &str, first: &str, second: &str| {
///     if first.len() < second.len() { 1.0 } else { 0.0 }
/// });
/// let question = Comparison { prompt: "2 + 2?", first: "4", second: "It is 4." };
/// assert_eq!(brevity.compare(&[question])?[0].get(), 1.0);
/// # Ok::<(), inpo_game::OracleError>(())
/// ```
#[derive(Clone)]
pub struct FnOracle<F> {
    name: String,
    preference: F,
}

impl<F> FnOracle<F> {
    /// An oracle called `name` that answers with `preference(prompt, first, second)`. Write the
    /// types of the closure's arguments: they say which prompts and responses it compares.
    pub fn new<X: ?Sized, Y: ?Sized>(name: impl Into<String>, preference: F) -> Self
    where
        F: Fn(&X, &Y, &Y) -> f64,
    {
        Self {
            name: name.into(),
            preference,
        }
    }
}

impl<X: ?Sized, Y: ?Sized, F: Fn(&X, &Y, &Y) -> f64> PreferenceOracle<X, Y> for FnOracle<F> {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, X, Y>],
    ) -> Result<Vec<Preference>, OracleError> {
        let answer = |(index, c): (usize, &Comparison<'_, X, Y>)| {
            let value = (self.preference)(c.prompt, c.first, c.second);
            Preference::new(value).map_err(|error| OracleError::Invalid {
                index,
                reason: format!("{}: {error}", self.name),
            })
        };
        comparisons.iter().enumerate().map(answer).collect()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl<F> fmt::Debug for FnOracle<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FnOracle").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_is_asked_in_order_with_all_three_arguments() {
        let oracle = FnOracle::new("ratio", |total: &f64, first: &f64, _: &f64| first / total);
        let question = Comparison {
            prompt: &8.0,
            first: &2.0,
            second: &6.0,
        };
        let answers = oracle.compare(&[question, question.swapped()]).unwrap();
        assert_eq!([answers[0].get(), answers[1].get()], [0.25, 0.75]);
        assert_eq!(format!("{oracle:?}"), "FnOracle(\"ratio\")");
    }

    #[test]
    fn an_answer_that_is_no_probability_names_its_comparison() {
        for (bad, shown) in [(1.5, "1.5"), (-0.25, "-0.25"), (f64::NAN, "NaN")] {
            let oracle = FnOracle::new(
                "odd",
                move |_: &(), first: &usize, _: &usize| {
                    if *first == 7 { bad } else { 0.5 }
                },
            );
            let question = |first| Comparison {
                prompt: &(),
                first,
                second: &0,
            };
            let error = oracle.compare(&[question(&1), question(&7)]).unwrap_err();
            let want = format!(
                "comparison 1 of the batch cannot be answered: odd: a preference is {shown}: it must be \
                 a probability in [0, 1]"
            );
            assert_eq!(error.to_string(), want);
        }
    }
}
