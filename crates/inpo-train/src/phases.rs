//! What an iteration of each algorithm does: whom it samples, where it starts, what its anchors are.
//!
//! ```text
//!              pairs from           starts at   ends at    anchors
//! most         pi_t                 pi_t        pi_{t+1}   pi_ref, pi_t, pi_{t-1}, ..
//! ipo, dpo ..  pi_ref               pi_t        pi_{t+1}   pi_ref
//! nash_md      pi_ref, pi_t mixed   pi_t        pi_{t+1}   pi_ref, pi_t
//! onpo         pi_t                 aux_t       aux_{t+1}  aux_t
//!              the same             aux_{t+1}   pi_{t+1}   aux_{t+1}
//! egpo         pi_t                 pi_t        half_t     pi_ref, pi_t
//!              half_t               pi_t        pi_{t+1}   pi_ref, pi_t
//! ```
//!
//! pi_ref is the reference in force: with `ref_update_every = m` it becomes pi_t after every m
//! iterations (COMAL, magnetic mirror descent, iterative IPO and DPO).

use inpo_loss::Role;

use crate::config::Algorithm;

/// One of the policies of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyId {
    /// `[reference]`, or the starting policy.
    Reference,
    /// pi_{t+1}, the result of iteration t; `After(0)` is the starting policy.
    After(usize),
    /// The result of the first of iteration t's two phases (ONPO's aux_{t+1}, EGPO's half_t); `Side(0)`
    /// is the starting policy.
    Side(usize),
}

/// Whom a phase samples its responses from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// One policy.
    Policy(PolicyId),
    /// The geometric mixture `reference^weight previous^(1 - weight)`, token by token.
    Mixture {
        /// pi_ref.
        reference: PolicyId,
        /// pi_t.
        previous: PolicyId,
        /// Weight of the reference.
        weight: f64,
    },
}

/// One optimisation of an iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// The iteration, from 1.
    pub iteration: usize,
    /// `aux` or `half`, the folder of the first of two phases.
    pub name: Option<&'static str>,
    /// Whom the pairs are sampled from.
    pub sampler: Sampler,
    /// Whether the pairs are the iteration's, shared by both phases, or the phase's own.
    pub shares_pairs: bool,
    /// The weights it starts with.
    pub start: PolicyId,
    /// What it makes.
    pub result: PolicyId,
    /// The reference in force.
    pub reference: PolicyId,
    /// ONPO's anchor.
    auxiliary: PolicyId,
}

impl Phase {
    /// Whether it makes pairs, which ONPO's second phase does not.
    pub fn samples(&self) -> bool {
        !(self.shares_pairs && matches!(self.start, PolicyId::Side(t) if t == self.iteration))
    }

    /// The policy that plays `role`.
    pub fn policy(&self, role: Role) -> PolicyId {
        match role {
            Role::Reference => self.reference,
            Role::Previous => PolicyId::After(self.iteration - 1),
            Role::Auxiliary => self.auxiliary,
            // There are no more than t policies in iteration t.
            Role::History(age) => PolicyId::After(self.iteration - 1 - age),
        }
    }
}

/// The phases of iteration `t` (from 1). The reference becomes pi_t after every `ref_update_every`
/// iterations (0: never); `reference_weight` is that of the reference among the anchors.
pub fn phases(
    algorithm: Algorithm,
    t: usize,
    ref_update_every: usize,
    reference_weight: f64,
) -> Vec<Phase> {
    let previous = PolicyId::After(t - 1);
    let updates = (t - 1).checked_div(ref_update_every).unwrap_or(0);
    let reference = match updates {
        0 => PolicyId::Reference,
        _ => PolicyId::After(updates * ref_update_every),
    };
    let only = Phase {
        iteration: t,
        name: None,
        sampler: Sampler::Policy(previous),
        shares_pairs: true,
        start: previous,
        result: PolicyId::After(t),
        reference,
        auxiliary: PolicyId::Side(t - 1),
    };
    match algorithm {
        Algorithm::Ipo | Algorithm::IpoMean | Algorithm::Dpo | Algorithm::Hinge => vec![Phase {
            sampler: Sampler::Policy(reference),
            ..only
        }],
        Algorithm::NashMd => vec![Phase {
            sampler: Sampler::Mixture {
                reference,
                previous,
                weight: reference_weight,
            },
            ..only
        }],
        Algorithm::Onpo => {
            let first = Phase {
                name: Some("aux"),
                start: PolicyId::Side(t - 1),
                result: PolicyId::Side(t),
                ..only.clone()
            };
            let second = Phase {
                start: PolicyId::Side(t),
                auxiliary: PolicyId::Side(t),
                ..only
            };
            vec![first, second]
        }
        Algorithm::Egpo => {
            let half = Phase {
                name: Some("half"),
                shares_pairs: false,
                result: PolicyId::Side(t),
                ..only.clone()
            };
            let full = Phase {
                sampler: Sampler::Policy(PolicyId::Side(t)),
                ..only
            };
            vec![half, full]
        }
        Algorithm::Inpo
        | Algorithm::OnlineIpo
        | Algorithm::IterativeIpo
        | Algorithm::IterativeDpo
        | Algorithm::Sppo
        | Algorithm::Dno
        | Algorithm::DnoPrct
        | Algorithm::Rebel
        | Algorithm::Comal
        | Algorithm::Mpo
        | Algorithm::Mnpo
        | Algorithm::Enpo => vec![only],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PolicyId::{After, Reference, Side};

    fn of(algorithm: Algorithm, t: usize, every: usize) -> Vec<Phase> {
        phases(algorithm, t, every, 0.25)
    }

    #[test]
    fn inpo_plays_against_itself() {
        let [phase] = &of(Algorithm::Inpo, 3, 0)[..] else {
            panic!("one phase")
        };
        assert_eq!(phase.sampler, Sampler::Policy(After(2)));
        assert_eq!((phase.start, phase.result), (After(2), After(3)));
        assert_eq!(phase.policy(Role::Reference), Reference);
        assert_eq!(phase.policy(Role::Previous), After(2));
        assert_eq!(phase.policy(Role::History(0)), After(2));
        assert_eq!(phase.policy(Role::History(2)), After(0));
    }

    /// Every 2 iterations: pi_ref in 1 and 2, pi_3 in 3 and 4, pi_5 in 5.
    #[test]
    fn the_reference_moves() {
        let references: Vec<PolicyId> = (1..=5)
            .map(|t| of(Algorithm::Comal, t, 2)[0].reference)
            .collect();
        let expected = [Reference, Reference, After(2), After(2), After(4)];
        assert_eq!(references, expected);
        assert_eq!(of(Algorithm::IterativeDpo, 3, 1)[0].reference, After(2));
    }

    #[test]
    fn onpo_keeps_two_sequences_and_egpo_looks_ahead() {
        let onpo = of(Algorithm::Onpo, 2, 0);
        assert_eq!((onpo[0].start, onpo[0].result), (Side(1), Side(2)));
        assert_eq!((onpo[1].start, onpo[1].result), (Side(2), After(2)));
        let anchors: Vec<_> = onpo.iter().map(|p| p.policy(Role::Auxiliary)).collect();
        assert_eq!(anchors, [Side(1), Side(2)]);
        assert!(onpo.iter().all(|p| p.sampler == Sampler::Policy(After(1))));
        let egpo = of(Algorithm::Egpo, 2, 0);
        assert_eq!((egpo[0].start, egpo[0].result), (After(1), Side(2)));
        assert_eq!((egpo[1].start, egpo[1].result), (After(1), After(2)));
        assert_eq!(egpo[0].sampler, Sampler::Policy(After(1)));
        assert_eq!(egpo[1].sampler, Sampler::Policy(Side(2)));
        assert!(egpo.iter().all(|p| p.policy(Role::Previous) == After(1)));
    }

    #[test]
    fn fixed_data_comes_from_the_reference_and_nash_md_mixes() {
        assert_eq!(
            of(Algorithm::Dpo, 2, 0)[0].sampler,
            Sampler::Policy(Reference)
        );
        let mixture = Sampler::Mixture {
            reference: Reference,
            previous: After(1),
            weight: 0.25,
        };
        assert_eq!(of(Algorithm::NashMd, 2, 0)[0].sampler, mixture);
    }
}
