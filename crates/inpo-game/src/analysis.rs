//! What a game looks like: its winners if it has any, its cycles, and how much of it a ranking
//! explains.
//!
//! Four questions, from the coarsest to the finest.
//!
//! **Is there a best action?** A [`condorcet_winner`] beats everyone. Where there is none, the
//! [`smith_set`] and the [`schwartz_set`] are the smallest sets that can stand for it, and the
//! [`maximal_lottery`] says with which probability to play each: it is the Nash policy.
//!
//! **How often does it go round in circles?** [`triads`] counts the triads in which each beats the
//! next.
//!
//! **How much would one number an action explain?** [`hodge`] splits the game into the differences
//! of scores and a cyclic rest, on the scale of probabilities or of log-odds.
//!
//! **Which ranking, if one must be had?** [`borda`], [`copeland`], the scores of [`hodge`] or those
//! of [`bradley_terry`](crate::bradley_terry), and [`ranking`] of any of them. They disagree where
//! the game is cyclic, and a ranking says nothing of that.
//!
//! "Beats" is always P > 1/2 and "ties" P = 1/2, exactly as the numbers stand: an estimated game
//! has hardly any ties, and noise makes cycles.
//!
//! ```
//! use inpo_game::{analysis, games};
//!
//! let game = games::cyclic_three();
//! assert_eq!(analysis::smith_set(&game), [0, 1, 2]);
//! assert_eq!(analysis::cyclic_triads(&game).cyclic, 1);
//! assert!(analysis::transitive_share(&game) < 0.02);
//! ```

mod hodge;
mod lottery;
mod majority;
mod scores;
mod triads;
mod winners;

pub use hodge::{Hodge, HodgeError, Scale, hodge, transitive_share};
pub use lottery::{Margins, essential_set, maximal_lottery};
pub use scores::{borda, copeland, ranking};
pub use triads::{
    EXACT_TRIADS_UP_TO, TRIAD_SAMPLES, TriadCount, TriadEstimate, Triads, cyclic_triads,
    cyclic_triads_sampled, triads,
};
pub use winners::{condorcet_winner, schwartz_set, smith_set};
