//! Chats with a model on the terminal, word by word.
//!
//! ```text
//! cargo run --release --example chat -- --model smollm2-135m-instruct
//! cargo run --release --example chat -- --model smollm2-135m-instruct "Why is the sky blue?"
//! echo "Why is the sky blue?" | cargo run --release --example chat
//! ```
//!
//! On a terminal every line is a turn of one conversation; an empty line or end of file ends it. A prompt
//! argument, or all of a piped standard input, is the only turn. Answers go to standard output, everything
//! else to standard error.

use std::error::Error;
use std::io::{IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::Parser;
use inpo_core::data::Message;
use inpo_core::policy::{DrawKey, GenerationConfig, Policy, PromptTask};

/// Chats with a model.
#[derive(Debug, Parser)]
struct Args {
    /// The only turn; without it, turns are read from standard input.
    prompt: Option<String>,
    /// Hugging Face directory, .gguf file, hub id, or `smollm2-135m-instruct`.
    #[arg(long, default_value = "smollm2-135m-instruct")]
    model: String,
    /// PEFT adapter directory to put on the model.
    #[arg(long)]
    adapter: Option<std::path::PathBuf>,
    /// flex, cpu, cuda:N, tch, wgpu:N.
    #[arg(long, default_value = "flex")]
    device: String,
    /// What the conversation starts with, if the model's template knows system messages.
    #[arg(long)]
    system: Option<String>,
    /// 0 is greedy.
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
    /// Keep the most likely tokens up to this probability.
    #[arg(long, default_value_t = 0.95)]
    top_p: f64,
    /// Above 1, words that were said are less likely.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Longest answer in tokens.
    #[arg(long, default_value_t = 512)]
    max_new_tokens: usize,
    /// Seed of all draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    match chat(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chat(args: &Args) -> Result<(), Box<dyn Error>> {
    let config = GenerationConfig {
        num_generations: 1,
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        ..GenerationConfig::default()
    };
    config.validate()?;
    let device = inpo_core::device(&args.device)?;
    let path = inpo_console::find_model(&args.model)?;
    let mut policy = Policy::load(&path, &device)?;
    if let Some(dir) = &args.adapter {
        policy = policy.with_saved_adapters(dir)?;
    }

    let mut conversation = Vec::new();
    if let Some(system) = &args.system {
        conversation.push(Message::system(system));
    }
    let stdin = std::io::stdin();
    let single = match &args.prompt {
        Some(prompt) => Some(prompt.clone()),
        None if stdin.is_terminal() => None,
        None => {
            let mut text = String::new();
            stdin.lock().read_to_string(&mut text)?;
            Some(text.trim_end().to_owned())
        }
    };
    if let Some(prompt) = single {
        conversation.push(Message::user(prompt));
        return answer(&policy, &mut conversation, &config, args.seed);
    }
    loop {
        eprint!("> ");
        let mut line = String::new();
        if stdin.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(());
        }
        conversation.push(Message::user(line.trim_end()));
        answer(&policy, &mut conversation, &config, args.seed)?;
    }
}

/// Writes the answer to the conversation as it is drawn, and puts it behind the conversation.
fn answer(
    policy: &Policy,
    conversation: &mut Vec<Message>,
    config: &GenerationConfig,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let codec = policy.codec()?;
    let prompt = PromptTask {
        ids: codec.encode_prompt(conversation)?,
        // Each turn has draws of its own.
        number: conversation.len() as u64,
    };
    let mut text = String::new();
    let mut stream = codec.stream();
    let mut failure: Option<Box<dyn Error>> = None;
    let mut show = |id: u32| {
        let written = stream.push(id).map_err(Into::into).and_then(|piece| {
            text += &piece;
            write_out(&piece)
        });
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    policy.stream(&prompt, config, DrawKey::new(seed, 0), &mut show)?;
    if let Some(error) = failure {
        return Err(error);
    }
    let rest = stream.finish()?;
    write_out(&(rest.clone() + "\n"))?;
    conversation.push(Message::assistant(text + &rest));
    Ok(())
}

fn write_out(text: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
