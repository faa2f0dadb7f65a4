use serde::{Deserialize, Serialize};

/// Which fixed policy an anchor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// pi_ref.
    Reference,
    /// pi_t, the policy that the iteration starts from.
    Previous,
    /// ONPO's second sequence of policies, aux.
    Auxiliary,
    /// pi_{t-j}; `History(0)` is pi_t, the newest.
    History(usize),
}

impl Role {
    /// The columns of its log-prob sums in a file of pairs, chosen and rejected: TRL's names for the
    /// reference, the same with `prev`, `aux`, `history0`, .. for the others.
    pub fn columns(self) -> [String; 2] {
        let prefix = match self {
            Self::Reference => "ref".to_owned(),
            Self::Previous => "prev".to_owned(),
            Self::Auxiliary => "aux".to_owned(),
            Self::History(age) => format!("history{age}"),
        };
        ["chosen", "rejected"].map(|side| format!("{prefix}_{side}_logps"))
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference => f.write_str("pi_ref"),
            Self::Previous | Self::History(0) => f.write_str("pi_t"),
            Self::Auxiliary => f.write_str("aux"),
            Self::History(age) => write!(f, "pi_(t-{age})"),
        }
    }
}

/// A fixed policy that pulls on the trained one: the term `w log q(y)` of
/// `r(y) = log pi(y) - sum_k w_k log q_k(y)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    /// Which policy `q` is.
    pub role: Role,
    /// `w`. The weights of all anchors of a loss add up to 1.
    pub weight: f64,
}

impl Anchor {
    /// `weight` times the log-probs of `role`.
    pub fn new(role: Role, weight: f64) -> Self {
        Self { role, weight }
    }
}
