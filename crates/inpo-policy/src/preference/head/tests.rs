use super::*;

fn matrix<const R: usize, const C: usize>(rows: [[f32; C]; R]) -> Tensor<2> {
    Tensor::from_floats(rows, &Device::flex())
}

fn raw(temperature: f64) -> PreferenceHeadConfig {
    PreferenceHeadConfig {
        normalise: false,
        temperature,
        prompt_scale: PromptScale::Softmax,
        transposed: true,
    }
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.try_into_vec_as().unwrap()
}

fn identity() -> Tensor<2> {
    matrix([[1.0, 0.0], [0.0, 1.0]])
}

fn assert_close(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
    }
}

/// The paper's sign: `v_a = (1, 0)` is turned to `R v_a = (0, 1)`, so that it beats `v_b = (0, 1)`: `s = 1`. And
/// (3, 2) against (5, 7): `3 x 7 - 2 x 5 = 11`.
#[test]
fn a_value_beats_what_it_is_turned_to() {
    let head = PreferenceHead::new(identity(), None, None, raw(0.5)).unwrap();
    let first = matrix([[1.0, 0.0], [3.0, 2.0]]);
    let second = matrix([[0.0, 1.0], [5.0, 7.0]]);
    let there = numbers(head.forward(first.clone(), second.clone(), None));
    let back = numbers(head.forward(second, first, None));
    assert_close(&there, &[2.0, 22.0]);
    assert_eq!(back, there.iter().map(|s| -s).collect::<Vec<_>>());
}

/// As a product of rows: `(3, 2) R = (2, -3)`, and `(2, -3) (5, 7)^T = -11`.
#[test]
fn the_product_of_rows_has_the_other_sign() {
    let config = PreferenceHeadConfig {
        transposed: false,
        ..raw(0.5)
    };
    let head = PreferenceHead::new(identity(), None, None, config).unwrap();
    let logits = head.forward(matrix([[3.0, 2.0]]), matrix([[5.0, 7.0]]), None);
    assert_close(&numbers(logits), &[-22.0]);
}

/// Three values at 0, 120 and 240 degrees: each beats the next by sin(120) = 0.866, which no scores can say. Beside
/// rewards of 0, 0.1 and 0.2 it is still a cycle: 0.766, 0.766 and 1.066.
#[test]
fn three_answers_cycle_with_and_without_rewards() {
    let turn = 0.75_f32.sqrt();
    // The third number is what the reward reads.
    let answers = matrix([[2.0, 0.0, 0.0], [-0.5, turn, 0.1], [-0.5, -turn, 0.2]]);
    let next = matrix([[-0.5, turn, 0.1], [-0.5, -turn, 0.2], [2.0, 0.0, 0.0]]);
    let value = || matrix([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    let config = PreferenceHeadConfig {
        temperature: 1.0,
        transposed: true,
        ..PreferenceHeadConfig::default()
    };
    let cyclic = PreferenceHead::new(value(), None, None, config).unwrap();
    let sine = f64::from(turn);
    let scores = numbers(cyclic.forward(answers.clone(), next.clone(), None));
    assert_close(&scores, &[sine; 3]);
    let reward = Some(matrix([[0.0, 0.0, 1.0]]));
    let hybrid = PreferenceHead::new(value(), reward, None, config).unwrap();
    let scores = numbers(hybrid.forward(answers, next, None));
    assert_close(&scores, &[sine - 0.1, sine - 0.1, sine + 0.2]);
    assert!(!hybrid.is_bradley_terry());
}

/// One value is a reward, and is not made 1 by its length.
#[test]
fn one_value_is_bradley_terry() {
    let config = PreferenceHeadConfig::default();
    let head = PreferenceHead::new(matrix([[1.0, -1.0]]), None, None, config).unwrap();
    let logits = head.forward(matrix([[0.5, 0.2]]), matrix([[0.1, 0.4]]), None);
    // (0.3 - -0.3) / 0.1
    assert_close(&numbers(logits), &[6.0]);
    assert!(head.is_bradley_terry());
}

/// Two blocks of which the prompt weighs the first by 3/4: `x = (ln 3, 0)`. On hidden states of width 4, scaled:
/// `x = (2 ln 3, 0)` gives 3/4 again, times two blocks.
#[test]
fn the_prompt_weighs_the_blocks() {
    let value = matrix([
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]);
    let prompt = matrix([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]);
    let (a, b) = (
        matrix([[1.0, 0.0, 0.0, 2.0]]),
        matrix([[0.0, 1.0, 1.0, 0.0]]),
    );
    for (scale, x, expected) in [
        (PromptScale::Softmax, 3.0_f32.ln(), 0.75 - 0.25 * 2.0),
        (
            PromptScale::ScaledSoftmax,
            2.0 * 3.0_f32.ln(),
            1.5 - 0.5 * 2.0,
        ),
    ] {
        let config = PreferenceHeadConfig {
            prompt_scale: scale,
            ..raw(1.0)
        };
        let head = PreferenceHead::new(value.clone(), None, Some(prompt.clone()), config).unwrap();
        let read = matrix([[x, 0.0, 0.0, 0.0]]);
        let logits = head.forward(a.clone(), b.clone(), Some(read));
        assert_close(&numbers(logits), &[expected]);
    }
}

/// Every head trains: the gradient of `s = v_0 u_1 - v_1 u_0 + w (h_a - h_b)` at chosen states, by hand.
#[test]
fn every_head_has_a_gradient() {
    let device = Device::flex().autodiff();
    let shape = PreferenceHeadShape {
        values: 2,
        reward: true,
        prompt: false,
    };
    let head = PreferenceHead::init(shape, 2, raw(1.0), 7, &device).unwrap();
    let head = PreferenceHead {
        value: Param::from_tensor(Tensor::from_floats([[1.0, 0.0], [0.0, 1.0]], &device)),
        ..head
    };
    let a = Tensor::from_floats([[1.0, 2.0]], &device);
    let b = Tensor::from_floats([[3.0, 5.0]], &device);
    let grads = head.forward(a, b, None).sum().backward();
    let of = |weight: &Param<Tensor<2>>| -> Vec<f64> {
        let gradient = weight.val().grad(&grads).unwrap();
        gradient.try_into_vec_as().unwrap()
    };
    // ds/dV[0] = u_1 h_a - v_1 h_b = 5 (1, 2) - 2 (3, 5); ds/dV[1] = v_0 h_b - u_0 h_a = (3, 5) - 3 (1, 2).
    assert_close(&of(&head.value), &[-1.0, 0.0, 0.0, -1.0]);
    assert_close(&of(head.reward.as_ref().unwrap()), &[-2.0, -3.0]);
    let again = PreferenceHead::init(shape, 2, raw(1.0), 7, &device).unwrap();
    assert!(again.value.val().abs().max().into_scalar::<f32>() > 0.0);
}

#[test]
fn heads_that_do_not_fit_are_named() {
    let says = |head: Result<PreferenceHead, PolicyError>, words: &str| {
        let error = head.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    let three = matrix([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    let one = matrix([[1.0, 0.0]]);
    let new = |value: &Tensor<2>, reward: Option<&Tensor<2>>, prompt: Option<&Tensor<2>>| {
        PreferenceHead::new(value.clone(), reward.cloned(), prompt.cloned(), raw(1.0))
    };
    says(
        new(&three, None, None),
        "it has 3 rows, and values turn in pairs: an even number, or 1",
    );
    says(
        new(&identity(), Some(&identity()), None),
        "tensor `reward_head.weight` has shape [2, 2], but its configuration implies [1, 2]",
    );
    says(
        new(&identity(), None, Some(&three)),
        "tensor `prompt_head.weight` has shape [3, 2], but its configuration implies [1, 2]",
    );
    says(
        new(&one, Some(&one), None),
        "a preference head: tensor `reward_head.weight`: it stands beside a `value_head.weight` of one row",
    );
    for temperature in [0.0, -1.0, f64::NAN] {
        let head = PreferenceHead::new(one.clone(), None, None, raw(temperature));
        says(head, "allowed: a positive number");
    }
}
