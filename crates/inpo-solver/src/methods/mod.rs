//! The methods, one file each: the update as an equation, what it requires, what it guarantees and
//! where that is proved. A new one has a `mod` line and a row of the table here.

mod comal;
mod egpo;
mod fictitious_play;
mod inpo;
mod iterative_dpo;
mod iterative_ipo;
mod mnpo;
mod mpo;
mod nash_ema;
mod nash_md;
mod onpo;
mod regret_matching;
mod replicator;
mod sppo;

crate::method::methods! {
    /// Any method of this crate, for callers that choose by name or compare several. As serde it is
    /// the settings with the method's name for a tag:
    ///
    /// ```
    /// use inpo_solver::{Inpo, Method, StepSize};
    ///
    /// let method = Method::from(Inpo::new(StepSize::Constant(0.3)));
    /// let text = r#"{"algorithm":"inpo","step_size":{"constant":0.3}}"#;
    /// assert_eq!(serde_json::to_string(&method)?, text);
    /// assert_eq!(serde_json::from_str::<Method>(text)?, method);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// Win rates against pi are written P pi; gamma = 1/eta. Every method is a multiplicative update
    /// with a choice of base and of opponent, except the last group.
    ///
    /// | method | next policy, up to its normaliser | game | what converges |
    /// |---|---|---|---|
    pub enum Method;

    /// | [`Inpo`] | ref^(tau/eta) pi^(1-tau/eta) exp(gamma P pi) | KL | last, with [`StepSize::Theory`](crate::StepSize::Theory) or a large constant eta |
    inpo::Inpo,
    /// | [`NashMd`] | mix exp(gamma P mix), mix = ref^(tau/eta) pi^(1-tau/eta) | KL | last, with [`StepSize::Theory`](crate::StepSize::Theory) |
    nash_md::NashMd,
    /// | [`NashEma`] | as INPO, against a moving average | KL | last, where [`caution`](crate::Solver::caution) has none |
    nash_ema::NashEma,
    /// | [`Sppo`] (Hedge) | pi exp(gamma P pi) | plain | average |
    sppo::Sppo,
    /// | [`IterativeIpo`] | base exp(gamma P pi), base = pi or ref | plain | average (base pi) |
    iterative_ipo::IterativeIpo,
    /// | [`IterativeDpo`] | base exp(f/beta), f the Bradley-Terry scores | plain | under Bradley-Terry only |
    iterative_dpo::IterativeDpo,
    /// | [`Onpo`] (optimistic Hedge) | aux exp(2 gamma P pi), aux exp(gamma P pi) kept | plain | last and average |
    onpo::Onpo,
    /// | [`Egpo`] | INPO's half step, then again from pi against it | KL, plain | last; linearly with a KL |
    egpo::Egpo,
    /// | [`Mpo`] | magnetic mirror descent, the magnet moves | plain | last, with long enough phases |
    mpo::Mpo,
    /// | [`Comal`] | INPO towards a reference that moves | plain | last, with long enough phases |
    comal::Comal,
    /// | [`Mnpo`] | geometric mean of past policies, their mean win rate | plain | average |
    mnpo::Mnpo,
    /// | [`RegretMatching`], also plus | positive regrets | plain | average |
    regret_matching::RegretMatching,
    /// | [`FictitiousPlay`] | best response to the average | plain, KL | average |
    fictitious_play::FictitiousPlay,
    /// | [`Replicator`] | the flow of all of them | plain, KL | last if tau > 0 |
    replicator::Replicator,
}
