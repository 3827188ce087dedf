"""README.md of a run: what the model is, what it was trained on, how it did, and the lines that load it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from autotrain import __version__
from autotrain.base_models import EMBEDDED, find_model, licence_of
from autotrain.errors import ModelError
from autotrain.log import mask
from autotrain.output.targets import was_chat
from autotrain.output.usage import usage
from autotrain.run_folder import write_text
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


def write_card(folder: Path, params: LLMTrainingParams, run: Mapping[str, Any]) -> Path:
    """Write README.md into `folder`, by what lies there; returns its path.

    run: as run.json, every key optional: data, results, samples, versions, device, timings, tokens, resolved.
    Secrets are masked.
    """
    is_adapter = (folder / "adapter_config.json").is_file()
    is_chat = _is_chat(folder, params, run)
    sections = [
        _introduction(params, is_adapter=is_adapter),
        _section("Use it", usage(folder, params, is_adapter=is_adapter, is_chat=is_chat)),
        _section("Results", _results(run)),
        _section("How good the scores are", _evaluation(run.get("evaluation") or {})),
        _section("Answers before and after", _samples(run.get("samples") or [])),
        _section("Data", _data(params, run.get("data") or {})),
        _section("Parameters", _parameters(params)),
        _section("Made with", _made_with(run)),
    ]
    text = _front_matter(params, is_adapter=is_adapter) + "\n".join(section for section in sections if section)
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


def _front_matter(params: LLMTrainingParams, *, is_adapter: bool) -> str:
    pipeline = "text-classification" if params.trainer == "reward" else "text-generation"
    fields: dict[str, Any] = {
        "license": licence_of(params.model) or "other",
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": pipeline,
        "tags": ["autotrain", pipeline, *_tags(params), *(["peft", "lora"] if is_adapter else [])],
    }
    if _is_hub_model(params.model):
        fields["base_model"] = params.model
    if not Path(params.data_path).exists() and params.data_path.count("/") <= 1 and not Path(params.data_path).is_absolute():
        fields["datasets"] = [params.data_path]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n\n"


def _tags(params: LLMTrainingParams) -> list[str]:
    """The method, where it is one of preference learning; of a reward model, what it is."""
    if params.trainer == "reward":
        return ["reward-model"]
    return [] if params.trainer in ("default", "sft") else [params.trainer, "preference-learning"]


def _is_hub_model(name: str) -> bool:
    if name in EMBEDDED:
        return False
    try:
        return not Path(find_model(name).path).exists()
    except ModelError:
        return False


def _introduction(params: LLMTrainingParams, *, is_adapter: bool) -> str:
    kind = "A LoRA adapter for" if is_adapter else "A fine-tuned version of"
    text = f"# {params.project_name}\n\n{kind} {_public_name(params.model)}, made by {_TASKS[params.trainer]}.\n"
    if params.trainer == "reward":
        text += (
            "\nIt gives answers scores, of which only those to the same prompt can be compared: the higher, the better.\n"
        )
    return text


def _public_name(path: str) -> str:
    """A hub id or short name as it is; of a local path its last part only."""
    return f"`{Path(path).name}`" if Path(path).is_absolute() or Path(path).exists() else f"`{path}`"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body.rstrip()}\n" if body.strip() else ""


def _results(run: Mapping[str, Any]) -> str:
    results = run.get("results") or {}
    rows = [(label, _number(results[key])) for key, label in _LOSSES.items() if results.get(key) is not None]
    rows.extend((f"in one pass: {name}", shown) for name, shown in _flat(run.get("tokens") or {}))
    timings = run.get("timings") or {}
    if timings.get("train_seconds") is not None:
        rows.append(("training time", f"{timings['train_seconds']:.0f} s"))
    if run.get("device"):
        rows.append(("device", str(run["device"])))
    return _table(("", ""), rows)


def _evaluation(evaluation: Mapping[str, Any]) -> str:
    """What output/evaluate_reward.py found on the validation pairs."""
    return _table(("", ""), [(_words(name), shown) for name, shown in _flat(evaluation) if shown != "None"])


def _samples(samples: Iterable[Mapping[str, Any]]) -> str:
    rows = [(sample.get("prompt", ""), sample.get("base_answer", ""), sample.get("answer", "")) for sample in samples]
    return _table(("prompt", "before", "after"), rows)


def _data(params: LLMTrainingParams, data: Mapping[str, Any]) -> str:
    lines = [f"{_public_name(params.data_path)}, split `{params.train_split}`" + _validation(params) + ".", ""]
    rows: list[tuple[str, str]] = []
    for split, counts in data.items():
        rows.extend((f"{split}: {_words(name)}", shown) for name, shown in _flat(counts))
    return "\n".join(lines) + "\n" + _table(("", ""), rows)


def _validation(params: LLMTrainingParams) -> str:
    return f", validated on `{params.valid_split}`" if params.valid_split else ""


def _flat(counts: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """(name, value) of nested counts, reasons included."""
    if not isinstance(counts, Mapping):
        yield prefix, _number(counts)
        return
    for name, value in counts.items():
        yield from _flat(value, f"{prefix}, {name}" if prefix else str(name))


def _parameters(params: LLMTrainingParams) -> str:
    """Two groups: what the user had set, then the defaults."""
    values = {name: value for name, value in params.model_dump(mode="json").items() if name not in _LEFT_OUT_OF_TABLE}
    explicit = [(f"`{name}`", _parameter(value)) for name, value in values.items() if params.is_explicit(name)]
    rest = [(f"`{name}`", _parameter(value)) for name, value in values.items() if not params.is_explicit(name)]
    hidden = f"<details><summary>defaults</summary>\n\n{_table(('parameter', 'value'), rest)}\n</details>\n"
    return (f"{_table(('parameter', 'value'), explicit)}\n" if explicit else "") + hidden


def _parameter(value: Any) -> str:
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return "none" if value is None else str(value)


def _made_with(run: Mapping[str, Any]) -> str:
    versions = {"autotrain": __version__, **(run.get("versions") or {})}
    return "\n".join(f"- {name} {version}" for name, version in versions.items())


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return ""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(str(cell)) for cell in line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """One line of a table: pipes, tags and line ends made harmless, long text cut."""
    short = text if len(text) <= _MOST_CELL_CHARACTERS else text[:_MOST_CELL_CHARACTERS] + " …"
    return short.strip().replace("|", "\\|").replace("<", "&lt;").replace("\r", "").replace("\n", "<br>")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
