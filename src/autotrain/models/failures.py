"""What transformers and the hub say when a model can't be had, in one sentence for the person who can mend it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import HTTPError
from safetensors import SafetensorError

from autotrain import log
from autotrain.base_models import code_refusal, pickle_refusal
from autotrain.errors import ModelError
from autotrain.hub.client import fault_of
from autotrain.hub.look import reaching

_FAILURES = (OSError, ValueError, RuntimeError, LookupError, ImportError, SafetensorError, HTTPError)


@contextmanager
def explained(name: str) -> Generator[None]:
    """Turn a failure to load the model `name` into a ModelError; one on the hub is looked at first, see hub/look.py."""
    if not Path(name).exists():
        log.notice(f"{name} is no local folder: it is taken from the Hugging Face Hub, or from its cache on this machine")
    try:
        with reaching(name):
            yield
    except (ModelError, torch.OutOfMemoryError):
        raise
    except _FAILURES as error:
        raise ModelError(f"base_model: {_explain(name, error)}") from error


def _explain(name: str, error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "trust_remote_code" in text or "custom code" in text:
        return code_refusal(name)
    if "use_safetensors=True" in text or "no file named model.safetensors" in text:
        return pickle_refusal(name)
    if isinstance(error, SafetensorError):
        return f"the weights of {name} can't be read ({text}); the file is broken or incomplete: fetch it again"
    fault = None if Path(name).exists() else fault_of(error)
    return f"{name} can't be loaded: {fault.text if fault else text[:300]}"
