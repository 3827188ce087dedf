"""A worker that answers questions about data, one JSON object a line in and out, until its input ends.

It saves the seconds that importing and reading a vocabulary take.  A question: id, what (preview, measure, splits or ready),
params as in training_params.json, rows.  An answer: id, and either `answer` or `problem`.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, Any

from pydantic import ValidationError

from autotrain import log
from autotrain.base_models import ModelSource, find_model
from autotrain.config.base import describe
from autotrain.data.hub import hub_splits
from autotrain.data.tokenizer import LoadedTokenizer, load_tokenizer
from autotrain.errors import AutoTrainError
from autotrain.models.load import model_limit, read_model_config
from autotrain.trainers.clm.inspect.amounts import measure
from autotrain.trainers.clm.inspect.preview import preview
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.quiet import quiet_libraries


def serve() -> int:
    """Answer until the input ends."""
    quiet_libraries()
    answers = _take_stdout()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            told: dict[str, Any] = {"answer": _answer(question)}
        except AutoTrainError as error:
            told = {"problem": log.mask(str(error))}
        except ValidationError as error:
            told = {"problem": str(describe(error, "params"))}
        except Exception:  # noqa: BLE001  the outermost frame of the worker
            told = {"problem": log.mask(traceback.format_exc()), "unexpected": True}
        answers.write(json.dumps({"id": question["id"], **told}) + "\n")
        answers.flush()
    return 0


def _take_stdout() -> IO[str]:
    """Our own way out; what libraries print goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "preview": lambda: show_first(LLMTrainingParams(**question["params"]), int(question["rows"])),
        "measure": lambda: measure(LLMTrainingParams(**question["params"])),
        "splits": lambda: {"splits": hub_splits(str(question["name"]))},
        "ready": dict,
    }
    return kinds[str(question["what"])]()


def show_first(params: LLMTrainingParams, num_rows: int) -> dict[str, Any]:
    """The preview, with a tokenizer that is kept for the next time."""
    return preview(params, num_rows, _load_tokenizer)


def _load_tokenizer(params: LLMTrainingParams, needs_chat: bool) -> tuple[LoadedTokenizer, int | None]:
    source = find_model(params.model, trusts_code=params.trust_remote_code, takes_pickle=not params.use_safetensors)
    deciding = LLMTrainingParams(model=params.model, chat_template=params.chat_template, padding=params.padding)
    return _loaded(source, deciding.to_json(), needs_chat)


@lru_cache(maxsize=4)
def _loaded(source: ModelSource, deciding: str, needs_chat: bool) -> tuple[LoadedTokenizer, int | None]:
    params = LLMTrainingParams(**json.loads(deciding))
    limit = model_limit(read_model_config(source, os.environ.get("HF_TOKEN")))
    return load_tokenizer(params, source, needs_chat=needs_chat), limit
