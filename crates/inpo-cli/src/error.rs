use inpo_core::DeviceError;
use inpo_core::data::DataError;
use inpo_core::eval::benchmarks::BenchmarkError;
use inpo_core::hub::HubError;
use inpo_core::policy::PolicyError;
use inpo_core::train::TrainError;

/// Why the command failed, and with which exit status.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Bad input: exit status 2.
    Input(String),
    /// Anything else: exit status 1.
    Other(String),
}

impl CliError {
    /// The same error with what it is about in front.
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Input(message) => Self::Input(format!("{what}: {message}")),
            Self::Other(message) => Self::Other(format!("{what}: {message}")),
        }
    }

    /// The same error with what to do about it behind.
    pub(crate) fn with_hint(self, hint: &str) -> Self {
        match self {
            Self::Input(message) => Self::Input(format!("{message}; {hint}")),
            Self::Other(message) => Self::Other(format!("{message}; {hint}")),
        }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Other(_) => 1,
        }
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(message) | Self::Other(message) => f.write_str(message),
        }
    }
}

impl CliError {
    /// An error whose sentence is `message`; `input` says whether the user's input is at fault.
    fn new(input: bool, message: String) -> Self {
        if input {
            Self::Input(message)
        } else {
            Self::Other(message)
        }
    }
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        Self::new(error.is_input(), error.to_string())
    }
}

impl From<BenchmarkError> for CliError {
    fn from(error: BenchmarkError) -> Self {
        Self::new(error.is_input(), error.to_string())
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        Self::new(error.is_input(), error.to_string())
    }
}

impl From<DataError> for CliError {
    fn from(error: DataError) -> Self {
        Self::new(error.is_input(), error.to_string())
    }
}

impl From<HubError> for CliError {
    fn from(error: HubError) -> Self {
        Self::new(error.is_input(), error.to_string())
    }
}

impl From<DeviceError> for CliError {
    fn from(error: DeviceError) -> Self {
        Self::Input(error.to_string())
    }
}
