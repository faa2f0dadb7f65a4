//! The win rates of a stored game against the product that anyone would write down, and their
//! bits.

use inpo_game::{MatrixGame, PreferenceGame};
use proptest::prelude::*;

/// A sum of n products in f64, of numbers of size 1, misses by less than n roundings.
const ROUNDING: f64 = f64::EPSILON;

/// Numbers in [0, 1) that look random: the fractional parts of multiples of the golden ratio.
fn fraction(k: usize) -> f64 {
    (k as f64 * 0.618_033_988_749_894_9).fract()
}

/// P as rows, certain wins, certain losses and ties among them.
fn rows(n: usize, at: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let entry = |i: usize, j: usize| match i.cmp(&j) {
        std::cmp::Ordering::Less => at(i, j),
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0 - at(j, i),
    };
    (0..n)
        .map(|i| (0..n).map(|j| entry(i, j)).collect())
        .collect()
}

fn mixed(i: usize, j: usize) -> f64 {
    match (i * 31 + j * 17) % 11 {
        0 => 0.0,
        1 => 1.0,
        2 => 0.5,
        _ => fraction(i * 4099 + j),
    }
}

/// P x, one dot product a row.
fn dense(rows: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    let dot = |row: &Vec<f64>| row.iter().zip(x).map(|(p, x)| p * x).sum();
    rows.iter().map(dot).collect()
}

#[track_caller]
fn agree(rows: &[Vec<f64>], game: &MatrixGame, x: &[f64]) {
    let size: f64 = x.iter().map(|x| x.abs()).sum();
    let allowed = 2.0 * (rows.len() + 1) as f64 * ROUNDING * size;
    for (y, (got, want)) in game.win_rates(x).iter().zip(dense(rows, x)).enumerate() {
        assert!(
            (got - want).abs() <= allowed,
            "n = {}, action {y}: {got} is not {want}",
            rows.len()
        );
    }
}

#[test]
fn every_small_size_and_large_odd_ones() {
    for n in (1..=70).chain([127, 511, 724, 725, 726, 1025]) {
        let rows = rows(n, mixed);
        let game = MatrixGame::new(rows.clone()).unwrap();
        let uniform = vec![1.0 / n as f64; n];
        agree(&rows, &game, &uniform);
        // Differences of strategies and anything else: win rates are linear.
        let signed: Vec<f64> = (0..n).map(|j| 4.0 * fraction(j + 7) - 2.0).collect();
        agree(&rows, &game, &signed);
        let mut pure = vec![0.0; n];
        pure[n / 2] = 1.0;
        agree(&rows, &game, &pure);
        agree(&rows, &game, &vec![0.0; n]);
    }
}

#[test]
fn certain_wins_and_losses_only() {
    for n in [2, 9, 64, 800] {
        let rows = rows(n, |i, j| ((i * j + i + j) % 2) as f64);
        let game = MatrixGame::new(rows.clone()).unwrap();
        let x: Vec<f64> = (0..n).map(fraction).collect();
        agree(&rows, &game, &x);
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for n in [10, 511, 725, 1025, 1600] {
        let game = MatrixGame::from_fn(n, mixed).unwrap();
        let x: Vec<f64> = (0..n).map(|j| fraction(j) - 0.3).collect();
        let bits = |threads: usize| -> Vec<u64> {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let rates = pool.install(|| game.win_rates(&x));
            rates.into_iter().map(f64::to_bits).collect()
        };
        let one = bits(1);
        assert_eq!(one, bits(2), "n = {n}");
        assert_eq!(one, bits(3), "n = {n}");
        // And again, with the sums of the last call in place.
        assert_eq!(one, bits(2), "n = {n}");
    }
}

#[test]
fn products_within_products_do_not_mix() {
    // Tasks of a pool that each start a product: a thread that waits for one may run another.
    use rayon::prelude::*;
    let games: Vec<MatrixGame> = (0..12)
        .map(|g| MatrixGame::from_fn(800 + 16 * g, |i, j| mixed(i + g, j)).unwrap())
        .collect();
    let rates = |game: &MatrixGame| {
        let x: Vec<f64> = (0..game.num_actions()).map(fraction).collect();
        game.win_rates(&x)
    };
    let alone: Vec<_> = games.iter().map(rates).collect();
    for _ in 0..5 {
        let together: Vec<_> = games.par_iter().map(rates).collect();
        assert_eq!(alone, together);
    }
}

proptest! {
    #[test]
    fn any_game_and_any_weights(
        (n, upper, x) in (1usize..40).prop_flat_map(|n| (
            Just(n),
            prop::collection::vec(
                prop_oneof![4 => 0.0..=1.0f64, 1 => Just(0.0), 1 => Just(1.0)],
                n * (n - 1) / 2,
            ),
            prop::collection::vec(-1e3..1e3f64, n),
        )),
    ) {
        let rows = rows(n, |i, j| upper[i * (2 * n - i - 1) / 2 + j - i - 1]);
        let game = MatrixGame::new(rows.clone()).unwrap();
        agree(&rows, &game, &x);
        // Both halves come back to the bit, though one is kept: 1 - (1 - p) is p above 1/2.
        for (i, row) in rows.iter().enumerate() {
            prop_assert_eq!(&game.row(i), row);
            for (j, &p) in row.iter().enumerate() {
                prop_assert_eq!(game.preference(i, j).get(), p);
            }
        }
        prop_assert_eq!(MatrixGame::from_game(&game), game);
    }
}
