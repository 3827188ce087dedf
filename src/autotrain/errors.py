"""What can go wrong, and who can mend it.

    AutoTrainError              exit code 1
    ├── UserError               exit code 2: the user can mend it; nothing was written
    │   ├── ConfigError         a key, a value or a combination in the configuration
    │   ├── DataError           a file, a split, a column or a row
    │   ├── ModelError          a base model or tokenizer that can't be had or can't serve
    │   ├── DeviceError         asked for something that this machine can't do
    │   ├── HubError            the hub refuses, or can't be reached, before anything was trained
    │   └── RunFolderError      the project folder is occupied, locked or isn't a run
    ├── TrainingError           the run itself failed
    │   └── PeerError           another process of the run failed, or was lost
    ├── PushError               exit code 3: trained, but the result didn't reach the hub
    └── Interrupted             Ctrl-C or SIGTERM, after the state was saved: 130 or 143

Every message says what happened, where, what is allowed and what to do.
"""

# The worker writes what went wrong into the file that this variable names; its launcher puts that into the exception.
REASON_FILE_VARIABLE = "AUTOTRAIN_REASON_FILE"


class AutoTrainError(Exception):
    """Base of all errors that AutoTrain raises on purpose."""

    exit_code = 1


class UserError(AutoTrainError):
    """The user can mend it."""

    exit_code = 2


class ConfigError(UserError, ValueError):
    """A key, a value or a combination in the configuration."""


class DataError(UserError):
    """A file, a split, a column or a row."""


class ModelError(UserError):
    """A base model or tokenizer that can't be had or can't serve."""


class DeviceError(UserError):
    """Something asked for that this machine can't do."""


class HubError(UserError):
    """The hub refuses, or can't be reached, before anything was trained."""


class RunFolderError(UserError):
    """The project folder is occupied, locked, or isn't a run."""


class TrainingError(AutoTrainError):
    """The run itself failed."""


class PeerError(TrainingError):
    """Another process of the run failed, or was lost; this one had to end with it."""


class PushError(AutoTrainError):
    """Trained, but the result didn't reach the hub; it is complete in the run folder."""

    exit_code = 3


class Interrupted(AutoTrainError):
    """Ctrl-C or SIGTERM arrived and the state was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
