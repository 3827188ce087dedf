"""What transformers and the hub say when a model can't be had, in one sentence for the person who can mend it."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError

from autotrain import log
from autotrain.base_models import near_names
from autotrain.errors import ModelError

_FAILURES = (OSError, ValueError, RuntimeError, LookupError, ImportError, SafetensorError)


@contextmanager
def explained(name: str) -> Generator[None]:
    """Turn a failure to load the model `name` into a ModelError; says when it is looked for on the hub."""
    if not Path(name).exists():
        log.notice(f"{name} is no local folder: it is taken from the Hugging Face Hub, or from its cache on this machine")
    try:
        yield
    except (ModelError, torch.OutOfMemoryError):
        raise
    except _FAILURES as error:
        raise ModelError(f"base_model: {_explain(name, error)}") from error


def _explain(name: str, error: BaseException) -> str:
    causes = list(_chain(error))
    status = next((cause.response.status_code for cause in causes if isinstance(cause, HfHubHTTPError)), None)
    if any(isinstance(cause, GatedRepoError) for cause in causes) or status == 403:
        return f"{name} is gated: ask for access on its hub page, then set HF_TOKEN to a token of that account"
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes) or status in (401, 404):
        return f"no model {name} on the hub{near_names(name)}; check the name, and for a private model set HF_TOKEN"
    if any(isinstance(cause, LocalEntryNotFoundError | ConnectionError) for cause in causes):
        return (
            f"{name} is not on this machine and the hub can't be reached{near_names(name)}; "
            "check the connection, or give a local folder"
        )
    text = " ".join(str(error).split())
    if "trust_remote_code" in text or "custom code" in text:
        return f"{name} needs code that comes with it; if you trust it, set the environment variable ALLOW_REMOTE_CODE=true"
    if isinstance(error, SafetensorError):
        return f"the weights of {name} can't be read ({text}); the file is broken or incomplete: fetch it again"
    return f"{name} can't be loaded: {text[:300]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
