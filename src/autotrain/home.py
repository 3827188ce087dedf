"""AutoTrain's own folder: the registry of runs, and logs and parameters of runs in the background."""

import os
from pathlib import Path


def home() -> Path:
    """$AUTOTRAIN_HOME, or `autotrain` in the user's data folder.  Not made here."""
    said = os.environ.get("AUTOTRAIN_HOME")
    if said:
        return Path(said).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "autotrain"
