"""Keep the libraries' own progress bars and warnings for developers out of the user's terminal."""

import logging
import os
import warnings


def quiet_libraries() -> None:
    """Errors still come through; what a user can act on, this project says itself."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    quiet_warnings()


def quiet_warnings() -> None:
    """Warnings meant for developers, and each try of the hub's client; works before and after the libraries' import."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.simplefilter("ignore", category)
