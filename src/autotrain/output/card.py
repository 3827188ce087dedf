"""README.md of a run: what the model is, what it was trained on, how it did, and the lines that load it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autotrain import __version__
from autotrain.base_models import EMBEDDED
from autotrain.hub.client import DEFAULT_ENDPOINT
from autotrain.log import mask
from autotrain.output.front_matter import Origin, front_matter, origin_of
from autotrain.output.markdown import code, link, plain, table
from autotrain.output.targets import was_chat
from autotrain.output.usage import usage
from autotrain.run_folder import CURVE_FILE, write_text
from autotrain.trainers.clm.params import LLMTrainingParams

_TASKS = {
    "default": "continued training on text",
    "sft": "supervised fine-tuning",
    "reward": "reward modelling on pairs of answers",
    "dpo": "direct preference optimisation (DPO)",
    "ipo": "identity preference optimisation (IPO)",
    "orpo": "odds-ratio preference optimisation (ORPO)",
    "simpo": "simple preference optimisation (SimPO)",
    "cpo": "contrastive preference optimisation (CPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
}
_LOSSES = {
    "train_loss_first": "training loss, first logged step",
    "train_loss_last": "training loss, last logged step",
    "eval_loss_before": "validation loss before training",
    "eval_loss_last": "validation loss, last",
    "eval_loss": "validation loss, best (this model)",
    "best_step": "best step",
    "steps": "optimizer steps",
}
_LEFT_OUT_OF_TABLE = frozenset({"token", "project_name", "model", "data_path", "username", "push_to_hub"})
_MOST_CELL_CHARACTERS = 600
_RESOLVED = MappingProxyType({"mixed_precision": "precision"})  # parameters that run.json calls otherwise


def write_card(folder: Path, params: LLMTrainingParams, run: Mapping[str, Any]) -> Path:
    """Write README.md into `folder`, by what lies there; returns its path.

    run: as run.json, every key optional: data, results, samples, versions, device, timings, tokens, resolved.
    Secrets are masked.  Of a base on the hub, the hub is asked for its licence.
    """
    is_adapter = (folder / "adapter_config.json").is_file()
    is_chat = _is_chat(folder, params, run)
    origin = origin_of(params)
    sections = [
        _introduction(params, origin, is_adapter=is_adapter),
        _section("Use it", usage(folder, params, is_adapter=is_adapter, is_chat=is_chat)),
        _section("Results", _picture(folder) + _results(run)),
        _section("How good the scores are", _evaluation(run.get("evaluation") or {})),
        _section("Answers before and after", _samples(run.get("samples") or [])),
        _section("Data", _data(params, origin, run.get("data") or {})),
        _section("Parameters", _parameters(params, run.get("resolved") or {})),
        _section("Licence and limits", _limits(origin)),
        _section("Made with", _made_with(run)),
    ]
    text = front_matter(params, run, origin, is_adapter=is_adapter) + "\n".join(section for section in sections if section)
    path = folder / "README.md"
    write_text(path, mask(text))
    return path


def _is_chat(folder: Path, params: LLMTrainingParams, run: Mapping[str, Any]) -> bool:
    known = was_chat(params, run)
    if known is not None:
        return known
    config = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or (
        config.is_file() and '"chat_template"' in config.read_text(encoding="utf-8")
    )


def _introduction(params: LLMTrainingParams, origin: Origin, *, is_adapter: bool) -> str:
    kind = "A LoRA adapter for" if is_adapter else "A fine-tuned version of"
    how = f"{_TASKS[params.trainer]} on {_data_name(params, origin)}"
    text = f"# {params.project_name}\n\n{kind} {_base_name(params, origin)}, made by {how}.\n"
    if params.trainer == "reward":
        text += (
            "\nIt gives answers scores, of which only those to the same prompt can be compared: the higher, the better.\n"
        )
    if is_adapter and origin.base is None:
        text += (
            "\nThe base model is a local one, and without it the adapter can't be used; "
            "`merge_adapter: true` makes a model that stands alone.\n"
        )
    return text


def _base_name(params: LLMTrainingParams, origin: Origin) -> str:
    """With a link where others can follow it."""
    if origin.base is None:
        return _public_name(params.model)
    on_hub = f"[{origin.base}]({DEFAULT_ENDPOINT}/{origin.base})"
    if origin.base == params.model:
        return on_hub
    return f"{_public_name(params.model)}, which is {'a quantized' if params.model in EMBEDDED else 'made from'} {on_hub}"


def _data_name(params: LLMTrainingParams, origin: Origin) -> str:
    if origin.data_set is None:
        return _public_name(params.data_path)
    return f"[{origin.data_set}]({DEFAULT_ENDPOINT}/datasets/{origin.data_set})"


def _picture(folder: Path) -> str:
    if not (folder / CURVE_FILE).is_file():
        return ""
    return f"![Training and validation loss over the optimizer steps]({CURVE_FILE})\n\n"


def _limits(origin: Origin) -> str:
    """What a stranger must know before using or sharing it."""
    if origin.licence is None:
        law = "The licence of the base model isn't known here: look it up before you use or share this model."
    else:
        name = origin.licence.name or origin.licence.identifier
        shown = link(name, origin.licence.link) if origin.licence.link else code(name)
        law = f"The licence of the base model, {shown}, is carried over. That of the data isn't looked at here."
    return (
        f"{law}\n\nThis model was tested by what stands above and by nothing else. It keeps the faults of its base model, "
        "and may repeat what is in its training data: try it on questions of your own before you rely on it."
    )


def _public_name(path: str) -> str:
    """A hub id or short name as it is; of a local path its last part only."""
    place = Path(path).expanduser()
    return code(place.name if place.is_absolute() or place.exists() else path)


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body.rstrip()}\n" if body.strip() else ""


def _results(run: Mapping[str, Any]) -> str:
    results = run.get("results") or {}
    rows = [(label, plain(_number(results[key]))) for key, label in _LOSSES.items() if results.get(key) is not None]
    rows.extend((f"in one pass: {name}", shown) for name, shown in _flat(run.get("tokens") or {}))
    timings = run.get("timings") or {}
    if timings.get("train_seconds") is not None:
        rows.append(("training time", f"{timings['train_seconds']:.0f} s"))
    if run.get("device"):
        rows.append(("device", plain(str(run["device"]))))
    return table(("", ""), rows)


def _evaluation(evaluation: Mapping[str, Any]) -> str:
    """What output/evaluate_reward.py found on the validation pairs."""
    return table(("", ""), [row for row in _flat(evaluation) if row[1] != "None"])


def _samples(samples: Iterable[Mapping[str, Any]]) -> str:
    texts = [(sample.get("prompt", ""), sample.get("base_answer", ""), sample.get("answer", "")) for sample in samples]
    rows = [tuple(plain(str(text), _MOST_CELL_CHARACTERS) for text in row) for row in texts]
    return table(("prompt", "before", "after"), rows)


def _data(params: LLMTrainingParams, origin: Origin, data: Mapping[str, Any]) -> str:
    lines = [f"{_data_name(params, origin)}, split {_public_name(params.train_split)}" + _validation(params) + ".", ""]
    rows: list[tuple[str, str]] = []
    for split, counts in data.items():
        rows.extend((f"{split}: {name}", shown) for name, shown in _flat(counts))
    return "\n".join(lines) + "\n" + table(("", ""), rows)


def _validation(params: LLMTrainingParams) -> str:
    return f", validated on {_public_name(params.valid_split)}" if params.valid_split else ""


def _flat(counts: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """(name, value) of nested counts, reasons included, as Markdown."""
    if not isinstance(counts, Mapping):
        yield plain(_words(prefix)), plain(_number(counts))
        return
    for name, value in counts.items():
        yield from _flat(value, f"{prefix}, {name}" if prefix else str(name))


def _parameters(params: LLMTrainingParams, resolved: Mapping[str, Any]) -> str:
    """Two groups: what the user had set, then the defaults."""
    values = {name: value for name, value in params.model_dump(mode="json").items() if name not in _LEFT_OUT_OF_TABLE}
    rows = {
        name: (code(name), _parameter(value, resolved.get(_RESOLVED.get(name, name), value)))
        for name, value in values.items()
    }
    explicit = [row for name, row in rows.items() if params.is_explicit(name)]
    rest = [row for name, row in rows.items() if not params.is_explicit(name)]
    hidden = f"<details><summary>defaults</summary>\n\n{table(('parameter', 'value'), rest)}\n</details>\n"
    return (f"{table(('parameter', 'value'), explicit)}\n" if explicit else "") + hidden


def _parameter(value: Any, resolved: Any) -> str:
    """resolved: what it came to in this run, shown where that is something else."""
    shown = _value(value)
    return shown if _value(resolved) == shown else f"{shown} (here {_value(resolved)})"


def _value(value: Any) -> str:
    if isinstance(value, str):
        place = Path(value).expanduser()
        return plain(place.name if place.is_absolute() else value)
    return "none" if value is None else plain(str(value))


def _made_with(run: Mapping[str, Any]) -> str:
    versions = {"autotrain": __version__, **(run.get("versions") or {})}
    return "\n".join(f"- {name} {version}" for name, version in versions.items())


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
