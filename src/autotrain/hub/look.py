"""Whether a model or data set on the hub can be had: asked once, with one small request, before anything is spent."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from autotrain import log
from autotrain.base_models import ModelSource, find_model, near_names
from autotrain.config.data_files import HubSplit, describe_missing, locate
from autotrain.errors import DataError, HubError, ModelError
from autotrain.hub.client import DEFAULT_ENDPOINT, Fault, endpoint, fault_of, open_api, token_of
from autotrain.hub.licence import Licence, licence_in
from autotrain.hub.refusal import Kind, Refusal, reason_of
from autotrain.trainers.clm.params import LLMTrainingParams

PATIENCE_SECONDS = 8.0  # the client's own retries take three times as long
_PAUSES_SECONDS = (0.5, 1.5)
# A start asks for the same several times.  What is refused is soon asked again: terms get accepted, a network comes back.
_SEEN_SECONDS = 600.0
_REFUSED_SECONDS = 20.0
_BEFORE_GATE = ("README.md", ".gitattributes")  # shown to everyone


@dataclass(frozen=True)
class Seen:
    """What the hub says of a repository.  files: names of all its files.  licence: by its card."""

    files: tuple[str, ...]
    licence: Licence | None


def check_base(source: ModelSource) -> None:
    """Raises ModelError if the base model can't be had, or holds nothing that may be read."""
    path = Path(source.path)
    if source.gguf_file is not None:
        return
    if path.is_dir():
        source.check_weights([file.name for file in path.iterdir()])
        return
    seen = look_at_model(source.path)
    if seen and seen.files:
        _check_is_model(source.path, seen.files)
        source.check_weights(seen.files)


def check_models(params: LLMTrainingParams) -> None:
    """Raises ModelError if the base model or the reference can't be had."""
    for key, name in (("base_model", params.model), ("model_ref", params.model_ref)):
        if not name:
            continue
        try:
            check_base(find_model(name, trusts_code=params.trust_remote_code, takes_pickle=not params.use_safetensors))
        except ModelError as error:
            raise ModelError(str(error).replace("base_model:", f"{key}:", 1)) from error


def check_sources(params: LLMTrainingParams) -> None:
    """Before a run elsewhere: look at all that it takes from the hub.  Raises ModelError or DataError."""
    check_models(params)
    where = locate(params.data_path, params.train_split)
    if isinstance(where, HubSplit):
        look_at_data_set(where.name, describe_missing(where.name))


def look_at_model(name: str) -> Seen | None:
    """What the hub says of the model `name`; None: it is in this machine's cache, and the hub can't be asked.

    Raises ModelError if it can't be had.
    """
    answer = _ask("model", name)
    if isinstance(answer, Seen):
        return answer
    if answer.is_missing or not _is_cached(name):
        raise ModelError(f"base_model: {reason_of(answer, 'model', name, near_names(name))}")
    log.notice(f"{name} is taken from this machine's cache: {answer.fault.text}")
    return None


def look_at_data_set(name: str, near: str = "") -> Seen | None:
    """The same of a data set; None: the hub can't be asked, so it is in the cache or nowhere.

    near: local names much like it, as `; did you mean ...?`.  Raises DataError if the hub says that it can't be had.
    """
    answer = _ask("dataset", name)
    if isinstance(answer, Seen):
        return answer
    if answer.fault.status is None:
        log.notice(f"data set {name}: {answer.fault.text}")
        return None
    raise DataError(f"data.path: {reason_of(answer, 'dataset', name, near)}")


def licence_on_hub(name: str) -> Licence | None:
    """The licence in the card of the model `name`; None where it has none, or the hub doesn't tell."""
    answer = _ask("model", name)
    return answer.licence if isinstance(answer, Seen) else None


@contextmanager
def reaching(name: str) -> Generator[None]:
    """Look at a hub model first; where it comes from the cache, libraries don't ask the hub inside.  Raises ModelError."""
    if Path(name).exists() or look_at_model(name):
        yield
    else:
        with offline():
            yield


@contextmanager
def offline() -> Generator[None]:
    """Inside, the hub's client answers from its cache at once, instead of trying again and again."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True  # pyright: ignore[reportConstantRedefinition]
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before  # pyright: ignore[reportConstantRedefinition]


@dataclass(frozen=True)
class _Question:
    kind: Kind
    name: str
    token: str | None = field(repr=False)
    address: str


@dataclass(frozen=True)
class _Remembered:
    """until: by the monotonic clock."""

    answer: Seen | Refusal
    until: float


_known: dict[_Question, _Remembered] = {}


def _ask(kind: Kind, name: str) -> Seen | Refusal:
    question = _Question(kind, name, token_of(), endpoint())
    known = _known.get(question)
    if known is not None and time.monotonic() < known.until:
        return known.answer
    answer = _answer_soon(question)
    now = time.monotonic()
    for old in [old for old, one in list(_known.items()) if one.until <= now]:
        _known.pop(old, None)
    _known[question] = _Remembered(answer, now + (_SEEN_SECONDS if isinstance(answer, Seen) else _REFUSED_SECONDS))
    return answer


def _answer_soon(question: _Question) -> Seen | Refusal:
    """The hub's answer, at most PATIENCE_SECONDS from now.

    A thread of its own waits for it: a name may stand for many addresses, and each has its own time limit.
    """
    answers: SimpleQueue[Seen | Refusal] = SimpleQueue()
    ask = threading.Thread(
        target=lambda: answers.put(_request_patiently(question)), name=f"look at {question.name}", daemon=True
    )
    ask.start()
    try:
        return answers.get(timeout=PATIENCE_SECONDS)
    except Empty:
        late = f"the hub at {question.address} didn't answer within {PATIENCE_SECONDS:.0f} s"
        return Refusal(Fault(None, f"{late}; check the connection, a proxy, or HF_ENDPOINT", may_pass=True))


def _request_patiently(question: _Question) -> Seen | Refusal:
    """Ask up to three times while the fault is one that passes."""
    from huggingface_hub import errors

    refusal = None
    for pause_seconds in (*_PAUSES_SECONDS, 0.0):
        try:
            return _request(question)
        except (errors.HTTPError, OSError, RuntimeError, ValueError, HubError) as error:
            fault = fault_of(error) or Fault(None, " ".join(str(error).split()), may_pass=False)
            is_gated = isinstance(error, errors.GatedRepoError)
            is_missing = isinstance(error, errors.RepositoryNotFoundError) and not is_gated
            refusal = Refusal(fault, is_gated, is_missing)
        if not refusal.fault.may_pass:
            break
        time.sleep(pause_seconds)
    assert refusal is not None  # the loop has run
    return refusal


def _request(question: _Question) -> Seen:
    """Of the hub that was asked, wherever HF_ENDPOINT points by now: a thread outlives the patience with it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    name, kind, token = question.name, question.kind, question.token
    info: Any = open_api(token, question.address).repo_info(name, repo_type=kind, timeout=PATIENCE_SECONDS)
    files = tuple(str(file.rfilename) for file in info.siblings or ())
    behind_gate = sorted((one for one in files if one not in _BEFORE_GATE), key=lambda one: one != "config.json")
    if info.gated and behind_gate:  # everyone sees that it is there, and what its files are called
        address = hf_hub_url(name, behind_gate[0], repo_type=kind, endpoint=question.address)
        get_hf_file_metadata(address, token=token or False, timeout=PATIENCE_SECONDS)
    card = info.card_data.to_dict() if info.card_data else {}
    return Seen(files, licence_in(card, f"{DEFAULT_ENDPOINT}/{name}"))


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def _check_is_model(name: str, files: tuple[str, ...]) -> None:
    if "config.json" in files:
        return
    if "adapter_config.json" in files:
        raise ModelError(
            f"base_model: {name} on the hub is a LoRA adapter, not a whole model; download and merge it: "
            f"hf download {name} --local-dir ADAPTER; autotrain tools merge-llm-adapter --adapter-path ADAPTER "
            "--output-folder MERGED"
        )
    gguf = next((file for file in files if file.endswith(".gguf")), None)
    if gguf:
        raise ModelError(
            f"base_model: {name} on the hub holds GGUF files; download one (hf download {name} {gguf} --local-dir FOLDER) "
            f"and give its path: base_model: FOLDER/{gguf}"
        )
    raise ModelError(f"base_model: {name} on the hub has no config.json, so it is no model that can be trained")
