//! Every method of the family on the same small games: a transformer trained by the loop of
//! `inpo run` from a counted number of comparisons, beside the exact solver.

mod exact;
mod figure;
mod judge;
mod play;
mod report;
mod settings;

pub use exact::{caution, exact_strategies, floor};
pub use figure::figure;
pub use judge::{Row, draw_rows, exact_rows};
pub use play::{Trace, play};
pub use report::{Contest, Outcome, Summary, mean_curve, summary, table};
pub use settings::{Feedback, METHODS, Settings};
