"""The names that a config's task and backend may take."""

import re
from collections.abc import Iterable
from types import MappingProxyType

from autotrain.config.base import nearest
from autotrain.config.declared import declared_names

# Task -> trainer; None leaves the choice to params.trainer.
TASKS = MappingProxyType(
    {
        "llm": None,
        "lm_training": None,
        "llm-default": "default",
        "llm-generic": "default",
        "llm-sft": "sft",
        "llm-reward": "reward",
        "llm-dpo": "dpo",
        "llm-orpo": "orpo",
        "llm-ipo": "ipo",
        "llm-simpo": "simpo",
        "llm-cpo": "cpo",
        "llm-kto": "kto",
        "llm:default": "default",
        "llm:generic": "default",
        "llm:sft": "sft",
        "llm:reward": "reward",
        "llm:dpo": "dpo",
        "llm:orpo": "orpo",
        "llm:ipo": "ipo",
        "llm:simpo": "simpo",
        "llm:cpo": "cpo",
        "llm:kto": "kto",
    }
)

# Tasks that AutoTrain had and this project, which trains language models only, hasn't.
OTHER_TASKS = (
    "text-classification",
    "text-binary-classification",
    "text-multi-class-classification",
    "text-regression",
    "token-classification",
    "seq2seq",
    "sentence-transformers",
    "extractive-qa",
    "extractive-question-answering",
    "tabular",
    "image-classification",
    "image-regression",
    "image-object-detection",
    "object-detection",
    "image-scoring",
    "vlm",
    "dreambooth",
)

# Machines that AutoTrain's documentation names, by the beginning of the backend's name.
_MACHINES = MappingProxyType(
    {
        "local": ("", "-cli", "-ui"),
        "spaces-": (
            *("a10g-large", "a10g-small", "a10g-largex2", "a10g-largex4", "a100-large", "t4-medium", "t4-small"),
            *("cpu-upgrade", "cpu-basic", "l4x1", "l4x4", "l40sx1", "l40sx4", "l40sx8"),
        ),
        "ep-aws-useast1-": ("s", "m", "l", "xl", "2xl", "4xl", "8xl"),
        "nvcf-": ("l40sx1", "h100x1", "h100x2", "h100x4", "h100x8"),
        "dgx-": ("a100", "2a100", "4a100", "8a100"),
    }
)
# Services that AutoTrain could, or said it could, use: why they aren't used here, and a machine like each of theirs.
_NOT_USED = MappingProxyType(
    {
        "ep-": "Inference Endpoints serve models, and stop a container that doesn't serve one",
        "nvcf-": "these were NVIDIA's cloud functions behind a gate of Hugging Face's own, which isn't open to others",
        "dgx-": "DGX Cloud was listed by AutoTrain, which had no way to start anything there",
    }
)
_INSTEAD = MappingProxyType(
    {
        "ep-aws-useast1-s": "spaces-t4-small",
        "ep-aws-useast1-m": "spaces-a10g-large",
        "ep-aws-useast1-l": "spaces-l40sx1",
        "nvcf-l40sx1": "spaces-l40sx1",
        "nvcf-": "jobs-h200",
        "ep-": "spaces-a100-large",
        "dgx-": "spaces-a100-large",
    }
)
# How many GPUs, at the end of a machine's name.
_SIZE = re.compile(r"x\d+$")
DOCUMENTED_BACKENDS = tuple(start + machine for start, machines in _MACHINES.items() for machine in machines)


def task_fault(task: str) -> str | None:
    """Why `task` can't be used, or None."""
    if task in TASKS:
        return None
    allowed = f"allowed: {', '.join(name for name in TASKS if ':' not in name)}"
    if task.lower().replace("_", "-") in OTHER_TASKS:
        return f"'{task}' is not a language-model task, and this project trains language models only; {allowed}"
    guess = nearest(task, TASKS)
    return f"no task '{task}'" + (f"; did you mean '{guess}'?" if guess else "") + f"; {allowed}"


def backend_fault(backend: str) -> str | None:
    """Why there is no such backend anywhere, or None.  A documented one may still be missing in this version."""
    available = tuple(declared_names("autotrain.backends"))
    if backend in available or backend in DOCUMENTED_BACKENDS:
        return None
    start = backend.lower().partition("-")[0] + "-"
    if start in _NOT_USED:
        return f"no backend '{backend}', and none of its kind in this version: {_why_not(start, backend)}"
    guess = nearest_machine(backend, available)
    hint = f"; did you mean '{guess}'?" if guess else ""
    return f"no backend '{backend}'{hint}; available: {_shown(available)}"


def nearest_machine(name: str, known: Iterable[str]) -> str | None:
    """The machine of `known` that was most likely meant; unless a size is said, the first of its kind: the cheapest."""
    known = list(known)
    begun = next((one for one in known if name and one.startswith(name.lower())), None)
    guess = begun or nearest(name, known)
    if guess is None or _SIZE.search(name):
        return guess
    kind = _SIZE.sub("", guess)
    return next(one for one in known if one.startswith(kind))


def runs_here(backend: str) -> bool:
    """Whether the run is a process of this machine, and its folder lies here: on a Ray cluster, its driver and a copy."""
    return backend.startswith("local") or backend == "ray"


def unavailable_backend(backend: str) -> str | None:
    """Why `backend`, a known name, can't run anything in this version, or None."""
    available = declared_names("autotrain.backends")
    if backend in available:
        return None
    start = backend.partition("-")[0] + "-"
    if start not in _NOT_USED:
        return f"{backend} is not available in this version; use local (this machine); available: {_shown(available)}"
    return f"{backend} is not available in this version: {_why_not(start, backend)}"


def _why_not(start: str, backend: str) -> str:
    instead = _INSTEAD.get(backend, _INSTEAD[start])
    return f"{_NOT_USED[start]}; the nearest that is: {instead}, or local (this machine)"


def _shown(backends: Iterable[str]) -> str:
    """Backends of this machine by name, the many of the cloud by the beginning of theirs."""
    here = [name for name in backends if runs_here(name)]
    starts = dict.fromkeys(name.partition("-")[0] for name in backends if not runs_here(name))
    return ", ".join([*here, *(f"{start}-MACHINE" for start in starts)]) + " (machines: docs/cloud.md)"


def unavailable_trainer(trainer: str) -> str | None:
    """Why `trainer` can't run in this version, or None."""
    available = declared_names("autotrain.objectives")
    if trainer in available:
        return None
    return f"the trainer {trainer} is not available in this version; available: {', '.join(sorted(available))}"
