//! What an iteration is made of: whom it samples, where it starts, what its anchors are.
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
//! iterations (COMAL, magnetic mirror descent, iterative IPO and DPO). Each method's file says which phases it has.

use inpo_loss::Role;

use crate::stage::{Place, Stage};

/// One of the policies of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyId {
    /// `[reference]`, or the starting policy.
    Reference,
    /// `[previous]` of a training on given pairs, or the starting policy.
    Previous,
    /// pi_{t+1}, the result of iteration t; `After(0)` is the starting policy.
    After(usize),
    /// The result of the first of iteration t's two phases: ONPO's auxiliary policy aux_{t+1}, EGPO's half step;
    /// `Intermediate(0)` is the starting policy.
    Intermediate(usize),
    /// An opponent that `eval.opponents` names by its path, counted from 0.
    Opponent(usize),
}

/// Whom a phase samples its responses from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PairsFrom {
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
    /// The folder of the first of two phases, `aux` or `half`; none for the phase that makes pi_{t+1}.
    pub folder: Option<&'static str>,
    /// Whom the pairs are sampled from.
    pub pairs_from: PairsFrom,
    /// Whether the pairs are the iteration's, shared by both phases, or the phase's own.
    pub shares_pairs: bool,
    /// The weights it starts with.
    pub start: PolicyId,
    /// What it makes.
    pub result: PolicyId,
    /// The reference in force.
    pub reference: PolicyId,
    /// pi_t.
    pub previous: PolicyId,
    /// The policy of [`Role::Auxiliary`].
    pub auxiliary: PolicyId,
}

impl Phase {
    /// Whether it makes pairs, which ONPO's second phase does not.
    pub fn samples(&self) -> bool {
        !(self.shares_pairs && self.start == PolicyId::Intermediate(self.iteration))
    }

    /// The folder of its pairs; none where they are the iteration's.
    pub fn pairs_folder(&self) -> Option<&'static str> {
        if self.shares_pairs { None } else { self.folder }
    }

    /// A stage that makes its pairs.
    pub(crate) fn pairs_place(&self, stage: Stage) -> Place<'static> {
        Place {
            stage,
            iteration: self.iteration,
            folder: self.pairs_folder(),
        }
    }

    /// A stage after its pairs.
    pub(crate) fn place(&self, stage: Stage) -> Place<'static> {
        Place {
            folder: self.folder,
            ..self.pairs_place(stage)
        }
    }

    /// The policy that plays `role`; none for one that is older than the starting policy.
    pub fn policy(&self, role: Role) -> Option<PolicyId> {
        match role {
            Role::Reference => Some(self.reference),
            Role::Previous | Role::History(0) => Some(self.previous),
            Role::Auxiliary => Some(self.auxiliary),
            Role::History(age) => (self.iteration - 1).checked_sub(age).map(PolicyId::After),
        }
    }
}

/// An iteration, from which a method makes its phases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// The iteration t, from 1.
    pub iteration: usize,
    /// The reference in force.
    pub reference: PolicyId,
    /// The weight of the reference among the loss's anchors.
    pub reference_weight: f64,
}

impl Round {
    /// Iteration `t` with a reference that stays and is no anchor.
    pub fn new(t: usize) -> Self {
        Self {
            iteration: t,
            reference: PolicyId::Reference,
            reference_weight: 0.0,
        }
    }

    /// The same iteration with a reference that becomes pi_t after every `every` iterations; 0: never.
    #[must_use]
    pub fn with_moving_reference(self, every: usize) -> Self {
        let updates = (self.iteration - 1).checked_div(every).unwrap_or(0);
        let reference = if updates == 0 {
            PolicyId::Reference
        } else {
            PolicyId::After(updates * every)
        };
        Self { reference, ..self }
    }

    /// pi_t.
    pub fn previous(&self) -> PolicyId {
        PolicyId::After(self.iteration - 1)
    }

    /// The phase of most methods: from pi_t to pi_{t+1} on pairs from pi_t.
    pub fn phase(&self) -> Phase {
        Phase {
            iteration: self.iteration,
            folder: None,
            pairs_from: PairsFrom::Policy(self.previous()),
            shares_pairs: true,
            start: self.previous(),
            result: PolicyId::After(self.iteration),
            reference: self.reference,
            previous: self.previous(),
            auxiliary: PolicyId::Intermediate(self.iteration - 1),
        }
    }
}

/// One phase on pairs from pi_t: self-play.
pub fn from_previous(round: &Round) -> Vec<Phase> {
    vec![round.phase()]
}

/// One phase on pairs from the reference: the online form of fixed data.
pub fn from_reference(round: &Round) -> Vec<Phase> {
    vec![Phase {
        pairs_from: PairsFrom::Policy(round.reference),
        ..round.phase()
    }]
}
