//! Game files: what is written is what is read, and no text makes a reader panic.

use std::fs;
use std::path::Path;

use inpo_game::{MatrixGame, ReadError, Strategy as Policy};
use proptest::prelude::*;

/// Any game of 1 to 6 actions, with preferences that need all their digits, with or without names
/// (numbers, commas, quotes and line breaks among them) and a reference.
fn games() -> impl Strategy<Value = MatrixGame> {
    let preference = prop_oneof![
        4 => 0.0..=1.0f64,
        1 => prop::sample::select(vec![0.0, 1.0, 0.5, 0.1, 5e-324, 1e-17, 1.0 - f64::EPSILON]),
    ];
    // A CSV does not keep spaces around a name, and no file may have one of nothing else.
    let name = prop_oneof![
        "[a-zA-Z0-9,\"\n{é]{0,5}[a-zA-Z0-9,\"{é]".prop_map(|name: String| name.trim().to_owned()),
        prop::sample::select(vec!["0.5", "0", "1e3", "nan", "\u{feff}a", "#"])
            .prop_map(str::to_owned),
    ];
    (1usize..=6)
        .prop_flat_map(move |n| {
            (
                Just(n),
                prop::collection::vec(preference.clone(), n * (n - 1) / 2),
                prop::option::of(prop::collection::hash_set(name.clone(), n)),
                prop::option::of(prop::collection::vec(0.01..1.0f64, n)),
            )
        })
        .prop_map(|(n, upper, names, weights)| {
            let mut upper = upper.into_iter();
            let mut game = MatrixGame::from_fn(n, |_, _| upper.next().unwrap()).unwrap();
            if let Some(names) = names {
                game = game.with_names(names.into_iter().collect()).unwrap();
            }
            if let Some(weights) = weights {
                let sum: f64 = weights.iter().sum();
                let reference = Policy::new(weights.iter().map(|w| w / sum).collect());
                game = game.with_reference(reference.unwrap()).unwrap();
            }
            game
        })
}

/// Reads a file of these bytes, whose message, if it is refused, must name it.
fn read(name: &str, bytes: &[u8]) -> Result<MatrixGame, ReadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let read = MatrixGame::read(path);
    if let Err(error) = &read {
        assert!(error.to_string().contains(name), "{error}");
    }
    read
}

/// Bits of game files, so that a sequence of some is nearly one.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "[[",
        "]]",
        ",",
        ":",
        "\n",
        " ",
        "\"",
        "\r\n",
        "0.5",
        "0.7",
        "0.3",
        "1",
        "-0",
        "1e999",
        "nan",
        "inf",
        "null",
        "a",
        "b",
        "\"a\"",
        "\u{feff}",
        "é",
        "\"preferences\":",
        "\"names\":",
        "\"reference\":",
        "0.5,0.7\n",
        "0.3,0.5\n",
        "a,b\n",
        ",a,b\n",
        "[0.5,0.7],",
        "[0.3,0.5]",
        "{\"preferences\":[[0.5,0.7],[0.3,0.5]]",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn json_keeps_every_bit(game in games()) {
        let text = game.to_json();
        prop_assert_eq!(&MatrixGame::from_json(&text, Path::new("g.json")).unwrap(), &game);
        let mut written = Vec::new();
        game.write_json(&mut written).unwrap();
        prop_assert_eq!(written, text.as_bytes());
        prop_assert_eq!(read("g.json", text.as_bytes()).unwrap(), game);
    }

    #[test]
    fn csv_keeps_every_bit_but_the_reference(game in games()) {
        let text = game.to_csv();
        let mut written = Vec::new();
        game.write_csv(&mut written).unwrap();
        prop_assert_eq!(written, text.as_bytes());
        for again in [
            MatrixGame::from_csv(&text, Path::new("g.csv")).unwrap(),
            read("g.csv", text.as_bytes()).unwrap(),
        ] {
            prop_assert_eq!(again.reference(), Policy::uniform(again.row(0).len()));
            prop_assert_eq!(again.with_reference(game.reference()).unwrap(),
                game.clone().with_reference(game.reference()).unwrap());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in ["g.json", "g.csv", "g"] {
            let _ = read(name, &bytes);
        }
    }

    #[test]
    fn nearly_games_are_read_or_refused(text in pieces()) {
        for name in ["g.json", "g.csv", "g"] {
            // What is accepted is a game: it can be written and read again.
            if let Ok(game) = read(name, text.as_bytes()) {
                prop_assert_eq!(read("g.json", game.to_json().as_bytes()).unwrap(), game);
            }
        }
        let _ = MatrixGame::from_json(&text, Path::new("g.json"));
        let _ = MatrixGame::from_csv(&text, Path::new("g.csv"));
    }

    #[test]
    fn a_damaged_game_is_read_or_refused(
        game in games(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        for (name, text) in [("g.json", game.to_json()), ("g.csv", game.to_csv())] {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let _ = read(name, &bytes);
        }
    }
}
