//! Record files: real votes where the shared data lies beside the project (without it those tests
//! pass and say so), and bytes that are no record file at all.

use std::path::{Path, PathBuf};

use inpo_game::{
    MatrixGame, PreferenceGame, RecordColumns, RecordOptions, Records, analysis, read_records,
    read_records_csv, read_records_json,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    wins: Vec<Vec<f64>>,
    n: Vec<Vec<f64>>,
    cyclic_triads: u64,
}

fn data() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("the shared data is not here, nothing checked");
    None
}

fn llmfao(folder: &Path, file: &str, names: Option<Vec<String>>) -> Records {
    let options = RecordOptions {
        columns: RecordColumns::new("left", "right", "winner"),
        names,
        ..RecordOptions::default()
    };
    read_records(folder.join("llmfao").join(file), &options).unwrap()
}

#[test]
fn the_votes_of_people_make_the_matrix_of_fourteen_models() {
    let Some(folder) = data() else { return };
    let matrices = folder.join("preference_matrices");
    let want = MatrixGame::read(matrices.join("llmfao14_crowd.json")).unwrap();
    let text = std::fs::read_to_string(matrices.join("llmfao14_crowd.expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();

    let names = want.names().unwrap().to_vec();
    let records = llmfao(&folder, "crowd-comparisons.csv", Some(names));
    let game = &records.game;
    // 1,370 votes on all 91 pairs.
    assert_eq!(
        (records.rows, game.total_votes(), game.pairs().len()),
        (8931, 1370, 91)
    );
    assert_eq!(records.left_out, 8931 - 1370);
    for i in 0..14 {
        for j in (0..14).filter(|&j| j != i) {
            let counts = game.counts(i, j);
            // The file counts a tie as half a win, without smoothing.
            assert_eq!(counts.points(), expected.wins[i][j], "wins of {i} over {j}");
            assert_eq!(
                counts.total() as f64,
                expected.n[i][j],
                "votes on {i} and {j}"
            );
            let (got, want) = (game.preference(i, j).get(), want.preference(i, j).get());
            assert!(
                (got - want).abs() < 2e-16,
                "P({i} > {j}) = {got} is not {want}"
            );
        }
    }
    let matrix = game.to_matrix();
    assert_eq!(matrix.names(), want.names());
    assert_eq!(
        analysis::cyclic_triads(&matrix).cyclic,
        expected.cyclic_triads
    );
}

#[test]
fn all_real_files_are_read() {
    let Some(folder) = data() else { return };
    // Rows, names and ties, counted by other programs.
    for (file, rows, names, ties) in [
        ("crowd-comparisons.csv", 8931, 59, 3471),
        ("gpt3-comparisons.csv", 3236, 70, 313),
        ("gpt4-comparisons.csv", 3236, 70, 139),
    ] {
        let records = llmfao(&folder, file, None);
        let game = &records.game;
        assert_eq!((records.rows, records.left_out), (rows, 0), "{file}");
        assert_eq!(game.num_actions(), names, "{file}");
        let got: u64 = game.pairs().map(|(_, _, counts)| counts.ties).sum();
        assert_eq!(got, ties, "{file}");
    }
    let crowd = llmfao(&folder, "crowd-comparisons.csv", None).game;
    assert_eq!(crowd.pairs().len(), 927);
    // The default columns name the same models by number.
    let path = folder.join("llmfao/crowd-comparisons.csv");
    let numbered = read_records(path, &RecordOptions::default()).unwrap().game;
    assert_eq!(numbered.num_actions(), 59);
    assert_eq!(numbered.names()[..2], ["97", "98"]);
    assert!(crowd.pairs().eq(numbered.pairs()));
}

/// Either no game, or one of all rows.
fn read_both(bytes: &[u8]) -> Result<(), TestCaseError> {
    let options = RecordOptions::default();
    let path = Path::new("bytes");
    for result in [
        read_records_csv(bytes, path, &options),
        read_records_json(bytes, path, &options),
    ] {
        match result {
            Ok(records) => prop_assert_eq!(records.game.total_votes(), records.rows),
            Err(error) => prop_assert!(error.to_string().starts_with("bytes")),
        }
    }
    Ok(())
}

/// Pieces of both formats, so that many files get beyond the first row.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"model_x,model_y,winner\n",
        b"a,b,a\n",
        b"b,c,tie\n",
        b"c,a,left\r\n",
        b"a,a,a\n",
        b"a,b\n",
        b"\"a",
        b"\"",
        b",",
        b"\n",
        b"\r",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\0",
        b"{\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": \"a\"}\n",
        b"{\"model_x\": 1, \"model_y\": null, \"winner\": [[[",
        b"}",
        b"\\u12",
    ];
    prop_oneof![
        8 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_game_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_both(&bytes)?;
    }

    #[test]
    fn pieces_of_records_are_a_game_or_an_error(
        header in any::<bool>(),
        pieces in prop::collection::vec(piece(), 0..12),
    ) {
        let mut bytes = if header { b"model_x,model_y,winner\n".to_vec() } else { vec![] };
        bytes.extend(pieces.concat());
        read_both(&bytes)?;
    }

    #[test]
    fn votes_written_are_votes_read(
        votes in prop::collection::vec((0..4usize, 1..4usize, 0..3usize), 1..60),
    ) {
        let names = ["x", "y, z", "\"q\"", "left"];
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let mut csv = "model_x,model_y,winner\n".to_owned();
        let mut lines = String::new();
        let mut points = [0.0; 4];
        for &(first, ahead, outcome) in &votes {
            let second = (first + ahead) % 4;
            let sides = [names[first], names[second], "tie"];
            csv += &format!("{},{},{}\n", quoted(sides[0]), quoted(sides[1]), quoted(sides[outcome]));
            let object = serde_json::json!({
                "winner": sides[outcome], "model_x": sides[0], "model_y": sides[1],
            });
            lines += &format!("{object}\n");
            points[first] += [1.0, 0.0, 0.5][outcome];
            points[second] += [0.0, 1.0, 0.5][outcome];
        }
        let options = RecordOptions::default();
        let from_csv = read_records_csv(csv.as_bytes(), Path::new("v"), &options).unwrap();
        let from_json = read_records_json(lines.as_bytes(), Path::new("v"), &options).unwrap();
        prop_assert_eq!(&from_csv, &from_json);
        let game = from_csv.game;
        prop_assert_eq!(game.total_votes(), votes.len() as u64);
        for (name, want) in names.iter().zip(points) {
            let got = game.index_of(name).map_or(0.0, |i| {
                (0..game.num_actions()).map(|j| game.counts(i, j).points()).sum()
            });
            prop_assert_eq!(got, want);
        }
    }
}
