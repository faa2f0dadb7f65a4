use super::*;

#[test]
fn excerpt_escapes_and_shortens() {
    assert_eq!(excerpt("a\nb"), r#""a\nb""#);
    let long = excerpt(&"x".repeat(100));
    assert_eq!(
        long.chars().count(),
        63,
        "60 characters, the mark, two quotes"
    );
}

#[test]
fn missing_tensors_are_counted_and_the_first_named() {
    let tensors = (0..6).map(|i| format!("t{i}")).collect();
    let error = PolicyError::MissingTensors {
        path: "m.gguf".into(),
        tensors,
    };
    assert_eq!(
        error.to_string(),
        "m.gguf: 6 tensors are missing, `t0`, `t1`, `t2`, `t3` and 2 more; the file is incomplete or of another architecture"
    );
}

#[test]
fn a_failed_fetch_lists_what_was_tried() {
    let error = PolicyError::Fetch {
        model: "m".into(),
        advice: "check the network".into(),
        attempts: vec![
            ("pip".into(), "not found".into()),
            ("hub".into(), "not compiled in".into()),
        ],
    };
    assert_eq!(
        error.to_string(),
        "the model m could not be fetched; check the network. Tried:\n  - pip: not found\n  - hub: not compiled in"
    );
}
