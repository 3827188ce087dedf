"""Rows of a data set on the hub, and what to do when it can't be had."""

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, cast

from autotrain import log
from autotrain.data.locate import HubSplit, describe_missing
from autotrain.data.read import Rows
from autotrain.errors import DataError
from autotrain.hub.look import look_at_data_set, offline
from autotrain.types import Origin, Row

MAX_CONFIGS = 40


class HubRows:
    """A split of a hub data set, downloaded once and read from disk."""

    def __init__(self, where: HubSplit) -> None:
        self.where = where
        self._data = _load(where)

    @property
    def fingerprint(self) -> str:
        return str(self._data._fingerprint)  # the only identity that datasets keeps

    def __call__(self) -> Rows:
        for number, cells in enumerate(cast(Iterable[Mapping[str, Any]], self._data), start=1):
            yield Row(cells, Origin(str(self.where), number))


def hub_splits(name: str) -> list[str]:
    """Its splits, as `split`, or `config:split` where there are several configs.  Raises DataError."""
    import datasets

    look_at_data_set(name)
    token = os.environ.get("HF_TOKEN")
    with _explained(HubSplit(name, None, "")):
        configs = datasets.get_dataset_config_names(name, token=token)
        return [
            f"{config}:{split}" if len(configs) > 1 else str(split)
            for config in configs[:MAX_CONFIGS]
            for split in datasets.get_dataset_split_names(name, config, token=token)
        ]


def _load(where: HubSplit) -> Any:
    log.notice(f"{where.name} is no local file or folder: it is taken from the Hugging Face Hub, or from its cache here")
    seen = look_at_data_set(where.name, describe_missing(where.name))
    with nullcontext() if seen else offline():
        return _load_seen(where)


def _load_seen(where: HubSplit) -> Any:
    import datasets

    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    with _explained(where):
        return datasets.load_dataset(where.name, where.config, split=where.split, token=os.environ.get("HF_TOKEN"))


@contextmanager
def _explained(where: HubSplit) -> Generator[None]:
    """What the library raises, as DataError."""
    from datasets.exceptions import DatasetNotFoundError

    try:
        yield
    except DatasetNotFoundError as error:
        raise DataError(_not_found(where, str(error))) from None
    except (ConnectionError, TimeoutError) as error:
        raise DataError(
            f"data.path: '{where.name}' is no local file or folder, and the hub can't be reached ({_first_line(error)})"
            f"{_ended(describe_missing(where.name))} Check the path, or the connection"
        ) from None
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(f"data set {where}: {_first_line(error)}{_hint(str(error))}") from None


def _not_found(where: HubSplit, message: str) -> str:
    if "gated" in message.lower():
        return (
            f"data set {where.name} is gated: accept its terms at https://huggingface.co/datasets/{where.name}, "
            "and give a token of that account (hub.token, or HF_TOKEN)"
        )
    return (
        f"data.path: '{where.name}' is no local file or folder, and no data set that the hub shows"
        f"{_ended(describe_missing(where.name))} A private one needs a token (hub.token, or HF_TOKEN)"
    )


def _ended(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _hint(message: str) -> str:
    if "401" in message or "403" in message:
        return ". The hub refused the token: check hub.token, or HF_TOKEN"
    if "Config name is missing" in message or "BuilderConfig" in message:
        return ". Name the config before the split: train_split: CONFIG:SPLIT"
    if "scripts are no longer supported" in message:
        return ". Save it as files (csv, jsonl, parquet) and set data.path to them"
    return ""


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:3]) if lines else type(error).__name__
