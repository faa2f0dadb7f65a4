//! The losses on single pairs, worked by hand.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss::{
    Anchor, ComalLossConfig, DnoLossConfig, DnoPrctLossConfig, DpoLossConfig, EgpoLossConfig,
    EnpoLossConfig, HingeLossConfig, InpoLossConfig, IpoLossConfig, IpoMeanLossConfig,
    IterativeDpoLossConfig, IterativeIpoLossConfig, Kernel, Label, LabelKind, LogpSum, LossError,
    LossOutput, MnpoLossConfig, MpoLossConfig, NashMdLossConfig, OnlineIpoLossConfig,
    OnpoLossConfig, PairLogps, PairLoss, RebelLossConfig, Reduction, Role, SftTerm, SppoLossConfig,
};

fn vector(values: &[f64], device: &Device) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (device, DType::F64))
}

fn pair(chosen: f64, rejected: f64, device: &Device) -> PairLogps {
    PairLogps {
        chosen: LogpSum::new(vector(&[chosen], device)),
        rejected: LogpSum::new(vector(&[rejected], device)),
    }
}

fn scalar(tensor: Tensor<1>) -> f64 {
    tensor.into_scalar::<f64>()
}

#[track_caller]
fn close(got: f64, expected: f64) {
    let bound = 1e-11 * expected.abs().max(1.0);
    assert!((got - expected).abs() < bound, "{got}, not {expected}");
}

/// V1: h = 10.75 - 3/3 - (2/3) 9 = 3.75, target 100, (3.75 - 100)^2 = 9264.0625, gradient
/// 2 (3.75 - 100) = -192.5. V2: h = 2 - 0.5/3 - (2/3) 1.25 = 1. V3 (tau = 0): 2 - 1.25. V4 (tau = eta,
/// which is IPO): 2 - 0.5. V5: the first step.
#[test]
fn inpo() {
    let third = 1.0 / 3.0;
    let v2 = [-10.0, -12.0, -11.0, -11.5, -10.5, -11.75];
    let v5 = [-50.0, -60.0, -50.0, -60.0, -50.0, -60.0];
    let v1 = [-120.5, -131.25, -125.0, -128.0, -121.0, -130.0];
    let cases = [
        (v1, 0.005, 0.005 * third, 3.75, 100.0, 9264.0625, -192.5),
        (v2, 0.1, 0.1 * third, 1.0, 5.0, 16.0, -8.0),
        (v2, 0.1, 0.0, 0.75, 5.0, 18.0625, -8.5),
        (v2, 0.1, 0.1, 1.5, 5.0, 12.25, -7.0),
        (
            v5,
            0.0075,
            0.0025,
            0.0,
            200.0 / 3.0,
            40000.0 / 9.0,
            -400.0 / 3.0,
        ),
    ];
    let device = Device::flex().autodiff();
    for (logps, eta, tau, h, target, loss, gradient) in cases {
        // The same constant added to both responses of one policy changes nothing.
        for shift in [0.0, 17.0] {
            let policy = pair(logps[0] + shift, logps[1] + shift, &device);
            let [chosen, rejected] = [&policy.chosen, &policy.rejected]
                .map(|l| LogpSum::new(l.tensor().clone().require_grad()));
            let policy = PairLogps { chosen, rejected };
            let reference = pair(logps[2] - shift, logps[3] - shift, &device);
            let previous = pair(logps[4], logps[5], &device);
            let anchors = [(Role::Reference, &reference), (Role::Previous, &previous)];
            let inpo = InpoLossConfig { eta, tau }.init().unwrap();
            let output = inpo.evaluate(&policy, &anchors, &Label::Hard).unwrap();
            close(scalar(output.h()), h);
            close(scalar(output.target().unwrap()), target);
            close(inpo.kernel().hard_target().unwrap(), target);
            let value = output.reduce(Reduction::Mean);
            close(scalar(value.clone()), loss);
            let [closed_chosen, closed_rejected] = output.gradient(Reduction::Mean);
            close(scalar(closed_chosen), gradient);
            close(scalar(closed_rejected), -gradient);
            let grads = value.backward();
            let of = |logps: &LogpSum| scalar(logps.tensor().grad(&grads).unwrap());
            close(of(&policy.chosen), gradient);
            close(of(&policy.rejected), -gradient);
        }
    }
}

/// Over a batch at tau = eta = 0.1: (1 - 5)^2 = 16 and (0 - 5)^2 = 25, mean 20.5; gradients 2 (h - 5)/2.
#[test]
fn reductions() {
    let device = Device::flex();
    let two = |chosen: [f64; 2], rejected: [f64; 2]| PairLogps {
        chosen: LogpSum::new(vector(&chosen, &device)),
        rejected: LogpSum::new(vector(&rejected, &device)),
    };
    let policy = two([-10.0, -3.0], [-12.0, -3.0]);
    let reference = two([-11.0, -2.0], [-12.0, -2.0]);
    let inpo = InpoLossConfig { eta: 0.1, tau: 0.1 }.init().unwrap();
    let anchors = [(Role::Reference, &reference)];
    let output = inpo.evaluate(&policy, &anchors, &Label::Hard).unwrap();
    let host = |t: Tensor<1>| t.try_into_vec_as::<f64>().unwrap();
    assert_eq!(host(output.loss()), [16.0, 25.0]);
    let each = inpo.forward_no_reduction(&policy, &anchors, &Label::Hard);
    assert_eq!(host(each.unwrap()), [16.0, 25.0]);
    let of = |reduction| {
        scalar(
            inpo.forward(&policy, &anchors, &Label::Hard, reduction)
                .unwrap(),
        )
    };
    assert_eq!(of(Reduction::Mean), 20.5);
    assert_eq!(of(Reduction::Sum), 41.0);
    let [chosen, rejected] = output.gradient(Reduction::Mean).map(host);
    assert_eq!((chosen, rejected), (vec![-4.0, -5.0], vec![4.0, 5.0]));
    let [chosen, _] = output.gradient(Reduction::Sum).map(host);
    assert_eq!(chosen, [-8.0, -10.0]);
}

/// At the first step (every ratio 0): INPO at eta 0.005 10000, SPPO twice that (both responses), DPO
/// log 2, hinge 1.
#[test]
fn the_first_loss_is_known() {
    let device = Device::flex();
    let same = pair(-50.0, -60.0, &device);
    let anchors = [Role::Reference, Role::Previous].map(|role| (role, &same));
    let check = |loss: PairLoss, expected: f64| {
        close(loss.kernel().loss_at_zero(), expected);
        let output = loss.evaluate(&same, &anchors, &Label::Hard).unwrap();
        close(scalar(output.loss()), expected);
    };
    let (eta, tau) = (0.005, 0.005 / 3.0);
    check(InpoLossConfig { eta, tau }.init().unwrap(), 10_000.0);
    check(SppoLossConfig { eta }.init().unwrap(), 20_000.0);
    let dpo = DpoLossConfig {
        beta: 0.1,
        label_smoothing: 0.1,
    };
    check(dpo.init().unwrap(), std::f64::consts::LN_2);
    check(HingeLossConfig { beta: 0.1 }.init().unwrap(), 1.0);
}

fn soft(p: f64, device: &Device) -> Label {
    Label::Soft(vector(&[p], device))
}

/// What one pair gives: h, loss, gradients.
fn figures(output: &LossOutput) -> [f64; 4] {
    let [chosen, rejected] = output.gradient(Reduction::Sum);
    [output.h(), output.loss(), chosen, rejected].map(scalar)
}

/// Every kernel on h = 2 (chosen -10, rejected -12; the anchor -11 and -11, so r = 1 and -1).
#[test]
fn kernels_on_one_pair() {
    let device = Device::flex();
    let policy = pair(-10.0, -12.0, &device);
    let anchor = pair(-11.0, -11.0, &device);
    let anchors = [Role::Reference, Role::Previous].map(|role| (role, &anchor));
    let check = |loss: &PairLoss, label: &Label, expected: [f64; 4]| {
        let output = loss.evaluate(&policy, &anchors, label).unwrap();
        for (got, expected) in figures(&output).into_iter().zip(expected) {
            close(got, expected);
        }
    };
    let scores = Label::Scores {
        chosen: vector(&[0.9], &device),
        rejected: vector(&[0.4], &device),
    };
    // Targets at eta = 0.1: hard 5, p = 3/4 2.5, scores 0.5/0.1 = 5.
    let ipo = IpoLossConfig { beta: 0.1 }.init().unwrap();
    check(&ipo, &Label::Hard, [2.0, 9.0, -6.0, 6.0]);
    check(&ipo, &soft(0.75, &device), [2.0, 0.25, -1.0, 1.0]);
    check(&ipo, &soft(0.5, &device), [2.0, 4.0, 4.0, -4.0]);
    check(&ipo, &scores, [2.0, 9.0, -6.0, 6.0]);
    // Each response by itself, eta = 0.25: hard +-2; scores 0.4/0.25 = 1.6 and -0.1/0.25 = -0.4.
    let sppo = SppoLossConfig { eta: 0.25 }.init().unwrap();
    check(&sppo, &Label::Hard, [2.0, 2.0, -2.0, 2.0]);
    check(&sppo, &soft(0.625, &device), [2.0, 0.5, 1.0, -1.0]);
    check(&sppo, &scores, [2.0, 0.36 + 0.36, -1.2, -1.2]);
    // sigmoid(0.5 * 2) = 1/(1 + 1/e).
    let won = 1.0 / (1.0 + (-1.0_f64).exp());
    let dpo = |label_smoothing| {
        let config = DpoLossConfig {
            beta: 0.5,
            label_smoothing,
        };
        config.init().unwrap()
    };
    let slope = 0.5 * (won - 1.0);
    check(&dpo(0.0), &Label::Hard, [2.0, -won.ln(), slope, -slope]);
    let smooth = -0.9 * won.ln() - 0.1 * (1.0 - won).ln();
    let slope = 0.5 * (won - 0.9);
    check(&dpo(0.1), &Label::Hard, [2.0, smooth, slope, -slope]);
    check(&dpo(0.0), &soft(0.9, &device), [2.0, smooth, slope, -slope]);
    // DNO: label sigmoid(0.9 - 0.4), scale eta = 0.5.
    let dno = DnoLossConfig { eta: 0.5 }.init().unwrap();
    let label = 1.0 / (1.0 + (-0.5_f64).exp());
    let loss = -label * won.ln() - (1.0 - label) * (1.0 - won).ln();
    let slope = 0.5 * (won - label);
    check(&dno, &scores, [2.0, loss, slope, -slope]);
    // Hinge: 1 - 0.25 * 2 = 0.5 left; nothing at beta = 1; a lost label 1 + 0.5 = 1.5.
    let hinge = |beta| HingeLossConfig { beta }.init().unwrap();
    check(&hinge(0.25), &Label::Hard, [2.0, 0.5, -0.25, 0.25]);
    check(&hinge(1.0), &Label::Hard, [2.0, 0.0, 0.0, 0.0]);
    check(&hinge(0.25), &soft(0.0, &device), [2.0, 1.5, 0.25, -0.25]);
}

/// The relations between the methods: the same pair, the same figures.
#[test]
fn relations() {
    let device = Device::flex();
    let policy = pair(-120.5, -131.25, &device);
    let logps = [
        pair(-125.0, -128.0, &device),
        pair(-121.0, -130.0, &device),
        pair(-119.0, -129.5, &device),
    ];
    let anchors = [
        (Role::Reference, &logps[0]),
        (Role::Previous, &logps[1]),
        (Role::Auxiliary, &logps[1]),
        (Role::History(0), &logps[1]),
        (Role::History(1), &logps[2]),
    ];
    let of = |loss: Result<PairLoss, LossError>, label: &Label| {
        figures(&loss.unwrap().evaluate(&policy, &anchors, label).unwrap())
    };
    let hard = &Label::Hard;
    let (eta, beta) = (0.05, 0.05);
    let inpo = |tau| of(InpoLossConfig { eta, tau }.init(), hard);
    // INPO at tau = eta is IPO, whatever the name it goes by.
    assert_eq!(inpo(eta), of(IpoLossConfig { beta }.init(), hard));
    assert_eq!(inpo(eta), of(OnlineIpoLossConfig { beta }.init(), hard));
    // At tau = 0 it is iterative IPO towards pi_t, REBEL at target 1/(2 eta), ONPO with aux = pi_t and
    // MNPO with one policy.
    let moved = [(Role::Reference, &logps[1])];
    let iterative = IterativeIpoLossConfig { beta }.init().unwrap();
    let iterative = iterative.evaluate(&policy, &moved, hard).unwrap();
    assert_eq!(inpo(0.0), figures(&iterative));
    let rewards = Label::Scores {
        chosen: vector(&[0.75], &device),
        rejected: vector(&[0.25], &device),
    };
    assert_eq!(inpo(0.0), of(RebelLossConfig { eta }.init(), &rewards));
    assert_eq!(inpo(0.0), of(OnpoLossConfig { eta }.init(), hard));
    let history_weights = vec![1.0];
    let mnpo = MnpoLossConfig {
        eta,
        history_weights,
    };
    assert_eq!(inpo(0.0), of(mnpo.init(), hard));
    // EGPO's half step, Nash-MD and COMAL have INPO's loss; they differ in who samples and in what the
    // reference is.
    let tau = 0.02;
    for loss in [
        EgpoLossConfig { eta, tau }.init(),
        NashMdLossConfig { eta, tau }.init(),
        ComalLossConfig { eta, tau }.init(),
        // The implicit pull: INPO at the inverse step size eta + tau.
        MpoLossConfig {
            eta: eta - tau,
            tau,
        }
        .init(),
    ] {
        let (got, expected) = (of(loss, hard), inpo(tau));
        got.iter().zip(expected).for_each(|(g, e)| close(*g, e));
    }
    // ENPO with comparators that saw a sure win is INPO on a hard label.
    let (enpo, exploration) = EnpoLossConfig {
        eta,
        tau,
        alpha: 1e-3,
    }
    .init()
    .unwrap();
    let sure = Label::Scores {
        chosen: vector(&[1.0], &device),
        rejected: vector(&[0.5], &device),
    };
    assert_eq!(of(Ok(enpo), &sure), inpo(tau));
    let explored = exploration.loss(&LogpSum::new(vector(&[-40.0], &device)));
    close(scalar(explored), 0.04);
    // DNO-Prct is DPO towards pi_t with scale eta; iterative DPO is DPO with another reference.
    let dpo = DpoLossConfig {
        beta,
        label_smoothing: 0.0,
    };
    let dpo = dpo.init().unwrap().evaluate(&policy, &moved, hard);
    let iterative = IterativeDpoLossConfig {
        beta,
        label_smoothing: 0.0,
    };
    let iterative = iterative.init().unwrap().evaluate(&policy, &moved, hard);
    let dpo = figures(&dpo.unwrap());
    assert_eq!(dpo, of(DnoPrctLossConfig { eta }.init(), hard));
    assert_eq!(dpo, figures(&iterative.unwrap()));
}

/// MNPO: D pi = 10.75, history 9 and 10.5 with weights 0.75 and 0.25: h = 10.75 - 6.75 - 2.625 = 1.375,
/// target 10.
#[test]
fn mnpo_weighs_its_history() {
    let device = Device::flex();
    let config = MnpoLossConfig {
        eta: 0.05,
        history_weights: vec![0.75, 0.25],
    };
    let (newest, older) = (pair(-121.0, -130.0, &device), pair(-119.0, -129.5, &device));
    let anchors = [(Role::History(0), &newest), (Role::History(1), &older)];
    let policy = pair(-120.5, -131.25, &device);
    let output = config.clone().init().unwrap();
    let output = output.evaluate(&policy, &anchors, &Label::Hard).unwrap();
    close(scalar(output.h()), 1.375);
    close(scalar(output.loss()), 8.625_f64.powi(2));
    assert_eq!(config.truncated(1).history_weights, [1.0]);
}

/// Tokens 5 and 8: policy -2 and -1.5 a token, reference -2.2 and -1.6: h = -0.5 + 0.6 = 0.1; target
/// 1/(2 * 0.5) = 1.
#[test]
fn the_mean_form_divides_by_tokens() {
    let device = Device::flex();
    let mean = |chosen, rejected| {
        let tokens = |n: f64| vector(&[n], &device);
        pair(chosen, rejected, &device).per_token(tokens(5.0), tokens(8.0))
    };
    let loss = IpoMeanLossConfig { beta: 0.5 }.init().unwrap();
    let reference = mean(-11.0, -12.8);
    let anchors = [(Role::Reference, &reference)];
    let output = loss.evaluate(&mean(-10.0, -12.0), &anchors, &Label::Hard);
    let output = output.unwrap();
    close(scalar(output.h()), 0.1);
    close(scalar(output.loss()), 0.81);
    let sft = SftTerm::new(0.5).unwrap();
    close(scalar(sft.loss(&mean(-10.0, -12.0).chosen)), 1.0);
    close(sft.gradient(5), -0.1);
}

#[test]
fn settings_are_refused_in_sentences() {
    let error = |eta, tau| InpoLossConfig { eta, tau }.init().unwrap_err().to_string();
    assert_eq!(
        error(0.1, 0.2),
        "tau = 0.2 exceeds eta = 0.1: the previous policy would get the negative weight -1; \
         choose 0 <= tau <= eta"
    );
    assert_eq!(
        error(0.0, 0.0),
        "eta is 0; it is the inverse step size and must be positive"
    );
    assert!(error(-1.0, 0.0).starts_with("eta is -1;"));
    assert!(error(f64::NAN, 0.0).starts_with("eta is NaN;"));
    assert!(error(0.1, -0.1).starts_with("tau is -0.1;"));
    assert!(error(0.1, f64::NAN).starts_with("tau is NaN;"));
    let dpo = |beta, label_smoothing| {
        let config = DpoLossConfig {
            beta,
            label_smoothing,
        };
        config.init().unwrap_err().to_string()
    };
    assert!(dpo(0.0, 0.0).starts_with("beta is 0;"));
    assert!(dpo(0.1, 0.5).starts_with("label_smoothing is 0.5;"));
    let mnpo = |history_weights| {
        let config = MnpoLossConfig {
            eta: 0.1,
            history_weights,
        };
        config.init().unwrap_err().to_string()
    };
    assert_eq!(
        mnpo(vec![0.5, 0.25]),
        "history_weights add up to 0.75, not to 1"
    );
    assert_eq!(mnpo(vec![]), "history_weights add up to 0, not to 1");
    assert!(mnpo(vec![1.5, -0.5]).starts_with("history_weights has -0.5 at place 1;"));
    let half = [Anchor::new(Role::Reference, 0.5)];
    let own = PairLoss::new("own", half, Kernel::Squared { eta: 0.1 }).unwrap_err();
    assert_eq!(own, LossError::AnchorWeights(0.5));
    let whole = [Anchor::new(Role::Reference, 1.0)];
    let own = PairLoss::new("own", whole, Kernel::Hinge { scale: 0.0 }).unwrap_err();
    assert!(own.to_string().starts_with("scale is 0;"));
    let alpha = EnpoLossConfig {
        eta: 0.1,
        tau: 0.0,
        alpha: -1.0,
    };
    let error = alpha.init().unwrap_err().to_string();
    assert_eq!(error, "alpha is -1; it must be a finite number, 0 or more");
    let error = SftTerm::new(f64::NAN).unwrap_err().to_string();
    assert!(error.starts_with("sft_loss_coef is NaN;"));
}

#[test]
fn inputs_are_refused_in_sentences() {
    let device = Device::flex();
    let one = pair(0.0, 0.0, &device);
    let two = PairLogps {
        chosen: LogpSum::new(vector(&[0.0; 2], &device)),
        rejected: LogpSum::new(vector(&[0.0; 2], &device)),
    };
    let inpo = InpoLossConfig {
        eta: 0.1,
        tau: 0.05,
    };
    let inpo = inpo.init().unwrap();
    let error = |anchors: &[(Role, &PairLogps)], label: &Label| {
        inpo.evaluate(&one, anchors, label).unwrap_err().to_string()
    };
    let anchors = [(Role::Reference, &one), (Role::Previous, &two)];
    assert_eq!(
        error(&anchors, &Label::Hard),
        "prev_chosen_logps has 2 pairs, the policy has 1"
    );
    assert_eq!(
        error(&anchors[..1], &Label::Hard),
        "inpo needs the log-probs under pi_t (columns prev_chosen_logps, prev_rejected_logps)"
    );
    let anchors = [(Role::Reference, &one), (Role::Previous, &one)];
    let label = Label::Soft(vector(&[0.5, 0.5], &device));
    assert_eq!(
        error(&anchors, &label),
        "the list of soft labels has 2 pairs, the policy has 1"
    );
    let dno = DnoLossConfig { eta: 0.1 }.init().unwrap();
    let error = dno.evaluate(&one, &anchors, &Label::Hard).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dno cannot use hard labels; allowed: scores"
    );
    assert_eq!(dno.labels(), [LabelKind::Scores]);
}
