//! Log-probs that a file of pairs brings: complete, sums, and of the model they should be of.

use std::path::{Path, PathBuf};

use inpo_data::{DataError, PairRecord, Place};
use inpo_loss::Role;
use inpo_policy::Policy;

use super::names::{columns, roles};
use super::row::RawPair;
use crate::anchors::{Anchors, Scorers, Source, sources};
use crate::error::TrainError;
use crate::models::StoredPolicy;
use crate::objective::Objective;

/// pi_t has two names: the previous policy, and the newest of MNPO's history.
const SAME: [(Role, Role); 2] = [
    (Role::Previous, Role::History(0)),
    (Role::History(0), Role::Previous),
];

/// The log-probs that a file brings, each column `[pairs]`, sums in nats.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenLogps {
    /// Of the policies that have columns in every row.
    columns: Anchors,
    /// Those policies.
    roles: Vec<Role>,
    /// Whether every row says that they are sums.
    sums: bool,
    /// Their file, and the place of each pair.
    path: PathBuf,
    places: Vec<Place>,
}

impl GivenLogps {
    /// Reads the columns of `rows`.
    ///
    /// # Errors
    ///
    /// A value above 0; a policy of which some rows have a column and some do not, or both values 0: a cache
    /// that was not filled; a pair that was cut, whose log-probs are those of other tokens.
    pub(super) fn read(path: &Path, rows: &[RawPair]) -> Result<Self, TrainError> {
        let mut given = Self {
            sums: rows.iter().all(|row| row.sums),
            path: path.to_owned(),
            places: rows.iter().map(|row| row.place).collect(),
            ..Self::default()
        };
        for role in roles() {
            let names = role.columns();
            let mut columns = [Vec::new(), Vec::new()];
            let mut partial = None;
            for row in rows {
                let fail = |reason: String| row_error(path, row.place, reason);
                let [chosen, rejected] = values(row, role).map_err(fail)?;
                let (Some(chosen), Some(rejected)) = (chosen, rejected) else {
                    partial.get_or_insert(row.place);
                    continue;
                };
                let places = [chosen, rejected].into_iter().zip(&names);
                if let Some((value, name)) = places.into_iter().find(|(value, _)| *value > 0.0) {
                    let reason = format!("`{name}` is {value}; a log-prob is at most 0");
                    return Err(fail(reason));
                }
                let [chosen_name, rejected_name] = &names;
                if chosen == 0.0 && rejected == 0.0 {
                    return Err(fail(format!(
                        "`{chosen_name}` and `{rejected_name}` are both 0: they were not filled in"
                    )));
                }
                if row.cut {
                    return Err(fail(format!(
                        "`{chosen_name}` and `{rejected_name}` are those of the whole pair, but it was cut \
                         to policy.max_length; leave the columns out, or raise policy.max_length"
                    )));
                }
                columns[0].push(chosen);
                columns[1].push(rejected);
            }
            match partial {
                None => {
                    given.columns.insert(Source::Role(role), columns);
                    given.roles.push(role);
                }
                Some(place) if rows.iter().any(|row| has_any(row, role)) => {
                    let [chosen, rejected] = &names;
                    let reason =
                        format!("`{chosen}` or `{rejected}` is missing, which other rows have");
                    return Err(row_error(path, place, reason));
                }
                Some(_) => {}
            }
        }
        Ok(given)
    }

    /// The policies that have columns.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Where the log-probs of `role` stand: in its own columns, or in those of its other name.
    fn place(&self, role: Role) -> Option<Role> {
        let other = SAME.iter().find(|(name, _)| *name == role);
        let names = [Some(role), other.map(|(_, other)| *other)];
        let mut names = names.into_iter().flatten();
        names.find(|name| self.roles.contains(name))
    }

    /// The log-probs of `role`, chosen and rejected, when the file has them.
    pub fn get(&self, role: Role) -> Option<&[Vec<f64>; 2]> {
        self.columns.get(Source::Role(self.place(role)?))
    }

    /// Whether the file has the log-probs of `source`.
    pub(crate) fn has(&self, source: Source) -> bool {
        matches!(source, Source::Role(role) if self.place(role).is_some())
    }

    /// Those that `objective` reads.
    pub(crate) fn columns_of(&self, objective: &Objective) -> Vec<(Source, [Vec<f64>; 2])> {
        let given = |source| match source {
            Source::Role(role) => Some((source, self.get(role)?.clone())),
            Source::Start => None,
        };
        sources(objective).into_iter().filter_map(given).collect()
    }

    /// The names of the columns that `objective` reads, sorted.
    pub(crate) fn names_of(&self, objective: &Objective) -> Vec<String> {
        let names = |source| match source {
            Source::Role(role) => self.names(role),
            Source::Start => None,
        };
        let names = sources(objective).into_iter().filter_map(names);
        let mut names: Vec<String> = names.flatten().collect();
        names.sort();
        names.dedup();
        names
    }

    /// The names of the columns that [`get`](Self::get) reads.
    pub fn names(&self, role: Role) -> Option<[String; 2]> {
        self.place(role).map(Role::columns)
    }

    /// Checks that they are sums, and those of the named models: `start` are the policy's own log-probs,
    /// `named` the models that the configuration names.
    ///
    /// # Errors
    ///
    /// A row that differs from its model's log-prob; without a model, log-probs that look like means.
    pub(crate) fn check<'a>(
        &self,
        pairs: &[PairRecord],
        start: &[Vec<f64>; 2],
        named: impl Fn(Role) -> Option<&'a StoredPolicy>,
    ) -> Result<(), TrainError> {
        for &role in &self.roles {
            match named(role) {
                Some(model) => self.check_model(pairs, role, &model.get()?)?,
                // Nothing speaks against what the file says of itself.
                None if self.sums => {}
                None => self.check_reduction(pairs, role, start)?,
            }
        }
        Ok(())
    }

    /// Compares some rows with the model's own log-probs, the longest among them: there a mean is no sum.
    fn check_model(
        &self,
        pairs: &[PairRecord],
        role: Role,
        model: &Policy,
    ) -> Result<(), TrainError> {
        let given = self.get(role).expect("it has a place");
        let last = pairs.len() - 1;
        let longest = (0..=last).max_by_key(|&i| tokens(&pairs[i]).into_iter().max());
        let mut sample = vec![0, last / 2, last, longest.unwrap_or(0)];
        sample.sort_unstable();
        sample.dedup();
        let records: Vec<_> = sample.iter().map(|&i| pairs[i].clone()).collect();
        let fresh = Anchors::compute(&mut Scorers::one(model), &records)?;
        let fresh = fresh.get(Source::Start).expect("just computed");
        for (place, &i) in sample.iter().enumerate() {
            for (k, name) in role.columns().iter().enumerate() {
                let (value, now) = (given[k][i], fresh[k][place]);
                let count = tokens(&pairs[i])[k] as f64;
                let allowed = 0.05_f64.max(2e-3 * count);
                let off = (value - now).abs();
                if off.is_nan() || off > allowed {
                    let mean = (value * count - now).abs() <= allowed * count;
                    let hint = if mean {
                        ": it looks like a mean over tokens, and sums are needed"
                    } else {
                        ""
                    };
                    let reason = format!(
                        "`{name}` is {value}, but the model that the configuration names gives {now:.4}{hint}"
                    );
                    return Err(row_error(&self.path, self.places[i], reason));
                }
            }
        }
        Ok(())
    }

    /// Refuses log-probs of an unknown policy that look like means.
    fn check_reduction(
        &self,
        pairs: &[PairRecord],
        role: Role,
        start: &[Vec<f64>; 2],
    ) -> Result<(), TrainError> {
        let given = self.get(role).expect("it has a place");
        let lengths = [0, 1].map(|k| pairs.iter().map(move |pair| tokens(pair)[k]));
        let lengths: Vec<usize> = lengths.into_iter().flatten().collect();
        if !look_like_means(&given.concat(), &start.concat(), &lengths) {
            return Ok(());
        }
        let longest = (0..lengths.len()).max_by_key(|&place| lengths[place]);
        let longest = longest.unwrap_or(0);
        let (k, i) = (longest / given[0].len(), longest % given[0].len());
        let (name, value, policy) = (&role.columns()[k], given[k][i], start[k][i]);
        let reason = format!(
            "`{name}` is {value} for {} tokens: it looks like a mean over tokens, and sums are needed (the policy's \
             is {policy:.3}); where it is a sum, name its model, or give every row `logp_reduction`: \"sum\"",
            lengths[longest]
        );
        Err(row_error(&self.path, self.places[i], reason))
    }
}

/// The policies whose log-probs a file may bring.
fn values(row: &RawPair, role: Role) -> Result<[Option<f64>; 2], String> {
    let mut values = [None, None];
    for (value, names) in values.iter_mut().zip(columns(role)) {
        for name in names {
            *value = row.number(&name)?.or(*value);
        }
    }
    Ok(values)
}

fn has_any(row: &RawPair, role: Role) -> bool {
    let there = |name: &String| row.columns.get(name).is_some_and(|v| !v.is_null());
    columns(role).iter().flatten().any(there)
}

fn row_error(path: &Path, place: Place, reason: String) -> TrainError {
    DataError::row(path, place)(reason).into()
}

fn tokens(pair: &PairRecord) -> [usize; 2] {
    [&pair.chosen_token_ids, &pair.rejected_token_ids].map(Vec::len)
}

/// Whether the log-probs `given` of a policy that is not known look like means over tokens, `sums` being
/// those of a policy that is.
///
/// Two things have to speak for it, for the unknown policy may be much surer of the responses. In size, they
/// are together below a third of the sums and nearer, in ratio, to the known policy's means. And from
/// response to response they follow those means at least as well as the sums, by the cosine; responses of
/// one length cannot tell. Where the known means are above a quarter of the sums (responses of few tokens)
/// nothing is said.
fn look_like_means(given: &[f64], sums: &[f64], tokens: &[usize]) -> bool {
    let means: Vec<f64> = sums
        .iter()
        .zip(tokens)
        .map(|(sum, &count)| sum / count.max(1) as f64)
        .collect();
    let total = |values: &[f64]| values.iter().sum::<f64>();
    let expected = total(&means) / total(sums);
    let got = total(given) / total(sums);
    let small = expected <= 0.25 && got < 1.0 / 3.0 && got * got < expected;
    small && cosine(given, &means) + 0.01 >= cosine(given, sums)
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::look_like_means;

    /// Twelve responses of 1 to 40 tokens under a policy of about 2 nats a token.
    const TOKENS: [usize; 12] = [1, 4, 7, 10, 13, 16, 20, 24, 28, 32, 36, 40];
    const PER_TOKEN: [f64; 12] = [2.1, 1.7, 2.4, 1.9, 2.2, 1.8, 2.0, 2.3, 1.6, 2.1, 1.9, 2.2];
    /// How much surer than that another policy is, response by response.
    const OTHER: [f64; 12] = [0.8, 1.1, 0.9, 1.3, 0.7, 1.0, 1.2, 0.9, 1.1, 0.8, 1.2, 1.0];

    fn sums(scale: f64) -> Vec<f64> {
        let places = 0..TOKENS.len();
        places
            .map(|i| {
                -PER_TOKEN[i] * TOKENS[i] as f64 * if scale == 1.0 { 1.0 } else { scale * OTHER[i] }
            })
            .collect()
    }

    #[test]
    fn means_are_told_from_sums_of_any_policy() {
        let known = sums(1.0);
        for scale in [0.02, 0.05, 0.1, 0.3, 0.5, 0.99, 2.0, 5.0] {
            let other = sums(scale);
            assert!(!look_like_means(&other, &known, &TOKENS), "sums x {scale}");
            let means: Vec<f64> = other
                .iter()
                .zip(TOKENS)
                .map(|(s, n)| s / n as f64)
                .collect();
            // 2 nats a token over 20 tokens: means of a policy five times less sure are a quarter of the
            // sums, and nearer to them.
            let expected = scale < 4.0;
            assert_eq!(
                look_like_means(&means, &known, &TOKENS),
                expected,
                "means x {scale}"
            );
        }
    }

    /// Responses of one length have only their size: 24 / 8 = 3 nats are a mean, 10 are not.
    #[test]
    fn of_one_length_the_size_decides() {
        let known = [-24.0, -25.0, -23.0];
        assert!(look_like_means(&[-3.0, -3.1, -2.9], &known, &[8; 3]));
        assert!(!look_like_means(&[-10.0, -11.0, -9.0], &known, &[8; 3]));
    }

    /// A mean over one token is the sum; over two it is half of it, which a surer policy may have as well.
    #[test]
    fn few_tokens_tell_nothing() {
        for count in [1, 2, 3] {
            let known = [-4.0 * count as f64; 5];
            for value in [-4.0, -1.0, -0.01] {
                assert!(
                    !look_like_means(&[value; 5], &known, &[count; 5]),
                    "{count}: {value}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_said_of_a_policy_that_is_certain() {
        assert!(!look_like_means(&[0.0; 2], &[0.0; 2], &[9; 2]));
    }
}
