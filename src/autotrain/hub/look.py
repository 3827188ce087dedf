"""Whether a model or data set on the hub can be had: asked once, with one small request, before anything is spent."""

import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from autotrain import log
from autotrain.base_models import ModelSource, find_model, near_names
from autotrain.errors import DataError, HubError, ModelError
from autotrain.hub.client import DEFAULT_ENDPOINT, TOKEN_PAGE, Account, Fault, account, endpoint, fault_of, how_to_log_in
from autotrain.hub.client import open_api, token_of
from autotrain.hub.licence import Licence, licence_in
from autotrain.trainers.clm.params import LLMTrainingParams

PATIENCE_SECONDS = 8.0  # the client's own retries take three times as long
_PAUSES_SECONDS = (0.5, 1.5)
_REMEMBERED_SECONDS = 600.0
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Seen:
    """What the hub says of a repository.  files: names of all its files.  licence: by its card."""

    files: tuple[str, ...]
    licence: Licence | None


@dataclass(frozen=True)
class _Refusal:
    """Why there is nothing to see."""

    fault: Fault
    is_gated: bool = False
    is_missing: bool = False


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


def check_sources(params: LLMTrainingParams) -> None:
    """Look at all that a run takes from the hub.  Raises ModelError or DataError for what can't be had."""
    allowed = {"trusts_code": params.trust_remote_code, "takes_pickle": not params.use_safetensors}
    check_base(find_model(params.model, **allowed))
    if params.model_ref:
        check_base(find_model(params.model_ref, **allowed))
    if is_hub_data_set(params.data_path):
        look_at_data_set(params.data_path)


def is_hub_data_set(data_path: str) -> bool:
    """Whether a data path that is nothing local can be a data set's name on the hub."""
    return not Path(data_path).expanduser().exists() and _HUB_NAME.fullmatch(data_path) is not None


def look_at_model(name: str) -> Seen | None:
    """What the hub says of the model `name`; None: it is in this machine's cache, and the hub can't be asked.

    Raises ModelError if it can't be had.
    """
    answer = _ask("model", name)
    if isinstance(answer, Seen):
        return answer
    if answer.is_missing or not _is_cached(name):
        raise ModelError(f"base_model: {_reason(answer, 'model', name, near_names(name))}")
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
    raise DataError(f"data.path: {_reason(answer, 'dataset', name, near)}")


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


def _ask(kind: Kind, name: str) -> Seen | _Refusal:
    age = int(time.monotonic() // _REMEMBERED_SECONDS)
    return _remembered(kind, name, token_of(), endpoint(), age)


@lru_cache(maxsize=64)
def _remembered(kind: Kind, name: str, token: str | None, address: str, age: int) -> Seen | _Refusal:
    """The hub's answer, at most PATIENCE_SECONDS from now.

    A thread of its own waits for it: a name may stand for many addresses, and each has its own time limit.
    """
    answers: SimpleQueue[Seen | _Refusal] = SimpleQueue()
    threading.Thread(target=lambda: answers.put(_request_patiently(kind, name, token)), daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE_SECONDS)
    except Empty:
        text = f"the hub at {address} didn't answer within {PATIENCE_SECONDS:.0f} s; check the connection, a proxy, or HF_ENDPOINT"
        return _Refusal(Fault(None, text, may_pass=True))


def _request_patiently(kind: Kind, name: str, token: str | None) -> Seen | _Refusal:
    """Ask up to three times while the fault is one that passes."""
    from huggingface_hub import errors

    refusal = None
    for pause_seconds in (*_PAUSES_SECONDS, 0.0):
        try:
            return _request(kind, name, token)
        except (errors.HTTPError, OSError, RuntimeError, ValueError, HubError) as error:
            fault = fault_of(error) or Fault(None, " ".join(str(error).split()), may_pass=False)
            is_gated = isinstance(error, errors.GatedRepoError)
            is_missing = isinstance(error, errors.RepositoryNotFoundError) and not is_gated
            refusal = _Refusal(fault, is_gated, is_missing)
        if not refusal.fault.may_pass:
            break
        time.sleep(pause_seconds)
    assert refusal is not None  # the loop has run
    return refusal


def _request(kind: Kind, name: str, token: str | None) -> Seen:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    api = open_api(token)
    info: Any = api.repo_info(name, repo_type=kind, timeout=PATIENCE_SECONDS)
    files = tuple(str(file.rfilename) for file in info.siblings or ())
    if info.gated and files:  # everyone sees that it is there; its files are another matter
        file = next((one for one in ("config.json", "README.md") if one in files), files[0])
        address = hf_hub_url(name, file, repo_type=kind, endpoint=endpoint())
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
            f"base_model: {name} on the hub is a LoRA adapter, not a whole model; download it (hf download {name} "
            "--local-dir ADAPTER) and merge it: autotrain tools merge-llm-adapter --adapter-path ADAPTER --output-folder MERGED"
        )
    gguf = next((file for file in files if file.endswith(".gguf")), None)
    if gguf:
        raise ModelError(
            f"base_model: {name} on the hub holds GGUF files; download one (hf download {name} {gguf} --local-dir FOLDER) "
            f"and give its path: base_model: FOLDER/{gguf}"
        )
    raise ModelError(f"base_model: {name} on the hub has no config.json, so it is no model that can be trained")


def _reason(refusal: _Refusal, kind: Kind, name: str, near: str) -> str:
    """Why `name` can't be had, and what to do."""
    fault, token = refusal.fault, token_of()
    if fault.status is None:
        return f"{name} is not on this machine{near}, and {fault.text}; or give a local folder"
    owner = _owner(token) if token and fault.status in (401, 403, 404) else None
    if isinstance(owner, Fault) and owner.status == 401:
        return f"{name}: {owner.text}"
    whose = owner if isinstance(owner, Account) else None
    if refusal.is_gated:
        return _gated(kind, name, whose)
    if refusal.is_missing:
        return _missing(kind, name, near, whose)
    return f"{name}: {fault.text}"


def _gated(kind: Kind, name: str, owner: Account | None) -> str:
    page = f"{DEFAULT_ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if owner is None:
        return f"{name} is gated: log in and accept its terms at {page}, then {how_to_log_in()}"
    fine = (
        f"; the token is fine-grained, so it also needs read access to gated repositories ({TOKEN_PAGE})"
        if owner.role == "fineGrained"
        else ""
    )
    return (
        f"{name} is gated, and {owner.name}, whose token is used, has no access: accept its terms at {page} "
        f"(some owners have to approve it){fine}"
    )


def _missing(kind: Kind, name: str, near: str, owner: Account | None) -> str:
    what = "model" if kind == "model" else "data set"
    local = "" if kind == "model" else "'" + name + "' is no local file or folder, and "
    if owner is None:
        return (
            f"{local}no {what} {name} on the hub that everyone may see{near}; check the name, and for a private one "
            f"{how_to_log_in()}"
        )
    fine = f"; a fine-grained token sees the repositories that it names ({TOKEN_PAGE})" if owner.role == "fineGrained" else ""
    return (
        f"{local}no {what} {name} on the hub that {owner.name}, whose token is used, may see{near}; check the name, "
        f"or give another token{fine}"
    )


def _owner(token: str) -> Account | Fault:
    try:
        return account(open_api(token))
    except HubError as error:
        return fault_of(error) or Fault(None, str(error), may_pass=True)
