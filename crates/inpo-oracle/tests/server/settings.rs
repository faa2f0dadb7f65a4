//! Settings, what they decide, and what they cost.

use inpo_oracle::OracleConfig;

use super::*;

/// What decides the answers is in the specification, and nothing else.
#[test]
fn specifications_tell_judges_apart() {
    let url = "http://localhost:1/v1";
    let specification = |change: Change| judge(url, change).specification();
    let plain = specification(no_change);
    let same: [Change; 4] = [
        |c| c.concurrency = 1,
        |c| c.timeout_seconds = 1.0,
        |c| {
            c.input_price = Some(1.0);
            c.output_price = Some(2.0);
        },
        |c| c.base_url.push('/'),
    ];
    for change in same {
        assert_eq!(specification(change), plain);
    }
    let others: [Change; 9] = [
        |c| c.base_url = "http://localhost:2/v1".to_owned(),
        |c| c.model = "large".to_owned(),
        |c| c.template = "mt_bench".to_owned(),
        |c| c.verdict = Some(VerdictMode::Choice),
        |c| c.labels = Some(vec!["1".to_owned(), "2".to_owned()]),
        |c| c.temperature = JudgeTemperature::Unsent,
        |c| c.seed = Some(1),
        |c| {
            c.temperature = JudgeTemperature::Value(1.0);
            c.samples = 2;
        },
        |c| {
            c.extra_body.insert("top_k".to_owned(), json!(1));
        },
    ];
    for (place, change) in others.into_iter().enumerate() {
        assert_ne!(specification(change), plain, "{place}");
    }
}

#[test]
fn usage_is_estimated_and_priced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.toml");
    std::fs::write(&path, "user = '{{ prompt }} {{ a }} {{ b }}'").unwrap();
    let judge = judge("http://localhost:1/v1", |c| {
        c.template = path.to_str().unwrap().to_owned();
        c.verdict = Some(VerdictMode::Text);
        c.max_tokens = Some(100);
        c.samples = 2;
        c.temperature = JudgeTemperature::Value(1.0);
        c.input_price = Some(3.0);
        c.output_price = Some(10.0);
    });
    let texts = Texts::new(3);
    // "q0 one two" has 10 characters: 3 tokens each.
    let usage = judge.estimate(&texts.questions()).unwrap();
    let Usage {
        calls,
        prompt_tokens,
        completion_tokens,
        ..
    } = usage;
    assert_eq!((calls, prompt_tokens, completion_tokens), (3, 9, 600));
    // (9 * 3 + 600 * 10) / 1,000,000
    assert!((judge.cost(&usage).unwrap() - 0.006_027).abs() < 1e-12);
    let free = self::judge("http://localhost:1/v1", no_change);
    assert_eq!(free.cost(&usage), None);
}

#[test]
fn a_configuration_is_read_and_written() {
    let text = "
        kind = 'server'
        base_url = 'http://localhost:8000/v1'
        model = 'm'
        template = 'arena_hard'
        temperature = 'none'
        max_tokens_name = 'max_completion_tokens'
        extra_body = { reasoning_effort = 'low' }
    ";
    let config: OracleConfig = toml::from_str(text).unwrap();
    config.init(&inpo_oracle::Surroundings::default()).unwrap();
    let again: OracleConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |lines: &str| {
        let text = format!("kind = 'server'\n{lines}");
        match toml::from_str::<OracleConfig>(&text) {
            Err(error) => error.to_string(),
            Ok(config) => config
                .init(&inpo_oracle::Surroundings::default())
                .expect_err(lines)
                .to_string(),
        }
    };
    for (lines, words) in [
        ("colour = 1", "unknown field `colour`"),
        (
            "temperature = 'hot'",
            "`temperature` is \"hot\"; allowed: a number from 0 to 2, or \"none\"",
        ),
        (
            "temperature = nan",
            "oracle.temperature is NaN; allowed: from 0 to 2, or \"none\"",
        ),
        (
            "temperature = 2.5",
            "oracle.temperature is 2.5; allowed: from 0 to 2, or \"none\"",
        ),
        (
            "concurrency = 0",
            "oracle.concurrency is 0; allowed: from 1 to 1024",
        ),
        (
            "timeout_seconds = 0.0",
            "oracle.timeout_seconds is 0; allowed: above 0, at most a year",
        ),
        (
            "max_tokens = 0",
            "oracle.max_tokens is 0; allowed: at least 1",
        ),
        ("samples = 0", "oracle.samples is 0; allowed: from 1 to 128"),
        (
            "samples = 3",
            "oracle.samples is 3 with oracle.temperature 0, and all samples would be the same; set a temperature above 0",
        ),
        (
            "top_logprobs = 21",
            "oracle.top_logprobs is 21; allowed: from 2 to 20",
        ),
        (
            "labels = ['A']",
            "oracle: `labels` has 1 texts; allowed: two, or three where the third is a tie",
        ),
        (
            "extra_body = { stream = true }",
            "oracle.extra_body has `stream`, which is the judge's own",
        ),
        (
            "input_price = 1.0",
            "oracle.output_price is missing: give both prices or none",
        ),
        (
            "input_price = -1.0\noutput_price = 1.0",
            "oracle.input_price is -1; allowed: at least 0",
        ),
        (
            "template = 'mt_bench'\nverdict = 'logprobs'",
            "oracle.template \"mt_bench\" asks for a text whose verdict its `pattern` finds: set oracle.verdict to \"text\", or take a template that asks for a label",
        ),
        (
            "template = 'none.toml'",
            "oracle.template is \"none.toml\": it is no file",
        ),
        (
            "label_token_ids = [1, 2]",
            "oracle.label_token_ids is for the endpoints",
        ),
        (
            "endpoint = 'score'\nverdict = 'text'",
            "oracle.endpoint gives probabilities: leave oracle.verdict out",
        ),
        (
            "endpoint = 'score'\nlabel_token_ids = [1]",
            "oracle.label_token_ids has 1 ids for 2 labels",
        ),
        (
            "endpoint = 'generative_scoring'\nlabels = ['A', 'B', 'C']",
            "oracle.labels has a tie, and `generative_scoring` gives the probability of the first of two labels; leave it out",
        ),
    ] {
        let whole = format!("base_url = 'http://localhost:8000/v1'\nmodel = 'm'\n{lines}");
        let error = error(&whole);
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(
        error("model = 'm'"),
        "oracle.base_url is \"\"; allowed: an address such as http://localhost:8000/v1"
    );
    assert_eq!(
        error("base_url = 'http://x/v1'"),
        "oracle.model is missing: give the model's name on the server"
    );
    let secret = error("model = 'm'\nbase_url = 'https://me:secret@x/v1'");
    assert!(secret.starts_with("oracle.base_url holds a user or a password"));
    assert!(!secret.contains("secret@"));
}
