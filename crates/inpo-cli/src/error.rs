use inpo_core::DeviceError;
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

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        match error.is_input() {
            true => Self::Input(error.to_string()),
            false => Self::Other(error.to_string()),
        }
    }
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        TrainError::from(error).into()
    }
}

impl From<DeviceError> for CliError {
    fn from(error: DeviceError) -> Self {
        Self::Input(error.to_string())
    }
}
