//! `inpo generate`: K responses to each prompt.

use std::path::{Path, PathBuf};

use clap::Args;
use inpo_console::Meter;
use inpo_core::data::files::Output;
use inpo_core::data::{Prompt, PromptInput, Row, read_rows, sha256};
use inpo_core::policy::{DrawKey, GenerationConfig, Sampler, SamplingCost};
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::output::Inputs;
use crate::print::{notes, tell};
use crate::progress::ProgressArgs;
use crate::server::ServerArgs;
use crate::template::TemplateArgs;

mod answered;
mod format;

use answered::{Answered, Asked};
use format::{Answers, Form, Format};

/// Samples responses to the prompts of a file.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON lines, a JSON array, either of them gzipped, or Parquet, with `prompt` (text or messages) or
    /// `prompt_token_ids`.
    #[arg(long)]
    prompts: PathBuf,
    #[command(flatten)]
    template: TemplateArgs,
    /// Reads the questions of a benchmark and writes the answers as its own tools read them.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The model's name among the answers of --format; default: the last part of --model.
    #[arg(long, value_name = "NAME", requires = "format")]
    model_id: Option<String>,
    /// Responses per prompt, K; default: 8, with --format 1.
    #[arg(long)]
    num_generations: Option<usize>,
    /// Longest response in tokens, end token included.
    #[arg(long, alias = "max-completion-tokens", default_value_t = 256)]
    max_new_tokens: usize,
    /// Shortest response in tokens.
    #[arg(long, default_value_t = 0)]
    min_new_tokens: usize,
    /// 0 is greedy.
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Keep the most likely tokens up to this probability.
    #[arg(long, default_value_t = 1.0)]
    top_p: f64,
    /// Keep this many most likely tokens; 0 keeps all.
    #[arg(long)]
    top_k: Option<usize>,
    /// Keep tokens at least this likely relative to the most likely one.
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Makes tokens that the prompt or the response has less likely above 1, more likely below.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Ids that end a response beside the model's own, with commas.
    #[arg(long, value_delimiter = ',')]
    stop_token_ids: Vec<u32>,
    /// A text that ends a response; may be given several times.
    #[arg(long = "stop-string", value_name = "TEXT")]
    stop_strings: Vec<String>,
    /// Samples decoded together at most.
    #[arg(long, default_value_t = 128)]
    max_num_seqs: usize,
    /// Tokens that their cache has room for, those of a prompt once for all its samples.
    #[arg(long, default_value_t = 16_384)]
    max_cache_tokens: usize,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the rows go; default: standard output. While some are missing they are in OUTPUT.partial.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Asks only for the rows that an earlier call left out of `--output`, or marked with `error`.
    #[arg(long, requires = "output")]
    resume: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

pub(crate) fn run(args: &GenerateArgs) -> Result<(), CliError> {
    args.progress.choose();
    let config = GenerationConfig {
        num_generations: num_generations(args)?,
        max_new_tokens: args.max_new_tokens,
        min_new_tokens: args.min_new_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k.filter(|&k| k != 0),
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        stop_token_ids: args.stop_token_ids.clone(),
        stop_strings: args.stop_strings.clone(),
        max_num_seqs: args.max_num_seqs,
        max_cache_tokens: args.max_cache_tokens,
    };
    config.validate()?;
    let inputs = args.model.inputs(Inputs::files([&args.prompts]));
    let [output] = inputs.outputs([("--output", args.output.as_ref())])?;
    let mut call = Call {
        args,
        config,
        sampler: None,
    };
    let Some(format) = args.format else {
        let mut rows = read_rows(&args.prompts).map_err(|e| e.named_by("--prompts"))?;
        call.set_template(&mut rows)?;
        call.sample(&rows, output.as_ref(), Form::Rows)?;
        return Ok(());
    };
    let mut questions = format
        .read(&args.prompts)
        .map_err(|e| e.named_by("--prompts"))?;
    call.set_template(&mut questions.rows)?;
    for turn in 1..questions.count {
        // The answers to all turns but the last are rows of a file of their own.
        let file = output.as_ref().filter(|output| output.file().is_some());
        let path = file.map(|output| beside(output.path(), turn));
        let [kept] = inputs.outputs([("--output", path.as_ref())])?;
        let form = kept.as_ref().map_or(Form::Unwritten, |_| Form::Rows);
        let answers = call.sample(&questions.rows, kept.as_ref(), form)?;
        questions.go_on(turn, &answers)?;
    }
    let name = Path::new(args.model.name());
    let name = name.file_name().unwrap_or(name.as_os_str());
    let name = name.to_string_lossy();
    let answers = Answers {
        format,
        model: args.model_id.as_deref().unwrap_or(&name),
    };
    let form = Form::Benchmark(answers);
    call.sample(&questions.rows, output.as_ref(), form)?;
    Ok(())
}

/// `--num-generations`: a benchmark reads one response.
fn num_generations(args: &GenerateArgs) -> Result<usize, CliError> {
    match (args.format, args.num_generations) {
        (None, count) => Ok(count.unwrap_or(8)),
        (Some(_), None | Some(1)) => Ok(1),
        (Some(_), Some(count)) => Err(CliError::Input(format!(
            "--num-generations is {count}; allowed with --format: 1"
        ))),
    }
}

/// Where the answers to a turn (from 1) go.
fn beside(output: &Path, turn: usize) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(format!(".turn-{turn}"));
    PathBuf::from(name)
}

/// A call with its model, once it is loaded.
struct Call<'a> {
    args: &'a GenerateArgs,
    config: GenerationConfig,
    sampler: Option<Box<dyn Sampler>>,
}

impl Call<'_> {
    fn set_template(&self, rows: &mut [Row]) -> Result<(), CliError> {
        let template = self.args.template.read()?;
        for row in rows {
            row.template = std::mem::take(&mut row.template).over(&template);
        }
        Ok(())
    }

    /// Samples what is missing of the rows' responses, writes the answered rows in this form, and returns them.
    fn sample(
        &mut self,
        rows: &[Row],
        output: Option<&Output>,
        form: Form<'_>,
    ) -> Result<Vec<Map<String, Value>>, CliError> {
        let args = self.args;
        let config = self.config.clone();
        let digest = digest(args, &config, rows);
        let mut answered = Answered::open(
            Asked {
                prompts: &args.prompts,
                rows,
                num_generations: config.num_generations,
                seed: args.seed,
                digest: &digest,
                form,
            },
            output,
            args.resume,
        )?;
        let missing = answered.missing();
        if missing.len() < rows.len() {
            let there = rows.len() - missing.len();
            tell(&format!("{there} of {} rows are there", rows.len()));
        }
        if missing.is_empty() {
            return answered.finish();
        }
        if config.is_greedy() && config.num_generations > 1 {
            let count = config.num_generations;
            tell(&format!(
                "note: with these settings one token can be drawn at each place, so that all {count} responses to a prompt are \
                 equal: --num-generations 1 gives the same"
            ));
        }
        let sampler = self.sampler(output)?;
        let mut prompts: Vec<Prompt> = Vec::with_capacity(missing.len());
        for &place in &missing {
            let row = &rows[place];
            let mut prompt = row.to_prompt(place as u64);
            let prepared = sampler.prepare(&mut prompt, &config);
            prepared.map_err(|error| row.error(&args.prompts, error.to_string()))?;
            prompts.push(prompt);
        }
        let total = (prompts.len() * config.num_generations) as u64;
        let meter = Meter::new("generate", "samples", total);
        let draws = DrawKey::new(args.seed, 0);
        let mut progress = |done| meter.add(done as u64);
        let mut each = |index: usize, answers| Ok(answered.put(missing[index], answers)?);
        let cost = sampler.sample_each(&prompts, &config, draws, &mut progress, &mut each);
        meter.finish();
        match cost {
            Ok(cost) => {
                if let Some(cost) = &cost {
                    tell(&speed(cost));
                }
                answered.finish()
            }
            Err(error) => Err(answered.broken(error.into())),
        }
    }

    /// The model, loaded when it is first needed.
    fn sampler(&mut self, output: Option<&Output>) -> Result<&dyn Sampler, CliError> {
        if self.sampler.is_none() {
            let args = self.args;
            let sampler: Box<dyn Sampler> = match args.server.model(args.model.name())? {
                Some(remote) => Box::new(remote),
                None => {
                    let policy = args.model.load(output)?;
                    notes(&policy);
                    self.config.check_vocabulary(policy.config().vocab_size)?;
                    Box::new(policy)
                }
            };
            self.sampler = Some(sampler);
        }
        Ok(self.sampler.as_deref().expect("it was loaded"))
    }
}

/// sha256 of all that decides the answers.
fn digest(args: &GenerateArgs, config: &GenerationConfig, rows: &[Row]) -> String {
    let columns: Vec<_> = rows
        .iter()
        .map(|row| row.columns.clone().into_map())
        .collect();
    let mut of = json!({
        "model": args.model.identity(),
        "server": args.server.identity(),
        "template": format!("{:?}", args.template),
        // How many are decoded together changes no answer.
        "config": GenerationConfig {
            max_num_seqs: 0,
            max_cache_tokens: 0,
            ..config.clone()
        },
        "seed": args.seed,
        "rows": columns,
    });
    if args.format.is_some() {
        // What is asked stands in other columns, and in earlier answers.
        let prompt = |row: &Row| row.prompt.as_ref().map(PromptInput::messages);
        of["prompts"] = json!(rows.iter().map(prompt).collect::<Vec<_>>());
    }
    sha256(of.to_string().as_bytes())
}

fn speed(cost: &SamplingCost) -> String {
    let rate = |tokens: usize, time: std::time::Duration| tokens as f64 / time.as_secs_f64();
    format!(
        "prefill: {} tokens, {:.1} tokens/s; decoding: {} tokens, {:.1} tokens/s",
        cost.prefill_tokens,
        rate(cost.prefill_tokens, cost.prefill_time),
        cost.decode_tokens,
        rate(cost.decode_tokens, cost.decode_time),
    )
}
