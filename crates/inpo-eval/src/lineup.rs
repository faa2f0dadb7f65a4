//! Who plays in the evaluation of a run, and whom each iteration meets.

/// The players of a run's [`Arena`](crate::Arena) and their places: the reference, the policy that the run starts from where it
/// is another model, the named opponents, then the result of each iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineup {
    /// Whether the starting policy is another model than the reference.
    pub start: bool,
    /// How many opponents there are by name.
    pub opponents: usize,
    /// Whether each iteration meets the policy before it.
    pub previous: bool,
    /// Whether each iteration meets the policy that the run starts from.
    pub initial: bool,
    /// Whether everyone meets everyone.
    pub empirical_game: bool,
}

impl Lineup {
    /// The place of the reference.
    pub const REFERENCE: usize = 0;

    /// The place of the policy that the run starts from.
    #[must_use]
    pub fn start(self) -> usize {
        usize::from(self.start)
    }

    /// The places of the named opponents.
    pub fn named(self) -> std::ops::Range<usize> {
        let first = self.start() + 1;
        first..first + self.opponents
    }

    /// The place of the policy after iteration `t`; that of the reference for 0.
    #[must_use]
    pub fn after(self, t: usize) -> usize {
        match t {
            0 => Self::REFERENCE,
            t => self.named().end + t - 1,
        }
    }

    /// The place of the policy before iteration `t`, from 1.
    #[must_use]
    pub fn before(self, t: usize) -> usize {
        match t {
            1 => self.start(),
            t => self.after(t - 1),
        }
    }

    /// The pairs of players that meet after iteration `t`, each once; the first is the newer one. The responses of the newest
    /// meet each other.
    #[must_use]
    pub fn matches(self, t: usize) -> Vec<(usize, usize)> {
        let newest = self.after(t);
        let mut pairs = vec![(newest, newest)];
        if t == 0 {
            let others =
                (1..self.named().end).flat_map(|player| (0..player).map(move |o| (player, o)));
            let meets = |(player, other): &(usize, usize)| {
                let is_listed = self.initial || *player != self.start();
                self.empirical_game || (*other == Self::REFERENCE && is_listed)
            };
            pairs.extend(others.filter(meets));
            return pairs;
        }
        let meets = |other: &usize| {
            self.empirical_game
                || *other == Self::REFERENCE
                || (self.previous && *other == self.before(t))
                || (self.initial && *other == self.start())
                || self.named().contains(other)
        };
        pairs.extend((0..newest).filter(meets).map(|other| (newest, other)));
        pairs
    }

    /// How many comparisons a prompt costs over so many iterations, with so many samples of each player.
    #[must_use]
    pub fn comparisons(self, iterations: usize, samples: usize) -> usize {
        let cost = |(first, second): (usize, usize)| {
            if first == second {
                samples * (samples - 1) / 2
            } else {
                samples * samples
            }
        };
        let pairs = (0..=iterations).flat_map(|t| self.matches(t));
        pairs.map(cost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Lineup = Lineup {
        start: false,
        opponents: 0,
        previous: true,
        initial: false,
        empirical_game: false,
    };

    /// Reference and previous policy, which are one at first: 1 + 2 + 2 crosses and 4 tables of own samples over three
    /// iterations; everyone against everyone is one more, (1, 3).
    #[test]
    fn whom_each_iteration_meets() {
        assert_eq!(PLAIN.matches(0), [(0, 0)]);
        assert_eq!(PLAIN.matches(1), [(1, 1), (1, 0)]);
        assert_eq!(PLAIN.matches(3), [(3, 3), (3, 0), (3, 2)]);
        assert_eq!(PLAIN.comparisons(3, 4), 4 * 6 + 5 * 16);
        let game = Lineup {
            empirical_game: true,
            ..PLAIN
        };
        assert_eq!(game.comparisons(3, 4), 4 * 6 + 6 * 16);
    }

    /// Another starting policy (1) and two opponents (2, 3): iterations are 4, 5, ..
    #[test]
    fn other_models_take_part() {
        let lineup = Lineup {
            start: true,
            opponents: 2,
            initial: true,
            ..PLAIN
        };
        assert_eq!(lineup.matches(0), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        let met = [(5, 5), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4)];
        assert_eq!(lineup.matches(2), met);
        assert_eq!((lineup.before(1), lineup.before(2)), (1, 4));
        let all = Lineup {
            empirical_game: true,
            ..lineup
        };
        let met: Vec<_> = (0..=2).flat_map(|t| all.matches(t)).collect();
        assert_eq!(met.len(), 3 + 6 * 5 / 2);
    }
}
