use super::*;

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
