use super::*;
use crate::ScoreGame;

fn text(result: Result<LowRankGame, LowRankError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn two_planes_by_hand() {
    // Plane 1, weight 2: 1 * 4 - 2 * 3 = -2. Plane 2, weight 0.5: 0 * 1 - 1 * 5 = -5.
    // s(0, 1) = 2 * -2 + 0.5 * -5 = -6.5.
    let embeddings = [vec![1.0, 2.0, 0.0, 1.0], vec![3.0, 4.0, 5.0, 1.0]];
    let game = LowRankGame::new(&embeddings, &[2.0, 0.5], Link::Logistic).unwrap();
    assert_eq!(game.score(0, 1), -6.5);
    assert_eq!(game.score(1, 0), 6.5);
    assert_eq!(game.score(1, 1), 0.0);
    // 1 / (1 + exp(6.5)), computed apart: 0.00150118225673701.
    assert!((game.preference(0, 1).get() - 0.001_501_182_256_737).abs() < 1e-15);
    // The same operator, written out.
    let skew = [
        vec![0.0, 2.0, 0.0, 0.0],
        vec![-2.0, 0.0, 0.0, 0.0],
        vec![0.0, 0.0, 0.0, 0.5],
        vec![0.0, 0.0, -0.5, 0.0],
    ];
    let same = LowRankGame::with_skew(&embeddings, &skew, Link::Logistic).unwrap();
    assert_eq!(same, game);
}

#[test]
fn scores_are_embeddings_of_two_coordinates() {
    let scores = vec![0.3, -1.2, 0.9, 0.0];
    let embeddings: Vec<Vec<f64>> = scores.iter().map(|&s| vec![s, 1.0]).collect();
    let low_rank = LowRankGame::new(&embeddings, &[1.0], Link::Logistic).unwrap();
    let bradley_terry = ScoreGame::bradley_terry(scores).unwrap();
    for i in 0..4 {
        for j in 0..4 {
            let (a, b) = (low_rank.preference(i, j), bradley_terry.preference(i, j));
            assert!((a.get() - b.get()).abs() < 1e-15);
        }
    }
}

#[test]
fn unit_vectors_make_the_operator_the_matrix_of_scores() {
    // The linear link turns scores P - 1/2 back into P: the cyclic game of COMAL.
    let units = [
        vec![1.0, 0.0, 0.0],
        vec![0.0, 1.0, 0.0],
        vec![0.0, 0.0, 1.0],
    ];
    let skew = [
        vec![0.0, -0.4, 0.3],
        vec![0.4, 0.0, -0.4],
        vec![-0.3, 0.4, 0.0],
    ];
    let game = LowRankGame::with_skew(&units, &skew, Link::Linear).unwrap();
    let rates = game.win_rates(&[0.5, 0.3, 0.2]);
    for (got, want) in rates.iter().zip([0.44, 0.62, 0.47]) {
        assert!((got - want).abs() < 1e-15);
    }
    assert!((game.preference(2, 1).get() - 0.9).abs() < 1e-15);
}

#[test]
fn each_bad_model_has_its_sentence() {
    let plane = |x: f64, y: f64| vec![x, y];
    let good = [plane(1.0, 0.0), plane(0.0, 1.0)];
    let link = Link::Logistic;
    assert!(text(LowRankGame::new(&[], &[], link)).contains("embeddings is empty"));
    let none = text(LowRankGame::new(&[vec![]], &[], link));
    assert!(none.contains("embeddings[0] has no coordinates"), "{none}");
    let ragged = text(LowRankGame::new(
        &[plane(0.0, 1.0), vec![1.0]],
        &[1.0],
        link,
    ));
    assert!(
        ragged.contains("embeddings[1] has 1 coordinates"),
        "{ragged}"
    );
    let nan = text(LowRankGame::new(&[plane(0.0, f64::NAN)], &[1.0], link));
    assert!(nan.contains("embeddings[0][1] is NaN"), "{nan}");
    let odd = text(LowRankGame::new(&[vec![1.0; 3]], &[1.0], link));
    assert!(
        odd.contains("1 weights for embeddings of dimension 3"),
        "{odd}"
    );
    let negative = text(LowRankGame::new(&good, &[-1.0], link));
    assert!(negative.contains("weights[0] is -1"), "{negative}");
    let huge = text(LowRankGame::new(&[plane(1e200, -1e200)], &[1.0], link));
    assert!(
        huge.contains("the embedding of action 0 gives scores"),
        "{huge}"
    );
    let far = text(LowRankGame::new(&good, &[0.6], Link::Linear));
    assert!(far.contains("actions 0 and 1 is 0.6"), "{far}");
    let shape = text(LowRankGame::with_skew(&good, &[vec![0.0, 1.0]], link));
    assert!(
        shape.contains("skew has 1 rows and row 0 has 2 entries"),
        "{shape}"
    );
    let skew = [vec![0.0, 1.0], vec![1.0, 0.0]];
    let symmetric = text(LowRankGame::with_skew(&good, &skew, link));
    assert!(
        symmetric.contains("skew[0][1] = 1 and skew[1][0] = 1"),
        "{symmetric}"
    );
    let skew = [vec![0.1, 1.0], vec![-1.0, 0.0]];
    let diagonal = text(LowRankGame::with_skew(&good, &skew, link));
    assert!(diagonal.contains("skew[0][0] = 0.1"), "{diagonal}");
}

#[test]
fn a_score_of_one_half_is_a_certain_win() {
    let good = [vec![1.0, 0.0], vec![0.0, 1.0]];
    let game = LowRankGame::new(&good, &[0.5 + 1e-13], Link::Linear).unwrap();
    assert_eq!(game.preference(0, 1), Preference::WIN);
    assert_eq!(game.preference(1, 0), Preference::LOSS);
}
