//! The `inpo` command: Nash alignment of language models.

mod benchmarks;
mod config;
mod convert;
mod devices;
mod doctor;
mod error;
mod eval;
mod explain;
mod game;
mod generate;
mod judge;
mod logps;
mod model;
mod output;
mod print;
mod progress;
mod report;
mod run;
mod select;
mod selection;
mod server;
mod template;
mod train;
mod train_oracle;
mod trl;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "inpo", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Doctor(doctor::DoctorArgs),
    Train(train::TrainArgs),
    TrainOracle(train_oracle::TrainOracleArgs),
    Generate(generate::GenerateArgs),
    Judge(judge::JudgeArgs),
    Select(select::SelectArgs),
    Eval(eval::EvalArgs),
    Report(report::ReportArgs),
    Logps(logps::LogpsArgs),
    Convert(convert::ConvertArgs),
    Config(explain::ExplainArgs),
    Devices(devices::DevicesArgs),

    /// Solve a game given as a preference matrix.
    #[command(subcommand)]
    Game(game::GameCommand),
}

/// A malformed file is told in one sentence, without the panic of the library that could not read it.
fn keep_quiet_about_foreign_bytes() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some(inpo_core::data::FOREIGN_BYTES) {
            tell(panic);
        }
    }));
}

fn main() -> ExitCode {
    keep_quiet_about_foreign_bytes();
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Train(args) => train::run(&args),
        Command::TrainOracle(args) => train_oracle::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Judge(args) => judge::run(&args),
        Command::Select(args) => select::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Logps(args) => logps::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Config(args) => explain::run(&args),
        Command::Devices(args) => devices::run(&args),
        Command::Game(command) => game::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            inpo_console::tell_error(&error.to_string());
            ExitCode::from(error.status())
        }
    }
}
